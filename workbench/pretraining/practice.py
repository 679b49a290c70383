"""Practice in copying for the pretraining: a small model learns it too slowly from prose alone, and every task of a stream needs it.

Repeats: a passage of random tokens said again and again, of which only copying can predict the next token. They begin with few different
tokens; more come in as the model masters those (with the whole vocabulary at once, nothing was learnt in 600 steps; nor by a model that has
not met language, nor from longer passages). Once `ENOUGH` are in, half of the rows are stretches from random places of passages that grow.
Records: `context __sep__ cue __ans__ rest <eos>`, the rest being how the context goes on after the cue,
only the rest scored; half of the contexts are a salad of words. No answer of any task is in either.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from workbench.lm.model import Backbone
from workbench.lm.nll import nll
from workbench.lm.sequences import qa_batch
from workbench.lm.tokens import Tokens
from workbench.pretraining.corpus import encode_records, records, short_texts

ENOUGH = 512


class Repeats:
    """Rows of `width` tokens made of `allowed`; `different` tokens and passages of up to `longest` are in play, more once `mastered`."""

    def __init__(self, allowed: list[int], rng: random.Random, width: int = 60, first: int = 32, mastered: float = 0.6) -> None:
        self.allowed, self.rng, self.width, self.mastered = rng.sample(allowed, len(allowed)), rng, width, mastered
        self.different, self.longest = first, min(12, width // 3)

    @property
    def learnt(self) -> bool:
        """All tokens are in play and passages are as long as they get."""
        return self.different == len(self.allowed) and self.longest == self.width * 2 // 3

    def loss(self, backbone: Backbone, rows: int) -> tuple[Tensor, float]:
        """(NLL in nats a copied token, share of copied tokens that are the arg max) of that many fresh rows; may widen what is in play."""
        drawn = [self._stretches() if self._wide and row % 2 else self._periods() for row in range(rows)]
        ids = torch.tensor([row for row, _ in drawn])
        scored = torch.tensor([mask for _, mask in drawn])
        hidden = backbone.hidden(ids, torch.full((rows,), self.width))[:, :-1]
        logits, targets = backbone.logits(hidden[scored[:, 1:]]), ids[:, 1:][scored[:, 1:]]
        accuracy = float((logits.detach().argmax(-1) == targets).float().mean())
        if accuracy > self.mastered:
            self.longest = min(self.longest + self._wide, self.width * 2 // 3)
            self.different = min(self.different + max(2, self.different // 16), len(self.allowed))
        return functional.cross_entropy(logits, targets), accuracy

    @property
    def _wide(self) -> bool:
        return self.different >= min(ENOUGH, len(self.allowed))

    def _passage(self, longest: int) -> list[int]:
        count = min(self.rng.randint(4, longest), self.different)
        return self.rng.sample(self.allowed[: self.different], count)

    def _periods(self) -> tuple[list[int], list[bool]]:
        said = self._passage(min(12, self.width // 3))
        times = -(-self.width // len(said))
        return (said * times)[: self.width], [place > len(said) for place in range(self.width)]

    def _stretches(self) -> tuple[list[int], list[bool]]:
        said = self._passage(self.longest)
        row, copied = list(said), [False] * len(said)
        while len(row) < self.width:
            start = self.rng.randrange(len(said) - 2)
            stretch = said[start : start + self.rng.randint(3, len(said))]
            row += stretch
            copied += [False] + [True] * (len(stretch) - 1)
        return row[: self.width], copied[: self.width]


def drafts(tokens: Tokens, prose: list[str], told: list[str], salad: float, rng: random.Random) -> Iterator[tuple[list[int], int]]:
    """Endless (ids, length of the prompt) of records; a `salad` share of their contexts are words in no order."""
    words = sorted(
        {word for text in told[:4000] for word in text.split()}
        | {word.lower() for text in prose[:2000] for word in text.split() if word.isalpha()}
    )
    while True:
        texts = short_texts(prose, told, 0.5, rng, 64)
        texts = [" ".join(rng.sample(words, rng.randint(6, 20))) if rng.random() < salad else text for text in texts]
        for row in encode_records(tokens, records(texts, rng)):
            yield row, row.index(tokens.ans_id) + 1


def record_loss(backbone: Backbone, drawn: Iterator[tuple[list[int], int]], rows: int) -> tuple[Tensor, float]:
    """(NLL in nats a token of the rests, mean over records; share of records whose whole rest is the arg max)."""
    batch = qa_batch([next(drawn) for _ in range(rows)], backbone.tokens.pad_id)
    scored = nll(backbone, backbone.hidden(batch.ids, batch.lengths), batch)
    return scored.per_token.mean(), float(scored.exact.float().mean())
