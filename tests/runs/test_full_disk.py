"""Writes that fail, one at a time or for a while, and a folder that goes away under the writer: nothing is lost without a word."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.runs import spool, stream
from workbench.runs import writer as writing
from workbench.runs.check import check_run
from workbench.runs.reader import Run, list_runs
from workbench.runs.schema import RunError
from workbench.runs.writer import RunWriter

INFO = {"label": "lamol", "seed": 0, "tasks": ["a"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(writing, "LAST_PAUSE", 0.0)


def short_run(root: Path) -> RunWriter:
    """Everything a writer does, in some twenty writes."""
    writer = RunWriter.create(root, "seed: 0\n", INFO)
    for iteration in range(1, 5):
        writer.append("metrics", {"iteration": iteration, "loss": 1.0})
        writer.append("eval", {"iteration": iteration, "trained_task": "a", "eval_task": "a", "kind": "generated", "score": 50.0})
        writer.flush()
    writer.checkpoint(iteration=4)
    writer.save("state/4.pt", lambda path: path.write_bytes(b"state"))
    writer.arrays("chains", "000000004_a", {"z": np.zeros((2, 3), np.float32)}, {"task": "a", "iteration": 4})
    writer.append("metrics", {"iteration": 5, "extra": 1.0})
    writer.summary({"average_score": 50.0, "scores": {"a": 50.0}, "iterations": 4, "tasks_done": 1})
    writer.remove("state/4.pt")
    writer.finish()
    return writer


class Refusals:
    """Refuses one call of os.write (or fsync, replace), or all from one on."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, code: int, which: Callable[[int], bool]) -> None:
        self.calls, real = 0, getattr(os, name)

        def call(*arguments: Any) -> Any:
            self.calls += 1
            if which(self.calls):
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[:3])  # a full disk takes a part first
                raise OSError(code, os.strerror(code))
            return real(*arguments)

        patch.setattr(os, name, call)


def test_f20_one_failed_write_loses_no_row(writer: RunWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    written, calls = stream.Segment.write, []

    def once(self: stream.Segment, batch: Any) -> None:
        calls.append(batch)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, batch)

    monkeypatch.setattr(stream.Segment, "write", once)
    for iteration in range(1000):
        writer.append("metrics", {"iteration": iteration})
        if iteration in (9, 19):
            writer.flush()
    with caplog.at_level(logging.WARNING):
        writer.finish()
    assert not writer.incomplete
    run = Run(writer.path)
    assert run.table("metrics")["iteration"].tolist() == list(range(1000))
    assert run.info.rows == {"metrics": 1000} and not run.info.incomplete
    kinds = [event["kind"] for event in run.events()]
    assert kinds.count("warning") == 1 and "written_again" in kinds
    assert all(verdict.ok for verdict in check_run(writer.path))


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_f20_enospc_at_every_write_of_a_short_run_one_at_a_time(tmp_path: Path, name: str, code: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        counted = Refusals(patch, name, code, lambda call: False)
        short_run(tmp_path / "counted")
    assert counted.calls >= 10
    for number in range(1, counted.calls + 1):
        root = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            Refusals(patch, name, code, lambda call, number=number: call == number)
            try:
                writer = short_run(root)
            except RunError as error:
                assert "the run is not begun" in str(error)
                continue
        assert not writer.incomplete, (number, writer.incomplete)
        faults = [verdict for verdict in check_run(writer.path) if not verdict.ok]
        assert not faults, (number, faults)
        assert Run(writer.path).table("metrics")["iteration"].tolist() == [1, 2, 3, 4, 5]


def test_f20_a_disk_that_fills_at_any_write_ends_the_run_saying_what_it_lacks(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        counted = Refusals(patch, "write", errno.ENOSPC, lambda call: False)
        short_run(tmp_path / "counted")
    for number in range(1, counted.calls + 1):
        root = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            Refusals(patch, "write", errno.ENOSPC, lambda call, number=number: call >= number)
            try:
                writer = short_run(root)
            except RunError as error:
                assert "the run is not begun" in str(error)
                continue
        verdicts = check_run(writer.path)
        run = Run(writer.path)
        if run.status == "finished" and all(verdict.ok for verdict in verdicts):
            assert run.table("metrics")["iteration"].tolist() == [1, 2, 3, 4, 5], number  # only the log is behind
        else:
            assert writer.incomplete, number


def test_f20_what_waits_is_bounded_and_counted(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_ROWS", 600)
    with monkeypatch.context() as patch:
        Refusals(patch, "write", errno.ENOSPC, lambda call: True)
        for iteration in range(1000):
            writer.append("metrics", {"iteration": iteration})
    writer.finish()
    assert writer.incomplete == "400 of 1,000 rows of metrics"
    run = Run(writer.path)
    assert (run.status, run.info.incomplete, run.info.rows) == ("finished", ["400 of 1,000 rows of metrics"], {"metrics": 1000})
    assert run.table("metrics")["row"].tolist() == list(range(400, 1000))
    faults = {verdict.file: verdict.verdict for verdict in check_run(writer.path) if not verdict.ok}
    assert faults["run.json"] == "the run is finished, incomplete: it lacks 400 of 1,000 rows of metrics"
    assert faults["metrics.parquet"] == "rows 0 to 399 are missing"


def test_f20_rows_lost_before_a_resume_are_said_at_the_end(writer: RunWriter) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Refusals(patch, "write", errno.ENOSPC, lambda call: True)
        writer.append("metrics", {"iteration": 0})
        rows = writer.row_counts()
        writer.close()
    again = RunWriter.reopen(writer.path, rows)
    again.append("metrics", {"iteration": 1})
    again.finish()
    assert again.incomplete == "1 of 2 rows of metrics"


def test_f21_what_torch_and_safetensors_say_of_a_full_disk(tmp_path: Path) -> None:
    """In a process of its own whose files may not grow: the older checkpoint stays, and the run ends well."""
    code = """
import resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from workbench.runs.writer import RunWriter
writer = RunWriter.create(Path(sys.argv[1]), "seed: 0\\n", {"label": "x"})
assert writer.save("state/1.pt", lambda path: torch.save({"a": torch.zeros(9)}, path))
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
for count in (20_000, 400_000):
    state = {"a": torch.zeros(count)}
    assert not writer.save("state/2.pt", lambda path: torch.save(state, path))
    assert not writer.save("state/2.safetensors", lambda path: save_file(state, path))
writer.append("metrics", {"iteration": 1})
writer.finish()
assert not writer.incomplete, writer.incomplete
assert torch.load(writer.path / "state/1.pt", weights_only=True)["a"].numel() == 9
print(writer.path.name)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("could not be written") == 1
    assert all(verdict.ok for verdict in check_run(tmp_path / done.stdout.strip()))


def test_f21_a_torn_archive_is_a_full_disk_and_a_bug_is_none() -> None:
    from workbench.runs.files import is_disk_fault

    assert is_disk_fault(RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22"))
    assert is_disk_fault(ValueError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert not is_disk_fault(RuntimeError("Attempted to access the data pointer on an invalid python storage"))


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
@pytest.mark.parametrize("next_write", ["flush", "event", "arrays", "save", "checkpoint", "finish"])
def test_f24_a_folder_that_goes_away_stops_the_run(writer: RunWriter, how: str, next_write: str) -> None:
    writer.append("metrics", {"iteration": 0})
    writer.flush()
    path = writer.path
    shutil.rmtree(path) if how == "removed" else path.rename(path.with_name("elsewhere"))
    if how == "replaced":
        path.mkdir()
    writer.append("metrics", {"iteration": 1})
    actions: dict[str, Callable[[], Any]] = {
        "flush": writer.flush,
        "event": lambda: writer.event("note"),
        "arrays": lambda: writer.arrays("chains", "x", {"z": np.zeros(2)}),
        "save": lambda: writer.save("state/x.pt", lambda temporary: temporary.write_bytes(b"x")),
        "checkpoint": writer.checkpoint,
        "finish": writer.finish,
    }
    with pytest.raises(RunError, match=r"^\S+: the run folder was moved or removed while it was written, so the run stops here$"):
        actions[next_write]()
    writer.event("error", message="that")  # what ends a failed run has nowhere to say it
    writer.finish("failed")
    writer.close()
    assert not path.exists() or not list(path.iterdir())


def test_a_clock_that_goes_backwards_changes_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards(datetime):
        told = datetime(2026, 1, 1, tzinfo=UTC)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            cls.told -= timedelta(hours=1)
            return cls.told

    monkeypatch.setattr(writing, "datetime", Backwards)
    monkeypatch.setattr("time.time", lambda: 1.0)
    path = short_run(tmp_path).path
    assert Run(path).table("metrics")["iteration"].tolist() == [1, 2, 3, 4, 5]
    assert all(verdict.ok for verdict in check_run(path))
    assert [(info.status, info.last_written) for info in list_runs(tmp_path)] == [("finished", 0.0)]
