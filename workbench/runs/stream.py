"""Table segments: Arrow IPC streams that grow by whole record batches, and reading them back after any kind of end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.runs.files import listed, read_regular, write_all
from workbench.runs.schema import SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_SEGMENT = 1 << 34
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Segment:
    """One growing file. A batch goes out in one write; where that fails, the file is cut back to its last whole batch."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = 0
        self.full = False
        """Whether nothing can follow: the file is as long as files may be here, or half a batch could not be cut off again."""
        try:
            self._put(schema.serialize())
        except BaseException:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        self._put(batch.serialize())

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        try:
            self._put(END_OF_STREAM)
        finally:
            os.close(self._descriptor)

    def abandon(self) -> None:
        """Let go of the file as it is; its whole batches can be read."""
        with suppress(OSError):
            os.close(self._descriptor)

    def _put(self, data: pa.Buffer | bytes) -> None:
        try:
            write_all(self._descriptor, data)
        except BaseException as error:  # also an interrupt: what follows a torn batch could never be read
            self.full = isinstance(error, OSError) and error.errno == errno.EFBIG
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError:
                self.full = True
            raise
        self._size += len(data)


def make_batch(table: str, schema: pa.Schema, rows: Sequence[Mapping[str, Any]], start: int) -> pa.RecordBatch:
    """Rows numbered from `start` as one batch; keys a row lacks are null. Raises SchemaError for a value of a wrong type."""
    import numpy as np
    import pyarrow as pa

    numbers = pa.array(np.arange(start, start + len(rows)))
    kinds = dict(zip(schema.names[1:], schema.types[1:], strict=True))
    columns = [_column(table, key, kind, [row.get(key) for row in rows]) for key, kind in kinds.items()]
    return pa.record_batch([numbers, *columns], schema=schema)


def _column(table: str, key: str, kind: pa.DataType, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # half a surrogate pair, which a decoder may produce
        return pa.array([value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for value in values], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise SchemaError(f"{table}.{key}: {' '.join(str(error).split())[:200]}; accepted: {kind}") from None


class Segments(NamedTuple):
    """What segments hold: a table each, of the whole batches; the names of those with a torn tail; those without a whole header."""

    tables: list[pa.Table]
    torn: list[str]
    unreadable: list[str]


def segment_paths(folder: Path) -> list[Path]:
    """seg-0000.arrows, seg-0001.arrows ... of one table, in the order written."""
    return sorted(
        (path for path in listed(folder, ".arrows") if path.name.startswith("seg-")), key=lambda path: (len(path.name), path.name)
    )


def next_segment(folder: Path) -> Path:
    """A name no segment of the folder has had."""
    paths = segment_paths(folder)
    number = max((int(path.stem[4:]) for path in paths if path.stem[4:].isdecimal()), default=-1) + 1
    return folder / f"seg-{number:04d}.arrows"


def read_segments(paths: list[Path]) -> Segments:
    """Every whole batch of these streams. A torn tail ends one stream, not the reading."""
    import pyarrow as pa

    result = Segments([], [], [])
    for path in paths:
        data = read_regular(path, LARGEST_SEGMENT)  # read, not mapped: a file cut short under a map kills the reader
        if not data:
            continue
        reader = _Reader(data)
        batches = list(reader)
        if batches:
            result.tables.append(pa.Table.from_batches(batches))
        if not reader.opened:
            result.unreadable.append(path.name)
        elif reader.torn:
            result.torn.append(path.name)
    return result


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.opened = False
        self.torn = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        try:
            stream = pa.ipc.open_stream(pa.BufferReader(self._data))
        except (pa.ArrowException, OSError):
            return
        self.opened = True
        while True:
            try:
                batch = stream.read_next_batch()
                batch.validate(full=True)  # a flipped offset must not be followed
            except StopIteration:
                return
            except (pa.ArrowException, OSError):
                self.torn = True
                return
            yield batch


def first_of_each_row(table: pa.Table) -> pa.Table:
    """Rows in order of their numbers, the first of each: a resumed run writes some rows again."""
    import numpy as np

    numbers = table.column("row").to_numpy()
    if len(numbers) < 2 or bool(np.all(np.diff(numbers) > 0)):
        return table
    return table.take(np.unique(numbers, return_index=True)[1])
