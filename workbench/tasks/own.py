"""Tasks of your own, as `own:NAMES`: one folder a task in the data folder, written by hand or by any program.

NAME/task.json     {"metric": "em" or "nf1", "labels": ["bug", "praise"]}; labels only where the answers are a closed set
NAME/train.jsonl   one object a line: context, question, and answer (a text, or a list of texts of which the first is learnt)
NAME/test.jsonl    the same; and NAME/validation.jsonl, or a tenth of train, by whole contexts, is held out as `published` does
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from workbench.tasks.example import SPLITS, Metric, Task, TaskError
from workbench.tasks.published.drafts import Draft, hold_out, numbered
from workbench.tasks.published.records import Record, json_lines

METRICS = ("em", "nf1")
"""The metrics that need nothing beside the texts."""

FOLDER = re.compile(r"\w[\w-]*")
"""A task's name is its folder's and never a path: a run may come from elsewhere."""


def load(names: Sequence[str], data: Path) -> list[Task]:
    """The named tasks in that order, from the folder `data`. Raises TaskError for a name, file or record that cannot be used."""
    return [_task(name, data) for name in names]


def available(data: Path) -> list[dict[str, Any]]:
    """A row for each task of one's own in `data`: task, records {split: count}, metric, files; or task and error."""
    names = [path.parent.name for path in sorted(data.glob("*/task.json")) if FOLDER.fullmatch(path.parent.name)]
    return [_row(name, data) for name in names]


def _row(name: str, data: Path) -> dict[str, Any]:
    try:
        task = _task(name, data)
    except TaskError as error:
        return {"task": f"own:{name}", "error": str(error)}
    return {"task": f"own:{name}", "records": task.records, "metric": task.metric, "files": list(task.files)}


def _task(name: str, data: Path) -> Task:
    if not FOLDER.fullmatch(name) or not (data / name / "task.json").is_file():
        known = ", ".join(path.parent.name for path in sorted(data.glob("*/task.json"))) or "none there yet"
        raise TaskError(f"own:{name}: no {name}/task.json in the data folder {data}; accepted: a folder that has one ({known})")
    metric, labels = _about(f"{name}/task.json", data)
    files = {split: f"{name}/{split}.jsonl" for split in SPLITS if split != "validation" or (data / name / f"{split}.jsonl").is_file()}
    drafts = {split: [_draft(record, labels) for record in json_lines(data, file)] for split, file in files.items()}
    empty = [files[split] for split, found in drafts.items() if not found]
    if empty:
        raise TaskError(f"{empty[0]}: no records; accepted: one object a line with context, question, answer")
    if "validation" not in drafts:
        drafts["validation"], drafts["train"] = hold_out(drafts["train"], name)
    train, validation, test = (numbered(name, split, drafts[split]) for split in SPLITS)
    return Task(name, metric, train, validation, test, labels, (f"{name}/task.json", *files.values()))


def _about(file: str, data: Path) -> tuple[Metric, tuple[str, ...] | None]:
    try:
        values = json.loads((data / file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaskError(f"{file}: cannot be read as JSON ({error})") from None
    values = values if isinstance(values, dict) else {}
    metric, labels = values.get("metric"), values.get("labels")
    if metric not in METRICS:
        raise TaskError(f"{file}: metric is {metric!r}; accepted: {', '.join(METRICS)}")
    if labels is not None and not (isinstance(labels, list) and labels and all(isinstance(label, str) and label for label in labels)):
        raise TaskError(f"{file}: labels is {labels!r}; accepted: a list of texts, or null")
    return cast(Metric, metric), None if labels is None else tuple(labels)


def _draft(record: Record, labels: tuple[str, ...] | None) -> Draft:
    several = isinstance(record.values.get("answer"), list)
    answers = tuple(record.texts("answer")) if several else (record.get("answer", str),)
    if not answers:
        raise record.error("answer", 'is an empty list; accepted: a text ("" where there is no answer), or a list of texts')
    foreign = [answer for answer in answers if labels is not None and answer not in labels]
    if foreign:
        raise record.error("answer", f"is {foreign[0]!r}; accepted: one of the labels {', '.join(labels or ())}")
    return Draft(record.get("context", str), record.text("question"), answers)
