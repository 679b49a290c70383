"""Continual evaluation (De Lange et al. 2023): every task met so far, every few iterations, on subsets that are drawn once.

The per-iteration score of a model that generates is teacher-forced exact match: every answer token, and the end token, is the
arg max given the true ones before it. Full generation with the task's own metric is measured at task ends.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from workbench.config import EvaluationConfig
from workbench.lm.model import Backbone, evaluating
from workbench.lm.nll import nll
from workbench.lm.sequences import Batch, prompt_ids, qa_batch, qa_ids
from workbench.tasks.example import Example, Stream, Task
from workbench.tasks.scoring import score_each

ANSWER_ROOM = 48
FORCED_BATCH, GENERATED_BATCH = 128, 128


@dataclass(frozen=True)
class Forced:
    """Teacher-forced score of one subset: per cent exact, nats a token, which items were right."""

    score: float
    loss: float
    n: int
    items: str


class ContinualEvaluation:
    """Fixed subsets of a stream's test sets, tokenised once, and the two ways of scoring a model on them.

    The draw depends on the stream alone: every method and seed is measured on the same items.
    """

    def __init__(self, stream: Stream, backbone: Backbone, config: EvaluationConfig, max_length: int) -> None:
        self.backbone, self.config, self.max_length = backbone, config, max_length
        self.tasks = {task.name: task for task in stream.tasks}
        self.subsets = {task.name: _subset(task, config.subset, stream.name) for task in stream.tasks}
        self._rows = {
            name: [row for example in subset if (row := qa_ids(backbone.tokens, example, max_length))]
            for name, subset in self.subsets.items()
        }

    def due(self, step: int, steps: int) -> bool:
        """Whether to evaluate after `step` (1-based) of a task's `steps`: densely after the switch, then every few, and at the end."""
        return step <= self.config.dense or step % self.config.every == 0 or step == steps

    @torch.no_grad()
    def forced(self, names: Sequence[str]) -> dict[str, Forced]:
        """Teacher-forced scores of the named tasks' subsets, all in common batches, longest rows together."""
        with evaluating(self.backbone):
            return self._forced(names)

    def _forced(self, names: Sequence[str]) -> dict[str, Forced]:
        rows = sorted(
            ((name, place, row) for name in names for place, row in enumerate(self._rows[name])), key=lambda entry: len(entry[2][0])
        )
        exact = {name: [False] * len(self._rows[name]) for name in names}
        nats, tokens = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
        for start in range(0, len(rows), FORCED_BATCH):
            part = rows[start : start + FORCED_BATCH]
            batch = self._batch([row for _, _, row in part])
            scored = nll(self.backbone, self.backbone.hidden(batch.ids, batch.lengths), batch)
            for (name, place, _), right, loss, count in zip(
                part, scored.exact.tolist(), scored.nats.tolist(), scored.tokens.tolist(), strict=True
            ):
                exact[name][place] = right
                nats[name] += loss
                tokens[name] += count
        return {
            name: Forced(
                100 * sum(right) / max(len(right), 1), nats[name] / max(tokens[name], 1), len(right), "".join("01"[ok] for ok in right)
            )
            for name, right in exact.items()
        }

    def generated(self, name: str) -> tuple[list[tuple[Example, str, float]], float]:
        """(example, greedy answer, its score 0..1) of a task's whole test set, and the task's score 0..100."""
        task = self.tasks[name]
        answers = generate_answers(self.backbone, task.test, self.max_length)
        each = score_each(task.metric, answers, task.test)
        rows = list(zip(task.test, answers, each, strict=True))
        return rows, 100 * sum(each) / max(len(each), 1)

    def _batch(self, rows: list[tuple[list[int], int]]) -> Batch:
        return qa_batch(rows, self.backbone.tokens.pad_id).to(self.backbone.device)


@torch.no_grad()
def generate_answers(backbone: Backbone, examples: Sequence[Example], max_length: int) -> list[str]:
    """Greedy answers of the question-answering pass, prompts of like length together."""
    tokens = backbone.tokens
    prompts = [prompt_ids(tokens, example, max_length) for example in examples]
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    answers = [""] * len(prompts)
    made: Iterable[list[int]] = backbone.generate(
        [prompts[place] for place in order], max_new_tokens=ANSWER_ROOM, temperature=0.0, generator=None, batch_size=GENERATED_BATCH
    )
    for place, row in zip(order, made, strict=True):
        answers[place] = tokens.decode(row)
    return answers


def _subset(task: Task, size: int, stream: str) -> tuple[Example, ...]:
    chosen = random.Random(f"{stream}/{task.name}").sample(range(len(task.test)), min(size, len(task.test)))
    return tuple(task.test[place] for place in sorted(chosen))
