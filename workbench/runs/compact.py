"""Turning the segments of a table into one Parquet file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.files import hold_regular, said
from workbench.runs.schema import RunError, table_schema
from workbench.runs.stream import first_of_each_row, read_segments, segment_paths

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 100_000


def load_table(run: Path, table: str) -> pa.Table:
    """All rows of a table, from its Parquet file and its segments, each row number once. Raises RunError, OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts: list[pa.Table] = [table_schema(table).empty_table()]
    parquet = run / f"{table}.parquet"
    if parquet.exists():
        try:
            parts.append(pq.read_table(hold_regular(parquet), memory_map=False, page_checksum_verification=True))
            parts[-1].validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RunError(f"{parquet.name}: cannot be read, it is cut short or damaged ({' '.join(str(error).split())[:120]})") from None
    try:
        parts.extend(read_segments(segment_paths(run / table)).tables)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{table}: cannot be read ({said(error)})") from None
    for part in parts:
        _hold_rows(table, part)
    try:
        return first_of_each_row(pa.concat_tables(parts, promote_options="default"))
    except pa.ArrowException as error:
        raise RunError(f"{table}: its parts do not fit together ({' '.join(str(error).split())[:160]})") from None


def _hold_rows(table: str, part: pa.Table) -> None:
    """Raises RunError where the rows of a part are not numbered, or a column is there twice."""
    twice = sorted({name for name in part.column_names if part.column_names.count(name) > 1})
    if twice:
        raise RunError(f"{table}: column {twice[0][:80]!r} is there twice")
    if "row" not in part.column_names:
        raise RunError(f"{table}: no column 'row'; accepted: the number of each row, counted by the writer")
    column = part.column("row")
    if str(column.type) != "int64" or column.null_count:
        found = f"{column.null_count} nulls" if column.null_count else str(column.type)
        raise RunError(f"{table}: column 'row' holds {found}; accepted: whole numbers without gaps")


def compact(run: Path, table: str, save: Callable[[str, Callable[[Path], Any]], bool]) -> int:
    """Write RUN/table.parquet, check its row count and delete the segments. Returns the rows of the table. Raises RunError, OSError."""
    import pyarrow.parquet as pq

    segments = segment_paths(run / table)
    if not segments:
        return load_table(run, table).num_rows
    rows = load_table(run, table)

    def write(path: Path) -> None:
        pq.write_table(rows, path, compression="zstd", row_group_size=ROW_GROUP, write_page_checksum=True, store_schema=False)
        found = pq.read_metadata(path).num_rows
        if found != rows.num_rows:
            raise RunError(f"{table}.parquet: {found} rows written of {rows.num_rows}; the segments are kept")

    if rows.num_rows == 0 or save(f"{table}.parquet", write):
        for path in segments:
            path.unlink()
        with suppress(OSError):  # what a file server left in it goes by itself
            (run / table).rmdir()
    return rows.num_rows
