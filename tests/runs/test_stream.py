from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from workbench.runs.schema import table_schema
from workbench.runs.stream import Segment, first_of_each_row, make_batch, read_segments, segment_paths

SCHEMA = table_schema("timings")


def _stream(path: Path) -> list[int]:
    """Three batches of 2, 3 and 4 rows; returns the file's size after the header and after each batch."""
    segment = Segment(path, SCHEMA)
    sizes, start = [path.stat().st_size], 0
    for count in (2, 3, 4):
        segment.write(make_batch("timings", SCHEMA, [{"iteration": k, "phase": "fit " * k} for k in range(count)], start))
        sizes.append(path.stat().st_size)
        start += count
    segment.close()
    return sizes


def test_a_stream_cut_at_any_byte_gives_its_whole_batches(tmp_path: Path) -> None:
    sizes = _stream(tmp_path / "seg-0000.arrows")
    data = (tmp_path / "seg-0000.arrows").read_bytes()
    cut = tmp_path / "cut" / "seg-0000.arrows"
    cut.parent.mkdir()
    for length in [*range(0, sizes[0], 50), *range(sizes[0] - 1, len(data) + 1)]:
        cut.write_bytes(data[:length])
        found = read_segments([cut])
        whole = sum(length >= size for size in sizes[1:])
        assert [table.num_rows for table in found.tables] == [sum([2, 3, 4][:whole])][: whole > 0], length
        assert (found.unreadable == []) == (length >= sizes[0] or length == 0), length


def test_pyarrow_reads_a_stream_without_us(tmp_path: Path) -> None:
    _stream(tmp_path / "seg-0000.arrows")
    with pa.OSFile(str(tmp_path / "seg-0000.arrows")) as file:
        table = pa.ipc.open_stream(file).read_all()
    assert table.schema == SCHEMA and table.column("row").to_pylist() == list(range(9))


def test_a_flipped_byte_never_crashes_the_reader(tmp_path: Path) -> None:
    sizes = _stream(tmp_path / "seg-0000.arrows")
    data = bytearray((tmp_path / "seg-0000.arrows").read_bytes())
    path = tmp_path / "seg-0001.arrows"
    for place in range(sizes[0], len(data), 7):
        data[place] ^= 0xFF
        path.write_bytes(data)
        for table in read_segments([path]).tables:
            table.to_pylist()
        data[place] ^= 0xFF


def test_segments_are_ordered_by_number(tmp_path: Path) -> None:
    for number in (10_000, 9, 9_999):
        (tmp_path / f"seg-{number:04d}.arrows").touch()
    assert [path.stem for path in segment_paths(tmp_path)] == ["seg-0009", "seg-9999", "seg-10000"]
    assert segment_paths(tmp_path / "none") == []


@pytest.mark.parametrize("rows", [[], [3], [0, 1, 2], [0, 1, 2, 1, 2, 3], [5, 4, 4]])
def test_the_first_of_each_row_number_stays(rows: list[int]) -> None:
    table = pa.table({"row": pa.array(rows, pa.int64()), "place": list(range(len(rows)))})
    kept = first_of_each_row(table).to_pylist()
    assert [row["row"] for row in kept] == sorted(set(rows))
    assert [row["place"] for row in kept] == [rows.index(number) for number in sorted(set(rows))]
