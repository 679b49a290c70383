"""What is kept of a task that has been learnt: its name, its labels, the form of its samples. No example of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.lm.sequences import Sample

COMMON_ANSWER = 0.05
"""Share of a task's training answers from which on an answer is a property of the task, as its labels are, and no stored example."""


@dataclass(frozen=True, slots=True)
class KnownTask:
    """A task that has been learnt: its name, its closed answer set or None, its place in the order (from 0), the form of its samples.

    unanswerable: some training answer is empty; extractive: every training answer stands in its context; questions: those of its
    training examples where they are few (a task that asks the same of every text), or None; common: {answer: its share} of those
    that at least COMMON_ANSWER of its training examples have, or None where that was not counted.
    """

    name: str
    labels: tuple[str, ...] | None
    place: int
    unanswerable: bool = True
    extractive: bool = False
    questions: tuple[str, ...] | None = None
    common: dict[str, float] | None = None

    def room(self, answer: str, n: int) -> int:
        """How many of n replayed samples may have this answer: an equal part of a task that has labels, else its share in training,
        or COMMON_ANSWER where that is less.
        """
        if self.labels:
            return math.ceil(n / len(self.labels))
        return n if self.common is None else math.ceil(n * max(self.common.get(answer, 0.0), COMMON_ANSWER) - 1e-9)

    def fault(self, sample: Sample) -> str:
        """Why no training example of the task has such a question or answer, or an empty string."""
        if self.questions is not None and sample.question not in self.questions:
            return "question not of the task"
        if self.labels is not None:
            return "" if sample.answers[0] in self.labels else "answer not in the label set"
        if not sample.answers[0].strip():
            return "" if self.unanswerable else "empty answer"
        return "answer not in the context" if self.extractive and not stands_in(sample.answers[0], sample.context) else ""


def stands_in(answer: str, context: str) -> bool:
    """Whether the answer is a stretch of the context, letter case and spacing aside."""
    return " ".join(answer.lower().split()) in " ".join(context.lower().split())
