"""Negative log-likelihood of the scored tokens of a batch, with output logits computed at those positions only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from workbench.backbone.model import Backbone
from workbench.backbone.sequences import Batch


class Nll(NamedTuple):
    """nats: [b] summed over a row's scored tokens; tokens: [b] how many were scored; exact: [b] bool, every one is the arg max."""

    nats: Tensor
    tokens: Tensor
    exact: Tensor

    @property
    def per_sample(self) -> Tensor:
        """Mean over rows of nats a token: a task with one-word answers counts as much as one with long ones."""
        return (self.nats / self.tokens).mean()


def nll(backbone: Backbone, hidden: Tensor, batch: Batch) -> Nll:
    """hidden: [b, n, h] of `batch.ids` or of the same places with other inputs; scored are the places of `batch.answer_mask`."""
    logits = backbone.logits(hidden[batch.answer_mask]).float()  # [m, V]
    targets = batch.targets
    rows = batch.answer_mask.nonzero()[:, 0]
    each = functional.cross_entropy(logits, targets, reduction="none")
    nats = torch.zeros(len(batch.ids), device=each.device).index_add(0, rows, each)
    tokens = batch.answer_mask.sum(1)
    wrong = torch.zeros_like(nats).index_add(0, rows, (logits.detach().argmax(1) != targets).float())
    return Nll(nats, tokens, wrong == 0)
