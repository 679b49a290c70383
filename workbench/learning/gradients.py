"""Interference measured: the gradients of new data and of replay at the same weights (<g_new, g_replay> < 0 is interference)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradient_cosine(new: Tensor, replayed: Tensor, parameters: Sequence[Tensor]) -> dict[str, float]:
    """Cosine and norms of the gradients of two losses, scalars of one graph, which is kept: the step's own backward comes after."""
    halves = []
    for loss in (new, replayed):
        grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        halves.append(
            [grad if grad is not None else torch.zeros_like(parameter) for grad, parameter in zip(grads, parameters, strict=True)]
        )
    dot = torch.stack([(a * b).sum() for a, b in zip(*halves, strict=True)]).sum()
    norms = [torch.stack([grad.square().sum() for grad in half]).sum().sqrt() for half in halves]
    cosine = dot / (norms[0] * norms[1]).clamp(min=1e-12)
    return {"grad_cosine": float(cosine), "grad_norm_new": float(norms[0]), "grad_norm_replay": float(norms[1])}
