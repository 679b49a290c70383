"""Where the seconds of a run go: each phase is charged for its own time, without that of phases inside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PHASES = ("train", "fit", "sample", "decode", "answer", "evaluate", "record", "other")


class Clock:
    """`with clock("decode"): ...` adds to `clock.seconds["decode"]`; nested phases are subtracted from the one around them."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0) | (seconds or {})
        self._stack: list[str] = ["other"]
        self._since = time.perf_counter()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self.charge()
        self._stack.append(phase)
        try:
            yield
        finally:
            self.charge()
            self._stack.pop()

    def charge(self) -> None:
        """Charge the time since the last change to the phase that is running."""
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    @property
    def total(self) -> float:
        self.charge()
        return sum(self.seconds.values())
