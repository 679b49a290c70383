from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench.runs.reader import Run, find_run, list_runs
from workbench.runs.schema import COLUMNS, RunError
from workbench.runs.synthetic import write_run
from workbench.runs.synthetic_texts import HOSTILE
from workbench.runs.writer import RunWriter

SMALL = {"tasks": 2, "iterations": 60, "chains": 2, "chain_count": 4, "dim": 4, "hidden": 4, "steps": 3, "latents": 3}


def _plain_run(root: Path, label: str = "er", seed: int = 0) -> RunWriter:
    return RunWriter.create(root, "seed: 0\n", {"label": label, "seed": seed})


def test_tables_that_were_not_recorded_are_empty_with_their_columns(writer: RunWriter) -> None:
    run = Run(writer.path)
    for name, columns in COLUMNS.items():
        frame = run.table(name)
        assert len(frame) == 0 and list(frame.columns) == ["row", *columns]
        assert len(run.tail(name, 5)) == 0
    assert run.array_names("chains") == [] and run.table_names() == []
    with pytest.raises(RunError, match="table 'loss' is unknown"):
        run.table("loss")


def test_tail_gives_new_rows_only(writer: RunWriter) -> None:
    run = Run(writer.path)
    seen = 0
    for count in (3, 0, 5):
        for _ in range(count):
            writer.append("metrics", {"iteration": 1})
        writer.flush()
        fresh = run.tail("metrics", seen)
        assert fresh["row"].tolist() == list(range(seen, seen + count))
        seen += count


def test_status_is_derived(tmp_path: Path) -> None:
    made = _plain_run(tmp_path)
    run = Run(made.path)
    os.utime(made.path / "run.json", (time.time() - 3600,) * 2)  # a long step: no heartbeat, but the lock is held
    assert run.status == "running"
    made.close()
    os.utime(made.path / "run.json", (time.time() - 3600,) * 2)
    assert run.status == "crashed" and 3590 < (run.last_written or 0) < 3700
    again = RunWriter.reopen(made.path, {})
    assert run.status == "running"
    again.finish("failed")
    assert run.status == "failed"
    values = json.loads((made.path / "run.json").read_text())
    (made.path / "run.json").write_text(json.dumps(values | {"status": "running"}))  # killed after the event, before run.json
    os.utime(made.path / "run.json", (0, 0))
    assert run.status == "failed"


def test_a_run_that_nobody_writes_is_not_running_however_fresh(tmp_path: Path) -> None:
    made = _plain_run(tmp_path)
    made.close()  # as a kill leaves it: the lock is free, run.json was written just now
    run = Run(made.path)
    assert run.status == "crashed"
    again = RunWriter.reopen(made.path, {})
    again.event("interrupted", iteration=3)
    again.close()
    assert run.status == "interrupted" and list_runs(tmp_path)[0].status == "interrupted"
    again = RunWriter.reopen(made.path, {})
    assert run.status == "running"
    again.close()
    assert run.status == "crashed"
    (made.path / "run.lock").unlink()  # where nothing is known of the lock, the heartbeat decides
    assert run.status == "running"


def test_listing_survives_every_kind_of_broken_run(tmp_path: Path) -> None:
    good = _plain_run(tmp_path, "good")
    good.finish()
    spoiled = {}
    for label, content in {
        "text": b"{",
        "list": b"[]",
        "newer": None,
        "binary": b"\xff\xfe",
        "empty": b"",
        "lacking": b'{"schema": 1}',
    }.items():
        made = _plain_run(tmp_path, label)
        made.finish()
        if content is None:
            content = json.dumps(json.loads((made.path / "run.json").read_text()) | {"schema": 2}).encode()
        (made.path / "run.json").write_bytes(content)
        spoiled[made.path.name] = label
    gone = _plain_run(tmp_path, "gone")
    gone.finish()
    (gone.path / "run.json").unlink()
    torn = _plain_run(tmp_path, "summary")
    torn.finish()
    (torn.path / "summary.json").write_text("{")
    (tmp_path / "no-run").mkdir()
    (tmp_path / ".trash").mkdir()
    (tmp_path / "file.txt").touch()
    found = {info.name: info for info in list_runs(tmp_path)}
    assert set(found) == {good.path.name, gone.path.name, torn.path.name, *spoiled}
    assert found[good.path.name].status == "finished" and not found[good.path.name].error
    for name, label in spoiled.items():
        assert found[name].status == "broken" and found[name].info is None and found[name].error.count("\n") == 0, label
        assert label != "newer" or found[name].error == "written by a newer version (2); this one reads up to 1"
    assert found[gone.path.name].error == "run.json: missing"
    assert found[torn.path.name].status == "finished" and found[torn.path.name].error.startswith("summary.json: not JSON")
    assert [info.name for info in list_runs(tmp_path)] == sorted(found, reverse=True)
    assert list_runs(tmp_path / "none") == []


def test_links_out_of_the_root_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "runs"
    secret = write_run(outside, **SMALL)
    inside = write_run(root, **SMALL)
    (root / "linked").symlink_to(secret)
    assert [info.name for info in list_runs(root)] == [inside.name]
    with pytest.raises(RunError, match="no run named 'linked'"):
        find_run(root, "linked")
    run = Run(inside)
    for target, read in {
        "metrics.parquet": lambda: run.table("metrics"),
        "run.json": lambda: run.info,
        "summary.json": lambda: run.summary,
        "config.yaml": lambda: run.config,
        "events.jsonl": run.events,
        f"chains/{run.array_names('chains')[0]}.safetensors": lambda: run.arrays("chains", run.array_names("chains")[0]),
        "latents": lambda: run.array_names("latents"),
    }.items():
        path = inside / target
        path.rename(tmp_path / "aside")
        path.symlink_to(secret / (secret / target).name if (secret / target).parent == secret else secret / "run.json")
        with pytest.raises(RunError, match="leads out of the run"):
            read()
        path.unlink()
        (tmp_path / "aside").rename(path)
    (tmp_path / "link").symlink_to(root)
    assert [info.name for info in list_runs(tmp_path / "link")] == [inside.name]  # the root itself may be a link


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", ".", "", "/etc", "runs/../..", "a\0b", "x" * 10_000, "%2e%2e", "\u202egnp"])
def test_outside_text_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "runs", **SMALL)
    with pytest.raises(RunError, match="no run named") as caught:
        find_run(tmp_path / "runs", name)
    assert run.name in str(caught.value) and str(tmp_path) not in str(caught.value) and len(str(caught.value)) < 400
    with pytest.raises(RunError, match="no file named"):
        Run(run).arrays("chains", name)
    with pytest.raises(RunError, match="is unknown"):
        Run(run).array_names("../" + name[:9])
    with pytest.raises(RunError, match="is unknown"):
        Run(run).table(name)


def test_find_by_name_prefix_or_nearest(tmp_path: Path) -> None:
    names = []
    for seed in (0, 1):
        made = _plain_run(tmp_path, "er", seed)
        made.close()
        names.append(made.path.name)
    assert find_run(tmp_path, names[0]).name == names[0]
    assert find_run(tmp_path, names[1][:-1] + "1").name == names[1]
    with pytest.raises(RunError, match="2 runs begin with '20'"):
        find_run(tmp_path, "20")
    with pytest.raises(RunError, match=f"nearest: .*{names[0]}"):
        find_run(tmp_path, names[0].replace("er", "ar"))
    given = RunWriter.create(tmp_path, "seed: 0\n", {"label": "er", "name": "killed", "seed": 0})
    given.close()
    for words in ("killed", "killed_s0", "er_killed_s0", given.path.name[9:]):
        assert find_run(tmp_path, words).name == given.path.name
    assert find_run(tmp_path, "s1").name == names[1]
    with pytest.raises(RunError, match="2 runs end with or are named 's0'"):
        find_run(tmp_path, "s0")
    with pytest.raises(RunError, match="no run named 'illed'"):
        find_run(tmp_path, "illed")
    with pytest.raises(RunError, match="there is none"):
        find_run(tmp_path / "empty", "x")


def test_hostile_texts_come_back_unchanged(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, hostile=True, texts=len(HOSTILE), **SMALL))
    contexts = set(run.table("samples")["context"])
    assert contexts == {text.encode("utf-8", "replace").decode() for text in HOSTILE}


def test_listing_is_light_and_quick(tmp_path: Path) -> None:
    made = _plain_run(tmp_path)
    made.finish()
    for number in range(300):
        copy = tmp_path / f"20200101-000000_er_{number}_s0"
        copy.mkdir()
        for name in ("run.json", "summary.json"):
            (copy / name).write_bytes((made.path / name).read_bytes())
    code = """
import sys, time
begun = time.perf_counter(); import workbench; print(time.perf_counter() - begun)
from pathlib import Path
from workbench.runs import list_runs
begun = time.perf_counter(); found = list_runs(Path(sys.argv[1])); print(time.perf_counter() - begun, len(found))
heavy = {"torch", "pandas", "pyarrow", "numpy", "streamlit", "safetensors", "sklearn", "umap"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    importing, listing, count = map(float, done.stdout.split())
    assert count == 301 and importing < 0.3 and listing < 3
