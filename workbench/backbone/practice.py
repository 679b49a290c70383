"""Second stage of the pretraining: practice in copying, which a small model learns too slowly from prose alone.

First, repeats: rows of random tokens said four times over, of which only the repetitions are scored and which nothing but copying can
predict. They begin with few different tokens; more are let in as the model masters those (with the whole vocabulary at once, nothing was
learnt in 600 steps). Then, mixed: records (`context __sep__ cue __ans__ rest <eos>`, the rest being how the context goes on after the
cue, only the rest scored; half of the contexts are a salad of words), language-model rows and the autoencoder, so that nothing is lost.
No answer of any task is in them.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.backbone.corpus import Rows, encode_records, records, short_texts
from workbench.backbone.model import Backbone
from workbench.backbone.nll import nll
from workbench.backbone.sequences import qa_batch
from workbench.backbone.tokens import Tokens

TIMES = 4


@dataclass(frozen=True)
class Practice:
    """Sizes and rates of the second stage. first: different tokens to begin with; mastered: accuracy at which more are let in."""

    repeats: int = 700
    mixed: int = 300
    repeat_rows: int = 24
    first: int = 32
    mastered: float = 0.5
    records: int = 24
    salad: float = 0.5
    rows: int = 6
    texts: int = 16
    lr: float = 2e-3
    mixed_lr: float = 1.2e-3
    warmup: int = 30
    kl_weight: float = 0.05


def practise(
    backbone: Backbone,
    encoder: nn.Module,
    autoencoder: Callable[[int], dict[str, Any]],
    row_loss: Callable[[Tensor], Tensor],
    rows: Rows,
    told: list[str],
    recipe: Practice,
    rng: random.Random,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train on; returns the loss curve. autoencoder(n): NLL, KL and tokens of n short texts; row_loss: of full rows [b, n]."""
    curve: list[dict[str, Any]] = []
    began = time.monotonic()

    def note(step: int, **terms: Any) -> None:
        seconds = round(time.monotonic() - began, 1)
        curve.append({"practice_step": step, **{name: round(float(value), 4) for name, value in terms.items()}, "seconds": seconds})
        if on_step is not None:
            on_step(curve[-1])

    allowed = sorted({token for text in told[:4000] for token in backbone.tokens.encode(text)})
    rng.shuffle(allowed)
    size = recipe.first
    optimiser = _optimiser([backbone], recipe.lr)
    for step in range(recipe.repeats):
        _set_rate(optimiser, recipe.lr * min((step + 1) / recipe.warmup, 1.0))
        loss, accuracy = _repeats(backbone, allowed[:size], recipe.repeat_rows, rng)
        _step(optimiser, loss, [backbone])
        if accuracy > recipe.mastered:
            size = min(size + max(2, size // 16), len(allowed))
        if (step + 1) % 25 == 0:
            note(step + 1, repeats=loss.detach(), accuracy=accuracy, different_tokens=size)

    drawn = drafts(backbone.tokens, rows.prose, told, recipe.salad, rng)
    optimiser = _optimiser([backbone, encoder], recipe.mixed_lr)
    for step in range(recipe.mixed):
        rise, fall = (step + 1) / recipe.warmup, 0.05 + 0.475 * (1 + math.cos(math.pi * step / recipe.mixed))
        _set_rate(optimiser, recipe.mixed_lr * min(rise, fall))
        batch = qa_batch([next(drawn) for _ in range(recipe.records)], backbone.tokens.pad_id)
        copied = nll(backbone, backbone.hidden(batch.ids, batch.lengths), batch)
        repeated, accuracy = _repeats(backbone, allowed, recipe.repeat_rows // 3, rng)
        spoken = row_loss(torch.tensor([rows.row() for _ in range(recipe.rows)]))
        found = autoencoder(recipe.texts)
        autoencoded = (found["nll"] + recipe.kl_weight * found["kl_counted"]) / found["tokens"]
        _step(optimiser, copied.per_sample + 0.5 * repeated + spoken + autoencoded, [backbone, encoder])
        if (step + 1) % 25 == 0:
            exact, spoken_token = copied.exact.float().mean(), (found["nll"] / found["tokens"]).detach()
            note(recipe.repeats + step + 1, accuracy=accuracy, exact=exact, loss=spoken.detach(), nll_token=spoken_token, kl=found["kl"].detach())
    return curve


def _repeats(backbone: Backbone, allowed: list[int], count: int, rng: random.Random) -> tuple[Tensor, float]:
    """(NLL in nats a token of the repetitions, share of their tokens after the first that are the arg max)."""
    length = rng.randint(4, 12)
    ids = torch.tensor([[rng.choice(allowed) for _ in range(length)] * TIMES for _ in range(count)])
    logits = backbone.logits(backbone.hidden(ids, torch.full((count,), ids.shape[1]))[:, length - 1 : -1])
    targets = ids[:, length:]
    accuracy = (logits.detach().argmax(-1) == targets)[:, 1:].float().mean()
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), float(accuracy)


def _optimiser(modules: list[nn.Module], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW([each for module in modules for each in module.parameters()], lr=rate, betas=(0.9, 0.98), fused=True)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, modules: list[nn.Module]) -> None:
    loss.backward()
    nn.utils.clip_grad_norm_([each for module in modules for each in module.parameters()], 1.0)
    optimiser.step()
    optimiser.zero_grad()


def drafts(tokens: Tokens, prose: list[str], told: list[str], salad: float, rng: random.Random) -> Iterator[tuple[list[int], int]]:
    """Endless (ids, length of the prompt) of records."""
    words = sorted(
        {word for text in told[:4000] for word in text.split()} | {word.lower() for text in prose[:2000] for word in text.split() if word.isalpha()}
    )
    while True:
        texts = short_texts(prose, told, 0.5, rng, 64)
        texts = [" ".join(rng.sample(words, rng.randint(6, 20))) if rng.random() < salad else text for text in texts]
        for row in encode_records(tokens, records(texts, rng)):
            yield row, row.index(tokens.ans_id) + 1
