from __future__ import annotations

import errno
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from workbench.runs.check import check_run
from workbench.runs.reader import Run
from workbench.runs.schema import COLUMNS, RunError, SchemaError
from workbench.runs.writer import FLUSH_ROWS, RunWriter

CHILD = """
import sys
from pathlib import Path
from workbench.runs.writer import RunWriter
path = Path(sys.argv[1])
rows = eval(sys.argv[2])
writer = RunWriter.reopen(path, rows)
number = rows.get("metrics", 0)
for _ in sys.stdin:
    for _ in range(37):
        writer.append("metrics", {"iteration": number, "loss": number / 8, "task": "a" if number % 2 else None})
        if number % 3 == 0:
            writer.append("eval", {"iteration": number, "eval_task": "b", "score": number * 0.5})
        number += 1
    writer.flush()
    print("flushed", number, flush=True)
    if number % 5 == 0:
        print("checkpoint", writer.checkpoint(), flush=True)
"""


def _child(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **pipes, text=True, env=environment)


def test_every_flushed_row_survives_kills_and_resumes(writer: RunWriter) -> None:
    writer.close()
    draw = random.Random(5)
    checkpoint: dict[str, int] = {}
    flushed = 0
    for _ in range(6):
        child = _child(CHILD, str(writer.path), repr(checkpoint))
        assert child.stdin and child.stdout
        child.stdin.write("\n" * 60)
        child.stdin.flush()
        for _ in range(draw.randint(1, 60)):
            word, _, rest = child.stdout.readline().strip().partition(" ")
            if word == "flushed":
                flushed = max(flushed, int(rest))
            else:
                assert word == "checkpoint", child.communicate()[1]
                checkpoint = eval(rest)
        time.sleep(draw.random() * 0.01)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        metrics = Run(writer.path).table("metrics")
        assert len(metrics) >= flushed
        assert metrics["row"].tolist() == metrics["iteration"].tolist() == list(range(len(metrics)))
        assert (metrics["loss"] == metrics["iteration"] / 8).all()
        scores = Run(writer.path).table("eval")
        assert scores["iteration"].tolist() == list(range(0, 3 * len(scores), 3)) and len(scores) >= (flushed + 2) // 3
        assert all(verdict.ok or verdict.file == "summary.json" for verdict in check_run(writer.path))
    last = RunWriter.reopen(writer.path, checkpoint)
    rows = len(Run(writer.path).table("metrics"))
    last.finish()
    assert len(Run(writer.path).table("metrics")) == rows
    assert all(verdict.ok for verdict in check_run(writer.path)), check_run(writer.path)


def test_rows_written_again_after_a_resume_keep_the_first(writer: RunWriter) -> None:
    for iteration in range(10):
        writer.append("metrics", {"iteration": iteration, "loss": 1.0})
    saved = writer.row_counts()
    for iteration in range(10, 15):
        writer.append("metrics", {"iteration": iteration, "loss": 1.0})
    writer.close()
    again = RunWriter.reopen(writer.path, saved)
    for iteration in range(10, 20):
        again.append("metrics", {"iteration": iteration, "loss": 2.0})
    again.flush()
    for _ in range(2):  # from the segments, then from Parquet
        table = Run(writer.path).table("metrics")
        assert table["iteration"].tolist() == list(range(20))
        assert table["loss"].tolist() == [1.0] * 15 + [2.0] * 5
        if not (writer.path / "metrics.parquet").exists():
            again.finish()
    assert [event["kind"] for event in Run(writer.path).events()] == ["started", "resumed", "finished"]


def test_a_failed_run_can_be_resumed_after_compaction(writer: RunWriter) -> None:
    writer.append("metrics", {"iteration": 0})
    saved = writer.row_counts()
    writer.append("metrics", {"iteration": 1})
    writer.finish("failed")
    assert Run(writer.path).status == "failed"
    again = RunWriter.reopen(writer.path, saved)
    assert Run(writer.path).status == "running"
    again.append("metrics", {"iteration": 1, "new": 1.0})
    again.append("metrics", {"iteration": 2, "new": 2.0})
    again.finish()
    table = Run(writer.path).table("metrics")
    assert table["iteration"].tolist() == [0, 1, 2] and table["new"].fillna(-1).tolist() == [-1, -1, 2]
    assert all(verdict.ok for verdict in check_run(writer.path))


def test_a_new_key_opens_a_segment_and_both_are_read(writer: RunWriter) -> None:
    writer.append("metrics", {"iteration": 0, "loss": 1.0})
    writer.append("metrics", {"iteration": 1, "loss": 2.0, "loss_extra": 7})
    writer.append("metrics", {"iteration": 2, "loss": 3.0})
    writer.flush()
    assert sorted(path.name for path in (writer.path / "metrics").iterdir()) == ["seg-0000.arrows", "seg-0001.arrows"]
    table = Run(writer.path).table("metrics")
    assert table["loss"].tolist() == [1.0, 2.0, 3.0] and table["loss_extra"].fillna(0).tolist() == [0, 7, 0]


def test_flushes_by_rows_and_by_time(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(writer.path)
    for iteration in range(FLUSH_ROWS):
        writer.append("metrics", {"iteration": iteration})
    assert len(run.table("metrics")) == FLUSH_ROWS
    writer.append("metrics", {"iteration": FLUSH_ROWS})
    assert len(run.table("metrics")) == FLUSH_ROWS
    monkeypatch.setattr(writer, "_flushed", time.monotonic() - 3)
    os.utime(writer.path / "run.json", (0, 0))
    writer.append("eval", {"iteration": FLUSH_ROWS})
    assert len(run.table("metrics")) == FLUSH_ROWS + 1 and len(run.table("eval")) == 1
    assert (writer.path / "run.json").stat().st_mtime > time.time() - 60


def test_finish_leaves_one_parquet_a_table(writer: RunWriter) -> None:
    for iteration in range(1234):
        writer.append("metrics", {"iteration": iteration, "loss": float("nan") if iteration == 5 else 0.5})
    writer.append("samples", {"text": "lone \ud800 half", "kept": True})
    writer.summary({"average_score": 50.0})
    writer.summary({"forgetting": 1.0})
    writer.finish()
    run = Run(writer.path)
    assert len(run.table("metrics")) == 1234 and run.arrow("metrics")["loss"].null_count == 0
    assert run.table("samples")["text"].tolist() == ["lone ? half"] and run.table("samples")["kept"].tolist() == [True]
    own = {"README.txt", "config.yaml", "events.jsonl", "log.txt", "manifest.jsonl", "run.json", "summary.json"}
    assert {path.name for path in writer.path.iterdir()} - {"run.lock"} == own | {"metrics.parquet", "samples.parquet"}
    assert run.info.tables == ["metrics", "samples"] and run.status == "finished"
    assert (run.summary.average_score, run.summary.forgetting) == (50.0, 1.0) and (run.summary.size_bytes or 0) > 1000


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_stays_full_is_said_once_and_at_the_end(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    writer.append("metrics", {"iteration": 0})
    writer.flush()
    whole = os.write
    room = [100]

    def write(descriptor: int, data: memoryview) -> int:
        if room[0] <= 0:
            raise OSError(code, os.strerror(code))
        part = whole(descriptor, data[: room[0]])  # a full disk takes a part first
        room[0] -= part
        return part

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(os, "write", write)
        for iteration in range(1, 2000):
            writer.append("metrics", {"iteration": iteration})
        assert writer.checkpoint()["metrics"] == 2000
        assert not writer.arrays("chains", "1_a", {"z": np.zeros(5)})
        writer.event("task_finished")
        writer.summary({"iterations": 3})
        writer.finish()
    assert "1,999 of 2,000 rows of metrics" in writer.incomplete and "chains/1_a.safetensors" in writer.incomplete
    first, last = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(r".*table metrics could not be written \(.*\); training goes on, .* waits in memory and is tried again", first)
    assert "ends incomplete, the disk refused 1,999 of 2,000 rows of metrics" in last
    assert Run(writer.path).table("metrics")["iteration"].tolist() == [0]
    assert Run(writer.path).status == "crashed"  # nothing on the disk says that it ended


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on file sizes")
def test_a_file_size_limit_in_a_real_process(tmp_path: Path) -> None:
    code = """
import resource, sys, time
from pathlib import Path
import numpy as np
from workbench.runs.writer import RunWriter
writer = RunWriter.create(Path(sys.argv[1]), "seed: 0\\n", {"label": "x"})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for iteration in range(20_000):
    writer.append("metrics", {"iteration": iteration})
assert not writer.arrays("chains", "c", {"z": np.zeros(40_000)})
time.sleep(1.1)
writer.finish()
assert writer.incomplete == "chains/c.safetensors", writer.incomplete
print(writer.path.name)
"""
    out, errors = _child(code, str(tmp_path)).communicate(timeout=60)
    assert errors.count("could not be written") == 1 and "Traceback" not in errors
    run = Run(tmp_path / out.strip())
    assert run.table("metrics")["iteration"].tolist() == list(range(20_000))  # in as many files as it takes
    assert run.events()[-1]["incomplete"] == "chains/c.safetensors" and run.status == "finished"
    assert not list(run.path.rglob("*.tmp"))


def test_another_librarys_disk_error_is_one_too(writer: RunWriter) -> None:
    def refuse(path: Path) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/1")

    assert not writer.save("state/last.pt", refuse) and "state" not in writer.incomplete
    with pytest.raises(RuntimeError, match="bug"):
        writer.save("state/last.pt", lambda path: (_ for _ in ()).throw(RuntimeError("bug")))


def test_a_second_writer_is_refused(writer: RunWriter) -> None:
    with pytest.raises(RunError, match="another process is writing this run"):
        RunWriter.reopen(writer.path, {})
    code = "import sys; from pathlib import Path; from workbench.runs.writer import RunWriter; RunWriter.reopen(Path(sys.argv[1]), {})"
    assert "another process is writing this run" in _child(code, str(writer.path)).communicate(timeout=60)[1]
    writer.close()
    RunWriter.reopen(writer.path, {}).close()


def test_folders_are_named_and_never_reused(tmp_path: Path) -> None:
    when = datetime(2026, 11, 20, 23, 15, 1, tzinfo=UTC)
    names = []
    for name in ("k20", "k20", "../../x y", ""):
        made = RunWriter.create(tmp_path, "seed: 1\n", {"label": "lsebmcl", "name": name, "seed": 1}, when=when)
        made.close()
        names.append(made.path.name)
        assert made.path.parent == tmp_path
    first = "20261120-231501_lsebmcl_k20_s1"
    assert names == [first, f"{first}-2", "20261120-231501_lsebmcl_x-y_s1", "20261120-231501_lsebmcl_s1"]


def test_wrong_rows_are_refused_in_one_sentence(writer: RunWriter) -> None:
    with pytest.raises(SchemaError, match="table 'loss' is unknown; accepted: metrics, eval"):
        writer.append("loss", {})
    with pytest.raises(SchemaError, match="eval: unknown column 'accuracy'"):
        writer.append("eval", {"accuracy": 1.0})
    with pytest.raises(SchemaError, match="metrics: unknown column 'row'"):
        writer.append("metrics", {"row": 1})
    writer.append("metrics", {"iteration": 0, "loss": "high"})
    with pytest.raises(SchemaError, match=r"metrics\.loss: .*accepted: double"):
        writer.flush()
    writer.append("metrics", {"iteration": 1, "loss": 1.0})
    writer.flush()


def test_files_stay_inside_the_run_and_are_whole(writer: RunWriter) -> None:
    for name in ("../evil", "a/b/c", "/etc/x", "", ".hidden", "a/.."):
        with pytest.raises(RunError, match="not inside the run"):
            writer.save(name, lambda path: path.write_text("x"))
    long = "task " * 12
    writer.arrays("chains", f"000000001_{long}", {"z": np.arange(6, dtype=np.float16).reshape(2, 3).T}, {"task": long, "steps": 20})
    name = Run(writer.path).array_names("chains")[0]
    assert np.array_equal(Run(writer.path).arrays("chains", name)["z"], np.arange(6, dtype=np.float16).reshape(2, 3).T)
    assert Run(writer.path).metadata("chains", name) == {"task": long, "steps": "20"}
    writer.weights("last", lambda path: path.write_bytes(b"not safetensors"))
    writer.remove("weights/last.safetensors")
    writer.remove("weights/last.safetensors")
    assert not (writer.path / "weights/last.safetensors").exists()

    def interrupted(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.save("config.yaml", interrupted)
    assert (writer.path / "config.yaml").read_text() == "seed: 3\n"
    assert all(verdict.ok for verdict in check_run(writer.path))


def test_json_files_are_strict_json(writer: RunWriter) -> None:
    writer.summary({"average_score": np.float32(0.5), "forgetting": float("nan"), "more": [np.int64(3), float("inf")]})
    writer.event("note", path=Path("a"), value=np.array(2.0), loss=float("nan"))

    def refuse(word: str) -> None:
        raise ValueError(word)

    summary = json.loads((writer.path / "summary.json").read_text(), parse_constant=refuse)
    assert summary == {"average_score": 0.5, "forgetting": None, "more": [3, None]}
    event = json.loads((writer.path / "events.jsonl").read_text().splitlines()[-1], parse_constant=refuse)
    assert (event["path"], event["value"], event["loss"]) == ("a", 2.0, None)


def test_a_run_that_cannot_be_recorded_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(RunError, match="the run is not begun"):
        RunWriter.create(tmp_path, "seed: 0\n", {"label": "x"})


def test_events_and_logging_reach_the_folder(writer: RunWriter) -> None:
    logger = logging.getLogger("workbench.test")
    logger.addHandler(writer.handler)
    try:
        logger.warning("the latent is dead")
    finally:
        logger.removeHandler(writer.handler)
    writer.event("task_started", task="a", iteration=5)
    assert Run(writer.path).events()[-1] | {"time": ""} == {"time": "", "kind": "task_started", "task": "a", "iteration": 5}
    log = (writer.path / "log.txt").read_text()
    assert "warning the latent is dead" in log and "task_started task=a" in log
    readme = (writer.path / "README.txt").read_text()
    assert len(readme.splitlines()) >= 10
    columns = {"eval": ("kind", "eval_task", "score"), "predictions": ("uid", "prediction", "score")}
    for table, names in columns.items():
        (line,) = (line for line in readme.splitlines() if line.split()[0] == table)
        assert all(name in COLUMNS[table] and name in line for name in names)
    assert "workbench.tasks.load_stream(stream)" in readme and "train, then validation, then test" in readme
    assert not re.search(
        r"/tmp|/home|/root|" + re.escape(os.uname().nodename), json.dumps(json.loads((writer.path / "run.json").read_text()))
    )
