"""A run killed at any moment and resumed is the run that was never killed, bit for bit."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests import mini
from tests.processes import begun, lived
from workbench.config import RunConfig, method_names
from workbench.runs.check import check_run
from workbench.runs.reader import Run, RunError
from workbench.runs.schema import COLUMNS

KILLS = 8
CLOCKS = {"metrics": ["seconds"], "samples": ["seconds", "sample_id"], "timings": ["seconds"]}

Point = tuple[str, str, int, bool]
"""Module, name in it, which call of a life, whether the call is over when it dies."""
POINTS: dict[str, Point] = {
    "in task training": ("workbench.training.loop", "Training._log", 3, True),
    "before the step is logged": ("workbench.training.loop", "Training._log", 2, False),
    "in evaluation": ("workbench.training.evaluate", "generate_answers", 2, True),
    "between the files of a checkpoint": ("workbench.training.checkpoint", "save_file", 1, True),
    "before older checkpoints go": ("workbench.training.checkpoint", "clear", 1, False),
    "within a resume": ("workbench.training.loop", "Training.restore", 1, False),
    "after a resume": ("workbench.training.loop", "Training.restore", 1, True),
    "when samples are recorded": ("workbench.training.record", "Recorder.samples", 1, True),
    "in compaction": ("workbench.runs.writer", "compact", 2, True),
}
GENERATING: dict[str, Point] = {"in decoding": ("workbench.replay.generate", "decode", 1, True)}
LATENT: dict[str, Point] = {
    "in encoding": ("workbench.methods.lsebmcl", "encode", 1, True),
    "after the energy's fit": ("workbench.replay.sources.energy", "fit_energy", 1, True),
    "in measuring": ("workbench.methods.lsebmcl", "measure", 1, False),
}
OWN = {"lamol": GENERATING, "lsebmcl": GENERATING | LATENT}


@pytest.mark.parametrize("method", method_names())
def test_killed_at_each_named_point_and_resumed_is_the_same_run(method: str, mini_backbone: Path, tmp_path: Path) -> None:
    config = mini.config(mini_backbone, method, replay={"answers": "relaxed"})
    lived(_go_on, config, _made(tmp_path / "whole"), 1)
    (whole,) = (tmp_path / "whole").iterdir()
    if Run(whole).info.gamma is not None:
        assert (Run(whole).table("metrics").replay_share > 0).mean() >= 0.2, "a run on which nothing is replayed shows nothing"
    left, attempt = POINTS | OWN.get(method, {}), 0
    while left:
        out, reached = _made(tmp_path / f"killed{attempt}"), len(left)
        attempt += 1
        flushed: dict[str, pd.DataFrame] = {}
        for name in list(left):
            child = begun(_die_at, left[name], config, out, 1 + attempt % 2)
            child.join()
            if child.exitcode == 0:
                continue  # this life had no such moment: another will
            assert child.exitcode == -signal.SIGKILL, f"the child failed by itself {name}"
            del left[name]
            (run,) = out.iterdir()
            if list((run / "state").glob("*.pt")):
                _still_there(run, flushed)
            if Run(run).status == "finished":
                break
        lived(_go_on, config, out, 2)
        (run,) = out.iterdir()
        _same(whole, run, False)
        assert [verdict for verdict in check_run(run) if not verdict.ok] == []
        assert len(left) < reached, f"no life of {method} gets to: {', '.join(left)}"


def _die_at(point: Point, config: RunConfig, out: Path, threads: int) -> None:
    """Train, or go on, until this moment."""
    module, name, call, over = point
    owner: Any = importlib.import_module(module)
    *holders, last = name.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    whole, calls = getattr(owner, last), itertools.count(1)

    def dying(*arguments: Any, **named: Any) -> Any:
        dies = next(calls) == call
        if dies and not over:
            os.kill(os.getpid(), signal.SIGKILL)
        result = whole(*arguments, **named)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, dying)
    _go_on(config, out, threads)


@pytest.mark.parametrize("method", ["lsebmcl"])
def test_killed_at_any_moment_and_resumed_is_the_same_run(method: str, mini_backbone: Path, tmp_path: Path) -> None:
    config = mini.config(mini_backbone, method, replay={"answers": "relaxed"})
    lived(_nothing)  # the server of forks has started when it has
    began = time.perf_counter()
    lived(_go_on, config, _made(tmp_path / "whole"), 1)
    length = time.perf_counter() - began
    (whole,) = (tmp_path / "whole").iterdir()
    moments, kills, attempt = random.Random(method), 0, 0
    while kills < KILLS:
        attempt += 1
        out = _made(tmp_path / f"killed{attempt}")
        flushed: dict[str, pd.DataFrame] = {}
        window, reached, ended = length, None, False
        while True:
            killed = _killed(config, out, 1 + kills % 2, moments.uniform(0.0, window))
            kills += killed
            # On a machine that is busier than when `length` was measured, a life may be too short to get anywhere.
            window, reached = (window * 1.5 if reached == _checkpoints(out) else length), _checkpoints(out)
            assert window < 1000 * length, "no child gets anywhere"
            if not list(out.iterdir()):
                continue  # killed before there was a folder
            (run,) = out.iterdir()
            if not killed:
                break
            ended = Run(run).status == "finished"  # killed between its last word and its end: its checkpoint stays
            if not list((run / "state").glob("*.pt")):
                flushed.clear()  # before its first checkpoint it begins anew
                continue
            _still_there(run, flushed)
            if kills >= KILLS:
                lived(_go_on, config, out, 2)
                break
        _still_there(run, flushed)
        _same(whole, run, ended)
        assert [verdict for verdict in check_run(run) if not verdict.ok] == []


def _nothing() -> None:
    """A life without work."""


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _killed(config: RunConfig, out: Path, threads: int, after: float) -> bool:
    """Train, or go on, in a process of its own; kill it after a while. Whether it was killed before it ended."""
    child = begun(_go_on, config, out, threads)
    child.join(after)
    child.kill()
    child.join()
    killed = child.exitcode == -signal.SIGKILL
    assert killed or child.exitcode == 0, "the child failed by itself"
    return killed


def _go_on(config: RunConfig, out: Path, threads: int) -> None:
    """Train with one thread, or go on in a process that has `threads` of them: the run must not notice."""
    import torch

    from workbench.training.run import resume, start

    found = list(out.iterdir())
    torch.set_num_threads(threads if found else 1)
    try:
        resume(found[0]) if found else start(config, out)
    except RunError:
        if list((found[0] / "state").glob("*.pt")):
            if Run(found[0]).info.status != "finished":  # killed between its last word and its end
                raise
            return
        _clear(found[0])  # it was killed before its first checkpoint: nothing to go on from


def _checkpoints(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("*/state/*.pt"))


def _clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def _still_there(run: Path, flushed: dict[str, pd.DataFrame]) -> None:
    """Every row seen before is still there, unchanged; then remember those there now."""
    for name in COLUMNS:
        now = Run(run).table(name).set_index("row")
        if name in flushed:
            before = flushed[name]
            pd.testing.assert_frame_equal(now.loc[before.index, before.columns], before, check_dtype=False)
        flushed[name] = now


def _same(whole: Path, run: Path, ended: bool) -> None:
    for name in COLUMNS:
        one, other = (Run(path).table(name).drop(columns=CLOCKS.get(name, [])) for path in (whole, run))
        pd.testing.assert_frame_equal(one, other[list(one.columns)], check_exact=True)
    kept = [[path.relative_to(base) for path in base.glob("*/*.safetensors")] for base in (whole, run)]
    files = [sorted(path for path in paths if path.parent.name != "state" or not ended) for paths in kept]
    assert files[0] == files[1]
    for file in files[0]:
        one, other = load_file(whole / file), load_file(run / file)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=f"{file} {key}")


def test_a_run_begun_when_there_were_fewer_settings_is_refused(mini_backbone: Path, tmp_path: Path) -> None:
    from workbench.training.run import resume, start

    run = start(mini.config(mini_backbone, "finetune", stream="bundled:sentiment"), tmp_path)
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"status": "failed"}))
    lines = (run / "config.yaml").read_text().splitlines(keepends=True)
    (run / "config.yaml").write_text("".join(line for line in lines if "code_draws" not in line))
    with pytest.raises(RunError, match=r"no energy\.code_draws, which came later than this run"):
        resume(run)


def _half_done(config: RunConfig, out: Path) -> Path:
    child = begun(_die_at, POINTS["in task training"], config, _made(out), 1)
    child.join()
    (run,) = out.iterdir()
    return run


def test_f23_settings_edited_since_are_refused_unless_allowed(mini_backbone: Path, tmp_path: Path) -> None:
    from workbench.training.run import resume

    run = _half_done(mini.config(mini_backbone, "finetune"), tmp_path / "runs")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("  lr: 0.001", "  lr: 0.5", 1))
    with pytest.raises(RunError, match=r"changed since this run began: config\.yaml; .*--allow-changed"):
        resume(run)
    resume(run, allow_changed=True)
    assert [event["changed"] for event in Run(run).events() if event["kind"] == "resumed_changed"] == [["config.yaml"]]


def test_f76_weights_of_the_backbone_replaced_since_are_refused(mini_backbone: Path, tmp_path: Path) -> None:
    from workbench.training.run import resume

    folder = tmp_path / "backbone"
    shutil.copytree(mini_backbone, folder)
    run = _half_done(mini.config(folder, "finetune"), tmp_path / "runs")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(bytes([file.read(1)[0] ^ 1]))
    with pytest.raises(RunError, match=r"changed since this run began: the backbone "):
        resume(run)


def test_f77_a_backbone_named_from_here_is_found_from_there(mini_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.training.run import start

    monkeypatch.chdir(mini_backbone.parent)
    run = start(mini.config(Path(mini_backbone.name), "finetune", stream="bundled:sentiment"), tmp_path)
    assert Path(Run(run).config["backbone"]["name"]) == mini_backbone.resolve()
