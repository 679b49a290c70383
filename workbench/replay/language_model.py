"""LAMOL's self-replay (Sun et al. 2020): the language model generates its own past from the generation token, without a latent."""

from __future__ import annotations

import torch

from workbench.replay.base import Learner, ReplaySample
from workbench.replay.generate import Asked, Proposal, generate


class LanguageModelReplay:
    """With one shared token (GEN) the model cannot be asked for a task; with a token a task (TASK) it can."""

    origin = "language_model"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        known = self.learner.known(task) if task is not None else None
        generation = len(self.learner.tasks) - (known.place if known else 0)
        asked = Asked(known, n, self.origin, generation, generator.initial_seed())
        return generate(self.learner, asked, lambda count: Proposal(), generator)
