"""Control: one Gaussian fitted to each task's codes and sampled exactly, no energy and no chain."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.latent.reference import shrunk_moments
from workbench.learning.learner import Learner
from workbench.replay.generate import Proposal
from workbench.replay.latent import draw_latents
from workbench.replay.sample import ReplaySample


class GaussianReplay:
    origin = "gaussian"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}

    def fit(self, codes: dict[str, Tensor]) -> None:
        """codes: task -> [m, d]. The same mean and Cholesky factor as the energy's per-task reference."""
        moments = {task: shrunk_moments(z) for task, z in codes.items()}
        self.moments = {task: (mean, torch.linalg.cholesky(covariance)) for task, (mean, covariance) in moments.items()}

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        assert task is not None
        mean, chol = self.moments[task]

        def propose(count: int) -> Proposal:
            noise = torch.randn(count, len(mean), generator=generator).to(mean.device)
            return Proposal(mean + noise @ chol.T)

        return draw_latents(self.learner, self.origin, task, n, generator, propose)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"{task}.{name}": tensor for task, pair in self.moments.items() for name, tensor in zip(("mean", "chol"), pair, strict=True)
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        tasks = dict.fromkeys(key.rpartition(".")[0] for key in state)
        self.moments = {task: (state[f"{task}.mean"], state[f"{task}.chol"]) for task in tasks}
