"""What every source of replay gives (ReplaySample), and what it draws with (Learner)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.backbone.model import Backbone
from workbench.backbone.nll import Relaxed
from workbench.config import RunConfig
from workbench.energy.encoder import Encoder
from workbench.runs.clock import Clock
from workbench.tasks.example import Example

ANY_TASK = "any"
COMMON_ANSWER = 0.05
"""Share of a task's training answers from which on an answer is a property of the task, as its labels are, and no stored example."""


@dataclass(frozen=True, slots=True)
class ReplaySample:
    """One text that was drawn to be replayed, kept or refused, with its provenance.

    task: the task asked for (`any` where the source cannot be asked); origin: real, language_model, energy, normal, gaussian or
    stored; chain: number of its Langevin chain or code within the draw; energy: U(z) in nats at the chain's end; verdict: `kept`
    or why it was refused; generation: how many times the text's task has been generated since its real data (0: real); relaxed: the
    distributions over its answer and the end that are learnt (replay.answers: relaxed), or None where its tokens are.
    """

    task: str
    context: str
    question: str
    answer: str
    origin: str
    verdict: str
    generation: int
    seed: int
    text: str = ""
    chain: int | None = None
    energy: float | None = None
    answer_generated: str = ""
    answer_relabelled: str = ""
    seconds: float = 0.0
    relaxed: Relaxed | None = None

    @property
    def kept(self) -> bool:
        return self.verdict == "kept"

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.answer,)

    @property
    def well_formed(self) -> bool:
        """It parses and its answer is legal, though it may not have been kept."""
        return self.verdict in ("kept", "disagreed", "spare")


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

    def fault(self, sample: ReplaySample) -> str:
        """Why no training example of the task has such a question or answer, or an empty string."""
        if self.questions is not None and sample.question not in self.questions:
            return "question not of the task"
        if self.labels is not None:
            return "" if sample.answer in self.labels else "answer not in the label set"
        if not sample.answer.strip():
            return "" if self.unanswerable else "empty answer"
        return "answer not in the context" if self.extractive and not stands_in(sample.answer, sample.context) else ""


@dataclass
class Learner:
    """What a method and its sources share: the models, the named generators, what is known, where to record.

    probe: held-out examples a task, for measurement only; a method that trains on them is wrong.
    record: the run's writer (append(table, row), arrays(...), event(...)), or None in tests.
    """

    config: RunConfig
    backbone: Backbone
    generators: dict[str, torch.Generator]
    clock: Clock = field(default_factory=Clock)
    encoder: Encoder | None = None
    tasks: list[KnownTask] = field(default_factory=list)
    probe: dict[str, tuple[Example, ...]] = field(default_factory=dict)
    record: Any = None
    iteration: int = 0
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """A plain sentence a person can act on, kept with the run."""
        self.warnings.append(message)
        if self.record is not None:
            self.record.event("warning", message=message, iteration=self.iteration)

    def known(self, name: str) -> KnownTask:
        return next(task for task in self.tasks if task.name == name)

    @property
    def device(self) -> torch.device:
        return self.backbone.device


class Source(Protocol):
    """Where old examples come from. `draw` gives every sample it looked at, with verdicts; what was kept is n at most."""

    origin: str

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]: ...


class LatentSource(Source, Protocol):
    """A source that decodes latents: fitted, after each task, to the codes [n, d] of every task seen."""

    def fit(self, codes: dict[str, Tensor]) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def replay_count(gamma: float, new: int, old_tasks: int) -> int:
    """Replayed samples a past task, as LAMOL counts: ceil(gamma * |D_new|) less the remainder modulo the past tasks, split equally."""
    return math.ceil(gamma * new - 1e-9) // old_tasks if old_tasks else 0


def stands_in(answer: str, context: str) -> bool:
    """Whether the answer is a stretch of the context, letter case and spacing aside."""
    return " ".join(answer.lower().split()) in " ".join(context.lower().split())


def kept(samples: Sequence[ReplaySample]) -> list[ReplaySample]:
    return [sample for sample in samples if sample.kept]
