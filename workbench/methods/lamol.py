"""LAMOL (Sun et al. 2020): the language model answers and generates; before a task it replays what it generates of the past.

replay.tokens: gen is LAMOL's GEN (one shared token: the mix of past tasks is the model's own), task its TASK (equal shares).
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.lm.nll import nll
from workbench.methods.base import Base, Learner, Losses, MixedBatch, ReplaySample, Task, answer_loss, replay_count
from workbench.replay.sources.language_model import LanguageModelReplay


@dataclass(frozen=True)
class Knobs:
    """None: gamma, tokens, answers and decoding are in the section `replay`, lambda is training.generation_weight."""


class Method(Base):
    source: LanguageModelReplay

    def __init__(self, learner: Learner, knobs: Knobs) -> None:
        super().__init__(learner, knobs)
        self.source = LanguageModelReplay(learner)

    def begin_task(self, task: Task) -> None:
        if self.learner.config.replay.tokens == "task":
            return super().begin_task(task)
        past = len(self.learner.tasks)
        count = past * replay_count(self.learner.config.replay.gamma, len(task.train), past)
        self.drawn = self.source.draw(None, count, self.learner.generators["decode"]) if count else []

    def loss(self, batch: MixedBatch) -> Losses:
        backbone, generation = batch.learner.backbone, batch.generation
        spoken = nll(backbone, backbone.hidden(generation.ids, generation.lengths), generation)
        terms = {"qa": answer_loss(batch)[0].per_token, "gen": spoken.per_token}
        return Losses(terms, {"gen": self.learner.config.training.generation_weight})

    def inspect(self, n: int) -> list[ReplaySample]:
        generator = self.learner.generators["decode"]
        if self.learner.config.replay.tokens == "gen":
            return self.source.draw(None, n * len(self.learner.tasks), generator)
        return [sample for known in self.learner.tasks for sample in self.source.draw(known.name, n, generator)]
