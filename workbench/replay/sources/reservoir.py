"""Real samples of past tasks, kept by reservoir sampling (Vitter 1985): every item seen so far is as likely to be in it as any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from workbench.replay.sample import ReplaySample
from workbench.tasks.example import Example


class Reservoir:
    """A buffer of real examples. `add` is unbiased with respect to the stream, `draw` is uniform over what a task has in it."""

    origin = "real"

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.items: list[Example] = []
        self.seen = 0

    def add(self, examples: Sequence[Example], generator: torch.Generator) -> None:
        """Offer a stream's next examples. Raises TypeError for a generated sample: what is replayed must never be stored as real."""
        for example in examples:
            if not isinstance(example, Example):
                raise TypeError(f"reservoir: found a {type(example).__name__}; accepted: real examples only")
        free = min(self.capacity - len(self.items), len(examples))
        self.items.extend(examples[:free])
        rest = examples[free:]
        if rest:
            # Item number t replaces slot floor(u t) where that is a slot: probability capacity / t.
            numbers = torch.arange(self.seen + free + 1, self.seen + len(examples) + 1, dtype=torch.float64)
            slots = (torch.rand(len(rest), generator=generator, dtype=torch.float64) * numbers).long().tolist()
            for example, slot in zip(rest, slots, strict=True):
                if slot < self.capacity:
                    self.items[slot] = example
        self.seen += len(examples)

    def pick(self, n: int, generator: torch.Generator) -> list[Example]:
        """n items of any task, with replacement."""
        return [self.items[place] for place in torch.randint(len(self.items), (n,), generator=generator).tolist()]

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        """n samples of one task without replacement, as often over as the task has too few; none where it has none left."""
        pool = [item for item in self.items if task is None or item.task == task]
        drawn: list[Example] = []
        while pool and len(drawn) < n:
            order = torch.randperm(len(pool), generator=generator).tolist()
            drawn += [pool[place] for place in order[: n - len(drawn)]]
        return [
            ReplaySample(item.task, item.context, item.question, item.answers[0], self.origin, "kept", 0, 0, text=item.uid)
            for item in drawn
        ]

    def state_dict(self) -> dict[str, Any]:
        rows = [[item.task, item.uid, item.context, item.question, list(item.answers)] for item in self.items]
        return {"seen": self.seen, "items": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]
        self.items = [Example(task, uid, context, question, tuple(answers)) for task, uid, context, question, answers in state["items"]]
