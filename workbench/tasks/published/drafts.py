"""Drafts: converted records before they are numbered, and the fixed draws that make splits of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from workbench.tasks.example import Example
from workbench.tasks.published.records import Record

SEED = "workbench-1"
"""Seed of every draw below, with the task's name. Another value makes other splits, so it never changes."""

VALIDATION_SHARE = 0.1
"""Share of the training file that becomes validation data where the publisher made no such split."""


class Draft(NamedTuple):
    context: str
    question: str
    answers: tuple[str, ...]
    meta: Mapping[str, Any] = {}


Convert = Callable[[Record], Iterable[Draft]]


def draw(drafts: Sequence[Draft], count: int, name: str) -> tuple[list[Draft], list[Draft]]:
    """(drawn, rest), both in file order: at most `count` drafts, whole contexts at a time.

    The contexts are shuffled with SEED and `name`; each is taken if its drafts still fit. So no context stands on both sides,
    and `count` is met exactly wherever contexts with few drafts remain.
    """
    contexts: dict[str, int] = {}
    for draft in drafts:
        contexts[draft.context] = contexts.get(draft.context, 0) + 1
    order = list(contexts)
    random.Random(f"{SEED}/{name}").shuffle(order)
    taken: set[str] = set()
    for context in order:
        if contexts[context] <= count:
            taken.add(context)
            count -= contexts[context]
    return [draft for draft in drafts if draft.context in taken], [draft for draft in drafts if draft.context not in taken]


def hold_out(drafts: Sequence[Draft], name: str) -> tuple[list[Draft], list[Draft]]:
    """(validation, train): a tenth of the drafts, by whole contexts, drawn once and for all and removed from train."""
    return draw(drafts, round(len(drafts) * VALIDATION_SHARE), f"{name}/validation")


def numbered(task: str, split: str, drafts: Iterable[Draft]) -> tuple[Example, ...]:
    """Examples with uids "task/split/1", "task/split/2", ... in order."""
    return tuple(Example(task, f"{task}/{split}/{n}", d.context, d.question, d.answers, d.meta) for n, d in enumerate(drafts, start=1))
