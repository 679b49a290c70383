"""One row a run, as tables, published results and the README show it; and groups of runs that differ by seed or order alone."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.runs.reader import Run, RunError
from workbench.runs.schema import REPLAYS_NOTHING

COLUMNS = ("run", "stream", "method", "seed", "order", "gamma", "average_score", "scores", "backward_transfer", "forgetting", "seconds")
UPPER_BOUND = "multitask"


def run_row(path: Path) -> dict[str, Any]:
    """The row of one run. Scores are 0..100; a run without scores yet has nulls."""
    run = Run(path)
    info, summary = run.info, run.summary
    return {
        "run": info.id,
        "stream": info.stream,
        "method": info.label,
        "seed": info.seed,
        "order": info.order or ",".join(info.tasks),
        "gamma": info.gamma,
        "average_score": summary.average_score,
        "scores": dict(summary.scores),
        "backward_transfer": summary.backward_transfer,
        "forgetting": summary.forgetting,
        "seconds": summary.seconds,
        "status": run.status,
        "group": info.group_hash,
    }


def read_results(path: Path) -> list[dict[str, Any]]:
    """Rows kept in a results file. Raises RunError where it is none."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; accepted: a file that `workbench table --json` wrote") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read as results ({error})") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"run", "method", "scores"} <= row.keys() for row in rows):
        raise RunError(f"{path}: found no list of rows with run, method and scores; accepted: what `workbench table --json` prints")
    return rows


def whole(row: Mapping[str, Any]) -> bool:
    """Whether a row is of a run that came to its end; a mean over others would mix scores of different moments."""
    return row.get("status", "finished") == "finished"


def grouped(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a stream, method, order and gamma: means over seeds with standard deviations, and how far below the upper bound.

    Runs that did not finish are left out.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in filter(whole, rows):
        groups.setdefault((row["stream"], row["method"], row["order"], row["gamma"], row.get("group")), []).append(row)
    bounds = {(key[0]): mean(row["average_score"] for row in members) for key, members in groups.items() if key[1] == UPPER_BOUND}
    result = []
    for (stream, method, order, _, _), members in groups.items():
        scores = {task: mean(row["scores"].get(task) for row in members) for task in members[0]["scores"]}
        average, bound = mean(row["average_score"] for row in members), bounds.get(stream)
        result.append(
            {
                "stream": stream,
                "method": method,
                "order": order,
                "gamma": replay_ratio(members[0]),
                "seeds": sorted(row["seed"] for row in members),
                "average_score": average,
                "deviation": spread(row["average_score"] for row in members),
                "of_upper_bound": None if not bound or average is None else 100 * average / bound,
                "scores": scores,
                "backward_transfer": mean(row["backward_transfer"] for row in members),
                "forgetting": mean(row["forgetting"] for row in members),
                "seconds": mean(row["seconds"] for row in members),
                "runs": [row["run"] for row in members],
            }
        )
    return result


def replay_ratio(row: Mapping[str, Any]) -> float | None:
    """gamma of a row, None where the method replays nothing."""
    return None if row["method"] in REPLAYS_NOTHING else row["gamma"]


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.fmean(known) if known else None


def spread(values: Iterable[float | None]) -> float | None:
    """Standard deviation over runs, n - 1; null for one run."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.stdev(known) if len(known) > 1 else None


def markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Grouped rows as a Markdown table: what the README shows."""
    groups = grouped(rows)
    tasks = list(dict.fromkeys(task for group in groups for task in group["scores"]))
    head = ["method", "gamma", "seeds", "average score", "of multitask", *tasks, "backward transfer", "forgetting", "seconds", "runs"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for group in sorted(groups, key=lambda group: -(group["average_score"] or 0)):
        deviation = "" if group["deviation"] is None else f" ± {group['deviation']:.1f}"
        share = "" if group["of_upper_bound"] is None else f"{group['of_upper_bound']:.0f} %"
        cells = [
            group["method"], "" if group["gamma"] is None else f"{group['gamma']:g}", ", ".join(map(str, group["seeds"])), _cell(group["average_score"]) + deviation, share,
            *(_cell(group["scores"].get(task)) for task in tasks), _cell(group["backward_transfer"]), _cell(group["forgetting"]),
            "" if group["seconds"] is None else f"{group['seconds']:.0f}", " ".join(f"`{run}`" for run in group["runs"]),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
