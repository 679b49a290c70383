"""Tasks of your own, as `own:NAMES`: one folder a task in the data folder, written by hand or by any program.

NAME/task.json     {"metric": "em" or "nf1", "labels": ["bug", "praise"]}; labels only where the answers are a closed set; "rules":
                   "published" scores as the published sets are (`scoring`), else texts of any language are compared (`wording`)
NAME/train.jsonl   one object a line: context, question, and answer (a text, or a list of texts of which the first is learnt)
NAME/test.jsonl    the same; and NAME/validation.jsonl, or a tenth of train, by whole contexts, is held out as `published` does
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from workbench.tasks.example import SPLITS, Metric, Task, TaskError
from workbench.tasks.published.drafts import Draft, hold_out, numbered
from workbench.tasks.published.records import BYTE_ORDER_MARK, Record, json_lines, parse
from workbench.tasks.scoring import normalised
from workbench.tasks.wording import RULES, UNICODE, em_words, needs_more, nf1_words

METRICS = ("em", "nf1")
"""The metrics that need nothing beside the texts."""

LONGEST_CONTEXT = 200_000
"""Characters of a context that are kept: no model here reads on, and a line of 100 MB would cost minutes to cut into tokens."""
LONGEST_TEXT = 20_000
"""Characters of a question or an answer, which are never cut."""

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
    except (TaskError, OSError) as error:
        return {"task": f"own:{name}", "error": str(error)}
    row = {"task": f"own:{name}", "records": task.records, "metric": task.metric, "files": list(task.files)}
    return row | ({"warnings": list(task.warnings)} if task.warnings else {})


def _task(name: str, data: Path) -> Task:
    if not FOLDER.fullmatch(name) or not (data / name / "task.json").is_file():
        known = ", ".join(path.parent.name for path in sorted(data.glob("*/task.json"))) or "none there yet"
        raise TaskError(f"own:{name}: no {name}/task.json in the data folder {data}; accepted: a folder that has one ({known})")
    metric, labels, rules = _about(f"{name}/task.json", data)
    files = {split: f"{name}/{split}.jsonl" for split in SPLITS if split != "validation" or (data / name / f"{split}.jsonl").is_file()}
    read = _Reading(labels, {"rules": rules} if rules == UNICODE else {})
    drafts = {split: [read.draft(record) for record in json_lines(data, file)] for split, file in files.items()}
    empty = [files[split] for split, found in drafts.items() if not found]
    if empty:
        raise TaskError(f"{empty[0]}: no records; accepted: one object a line with context, question, answer")
    if "validation" not in drafts:
        drafts["validation"], drafts["train"] = hold_out(drafts["train"], name)
    if not drafts["train"]:
        raise TaskError(
            f"{files['train']}: nothing is left to learn, the one context is held out; accepted: several contexts, or a {name}/validation.jsonl"
        )
    warnings = read.warnings(files["train"])
    if rules != UNICODE:
        warnings += _published_warnings(metric, [answer for draft in drafts["test"] for answer in draft.answers], files["test"])
    train, validation, test = (numbered(name, split, drafts[split]) for split in SPLITS)
    return Task(name, metric, train, validation, test, labels, (f"{name}/task.json", *files.values()), warnings=tuple(warnings))


def _about(file: str, data: Path) -> tuple[Metric, tuple[str, ...] | None, str]:
    try:
        values = parse((data / file).read_text(encoding="utf-8").removeprefix(BYTE_ORDER_MARK))
    except (OSError, ValueError) as error:
        raise TaskError(f"{file}: cannot be read as JSON ({error})") from None
    about = Record(file, 1, values if isinstance(values, dict) else {})
    metric, labels, rules = about.values.get("metric"), about.values.get("labels"), about.values.get("rules", UNICODE)
    if metric not in METRICS:
        raise TaskError(f"{file}: metric is {str(metric)[:80]!r}; accepted: {', '.join(METRICS)}")
    if rules not in RULES:
        raise TaskError(f"{file}: rules is {str(rules)[:80]!r}; accepted: {', '.join(RULES)}")
    if labels is None:
        return cast(Metric, metric), None, rules
    if not (isinstance(labels, list) and labels and all(isinstance(label, str) and label for label in labels)):
        raise TaskError(f"{file}: labels is {repr(labels)[:200]}; accepted: a list of texts, or null")
    same: dict[tuple[str, ...], str] = {}
    for label in about.texts("labels"):
        words = tuple((em_words if metric == "em" else nf1_words)(label)) if rules == UNICODE else (label,)
        if words in same:
            raise TaskError(
                f"{file}: labels {same[words]!r} and {label!r} are scored alike; accepted: labels that differ in more than their spelling"
            )
        same[words] = label
    return cast(Metric, metric), tuple(labels), rules


class _Reading:
    """Records as drafts, and what was cut on the way."""

    def __init__(self, labels: tuple[str, ...] | None, meta: Mapping[str, Any]) -> None:
        self.labels, self.meta = labels, meta
        self.cut = 0

    def draft(self, record: Record) -> Draft:
        several = isinstance(record.values.get("answer"), list)
        answers = tuple(record.texts("answer")) if several else (record.get("answer", str),)
        if not answers:
            raise record.error("answer", 'is an empty list; accepted: a text ("" where there is no answer), or a list of texts')
        foreign = [answer for answer in answers if self.labels is not None and answer not in self.labels]
        if foreign:
            raise record.error("answer", f"is {foreign[0][:200]!r}; accepted: one of the labels {', '.join(self.labels or ())[:500]}")
        context, question = record.get("context", str), record.text("question")
        for field, text in (("question", question), *(("answer", answer) for answer in answers)):
            if len(text) > LONGEST_TEXT:
                raise record.error(field, f"has {len(text):,} characters; accepted: at most {LONGEST_TEXT:,}")
        self.cut += len(context) > LONGEST_CONTEXT
        return Draft(context[:LONGEST_CONTEXT], question, answers, self.meta)

    def warnings(self, file: str) -> list[str]:
        if not self.cut:
            return []
        return [f"{file} and the files beside it: {self.cut:,} contexts are longer than {LONGEST_CONTEXT:,} characters and lose their ends"]


def _published_warnings(metric: str, answers: Sequence[str], file: str) -> list[str]:
    """Sentences about answers that the published rules do not score as one would think."""
    found = []
    nothing = sorted({answer for answer in answers if answer.strip() and metric == "nf1" and not normalised(answer)})
    if nothing:
        found.append(
            f"{file}: answers like {nothing[0][:40]!r} have no word under the published nf1, so an empty prediction scores 1; accepted: leave out rules"
        )
    foreign = sorted({answer for answer in answers if needs_more(answer)})
    if foreign:
        found.append(
            f"{file}: answers like {foreign[0][:40]!r} are compared by their code points alone under the published rules; accepted: leave out rules"
        )
    return found
