"""Reservoir: adding and drawing 32 examples, against numpy arrays of row numbers with the same random decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from workbench.cli.timing import compared
from workbench.replay.sources.reservoir import Reservoir
from workbench.tasks.example import Example

ITEMS, CAPACITY = 32, 1000


def rows() -> list[dict[str, Any]]:
    examples = [Example("task", str(number), "a context", "a question?", ("answer",)) for number in range(ITEMS)]
    generator = torch.Generator().manual_seed(0)
    buffer = Reservoir(CAPACITY)
    for _ in range(3 * CAPACITY // ITEMS):
        buffer.add(examples, generator)
    slots, seen, numbers, random = np.arange(CAPACITY), 3 * CAPACITY, np.arange(ITEMS), np.random.default_rng(0)

    def bare_add() -> None:
        nonlocal seen
        chosen = (random.random(ITEMS) * np.arange(seen + 1, seen + ITEMS + 1)).astype(np.int64)
        inside = chosen < CAPACITY
        slots[chosen[inside]] = numbers[inside]
        seen += ITEMS

    def bare_draw() -> list[Example]:
        return [examples[place % ITEMS] for place in slots[random.integers(CAPACITY, size=ITEMS)].tolist()]

    return [
        compared("buffer: add 32 (bare: row numbers)", lambda: buffer.add(examples, generator), bare_add, rounds=15, repeats=300),
        compared("buffer: draw 32 (bare: row numbers)", lambda: buffer.pick(ITEMS, generator), bare_draw, rounds=15, repeats=300),
    ]
