"""Continual-learning metrics: pure functions of arrays and frames, shared by training, app and notebooks. No torch.

The score matrix R is [T, T]: R[i, j] is the score (0..100) on task j after task i was learnt; cells above the diagonal
may hold zero-shot scores, NaN is "not evaluated". Sources: Lopez-Paz and Ranzato (2017) for average score, backward and
forward transfer; Chaudhry et al. (2018) for the max-based forgetting; De Lange et al. (2023), "Continual evaluation for
lifelong learning", for min-ACC, WC-ACC, windowed forgetting and plasticity and the stability gap.

A metric that is not defined (one task only, a score missing) is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

Curve = tuple[ArrayLike, ArrayLike]
"""(iterations, scores) of one task, same length."""

RECOVERED = 0.95
"""Share of the score before a switch that counts as recovered (De Lange et al., 2023)."""


def score_matrix(rows: pd.DataFrame | Sequence[Mapping[str, Any]], kind: str = "generated") -> tuple[list[str], np.ndarray]:
    """Task names in order of training, and R: the last score of each task evaluated after (during) each trained task.

    rows: an eval table. Rows of iteration 0 (before the first update) belong to no trained task: see `zero_shot`.
    """
    frame = _of_kind(rows, kind)
    frame = frame[frame["iteration"] > 0]
    if frame.empty:
        return [], np.zeros((0, 0))
    trained = list(dict.fromkeys(frame["trained_task"].astype(str)))
    tasks = list(dict.fromkeys([*trained, *frame["eval_task"].astype(str)]))
    last = frame.drop_duplicates(["trained_task", "eval_task"], keep="last")
    matrix = np.full((len(tasks), len(tasks)), np.nan)
    for after, on, score in zip(last["trained_task"].astype(str), last["eval_task"].astype(str), last["score"], strict=True):
        matrix[tasks.index(after), tasks.index(on)] = score
    return tasks, matrix


def zero_shot(rows: pd.DataFrame | Sequence[Mapping[str, Any]], tasks: Sequence[str], kind: str = "generated") -> np.ndarray:
    """Scores before the first update (iteration 0), [T]; NaN where a task was not evaluated then."""
    frame = _of_kind(rows, kind)
    first = frame[frame["iteration"] == 0].drop_duplicates("eval_task", keep="last").set_index("eval_task")["score"]
    return np.array([float(first.get(task, math.nan)) for task in tasks])


def _of_kind(rows: pd.DataFrame | Sequence[Mapping[str, Any]], kind: str) -> Any:
    columns = ["iteration", "trained_task", "eval_task", "kind", "score"]
    frame: Any = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=None if len(rows) else columns)
    return frame[frame["kind"] == kind].sort_values("iteration", kind="stable") if len(frame) else pd.DataFrame(columns=columns)


def mean_curve(rows: pd.DataFrame | Sequence[Mapping[str, Any]], kind: str = "teacher_forced", column: str = "score") -> pd.DataFrame:
    """Mean of a column over the tasks that count, at each iteration where all of them were evaluated: iteration, `column`, tasks (how many).

    rows: an eval table. A task counts from its first update on: at a switch (the iteration at which the task before ended) the new
    one does not count yet, though it is evaluated there, for nothing was learnt of it and nothing lost. Where an iteration has two
    rows of a task, the later one stands. Before any update (iteration 0) the first task counts. Tasks learnt at once count together.
    """
    empty = pd.DataFrame({"iteration": np.zeros(0, int), column: np.zeros(0), "tasks": np.zeros(0, int)})
    if not len(rows):
        return empty
    frame: Any = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    starts = _starts(frame)
    chosen = frame[frame["kind"] == kind]
    places, names = pd.factorize(chosen["eval_task"])
    tasks = [str(name) for name in names if str(name) in starts]
    if not tasks:
        return empty
    at, rows_at = np.unique(chosen["iteration"].to_numpy(), return_inverse=True)
    wide = np.full((len(at), len(names)), np.nan)
    wide[rows_at, places] = chosen[column].to_numpy(np.float64)  # in order: the last row of a cell stands
    values = wide[:, [list(map(str, names)).index(task) for task in tasks]]
    first = min(starts.values())
    counts = np.stack([(at > starts[task]) | (starts[task] == first) for task in tasks], axis=1)
    known = (np.isfinite(values) | ~counts).all(axis=1)
    means = np.where(counts, np.nan_to_num(values), 0.0).sum(axis=1) / counts.sum(axis=1)
    return pd.DataFrame({"iteration": at[known], column: means[known], "tasks": counts.sum(axis=1)[known]})


def _starts(frame: Any) -> dict[str, int]:
    """Last iteration before the first update of each task that was trained, by any kind of row; tasks learnt at once share one."""
    ends = frame[frame["iteration"] > 0].groupby("trained_task", sort=False, observed=True)["iteration"].max().sort_values(kind="stable")
    ends = {str(task): int(end) for task, end in ends.items() if task}
    starts = dict(zip(ends, [0, *list(ends.values())[:-1]], strict=True))
    tasks = set(map(str, frame["eval_task"].unique()))
    joint = [start for task, start in starts.items() if task not in tasks]
    if joint or not starts:
        starts = dict.fromkeys(tasks, min(joint, default=0)) | starts
    return {task: start for task, start in starts.items() if task in tasks}


def done(matrix: np.ndarray) -> int:
    """Tasks learnt so far: rows of R up to the last that has its diagonal."""
    diagonal = np.flatnonzero(np.isfinite(np.diag(matrix)))
    return int(diagonal[-1]) + 1 if len(diagonal) else 0


def _number(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    found = np.asarray(values, dtype=np.float64)
    return _number(found.mean()) if len(found) else None


def average_score(matrix: np.ndarray) -> float | None:
    """ACC = 1/k sum_{j<=k} R[k, j], over the k tasks learnt so far. None where a score is missing."""
    k = done(matrix)
    return _mean(matrix[k - 1, :k]) if k else None


def backward_transfer(matrix: np.ndarray) -> float | None:
    """BWT = 1/(k-1) sum_{j<k} (R[k, j] - R[j, j]): signed, negative is forgetting. None for one task."""
    k = done(matrix)
    return _mean(matrix[k - 1, : k - 1] - np.diag(matrix)[: k - 1]) if k > 1 else None


def forgetting_each(matrix: np.ndarray) -> np.ndarray:
    """max_{i<k} R[i, j] - R[k, j] for every task j < k, [k-1]; the maximum is over evaluations after j was learnt."""
    k = done(matrix)
    if k < 2:
        return np.zeros(0)
    best = [_nan_max(matrix[j : k - 1, j]) for j in range(k - 1)]
    return np.array(best) - matrix[k - 1, : k - 1]


def _nan_max(values: np.ndarray) -> float:
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


def forgetting(matrix: np.ndarray) -> float | None:
    """F = 1/(k-1) sum_{j<k} (max_{i<k} R[i, j] - R[k, j]), never below -BWT. None for one task."""
    each = forgetting_each(matrix)
    return _mean(each) if len(each) else None


def forward_transfer(matrix: np.ndarray, zero_shot: ArrayLike) -> float | None:
    """FWT = 1/(k-1) sum_{j=2..k} (R[j-1, j] - b_j), b: scores before any training, [T]. None for one task or without those cells."""
    k, before = done(matrix), np.asarray(zero_shot, dtype=np.float64)
    if k < 2:
        return None
    return _mean([matrix[j - 1, j] - before[j] for j in range(1, k)])


def min_acc(curves: Mapping[str, Curve], ends: Mapping[str, int], until: int | None = None) -> float | None:
    """min-ACC_k = 1/(k-1) sum_{i<k} min { A(E_i, f_n) : |T_i| < n <= until }. None for k = 1 or where a task was not evaluated since.

    curves: (iterations, scores) by task. ends: last iteration |T_i| of each task begun, in order of training; the last of
    them is task k. until: the iteration n of the metric; default the last end.
    """
    each = min_acc_each(curves, ends, until)
    return _mean(list(each.values())) if each else None


def min_acc_each(curves: Mapping[str, Curve], ends: Mapping[str, int], until: int | None = None) -> dict[str, float]:
    """The minimum of each task before the last one since its own end; NaN where there was no evaluation."""
    order = list(ends)
    last = ends[order[-1]] if order and until is None else until
    lowest = {}
    for task in order[:-1]:
        iterations, scores = _curve(curves.get(task, ([], [])))
        since = scores[(iterations > ends[task]) & (iterations <= (last if last is not None else np.inf))]
        lowest[task] = float(since.min()) if len(since) else math.nan
    return lowest


def wc_acc(curves: Mapping[str, Curve], ends: Mapping[str, int], until: int | None = None) -> float | None:
    """WC-ACC = A(E_k, f_n) / k + (1 - 1/k) min-ACC_k, the worst case at iteration n = until. For k = 1 it is A(E_1, f_n)."""
    order = list(ends)
    if not order:
        return None
    last, k = ends[order[-1]] if until is None else until, len(order)
    iterations, scores = _curve(curves.get(order[-1], ([], [])))
    now = scores[iterations <= last]
    if not len(now):
        return None
    lowest = min_acc(curves, ends, last)
    if k == 1:
        return _number(now[-1])
    return None if lowest is None else _number(now[-1] / k + (1 - 1 / k) * lowest)


def windowed_forgetting(iterations: ArrayLike, scores: ArrayLike, window: int) -> float | None:
    """WF of one task: the largest drop A_a - A_b, a before b, both within `window` consecutive ITERATIONS. At least 0; None if empty."""
    return _windowed(iterations, -np.asarray(scores, dtype=np.float64), window)


def windowed_plasticity(iterations: ArrayLike, scores: ArrayLike, window: int) -> float | None:
    """WP of one task: the largest rise A_b - A_a, a before b, both within `window` consecutive ITERATIONS. At least 0; None if empty."""
    return _windowed(iterations, np.asarray(scores, dtype=np.float64), window)


def _windowed(iterations: ArrayLike, values: np.ndarray, window: int) -> float | None:
    found = largest_rise(iterations, values, window)
    return None if found is None else found[0]


def largest_rise(iterations: ArrayLike, values: ArrayLike, window: int) -> tuple[float, float, float] | None:
    """The largest rise within `window` iterations and the iterations it goes from and to; (0, n, n) where nothing rises. None if empty."""
    if window < 1:
        raise ValueError(f"window: {window}; accepted: at least 1 iteration")
    at, curve = _curve((iterations, values))
    if not len(curve):
        return None
    # Seconds stand in for iterations: pandas counts a rolling window in time only, (n - window, n].
    lowest = pd.Series(curve, index=pd.to_timedelta(at, unit="s")).rolling(f"{window}s").min().to_numpy()
    end = int(np.argmax(curve - lowest))
    start = int(np.searchsorted(at, at[end] - window, side="right"))
    start += int(np.argmin(curve[start : end + 1]))
    return float(curve[end] - curve[start]), float(at[start]), float(at[end])


def _curve(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and scores in order of iteration, NaN scores left out."""
    iterations, scores = np.asarray(curve[0], dtype=np.float64), np.asarray(curve[1], dtype=np.float64)
    if iterations.shape != scores.shape:
        raise ValueError(f"iterations and scores differ in length: {iterations.shape} and {scores.shape}")
    order = np.argsort(iterations, kind="stable")
    order = order[np.isfinite(scores[order])]
    return iterations[order], scores[order]


@dataclass(frozen=True)
class StabilityGap:
    """Drop and recovery of one old task after one switch, in score points and iterations."""

    switch: int
    before: float
    """Last score at or before the switch."""
    minimum: float
    depth: float
    """Score before minus minimum; 0 when the score never fell below."""
    to_minimum: int
    """Iterations from the switch to the first minimum."""
    to_recovery: int | None
    """Iterations from the switch to the first score of at least 95 % of the one before, at or after the minimum; None: never."""
    area: float
    """Area below the score before (points x iterations, trapezoids between evaluations)."""
    evaluations: int

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def stability_gap(
    iterations: ArrayLike, scores: ArrayLike, switch: int, until: int | None = None, recovered: float = RECOVERED
) -> StabilityGap | None:
    """Measure the drop after `switch` (the last iteration before the new task) up to `until`. None without an evaluation on both sides.

    A score that never falls below `recovered` x before counts as recovered at the first evaluation after the switch.
    """
    at, values = _curve((iterations, scores))
    earlier = values[at <= switch]
    later = (at > switch) & (at <= (until if until is not None else np.inf))
    if not len(earlier) or not later.any():
        return None
    before, after, when = float(earlier[-1]), values[later], at[later] - switch
    lowest = int(after.argmin())
    back = np.flatnonzero(after[lowest:] >= recovered * before)
    recovery: int | None = int(when[lowest + back[0]]) if len(back) else None
    if after[lowest] >= recovered * before:
        recovery = int(when[0])
    below = np.maximum(before - np.concatenate([[before], after]), 0.0)
    return StabilityGap(
        switch=int(switch),
        before=before,
        minimum=float(after[lowest]),
        depth=max(before - float(after[lowest]), 0.0),
        to_minimum=int(when[lowest]),
        to_recovery=recovery,
        area=float(np.trapezoid(below, np.concatenate([[0.0], when]))),
        evaluations=len(after),
    )


def learning_curve_area(scores: ArrayLike, first: int = 10) -> float | None:
    """LCA of one task: the mean of its first `first` scores while it is learnt."""
    return _mean(np.asarray(scores, dtype=np.float64)[:first])
