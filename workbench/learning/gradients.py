"""Interference measured: the gradients of new data and of replay at the same weights (<g_new, g_replay> < 0 is interference)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def gradient_cosine(loss: Callable[[Any], Tensor], batch: Any, part: nn.Module) -> dict[str, float]:
    """Cosine and norms over the trainable parameters of `part`, for the new and the replayed half of a batch."""
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    halves = []
    for replayed in (False, True):
        grads = torch.autograd.grad(loss(batch.part(replayed)), parameters, allow_unused=True)
        halves.append(
            [grad if grad is not None else torch.zeros_like(parameter) for grad, parameter in zip(grads, parameters, strict=True)]
        )
    new, old = halves
    dot = torch.stack([(a * b).sum() for a, b in zip(new, old, strict=True)]).sum()
    norms = [torch.stack([grad.square().sum() for grad in half]).sum().sqrt() for half in halves]
    cosine = dot / (norms[0] * norms[1]).clamp(min=1e-12)
    return {"grad_cosine": float(cosine), "grad_norm_new": float(norms[0]), "grad_norm_replay": float(norms[1])}
