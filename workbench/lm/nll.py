"""Negative log-likelihood of the scored tokens of a batch, with output logits computed at those positions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from workbench.lm.model import Backbone
from workbench.lm.sequences import Batch

Relaxed = tuple[Tensor, Tensor]
"""(token ids [m, k], their probabilities [m, k]) of the m scored places of one row: the sparse top of one distribution a place."""


class Nll(NamedTuple):
    """nats: [b] summed over a row's scored tokens; tokens: [b] how many were scored; exact: [b] bool, every one is the arg max."""

    nats: Tensor
    tokens: Tensor
    exact: Tensor

    @property
    def per_token(self) -> Tensor:
        """[b] nats a token of each row. Their mean lets a task with one-word answers count as much as one with long ones."""
        return self.nats / self.tokens


def nll(backbone: Backbone, hidden: Tensor, batch: Batch, relaxed: Sequence[Relaxed | None] = ()) -> Nll:
    """hidden: [b, n, h] of `batch.ids` or of the same places with other inputs; scored are the places of `batch.answer_mask`.

    relaxed: one entry a row; a row that has distributions is scored by its cross-entropy to them (o2 of Eq. 4) instead of its hard tokens.
    """
    logits = backbone.logits(hidden[batch.answer_mask]).float()  # [m, V]
    targets = batch.targets
    rows = batch.answer_mask.nonzero()[:, 0]
    if any(row is not None for row in relaxed):
        each = -_expected(logits.log_softmax(-1), targets, rows, relaxed)
    else:
        each = functional.cross_entropy(logits, targets, reduction="none")
    nats = torch.zeros(len(batch.ids), device=each.device).index_add(0, rows, each)
    tokens = batch.answer_mask.sum(1)
    wrong = torch.zeros_like(nats).index_add(0, rows, (logits.detach().argmax(1) != targets).float())
    return Nll(nats, tokens, wrong == 0)


def _expected(log_p: Tensor, targets: Tensor, rows: Tensor, relaxed: Sequence[Relaxed | None]) -> Tensor:
    """[m] log p [m, V] under each place's distribution: all weight on its target where its row has none."""
    width = max(row[0].shape[1] for row in relaxed if row is not None)
    ids = targets[:, None].repeat(1, width)
    weights = torch.zeros(ids.shape, device=log_p.device)
    weights[:, 0] = 1.0
    for place, row in enumerate(relaxed):
        if row is not None:
            at = rows == place
            ids[at], weights[at] = row[0].to(ids), row[1].to(weights)
    return (weights * log_p.gather(1, ids)).sum(1)


@torch.no_grad()
def relaxed_targets(backbone: Backbone, hidden: Tensor, batch: Batch, top: int) -> list[Relaxed]:
    """The model's own distributions at the scored places, a row each: the `top` likeliest tokens, their probabilities summing to one."""
    values, ids = backbone.logits(hidden[batch.answer_mask]).topk(top, dim=1)
    counts = batch.answer_mask.sum(1).tolist()
    return list(zip(ids.split(counts), values.softmax(1).split(counts), strict=True))
