from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.runs.check import check_run
from workbench.runs.synthetic import write_run
from workbench.runs.writer import RunWriter

SMALL = {"tasks": 2, "iterations": 60, "chains": 2, "chain_count": 4, "dim": 4, "hidden": 4, "steps": 3, "latents": 3}


def _cut(path: Path, drop: int) -> None:
    os.truncate(path, path.stat().st_size - drop)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def _rewrite(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _rating(path: Path, text: str) -> None:
    (path / "ratings").mkdir()
    line = {"uid": "1", "sample_id": "ab", "rater": "ana", "scale": "fluency", "value": 4, "t": 1.0}
    (path / "ratings/ana.jsonl").write_text(json.dumps(line) + "\n" + text)


def _unlist(path: Path, name: str) -> None:
    lines = (path / "manifest.jsonl").read_text().splitlines()
    (path / "manifest.jsonl").write_text("".join(line + "\n" for line in lines if name not in line))


ENERGY = "weights/energy_000000060.safetensors"
FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated table": (lambda run: _cut(run / "eval.parquet", 100), "eval.parquet", "cut short or changed"),
    "truncated table, not in the manifest": (
        lambda run: (_cut(run / "eval.parquet", 100), _unlist(run, "eval.parquet")),
        "eval.parquet",
        "cannot be read, it is cut short or damaged",
    ),
    "flipped byte in a table": (lambda run: _flip(run / "metrics.parquet", 500), "metrics.parquet", "content changed"),
    "flipped byte in weights": (lambda run: _flip(run / ENERGY, -9), ENERGY, "content changed: the SHA-256"),
    "truncated weights": (lambda run: _cut(run / ENERGY, 4), ENERGY, "cut short or changed"),
    "unreadable safetensors": (
        lambda run: (run / "weights/extra.safetensors").write_bytes(b"x" * 50),
        "weights/extra.safetensors",
        "cannot be opened",
    ),
    "missing weights": (lambda run: (run / ENERGY).unlink(), ENERGY, "missing"),
    "missing table": (lambda run: (run / "samples.parquet").unlink(), "samples.parquet", "missing"),
    "missing table, not in the manifest": (
        lambda run: ((run / "samples.parquet").unlink(), _unlist(run, "samples.parquet")),
        "samples.parquet",
        "missing",
    ),
    "missing config": (lambda run: (run / "config.yaml").unlink(), "config.yaml", "missing"),
    "missing summary": (lambda run: (run / "summary.json").unlink(), "summary.json", "missing"),
    "missing events": (lambda run: (run / "events.jsonl").unlink(), "events.jsonl", "missing"),
    "missing manifest": (lambda run: (run / "manifest.jsonl").unlink(), "manifest.jsonl", "missing or empty"),
    "missing run.json": (lambda run: (run / "run.json").unlink(), "run.json", "missing"),
    "newer schema": (
        lambda run: _rewrite(run / "run.json", schema=2),
        "run.json",
        "written by a newer version (2); this one reads up to 1",
    ),
    "hand-edited config": (lambda run: _add(run / "config.yaml", "# mine\n"), "config.yaml", "changed after the run began"),
    "config no YAML": (
        lambda run: (run / "config.yaml").write_text("a: [", encoding="utf-8"),
        "config.yaml",
        "changed after the run began",
    ),
    "bad line in events": (lambda run: _add(run / "events.jsonl", "{oops\n"), "events.jsonl", "is not a JSON object"),
    "event without a kind": (lambda run: _add(run / "events.jsonl", '{"time": "x"}\n'), "events.jsonl", "needs the texts"),
    "bad line in ratings": (lambda run: _rating(run, '{"uid": 1\n'), "ratings/ana.jsonl", "line 2 is not a JSON object"),
    "rating without a sample": (
        lambda run: _rating(run, '{"uid": "2", "rater": "ana"}\n'),
        "ratings/ana.jsonl",
        "line 2: rating: sample_id",
    ),
    "bad summary": (lambda run: _rewrite(run / "summary.json", average_score="high"), "summary.json", "average_score"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"), **SMALL)


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(whole, tmp_path / whole.name))


def test_a_whole_run_has_no_fault(whole: Path) -> None:
    verdicts = check_run(whole)
    assert all(verdict.ok for verdict in verdicts)
    rows = {verdict.file: verdict.rows for verdict in verdicts}
    assert rows["metrics.parquet"] == 60 and rows["chain_stats.parquet"] == 8 and ENERGY in rows and "config.yaml" in rows


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_plain_line(copied: Path, fault: str) -> None:
    spoil, file, sentence = FAULTS[fault]
    spoil(copied)
    found = [verdict for verdict in check_run(copied) if not verdict.ok]
    assert [verdict.file for verdict in found] == [file], found
    assert sentence in found[0].verdict and "\n" not in found[0].verdict and "Traceback" not in found[0].verdict


def test_a_killed_run_is_whole_up_to_its_torn_tail(tmp_path: Path) -> None:
    run = write_run(tmp_path, status="crashed", **SMALL)
    verdicts = {verdict.file: verdict for verdict in check_run(run)}
    assert all(verdict.ok for verdict in verdicts.values())
    assert "cut off, as a kill leaves it" in verdicts["metrics/"].verdict and "cut off" in verdicts["events.jsonl"].verdict


def test_a_running_run_can_be_checked(writer: RunWriter) -> None:
    writer.append("metrics", {"iteration": 0})
    writer.flush()
    assert all(verdict.ok for verdict in check_run(writer.path))


@pytest.mark.parametrize("damage", ["tail", "segment", "table"])
def test_rows_that_a_checkpoint_counted_must_be_there(writer: RunWriter, damage: str) -> None:
    for start in (0, 10):
        for iteration in range(start, start + 10):
            writer.append("metrics", {"iteration": iteration, **({"extra": 1.0} if start else {})})
        writer.checkpoint(iteration=start)
    writer.close()
    segments = sorted((writer.path / "metrics").iterdir())
    if damage == "tail":
        _cut(segments[1], 60)
    else:
        segments[0].unlink()
    if damage == "table":
        segments[1].unlink()
        segments[0].parent.rmdir()
    found = [verdict for verdict in check_run(writer.path) if not verdict.ok]
    wanted = {"tail": "cut short: 10 rows can be read, a checkpoint counted 20", "segment": "rows 0 to 9 are missing", "table": "missing"}
    assert [verdict.verdict for verdict in found] == [wanted[damage]]


def test_a_file_replaced_by_the_writer_is_no_fault(writer: RunWriter) -> None:
    for text in ("one", "two", "three"):
        writer.save("state/last.pt", lambda path, text=text: path.write_text(text))
        assert all(verdict.ok for verdict in check_run(writer.path))
    (writer.path / "state/last.pt").write_text("thrice")
    assert [verdict.file for verdict in check_run(writer.path) if not verdict.ok] == ["state/last.pt"]
