"""Control: codes of real samples, kept since their task was learnt (compressed latents, as HMI-LAMOL keeps features) and decoded again."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.learning.learner import Learner
from workbench.replay.generate import Proposal
from workbench.replay.latent import draw_latents
from workbench.replay.sample import ReplaySample


class StoredReplay:
    origin = "stored"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.codes: dict[str, Tensor] = {}

    def fit(self, codes: dict[str, Tensor]) -> None:
        """codes: task -> [m, d]. Only a task's first codes are real ones; later ones would be of generated text and are left out.
        One draw a sample is kept.
        """
        for task, z in codes.items():
            self.codes.setdefault(task, z[:: self.learner.config.energy.code_draws])

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        assert task is not None
        codes = self.codes[task]

        def propose(count: int) -> Proposal:
            return Proposal(codes[torch.randint(len(codes), (count,), generator=generator).to(codes.device)])

        return draw_latents(self.learner, self.origin, task, n, generator, propose)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.codes)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.codes = dict(state)
