"""What a run folder is still to get while the disk refuses: lines and files wait in memory and are tried again.

One failed write must not end the logging of a run of days: space comes back, a file server wakes up. What waits is bounded, and
what is dropped is counted. A folder that was moved or removed is another matter: nothing must come up in its place.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.runs import files
from workbench.runs.schema import RunError

PAUSES = (1.0, 30.0)
"""Seconds until a refused write is tried again: at first, and at most."""
MOST_LINES = 10_000
MOST_BYTES = 64 << 20
"""What waits of one file of lines, and of all other files together."""


class Spool:
    """The writes into one folder. `refused` is called once when a time without writing begins, `again` when it has ended."""

    def __init__(self, folder: Path, refused: Callable[[str], Any], again: Callable[[], Any]) -> None:
        self.folder = folder
        self.gone = False
        self.trouble = False
        self.dropped: Counter[str] = Counter()
        """Lines of a file that no longer fitted into memory."""
        self.waiting: dict[str, bytes] = {}
        """Files, by their path in the folder, that the disk refused."""
        self._refused, self._again = refused, again
        self._lines: dict[str, list[str]] = {}
        self._identity = _identity(folder)
        self._pause, self._next = PAUSES[0], 0.0

    @property
    def unwritten(self) -> Counter[str]:
        """Lines of each file that are not on the disk."""
        return Counter({name: len(lines) for name, lines in self._lines.items() if lines}) + self.dropped

    def hold(self) -> None:
        """Raises RunError where the folder is not the one that this run began in."""
        if self.gone:
            raise self._moved()
        try:
            found = _identity(self.folder)
        except OSError:
            found = None
        if found != self._identity:
            self.gone = True
            raise self._moved()

    def _moved(self) -> RunError:
        return RunError(f"{self.folder.name}: the run folder was moved or removed while it was written, so the run stops here")

    def may(self, now: bool = False) -> bool:
        """Whether to try a write: always while all goes well or at a moment that counts (`now`), else after a pause."""
        return now or not self.trouble or time.monotonic() >= self._next

    def attempt(self, what: str, action: Callable[[], Any]) -> bool:
        """Do it; False where the disk refused. Raises RunError where the folder is gone."""
        self.hold()
        try:
            action()
        except OSError as error:
            self.fault(what, error)
            return False
        return True

    def fault(self, what: str, error: Exception) -> None:
        """The disk refused. Raises RunError where that is because the folder is gone."""
        self.hold()
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSES[1])
        if not self.trouble:
            self.trouble = True
            reason = getattr(error, "strerror", None) or error
            self._refused(
                f"{what} could not be written ({reason}); training goes on, what is to be written waits in memory and is tried again"
            )

    def recovered(self) -> None:
        """All that waited is written."""
        if self.trouble:
            self.trouble = False
            self._pause = PAUSES[0]
            self._again()

    def line(self, name: str, text: str) -> None:
        """Append a line to a file, after those that still wait."""
        lines = self._lines.setdefault(name, [])
        lines.append(text)
        if len(lines) > MOST_LINES:
            del lines[0]
            self.dropped[name] += 1
        if self.may():
            self.drain(name)

    def drain(self, name: str) -> bool:
        """Write the lines that wait for a file."""
        lines = self._lines.get(name)
        if not lines:
            return True
        if not self.attempt(name, lambda: files.append_text(self.folder / name, "".join(lines))):
            return False
        lines.clear()
        return True

    def drain_lines(self) -> bool:
        """Write the lines that wait, of every file."""
        return all([self.drain(name) for name in self._lines])

    def keep(self, relative: str, data: bytes) -> bool:
        """Let a refused file wait. False where there is no room."""
        if sum(map(len, self.waiting.values())) + len(data) > MOST_BYTES:
            return False
        self.waiting[relative] = data
        return True


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
