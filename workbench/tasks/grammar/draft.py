"""What every style of the grammar returns, before records are numbered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.tasks.example import Metric
from workbench.tasks.grammar.lexicon import Source


@dataclass(frozen=True)
class Draft:
    """One generated item; `answers[0]` is the training target.

    `retell` says part of the context again in other words, for the narration; it draws nothing that a record depends on.
    """

    context: str
    question: str
    answers: tuple[str, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)
    retell: Callable[[Source], str] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Recipe:
    """One generated task: its name, metric, closed labels, and what draws a group of drafts (a dialogue is one group)."""

    name: str
    metric: Metric
    draw: Callable[[Source], list[Draft]]
    labels: tuple[str, ...] | None = None


def either(labels: tuple[str, ...]) -> str:
    """'a or b', 'a, b, or c'."""
    return " or ".join(labels) if len(labels) == 2 else f"{', '.join(labels[:-1])}, or {labels[-1]}"
