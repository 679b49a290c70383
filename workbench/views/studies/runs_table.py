"""The list of runs as a table, and the words that filter it. Made from run.json and summary.json alone."""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.config import nearest
from workbench.runs.reader import RunInfo
from workbench.views.timeline import Frame

COLUMNS = [
    "name",
    "status",
    "method",
    "seed",
    "tasks",
    "iterations",
    "acc",
    "forgetting",
    "min_acc",
    "ratings",
    "size_mb",
    "curve",
    "stream",
    "gamma",
    "tags",
    "group",
    "written",
    "error",
]
GROUPS = ["method", "stream", "gamma", "status", "seed", "group"]
TEXT = ("name", "status", "method", "stream", "tags", "group")
_TERM = re.compile(r"^(?P<field>[A-Za-z_]+):(?P<sign>>=|<=|!=|>|<|=)?(?P<value>.*)$")
_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    "": operator.eq,
}


def table(infos: Sequence[RunInfo]) -> Frame:
    """A row a run, in the order given (newest first). Scores in points; a broken run has its name, status and error only."""
    return pd.DataFrame([_row(info) for info in infos], columns=COLUMNS)


def _row(info: RunInfo) -> dict[str, Any]:
    about, summary = info.info, info.summary
    row: dict[str, Any] = {
        "name": info.name,
        "status": info.status,
        "written": info.last_written,
        "error": info.error,
        "tags": "",
        "method": "",
    }
    if about is None:
        return row
    extra = about.model_extra or {}
    tags = list(extra.get("tags") or []) + (["demo"] if about.demo else []) + (["synthetic"] if summary.synthetic else [])
    return row | {
        "method": about.label,
        "seed": about.seed,
        "tasks": f"{summary.tasks_done if summary.tasks_done is not None else 0} of {len(about.tasks)}"
        if info.status != "finished"
        else str(len(about.tasks)),
        "iterations": summary.iterations,
        "acc": summary.average_score,
        "forgetting": summary.forgetting,
        "min_acc": summary.min_acc,
        "ratings": rating_count(info.path),
        "size_mb": summary.size_bytes / 1e6 if summary.size_bytes is not None else None,
        "curve": [value for value in summary.curve if value is not None],
        "stream": about.stream,
        "gamma": about.replay_ratio,
        "tags": ", ".join(map(str, tags)),
        "group": about.group_hash,
    }


def rating_count(run: Path) -> int:
    """Lines in the ratings folder of a run; the folder is not there in most."""
    folder = run / "ratings"
    if folder.is_symlink() or not folder.is_dir():
        return 0
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl") if path.is_file() and not path.is_symlink())


def filtered(frame: Frame, query: str) -> tuple[Frame, list[str]]:
    """Rows that match every word of a query, and a sentence for each word that could not be read.

    Words: free text (in name, method, stream, tags), or field:value with =, !=, <, <=, > and >= before numbers:
    `method:lsebmcl seed:<3 acc:>70`.
    """
    try:
        words = shlex.split(query)
    except ValueError:
        words = query.split()
    kept, faults = frame, []
    for word in words:
        term = _TERM.match(word)
        if term is None:
            text = kept[list(TEXT)].fillna("").astype(str).agg(" ".join, axis=1)
            kept = kept[text.str.contains(word, case=False, regex=False)]
            continue
        name, sign, value = term["field"].lower(), term["sign"] or "", term["value"]
        if name not in COLUMNS:
            faults.append(f"{word}: no column {name!r}{nearest(name, COLUMNS)}")
            continue
        column = kept[name]
        if name in TEXT or name in ("tasks", "error"):
            found = column.fillna("").astype(str).str.contains(value, case=False, regex=False)
            kept = kept[~found if sign == "!=" else found]
            continue
        try:
            number = float(value)
        except ValueError:
            faults.append(f"{word}: {value!r} is no number")
            continue
        numbers: Any = pd.to_numeric(column, errors="coerce")
        kept = kept[_SIGNS[sign](numbers, number) & numbers.notna()]
    return kept, faults


def grouped(frame: Frame, by: str) -> Frame:
    """Means over the runs of each group, and how many there are: the runs of one 'group' differ by seed alone."""
    numbers = ["acc", "forgetting", "min_acc", "iterations"]
    values = frame.assign(**{name: pd.to_numeric(frame[name], errors="coerce") for name in numbers})
    groups = values.groupby(by, dropna=False, sort=False)
    means = groups[numbers].mean().add_suffix("_mean")
    means["acc_min"], means["acc_max"] = groups["acc"].min(), groups["acc"].max()
    return pd.concat([groups.size().rename("runs"), means], axis=1).reset_index()
