"""The contract of a method, and the batches and losses it works with.

A method is one file with a class `Method(Base)` and a frozen dataclass `Knobs`; its file name is its name on the command line.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from workbench.config import ConfigError, method_names, nearest
from workbench.learning.known_task import COMMON_ANSWER, KnownTask, stands_in
from workbench.learning.learner import Learner
from workbench.lm.nll import Nll, Relaxed, nll
from workbench.lm.sequences import Batch, gen_batch, gen_ids, qa_batch
from workbench.replay.sample import ReplaySample, replay_count
from workbench.replay.sources.base import Source
from workbench.tasks.example import Task


@dataclass(frozen=True, slots=True)
class Item:
    """One training sequence: ids of the QA sequence, length of its prompt, its task (or `any`), whether it is replayed.

    relaxed: distributions over answer and end that are learnt in the QA pass instead of its tokens.
    """

    ids: list[int]
    prompt: int
    task: str
    replayed: bool
    relaxed: Relaxed | None = None


@dataclass
class MixedBatch:
    """Sequences of one step, new and replayed alike; progress: share of the task's steps done, 0..1."""

    items: Sequence[Item]
    learner: Learner
    progress: float = 0.0

    @cached_property
    def qa(self) -> Batch:
        return qa_batch([(item.ids, item.prompt) for item in self.items], self.learner.backbone.tokens.pad_id).to(self.learner.device)

    @cached_property
    def generation(self) -> Batch:
        tokens, by_task = self.learner.backbone.tokens, self.learner.config.replay.tokens == "task"
        rows = [gen_ids(tokens, item.ids, item.task if by_task else None) for item in self.items]
        return gen_batch(rows, tokens.pad_id).to(self.learner.device)


@dataclass
class Losses:
    """Named terms (`qa`, `gen`, `kl`, ...), each a value a row of the batch [b] or one of the whole batch [], and their weights (1 where not
    given). `total` is what is minimised: a term of rows counts by its mean.
    """

    terms: dict[str, Tensor]
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        return torch.stack([self.weights.get(name, 1.0) * term.mean() for name, term in self.terms.items()]).sum()

    def of_rows(self, chosen: Tensor) -> Tensor:
        """The total of some rows, chosen [b] bool, by the terms that have a value a row."""
        rows = {name: term[chosen] for name, term in self.terms.items() if term.ndim == 1}
        return torch.stack([self.weights.get(name, 1.0) * term.mean() for name, term in rows.items()]).sum()


@dataclass
class Step:
    """One training step, for the method's hooks and for the record.

    place: number of the step within its task, from 0; norm: gradient norm of the language model before clipping; interference: cosine and
    norms of the gradients of new and replayed rows, where they were measured.
    """

    batch: MixedBatch
    losses: Losses
    place: int
    norm: float = float("nan")
    interference: dict[str, float] = field(default_factory=dict)


def answer_loss(batch: MixedBatch) -> tuple[Nll, Tensor]:
    """(L_QA = E_Theta(x, y), the negative log-likelihood of answer and end token; hidden states [b, n, h]) of the QA pass.

    y is the answer's tokens, one-hot in both operators' slots; of a relaxed answer o2 is the distribution kept with it (Eq. 4).
    """
    backbone = batch.learner.backbone
    hidden = backbone.hidden(batch.qa.ids, batch.qa.lengths)
    return nll(backbone, hidden, batch.qa, [item.relaxed for item in batch.items]), hidden


class Base:
    """What every method is made of. A subclass overrides what it needs; the training loop knows nothing else of it."""

    joint = False
    """All tasks in one phase (the multitask upper bound) instead of one after the other."""

    source: Source | None = None

    def __init__(self, learner: Learner, knobs: Any) -> None:
        self.learner, self.knobs = learner, knobs
        self.drawn: list[ReplaySample] = []

    def modules(self) -> dict[str, nn.Module]:
        """Trainable modules beside the language model, by name."""
        return {}

    def learning_rate(self, name: str) -> float:
        """Learning rate of one of `modules` (and of the latent connector, part of `backbone`)."""
        return self.learner.config.training.latent_lr

    def begin_task(self, task: Task) -> None:
        """Before any update for a task: fill `drawn` with what is to be replayed, by the models as the last task left them."""
        self.drawn = []
        count = replay_count(self.learner.config.replay.gamma, len(task.train), len(self.learner.tasks))
        if self.source is not None and count:
            for known in self.learner.tasks:
                self.drawn += self.source.draw(known.name, count, self.learner.generators["decode"])

    def loss(self, batch: MixedBatch) -> Losses:
        return Losses({"qa": answer_loss(batch)[0].per_token})

    def step(self, batch: MixedBatch, update: Callable[[MixedBatch], Step]) -> Step:
        """One step of the loop: `update` on its batch. A method that makes several updates of one batch, or none, says so here."""
        return update(batch)

    def after_backward(self, step: Step) -> None:
        """Gradients are there, not yet clipped, and the optimiser has not stepped: where gradient methods act."""

    def after_step(self, step: Step) -> None:
        """The optimiser has stepped."""

    def end_task(self, task: Task) -> None:
        """After the last update for a task; the task already counts among learner.tasks."""

    def inspect(self, n: int) -> list[ReplaySample]:
        """n samples of each past task drawn for looking at, not for training; empty for a method without a generator."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and strings only (it is loaded with weights_only=True); modules are saved by the loop."""
        return {"drawn": [dataclasses.asdict(sample) for sample in self.drawn]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = [ReplaySample(**sample) for sample in state["drawn"]]


FEW_QUESTIONS = 4
"""Up to so many different questions in all its training examples are a property of a task, as its labels are, and no stored example."""


def learn(learner: Learner, task: Task) -> KnownTask:
    """Count a task as learnt."""
    questions = tuple(dict.fromkeys(example.question for example in task.train))
    targets = [(example.answers[0], example.context) for example in task.train]
    counts = Counter(answer for answer, _ in targets)
    known = KnownTask(
        task.name,
        task.labels,
        len(learner.tasks),
        unanswerable=any(not answer.strip() for answer, _ in targets),
        extractive=all(stands_in(answer, context) for answer, context in targets),
        questions=questions if len(questions) <= FEW_QUESTIONS else None,
        common={answer: count / len(targets) for answer, count in counts.items() if count >= COMMON_ANSWER * len(targets)},
    )
    learner.tasks.append(known)
    return known


def make_method(learner: Learner) -> Base:
    """The method that the configuration names, with its knobs checked. Raises ConfigError."""
    name = learner.config.method
    if name not in method_names():
        raise ConfigError(f"method: no method named {name!r}{nearest(name, method_names())}; accepted: {', '.join(method_names())}")
    module = importlib.import_module(f"workbench.methods.{name}")
    known = {knob.name: knob for knob in dataclasses.fields(module.Knobs)}
    for knob, value in learner.config.knobs.items():
        if knob not in known:
            raise ConfigError(f"knobs.{knob}: {name} has no such knob{nearest(knob, list(known))}; accepted: {', '.join(known) or 'none'}")
        default = known[knob].default
        if type(value) is not type(default) and not (isinstance(default, float) and isinstance(value, int)):
            raise ConfigError(f"knobs.{knob}: found {value!r}; accepted: a value like {default!r}")
    return module.Method(learner, module.Knobs(**learner.config.knobs))
