"""The numbers beside the forgetting curves, each with its formula and the exact rows it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.runs import metrics
from workbench.views import timeline
from workbench.views.scores import baselines, measures
from workbench.views.scores.curves import by_task, evaluated, starts_of
from workbench.views.scores.matrix import frame, kind_of, scores
from workbench.views.timeline import Frame

WINDOWS = (10, 100)

# name -> (what it says, formula in LaTeX); R is the score matrix, A(E_i, f_n) the score on task i at iteration n.
FORMULAS: dict[str, tuple[str, str]] = {
    "ACC": ("mean score over the tasks learnt, after the last of them", r"\mathrm{ACC}=\frac1k\sum_{j\le k}R_{k,j}"),
    "Forgetting": (
        "mean drop from the best score after learning to the last one",
        r"F=\frac1{k-1}\sum_{j<k}\Bigl(\max_{j\le i<k}R_{i,j}-R_{k,j}\Bigr)",
    ),
    "BWT": (
        "mean change since each task was learnt; negative is forgetting",
        r"\mathrm{BWT}=\frac1{k-1}\sum_{j<k}\left(R_{k,j}-R_{j,j}\right)",
    ),
    "FWT": (
        "score on a task just before it is learnt, above the score before any training",
        r"\mathrm{FWT}=\frac1{k-1}\sum_{j=2}^{k}\left(R_{j-1,j}-b_j\right)",
    ),
    "min-ACC": (
        "mean over old tasks of the worst score since each was learnt",
        r"\min\text{-}\mathrm{ACC}=\frac1{k-1}\sum_{i<k}\min_{|T_i|<n\le|T_k|}A(E_i,f_n)",
    ),
    "WC-ACC": (
        "worst case: the newest task now, the old ones at their worst",
        r"\mathrm{WC\text{-}ACC}=\frac1kA(E_k,f_n)+\Bigl(1-\frac1k\Bigr)\min\text{-}\mathrm{ACC}",
    ),
    "WF": (
        "largest drop within a window of w iterations, mean over tasks",
        r"\mathrm{WF}^w=\frac1k\sum_i\max_{a<b<a+w}\bigl(A(E_i,f_a)-A(E_i,f_b)\bigr)",
    ),
    "WP": (
        "largest rise within a window of w iterations, mean over tasks",
        r"\mathrm{WP}^w=\frac1k\sum_i\max_{a<b<a+w}\bigl(A(E_i,f_b)-A(E_i,f_a)\bigr)",
    ),
}
BY_END = ("ACC", "Forgetting", "BWT", "FWT")
"""Numbers made of answer scores at task ends; the others are of teacher-forced matches by iteration: another measure."""
PER_TASK = ["task", "learnt", "last", "low", "high", "n", "best", "forgetting", "BWT", "untrained", "one answer"]
PER_TASK_BY_ITERATION = ["task", "learnt", "last", "n", "minimum", "at iteration", "WF10", "WF100", "WP10", "WP100"]
GAPS = ["switch", "new task", "old task", "before", "minimum", "depth", "to minimum", "to 95 %", "area", "evaluations"]


def overall(run: Any) -> dict[str, float | None]:
    """ACC, Forgetting, BWT and FWT from scores at task ends; min-ACC, WC-ACC, WF and WP (means of WF10 .. WP100) by iteration."""
    return timeline.remembered(run, "overall", ("eval",), lambda: _overall(run))


def _overall(run: Any) -> dict[str, float | None]:
    tasks, matrix = scores(run)
    rows = run.table("eval")
    curves, ends = by_task(evaluated(run)), timeline.ends(run)
    values: dict[str, float | None] = {
        "ACC": metrics.average_score(matrix),
        "Forgetting": metrics.forgetting(matrix),
        "BWT": metrics.backward_transfer(matrix),
        "FWT": metrics.forward_transfer(matrix, metrics.zero_shot(rows, tasks)),
        "min-ACC": metrics.min_acc(curves, ends),
        "WC-ACC": metrics.wc_acc(curves, ends),
    }
    for window in WINDOWS:
        for name, measure in (("WF", metrics.windowed_forgetting), ("WP", metrics.windowed_plasticity)):
            each = [measure(*curves[task], window) for task in ends if task in curves]
            found = [value for value in each if value is not None]
            values[f"{name}{window}"] = float(np.mean(found)) if found else None
    return values


def per_task(run: Any) -> Frame:
    """Answer scores, a row a task begun: when learnt, last (with its 95 % interval and n), best, forgetting, BWT; untrained and trivial."""
    return timeline.remembered(run, "per_task", ("eval",), lambda: _per_task(run))


def _per_task(run: Any) -> Frame:
    tasks, matrix = scores(run)
    k = metrics.done(matrix)
    forgotten, cells = metrics.forgetting_each(matrix), frame(run).set_index(["after", "task"])
    floors = baselines.floors(run).set_index("task")
    table = []
    for j, task in enumerate(tasks):
        column = matrix[j:k, j] if j < k else np.array([np.nan])
        last = cells.loc[(tasks[k - 1], task)] if k and j < k and (tasks[k - 1], task) in cells.index else None
        table.append(
            {
                "task": task,
                "learnt": matrix[j, j],
                "last": matrix[k - 1, j] if k and j < k else np.nan,
                **({name: last[name] for name in ("low", "high", "n")} if last is not None else {}),
                "best": np.nanmax(column) if np.isfinite(column).any() else np.nan,
                "forgetting": forgotten[j] if j < len(forgotten) else np.nan,
                "BWT": matrix[k - 1, j] - matrix[j, j] if j < k - 1 else np.nan,
                "untrained": floors["untrained"].get(task, np.nan),
                "one answer": floors["trivial"].get(task, np.nan),
            }
        )
    return pd.DataFrame(table, columns=PER_TASK)


def per_task_by_iteration(run: Any) -> Frame:
    """Teacher-forced matches, a row a task begun: at its end, last, n, the minimum since and when it was, WF and WP."""
    return timeline.remembered(run, "per_task by iteration", ("eval",), lambda: _per_task_by_iteration(run))


def _per_task_by_iteration(run: Any) -> Frame:
    rows = evaluated(run)
    curves, ends = by_task(rows), timeline.ends(run)
    counts = rows.drop_duplicates("eval_task", keep="last").set_index("eval_task")["n"]
    table = []
    for task, end in ends.items():
        iterations, values = (np.asarray(value) for value in curves.get(task, ([], [])))
        since = iterations > end
        lowest = int(np.argmin(values[since])) if since.any() and task != list(ends)[-1] else None
        learnt = values[iterations <= end]
        table.append(
            {
                "task": task,
                "learnt": learnt[-1] if len(learnt) else np.nan,
                "last": values[-1] if len(values) else np.nan,
                "n": counts.get(task),
                "minimum": values[since][lowest] if lowest is not None else np.nan,
                "at iteration": int(iterations[since][lowest]) if lowest is not None else None,
                **{f"WF{window}": metrics.windowed_forgetting(iterations, values, window) for window in WINDOWS},
                **{f"WP{window}": metrics.windowed_plasticity(iterations, values, window) for window in WINDOWS},
            }
        )
    return pd.DataFrame(table, columns=PER_TASK_BY_ITERATION)


def half_widths(run: Any) -> dict[str, float]:
    """Half the width of the 95 % interval of ACC, Forgetting and BWT over the test items; a number that cannot be had is left out.

    Forgetting and BWT are differences of the same items at two moments, so their error is that of the items' own differences.
    """
    return timeline.remembered(run, "half widths", ("eval", "predictions"), lambda: _half_widths(run))


def _half_widths(run: Any) -> dict[str, float]:
    tasks, matrix = scores(run)
    k = metrics.done(matrix)
    if not k or kind_of(run) != measures.GENERATED:
        return {}
    cells = frame(run).set_index(["after", "task"])
    last = [cells.loc[(tasks[k - 1], task)] for task in tasks[:k] if (tasks[k - 1], task) in cells.index]
    half = measures.mean_half_width([row["score"] for row in last], [float(row["n"]) for row in last]) if len(last) == k else None
    found = {} if half is None else {"ACC": half}
    said = run.table("predictions")
    if k < 2 or said.empty:
        return found
    wide = said.drop_duplicates(["trained_task", "eval_task", "uid"], keep="last").pivot_table(
        index=["eval_task", "uid"], columns="trained_task", values="score", aggfunc="last"
    )
    for name in ("Forgetting", "BWT"):
        errors = []
        for j, task in enumerate(tasks[: k - 1]):
            best = j + int(np.nanargmax(matrix[j : k - 1, j])) if name == "Forgetting" and np.isfinite(matrix[j : k - 1, j]).any() else j
            if task not in wide.index.get_level_values(0) or not {tasks[best], tasks[k - 1]} <= set(wide.columns):
                break
            own = wide.loc[task]
            change = (own[tasks[best]] - own[tasks[k - 1]]).dropna()
            # One item lost and one won are added: where none changed, the error is not 0.
            spread = (float((change**2).sum()) + 2) / max(len(change), 1) - float(change.mean()) ** 2
            errors.append(spread / len(change) if len(change) > 1 else np.nan)
        if len(errors) == k - 1 and np.isfinite(errors).all():
            found[name] = float(100 * 1.96 * np.sqrt(sum(errors)) / (k - 1))
    return found


def stability_gaps(run: Any) -> Frame:
    """A row a switch and old task: the drop after the switch, measured up to the end of the task that began there.

    'to 95 %' is a number in words: 'never' where a finished task never gave the old one back 95 % of its
    score, 'not yet' where the new task is still being learnt.
    """
    return timeline.remembered(run, "stability_gaps", ("eval",), lambda: _stability_gaps(run))


def _stability_gaps(run: Any) -> Frame:
    rows = run.table("eval")
    curves, ends = by_task(evaluated(run)), timeline.ends(run)
    order, starts = list(ends), starts_of(ends)
    finished = set(rows[(rows["kind"] == "generated") & (rows["iteration"] > 0)]["trained_task"]) or set(order)
    table = []
    for position, new in enumerate(order[1:], start=1):
        for old in order[:position]:
            gap = metrics.stability_gap(*curves.get(old, ([], [])), switch=starts[new], until=ends[new])
            if gap is None:
                continue
            never = "never" if new in finished else "not yet"
            recovery = f"{gap.to_recovery:,}" if gap.to_recovery is not None else never
            table.append(
                {
                    "switch": gap.switch,
                    "new task": new,
                    "old task": old,
                    "before": gap.before,
                    "minimum": gap.minimum,
                    "depth": gap.depth,
                    "to minimum": gap.to_minimum,
                    "to 95 %": recovery,
                    "area": gap.area,
                    "evaluations": gap.evaluations,
                }
            )
    return pd.DataFrame(table, columns=GAPS)


def rows_used(run: Any, name: str) -> Frame:
    """The rows of the eval table (or cells of R) that a metric was made from, so that it can be checked by hand."""
    rows = run.table("eval")
    tasks, matrix = scores(run)
    k = metrics.done(matrix)
    ends = timeline.ends(run)
    if name in ("ACC", "Forgetting", "BWT"):
        cells = []
        for j, task in enumerate(tasks[:k]):
            row: dict[str, Any] = {"task": task, "R[j, j]": matrix[j, j]}
            if name == "Forgetting":
                row["best before the last"] = (
                    np.nanmax(matrix[j : k - 1, j]) if j < k - 1 and np.isfinite(matrix[j : k - 1, j]).any() else np.nan
                )
            cells.append(row | {"R[k, j]": matrix[k - 1, j]})
        found = pd.DataFrame(cells)
        return found if name == "ACC" or found.empty else found.iloc[:-1]
    if name == "FWT":
        before = metrics.zero_shot(rows, tasks)
        cells = [{"task": tasks[j], "R[j-1, j]": matrix[j - 1, j], "b[j]": before[j]} for j in range(1, k)]
        return pd.DataFrame(cells, columns=["task", "R[j-1, j]", "b[j]"])
    found = evaluated(run)[["eval_task", "iteration", "trained_task", "score"]]
    order = list(ends)
    if name in ("min-ACC", "WC-ACC"):
        since = found["iteration"] > found["eval_task"].astype(str).map(ends).astype(float)
        lowest = found[since & found["eval_task"].isin(order[:-1])].sort_values("score", kind="stable").drop_duplicates("eval_task")
        newest = found[found["eval_task"] == order[-1]].tail(1) if name == "WC-ACC" and order else found.head(0)
        return pd.concat([lowest.sort_values("iteration"), newest], ignore_index=True)
    return _window_rows(found, order, name)


def _window_rows(rows_: Frame, order: list[str], name: str) -> Frame:
    """For WF10 and the like: the two evaluations of each task with the largest change inside one window."""
    window, sign = int(name[2:]), -1.0 if name.startswith("WF") else 1.0
    found = []
    for task in order:
        rows = rows_[rows_["eval_task"] == task].dropna(subset=["score"])
        change = metrics.largest_rise(rows["iteration"], sign * rows["score"], window)
        if change is not None:
            score = rows.drop_duplicates("iteration", keep="last").set_index("iteration")["score"]
            row = {"task": task, "from iteration": int(change[1]), "score there": score[change[1]]}
            found.append({**row, "to iteration": int(change[2]), "score then": score[change[2]], "change": change[0]})
    return pd.DataFrame(found)
