"""The numbers of summary.json, counted again from the tables: a table of results must not show what the run did not measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.runs import metrics
from workbench.runs.reader import Run

TOLERANCE = 1e-6
"""Scores are 0 to 100 in double precision, summed in another order here."""


def differences(run: Run) -> list[str]:
    """One sentence for each number of a finished run's summary that its eval table does not give. Raises RunError.

    Only of finished runs: the summary of a run that goes on is a moment behind its tables.
    """
    summary = run.summary
    rows: Any = run.table("eval")  # pandas annotates `frame[...]` as half a dozen types at once
    generated = rows[(rows["kind"] == "generated") & (rows["trained_task"].fillna("") != "")]
    if generated.empty:
        shown = [name for name in ("average_score", "forgetting", "backward_transfer") if getattr(summary, name) is not None]
        return [f"{name} is {getattr(summary, name):g}, but no score is in the eval table" for name in shown]
    last = generated[generated["trained_task"] == generated["trained_task"].iloc[-1]]
    scores = {str(task): float(score) for task, score in zip(last["eval_task"], last["score"], strict=True)}
    known = {name: scores.get(name) for name in summary.scores}
    found: list[tuple[str, Any, Any]] = [(f"scores of {name}", summary.scores[name], known[name]) for name in known]
    numbers = [value for value in known.values() if value is not None]
    found.append(("average_score", summary.average_score, sum(numbers) / len(numbers) if numbers else None))
    found.append(("iterations", summary.iterations, int(rows["iteration"].max())))
    found.append(("tasks_done", summary.tasks_done, len(known)))
    counted = _of_matrix(rows)
    found += [(name, getattr(summary, name, None), value) for name, value in counted.items()]
    absent = [name for name in run.info.tasks if name in scores and name not in known]
    sentences = [f"scores has none of {name}, which the eval table has" for name in absent]
    return sentences + [
        f"{name} is {_shown(said)}, the eval table gives {_shown(value)}" for name, said, value in found if _differ(said, value)
    ]


def _of_matrix(rows: Any) -> Mapping[str, float | None]:
    tasks, matrix = metrics.score_matrix(rows)
    values = {
        "backward_transfer": metrics.backward_transfer(matrix),
        "forgetting": metrics.forgetting(matrix),
        "forward_transfer": metrics.forward_transfer(matrix, metrics.zero_shot(rows, tasks)),
    }
    return {name: value for name, value in values.items() if value is not None}


def _differ(said: Any, value: Any) -> bool:
    """A summary may leave a number out; one that it has must be right."""
    if said is None or isinstance(said, str):
        return False
    return value is None or not math.isclose(said, value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value:.6g}"
