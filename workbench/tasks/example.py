"""Example, Task and Stream: what is learnt, always as context / question / answer (the decaNLP form)."""

from __future__ import annotations

import difflib
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

Metric = Literal["em", "nf1", "lfem", "dsem"]
METRICS: tuple[str, ...] = get_args(Metric)
SPLITS = ("train", "validation", "test")


class TaskError(ValueError):
    """A task, stream or record that cannot be used: one sentence naming what was found and what is accepted."""


@dataclass(frozen=True, slots=True)
class Example:
    """One sample. `answers[0]` is the training target; all are references when scored; "" is a legal answer (unanswerable).

    `meta` holds what scoring needs: {"header": [...]} of a table, {"dialogue": id, "turn": n} of a dialogue.
    """

    task: str
    uid: str
    context: str
    question: str
    answers: tuple[str, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.answers:
            raise TaskError(f'{self.task} {self.uid}: answers is empty; accepted: at least one answer ("" where there is none)')


@dataclass(frozen=True)
class Task:
    """The three splits of one task; `labels` is its closed answer set, or None; `files` are relative to the data folder.

    `warnings`: sentences about data that can be used, but whose scores or texts are not what they seem.
    """

    name: str
    metric: Metric
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    labels: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise TaskError(f"{self.name}: metric {self.metric!r}; accepted: {', '.join(METRICS)}")

    @property
    def records(self) -> dict[str, int]:
        """{split: number of examples}."""
        return {split: len(getattr(self, split)) for split in SPLITS}


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they are learnt."""

    name: str
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        if not self.tasks:
            raise TaskError(f"stream {self.name}: no tasks; accepted: at least one")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise TaskError(f"stream {self.name}: {', '.join(twice)} named twice; accepted: each task once")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def __getitem__(self, name: str) -> Task:
        for task in self.tasks:
            if task.name == name:
                return task
        raise TaskError(f"no task named {name!r}{nearest(name, self.names)}; accepted: {', '.join(self.names)}")

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 over every example, in order; another order of tasks is another hash."""
        digest = hashlib.sha256()
        for task in self.tasks:
            digest.update(json.dumps([task.name, task.metric, task.labels]).encode())
            for split in SPLITS:
                for item in getattr(task, split):
                    row = [split, item.uid, item.context, item.question, item.answers, dict(item.meta)]
                    digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]

    def ordered(self, order: str | None) -> Stream:
        """The same tasks in another order: names or 1-based numbers joined by commas, every task exactly once; None: as it is."""
        if order is None:
            return self
        wanted = [self._named(part.strip()) for part in order.split(",")]
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        missing = [name for name in self.names if name not in wanted]
        if twice or missing:
            fault = f"{', '.join(twice)} given twice" if twice else f"{', '.join(missing)} left out"
            raise TaskError(f"--order: {fault}; accepted: every one of {', '.join(self.names)} once")
        return Stream(self.name, tuple(self[name] for name in wanted))

    def _named(self, part: str) -> str:
        if part in self.names:
            return part
        if part.isdecimal():
            if 1 <= int(part) <= len(self.tasks):
                return self.names[int(part) - 1]
            raise TaskError(f"--order: no task number {part}; accepted: 1 to {len(self.tasks)}, or {', '.join(self.names)}")
        accepted = f"{', '.join(self.names)}, or 1 to {len(self.tasks)}"
        raise TaskError(f"--order: no task named {part!r}{nearest(part, self.names)}; accepted: {accepted}")

    def limited(self, train: int | None, test: int | None, seed: int) -> Stream:
        """At most `train` training and `test` test examples a task, drawn without replacement, in their old order.

        The draw depends on seed, task and split alone, and a larger limit contains the smaller one's draw. Dialogue tasks
        (dsem) keep whole dialogues: as many drawn dialogues as fit the limit, and at least one.
        """
        if train is None and test is None:
            return self
        limits = {"train": train, "test": test}
        for split, limit in limits.items():
            if limit is not None and limit < 1:
                raise TaskError(f"tasks.{split}_limit: {limit}; accepted: 1 or more")
        tasks = []
        for task in self.tasks:
            kept = {
                split: _draw(getattr(task, split), limit, f"{seed}/{task.name}/{split}", whole=task.metric == "dsem")
                for split, limit in limits.items()
            }
            tasks.append(replace(task, train=kept["train"], test=kept["test"]))
        return Stream(self.name, tuple(tasks))


def _draw(examples: tuple[Example, ...], limit: int | None, seed: str, whole: bool) -> tuple[Example, ...]:
    if limit is None or len(examples) <= limit:
        return examples
    groups: dict[Any, list[int]] = {}
    for position, item in enumerate(examples):
        groups.setdefault(item.meta.get("dialogue", position) if whole else position, []).append(position)
    drawn = list(groups.values())
    random.Random(seed).shuffle(drawn)
    kept: list[int] = []
    for group in drawn:
        if kept and len(kept) + len(group) > limit:
            break
        kept += group
    return tuple(examples[position] for position in sorted(kept))


def nearest(word: str, known: Sequence[str]) -> str:
    """`, did you mean 'X'?` for the nearest known name, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""
