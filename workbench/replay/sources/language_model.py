"""LAMOL's self-replay (Sun et al. 2020): the language model generates its own past from the generation token, without a latent."""

from __future__ import annotations

import torch

from workbench.learning.learner import Learner
from workbench.replay.generate import Asked, Proposal, generate
from workbench.replay.sample import ReplaySample


class LanguageModelReplay:
    """With one shared token (GEN) the model cannot be asked for a task; with a token a task (TASK) it can."""

    origin = "language_model"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        known = self.learner.known(task) if task is not None else None
        tasks = len(self.learner.tasks)
        generation = tasks - (known.place if known else 0)
        # The choice is among as many samples a task as the sources of latents decode for their codes.
        spare = self.learner.config.energy.code_samples * (1 if known else tasks) if self.learner.config.replay.choice == "coverage" else 0
        asked = Asked(known, n, self.origin, generation, generator.initial_seed(), spare)
        return generate(self.learner, asked, lambda count: Proposal(), generator)
