"""The one exception of a configuration, and the nearest known name to a wrong one."""

from __future__ import annotations

import difflib


class ConfigError(ValueError):
    """A configuration that cannot be used: one sentence naming the field, what was found and what is accepted."""


def nearest(word: str, known: list[str]) -> str:
    """' (did you mean X?)' for the nearest known name, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
