"""Runs as a table to choose a method from: means over seeds, tasks in columns, the difference from a baseline, cost; and as text.

    groups = compare.group(runs)
    tables.as_markdown(results_table.texts(results_table.table(groups, base_key)))

Rows kept by `workbench table --json` stand beside runs: `kept_runs` makes of each what these functions ask of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from workbench.runs import tables
from workbench.views.studies.compare import Group, value_of
from workbench.views.studies.paired import paired
from workbench.views.timeline import Frame

ABOUT = {
    "runs": "how many runs the row is the mean of",
    "average": "mean answer score over the tasks, after the last of them",
    "sd": "standard deviation of the average over runs (n - 1)",
    "difference": "of the average from the baseline's, over pairs of the same seed, stream and order",
    "low": "95 % interval of the difference, Student's t over pairs",
    "high": "95 % interval of the difference, Student's t over pairs",
    "p": "of no difference, corrected for the number of groups compared (Holm)",
    "forgetting": "mean drop of the answer score from its best after learning to the last one",
    "min-ACC, forced": "another measure: mean over old tasks of the worst teacher-forced match since each was learnt",
    "seconds": "of the whole run, mean; machines and neighbours differ",
}


@dataclass(frozen=True)
class Kept:
    """One kept row, with what the tables ask of a run. It has no curves and no texts."""

    name: str
    info: Any
    summary: Any
    config: dict[str, Any] = field(default_factory=dict)


def kept_runs(rows: Iterable[Mapping[str, Any]]) -> list[Kept]:
    """Kept rows of runs that came to their end."""
    found = []
    for row in rows:
        if row.get("status", "finished") != "finished":
            continue
        method, scores = str(row["method"]), dict(row.get("scores") or {})
        tasks = str(row.get("order") or ",".join(scores)).split(",")
        info = SimpleNamespace(
            label=method,
            seed=row.get("seed"),
            stream=row.get("stream"),
            stream_hash=row.get("stream_hash", ""),
            tasks=tasks,
            group_hash=str(row.get("group") or f"{method} {row.get('gamma')}"),
            git_commit=row.get("git_commit") or row.get("commit"),
        )
        names = ("average_score", "forgetting", "backward_transfer", "min_acc", "wc_acc", "seconds")
        summary = SimpleNamespace(scores=scores, **{name: row.get(name) for name in names})
        found.append(Kept(str(row["run"]), info, summary))
    return found


def table(groups: Sequence[Group], base_key: str = "") -> Frame:
    """A row a group, the best average first: method, runs, seeds, average, sd, difference and its test, a column a task, forgetting, ...

    Means over the runs that have the number; NaN where none has it. Columns as in ABOUT; task columns are answer scores.
    """
    tasks = list(dict.fromkeys(task for one in groups for run in one.runs for task in run.summary.scores))
    tested = paired(groups, base_key, "average_score").set_index("group") if base_key else pd.DataFrame()
    rows = []
    for one in groups:
        averages = np.array([value_of(run, "average_score") for run in one.runs])
        known = averages[np.isfinite(averages)]
        row: dict[str, Any] = {
            "method": one.label,
            "runs": len(known),
            "seeds": ", ".join(str(seed) for seed in sorted({run.info.seed for run in one.runs}, key=str)),
            "average": float(known.mean()) if len(known) else np.nan,
            "sd": float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        }
        row |= {name: tested.loc[one.key, name] if one.key in tested.index else np.nan for name in ("difference", "low", "high", "p")}
        row |= {task: _mean(value_of(run, f"score:{task}") for run in one.runs) for task in tasks}
        row |= {"forgetting": _mean(value_of(run, "forgetting") for run in one.runs)}
        row |= {"min-ACC, forced": _mean(value_of(run, "min_acc") for run in one.runs)}
        rows.append(row | {"seconds": _mean(value_of(run, "seconds") for run in one.runs)})
    columns = [
        "method",
        "runs",
        "seeds",
        "average",
        "sd",
        "difference",
        "low",
        "high",
        "p",
        *tasks,
        "forgetting",
        "min-ACC, forced",
        "seconds",
    ]
    return pd.DataFrame(rows, columns=columns).sort_values("average", ascending=False, kind="stable", ignore_index=True)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _cells(rows: Frame) -> tuple[list[str], list[list[str]]]:
    """Head and cells as text: average with its deviation, difference with its interval, numbers with one decimal."""
    dropped = ["sd", "low", "high", *(["difference", "p"] if rows["difference"].isna().all() else [])]
    head = [name for name in rows if name not in dropped]
    lines = []
    for row in rows.to_dict("records"):
        cells = []
        for name in head:
            value = row[name]
            if isinstance(value, str):
                text = value
            elif value is None or not np.isfinite(value):
                text = ""
            elif name == "average":
                text = f"{value:.1f}" + (f" ± {row['sd']:.1f}" if np.isfinite(row["sd"]) else "")
            elif name == "difference":
                text = f"{value:+.1f}" + (f" ({row['low']:+.1f} to {row['high']:+.1f})" if np.isfinite(row["low"]) else "")
            else:
                text = f"{value:.0f}" if name in ("runs", "seconds") else f"{value:.2g}" if name == "p" else f"{value:.1f}"
            cells.append(text)
        lines.append(cells)
    return [str(name) for name in head], lines


def texts(rows: Frame) -> tables.Table:
    """The table as text, for `runs.tables` to dress as Markdown or LaTeX."""
    head, lines = _cells(rows)
    head = ["n" if name == "runs" else name for name in head]  # a column of that name holds the names of runs
    return tables.Table(head, lines, frozenset(head) - {"method", "seeds"})


def versions(runs: Sequence[Any]) -> str:
    """A sentence where the runs are of more than one version of the code, or of one that is not known; '' where all are of one."""
    by_commit: dict[str, list[str]] = {}
    for run in runs:
        by_commit.setdefault(str(run.info.git_commit or "")[:8], []).append(run.info.label or run.name)
    if len(by_commit) < 2:
        return ""
    parts = [
        f"{commit or 'not known'} ({', '.join(f'{name} × {names.count(name)}' if names.count(name) > 1 else name for name in dict.fromkeys(names))})"
        for commit, names in by_commit.items()
    ]
    return f"These runs are of {len(by_commit)} versions of the code: {'; '.join(parts)}. A difference between them may be the code's."
