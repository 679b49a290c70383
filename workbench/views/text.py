"""Untrusted text, made safe to look at: hidden characters shown, long texts cut with a note, differing words found.

Nothing here makes HTML. What a page shows goes through `visible` and then into an element that takes text only.
"""

from __future__ import annotations

import difflib
import html
import re
import unicodedata
from typing import NamedTuple

SHORT = 600
"""Characters of a text shown before 'show all'."""

LONGEST = 20_000
"""Characters of a text sent to a browser at all; the run folder keeps the rest."""

_KEPT = "\n\t"


def visible(text: str) -> str:
    """The text with every character that hides or reorders others written out: control, format (bidi, zero width), lone surrogates.

    C0 controls become their pictures (U+2400 block), the others ⟨U+202E⟩. Newline and tab stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    code = ord(character)
    if character in _KEPT:
        return character
    if code < 32:
        return chr(0x2400 + code)
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"⟨U+{code:04X}⟩"
    return character


class Cut(NamedTuple):
    """A text for a browser: at most LONGEST characters, hidden ones shown. `total`: characters of the original."""

    text: str
    total: int
    complete: bool


def cut(text: str, limit: int = LONGEST) -> Cut:
    """The first `limit` characters of a text, made visible."""
    return Cut(visible(text[:limit]), len(text), len(text) <= limit)


def shorten(text: str, limit: int = 80) -> str:
    """One line of at most `limit` characters, for tables and lists."""
    line = " ".join(visible(text[: 4 * limit]).split())
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1].rstrip() + "…"


def in_figure(text: str, limit: int = 200) -> str:
    """Text for a plotly label: plotly reads a few HTML tags and entities there, so they are escaped."""
    return html.escape(shorten(text, limit)).replace("$", "&#36;")


_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=])")


def in_markdown(text: str, limit: int = 200) -> str:
    """Text for an element that reads Markdown (a label, a caption): every mark escaped, one line."""
    return _MARKS.sub(r"\\\1", shorten(text, limit))


def words(text: str) -> list[str]:
    """The words of a text as the measures of this room count them: split at white space."""
    return text.split()


def compare_words(text: str, other: str, limit: int = 400) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts as (word, differs) pairs, aligned by the longest common runs of words (at most `limit` words each)."""
    left, right = words(visible(text[:LONGEST]))[:limit], words(visible(other[:LONGEST]))[:limit]
    same_left, same_right = set(), set()
    matcher = difflib.SequenceMatcher(None, [word.casefold() for word in left], [word.casefold() for word in right], autojunk=False)
    for block in matcher.get_matching_blocks():
        same_left.update(range(block.a, block.a + block.size))
        same_right.update(range(block.b, block.b + block.size))
    return [(word, i not in same_left) for i, word in enumerate(left)], [(word, i not in same_right) for i, word in enumerate(right)]
