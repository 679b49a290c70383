"""Control: z ~ N(0, sigma^2 I), no energy and no memory of any task. Whatever the energy earns, it must earn above this."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.learning.learner import Learner
from workbench.replay.generate import Proposal
from workbench.replay.latent import draw_latents
from workbench.replay.sample import ReplaySample


class NormalReplay:
    origin = "normal"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def fit(self, codes: dict[str, Tensor]) -> None:
        """Nothing to learn."""

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        config = self.learner.config.energy

        def propose(count: int) -> Proposal:
            z = config.sigma * torch.randn(count, config.dim, generator=generator)
            return Proposal(z.to(self.learner.device))

        return draw_latents(self.learner, self.origin, task, n, generator, propose)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing was saved."""
