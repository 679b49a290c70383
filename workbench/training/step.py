"""One training step: the loss once, backward, the method's hooks, clipping, the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from workbench.learning.gradients import gradient_cosine
from workbench.methods.base import Base, MixedBatch, Step


class Diverged(ArithmeticError):
    """Training went out of what numbers can hold: one sentence that says where, and what to lower."""


class Update:
    """What a method's `step` is given: one update of everything that is trained.

    parts: the trained modules by name, `backbone` first; schedule: factor of the learning rates at a step of the task; clip: limit of each
    part's gradient norm; measure_every: steps between measurements of interference, 0 for never.
    """

    def __init__(
        self,
        method: Base,
        parts: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        schedule: Callable[[int], float],
        clip: float,
        measure_every: int = 0,
    ) -> None:
        self.method, self.optimizer, self.schedule, self.clip, self.measure_every = method, optimizer, schedule, clip, measure_every
        self.groups = {name: [parameter for parameter in part.parameters() if parameter.requires_grad] for name, part in parts.items()}
        self.place = 0

    def __call__(self, batch: MixedBatch) -> Step:
        """Raises Diverged where a gradient is not finite; the weights are then as they were."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(self.place)
        step = Step(batch, self.method.loss(batch), self.place)
        step.interference = self._interference(step)
        self.optimizer.zero_grad(set_to_none=True)
        step.losses.total.backward()
        self.method.after_backward(step)
        norms = {name: float(nn.utils.clip_grad_norm_(group, self.clip)) for name, group in self.groups.items()}
        step.norm = next(iter(norms.values()))
        if odd := [name for name, norm in norms.items() if not math.isfinite(norm)]:
            rates = ", ".join(f"{rate:g}" for rate in sorted({group["lr"] for group in self.optimizer.param_groups}))
            raise Diverged(
                f"training diverged: the gradient of {odd[0]} is {norms[odd[0]]} at step {self.place + 1} of the task, loss "
                f"{float(step.losses.total.detach()):g}, learning rates {rates}; lower training.lr, training.latent_lr or training.clip"
            )
        self.optimizer.step()
        self.method.after_step(step)
        return step

    def _interference(self, step: Step) -> dict[str, float]:
        """Of a batch of new and replayed rows, now and then, from the gradients of this step's own loss."""
        replayed = [item.replayed for item in step.batch.items]
        if not self.measure_every or self.place % self.measure_every or not any(replayed) or all(replayed):
            return {}
        old = torch.tensor(replayed, device=step.losses.total.device)
        return gradient_cosine(step.losses.of_rows(~old), step.losses.of_rows(old), next(iter(self.groups.values())))
