"""Second stage of the pretraining: practice in copying, which a small model learns too slowly from prose alone.

Each step takes records (`context __sep__ cue __ans__ rest <eos>`, the rest being how the context goes on after the cue; only the rest is
scored), whose context is a short text or, half of the time, a salad of random words, which nothing but copying can continue; and, so
that nothing is lost, language-model rows and a batch of the autoencoder. No answer of any task is in them.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.backbone.corpus import Rows, encode_records, records, short_texts
from workbench.backbone.model import Backbone
from workbench.backbone.sequences import qa_batch
from workbench.backbone.tokens import Tokens


@dataclass(frozen=True)
class Practice:
    """Sizes and rates of the second stage."""

    steps: int = 500
    records: int = 32
    salad: float = 0.5
    rows: int = 6
    texts: int = 20
    lr: float = 1.5e-3
    warmup: int = 30
    kl_weight: float = 0.05


def practise(
    backbone: Backbone,
    encoder: nn.Module,
    autoencoder: Callable[[int], dict[str, Any]],
    row_loss: Callable[[torch.Tensor], torch.Tensor],
    rows: Rows,
    told: list[str],
    recipe: Practice,
    rng: random.Random,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train on; returns the loss curve. autoencoder(n): NLL, KL and tokens of n short texts; row_loss: of full rows [b, n]."""
    parameters = [*backbone.parameters(), *encoder.parameters()]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 0.05},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=True)
    drawn = drafts(backbone.tokens, rows.prose, told, recipe.salad, rng)
    curve, began = [], time.monotonic()
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * min((step + 1) / recipe.warmup, 0.05 + 0.475 * (1 + math.cos(math.pi * step / recipe.steps)))
        copying, exact = _copying(backbone, [next(drawn) for _ in range(recipe.records)])
        spoken = row_loss(torch.tensor([rows.row() for _ in range(recipe.rows)]))
        found = autoencoder(recipe.texts)
        loss = copying + spoken + (found["nll"] + recipe.kl_weight * found["kl_counted"]) / found["tokens"]
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % 25 == 0:
            terms = {"copying": copying, "exact": exact, "loss": spoken, "nll_token": found["nll"] / found["tokens"], "kl": found["kl"]}
            curve.append(
                {
                    "step": step + 1,
                    **{name: round(float(value), 4) for name, value in terms.items()},
                    "seconds": round(time.monotonic() - began, 1),
                }
            )
            if on_step is not None:
                on_step(curve[-1])
    return curve


def _copying(backbone: Backbone, rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(NLL in nats a token of the rests, share of rests that are the arg max throughout)."""
    batch = qa_batch(rows, backbone.tokens.pad_id)
    logits = backbone.logits(backbone.hidden(batch.ids, batch.lengths)[batch.answer_mask])
    wrong = (logits.detach().argmax(1) != batch.targets).float()
    where = batch.answer_mask.nonzero()[:, 0]
    missed = torch.zeros(len(rows)).index_add(0, where, wrong)
    return nn.functional.cross_entropy(logits, batch.targets), (missed == 0).float().mean()


def drafts(tokens: Tokens, prose: list[str], told: list[str], salad: float, rng: random.Random) -> Iterator[tuple[list[int], int]]:
    """Endless (ids, length of the prompt) of records."""
    words = sorted(
        {word for text in told[:4000] for word in text.split()}
        | {word.lower() for text in prose[:2000] for word in text.split() if word.isalpha()}
    )
    while True:
        texts = short_texts(prose, told, 0.5, rng, 64)
        texts = [" ".join(rng.sample(words, rng.randint(6, 20))) if rng.random() < salad else text for text in texts]
        for row in encode_records(tokens, records(texts, rng)):
            yield row, row.index(tokens.ans_id) + 1
