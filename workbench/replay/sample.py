"""One text drawn to be replayed, with its provenance and verdict; and how many are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.lm.nll import Relaxed

ANY_TASK = "any"


@dataclass(frozen=True, slots=True)
class ReplaySample:
    """One text that was drawn to be replayed, kept or refused, with its provenance.

    task: the task asked for (`any` where the source cannot be asked); origin: real, language_model, energy, normal, gaussian or
    stored; chain: number of its Langevin chain or code within the draw; energy: U(z) in nats at the chain's end; verdict: `kept`
    or why it was refused; generation: how many times the text's task has been generated since its real data (0: real); relaxed: the
    distributions over its answer and the end that are learnt (replay.answers: relaxed), or None where its tokens are.
    """

    task: str
    context: str
    question: str
    answer: str
    origin: str
    verdict: str
    generation: int
    seed: int
    text: str = ""
    chain: int | None = None
    energy: float | None = None
    answer_generated: str = ""
    answer_relabelled: str = ""
    seconds: float = 0.0
    relaxed: Relaxed | None = None

    @property
    def kept(self) -> bool:
        return self.verdict == "kept"

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.answer,)

    @property
    def well_formed(self) -> bool:
        """It parses and its answer is legal, though it may not have been kept."""
        return self.verdict in ("kept", "disagreed", "spare")


def replay_count(gamma: float, new: int, old_tasks: int) -> int:
    """Replayed samples a past task, as LAMOL counts: ceil(gamma * |D_new|) less the remainder modulo the past tasks, split equally."""
    return math.ceil(gamma * new - 1e-9) // old_tasks if old_tasks else 0


def kept(samples: Sequence[ReplaySample]) -> list[ReplaySample]:
    return [sample for sample in samples if sample.kept]
