"""Rows of one table between the run and its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.runs.schema import COLUMNS, table_schema
from workbench.runs.stream import Segment

if TYPE_CHECKING:
    import pyarrow as pa


class Buffer:
    """Rows that wait to be written, the segment they go to, and how many were given up."""

    __slots__ = ("dropped", "found", "known", "names", "rows", "schema", "segment", "start")

    def __init__(self, name: str, start: int) -> None:
        self.names = tuple(COLUMNS[name])
        self.known = frozenset(self.names)
        self.schema: pa.Schema = table_schema(name)
        self.rows: list[dict[str, Any]] = []
        self.start = start  # number of the first row of `rows`
        self.dropped = 0
        self.found: int | None = None  # rows of the finished table
        self.segment: Segment | None = None

    @property
    def end(self) -> int:
        """Number of the next row."""
        return self.start + len(self.rows)

    @property
    def lacking(self) -> int:
        """Rows that are not on the disk, as far as is known: those of a life before a resume show in the finished table."""
        return max(self.dropped + len(self.rows), 0 if self.found is None else self.end - self.found)

    def written(self, count: int) -> None:
        """The oldest rows need not be kept any longer."""
        self.rows, self.start = self.rows[count:], self.start + count

    def drop(self, count: int) -> None:
        """Give up the oldest rows; the numbers of the others stay, so readers see the gap."""
        self.written(count)
        self.dropped += count
