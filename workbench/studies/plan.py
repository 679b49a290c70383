"""What a study will take, before it runs: updates counted from its streams, hours from finished runs of the same folder."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbench.config import RunConfig
from workbench.runs.reader import list_runs
from workbench.runs.schema import REPLAYS_NOTHING
from workbench.studies.study import Cell


@dataclass(frozen=True)
class Pace:
    """Seconds an update of one finished run, and how like a cell that run was."""

    label: str
    stream: str
    group: str
    cell_hash: str | None
    iterations: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """updates: of the whole cell. seconds: None where no finished run says how long an update takes. source: what it was taken from."""

    updates: int
    seconds: float | None
    source: str


def paces(runs: Iterable[Path]) -> list[Pace]:
    """Of every finished run in some folders."""
    found = []
    for folder in runs:
        for one in list_runs(folder):
            if one.status == "finished" and one.info and one.summary.iterations and one.summary.seconds:
                extra = one.info.model_extra or {}
                about = (one.info.label, one.info.stream, one.info.group_hash, extra.get("cell_hash"))
                found.append(Pace(*about, one.summary.iterations, one.summary.seconds))
    return found


def estimate(cell: Cell, known: Sequence[Pace]) -> Estimate:
    """From runs of the same settings, else of the same method and stream, else of the same method, else of any: the median of the closest."""
    config = cell.config
    updates = count_updates(config)
    ways: list[tuple[str, Any]] = [
        ("the same settings", lambda pace: pace.group in (config.group_hash, config.model_copy(update={"order": None}).group_hash)),
        ("the same method and stream", lambda pace: pace.label == config.label and pace.stream == config.stream),
        ("the same method", lambda pace: pace.label == config.label),
        ("other methods", lambda pace: True),
    ]
    for source, fits in ways:
        if close := [pace.seconds / pace.iterations for pace in known if fits(pace)]:
            return Estimate(updates, updates * statistics.median(close), f"{len(close)} run{'s' * (len(close) > 1)} of {source}")
    return Estimate(updates, None, "no finished run")


def count_updates(config: RunConfig) -> int:
    """Optimiser steps of a run, supposing that replay draws all it asks for and that no example is too long."""
    sizes = _sizes(config.stream, config.data, config.tasks.train_limit, config.order)
    training = config.training
    if config.label == "multitask":
        return _steps(sum(sizes), len(sizes), training)
    updates = 0
    for past, size in enumerate(sizes):
        replays = past and config.label not in REPLAYS_NOTHING
        old = past * (math.ceil(config.replay.gamma * size - 1e-9) // past) if replays else 0
        updates += _steps(size + old, 1, training)
    return updates


def _steps(items: int, tasks: int, training: Any) -> int:
    steps = training.epochs * math.ceil(items / training.batch_size)
    return steps if training.max_steps is None else min(steps, training.max_steps * tasks)


@cache
def _sizes(stream: str, data: str | None, limit: int | None, order: str | None) -> tuple[int, ...]:
    from workbench.tasks import load_stream

    return tuple(len(task.train) for task in load_stream(stream, data).limited(limit, None, 0).ordered(order).tasks)
