"""From proposals of a source to replayed samples: decode, parse, filter, answer, dedupe, refill within a budget."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.learning.known_task import KnownTask
from workbench.learning.learner import Learner
from workbench.lm.nll import relaxed_targets
from workbench.lm.sequences import parse, prompt_ids, qa_batch, qa_ids
from workbench.replay.coverage import covering
from workbench.replay.sample import ANY_TASK, ReplaySample

ANSWER_TOKENS = 48
RELAXED_BATCH = 128
RELAXED_TOP = 20
"""Likeliest tokens a place that a relaxed answer keeps: the rest of the vocabulary holds next to nothing of an answer's distribution."""


class Proposal(NamedTuple):
    """Latents to decode, or none for a source that lets the language model speak by itself. energy: U(z) [n]."""

    z: Tensor | None = None
    energy: Tensor | None = None


@dataclass(frozen=True)
class Asked:
    """What a draw is for: a task (None: any), how many to keep, how many well-formed ones beside for the codes."""

    task: KnownTask | None
    n: int
    origin: str
    generation: int
    seed: int
    spare: int = 0


def generate(learner: Learner, asked: Asked, propose: Callable[[int], Proposal], generator: torch.Generator) -> list[ReplaySample]:
    """Every sample decoded for this draw, with its verdict; `kept` at most asked.n of them.

    Rounds go on until enough are kept or replay.budget times asked.n (and asked.spare) have been decoded.
    """
    wanted = max(asked.n, asked.spare)
    budget = math.ceil(learner.config.replay.budget * wanted)
    samples: list[ReplaySample] = []
    seen: set[str] = set()
    while (count := _missing(samples, asked, budget)) > 0:
        proposal = propose(count)
        started = time.perf_counter()
        rows = decode(learner, asked.task, proposal.z, count, generator)
        fresh = [_parsed(learner, asked, row, len(samples) + place, proposal.energy, place) for place, row in enumerate(rows)]
        fresh = _answered(learner, fresh)
        seconds = (time.perf_counter() - started) / count
        for sample in fresh:
            sample = replace(sample, answer=_final_answer(sample, learner.config.replay.answers), seconds=seconds)
            full = _full(samples, asked, sample, learner.config.replay.balanced)
            samples.append(replace(sample, verdict=_verdict(sample, asked, seen, full, learner.config.replay.answers)))
    samples = _filled(samples, asked)
    if learner.config.replay.choice == "coverage":
        samples = _covering(learner, asked, samples)
    return _relaxed(learner, samples) if learner.config.replay.answers == "relaxed" else samples


def _full(samples: list[ReplaySample], asked: Asked, sample: ReplaySample, balanced: bool) -> bool:
    """Whether no more of this sample's kind are wanted: enough are kept in all or, where answers are balanced, with its answer."""
    kept = [other for other in samples if other.kept]
    if len(kept) >= asked.n or asked.task is None or not balanced:
        return len(kept) >= asked.n
    return sum(other.answer == sample.answer for other in kept) >= asked.task.room(sample.answer, asked.n)


def _filled(samples: list[ReplaySample], asked: Asked) -> list[ReplaySample]:
    """The budget is spent: spare samples take the places that another answer left empty."""
    missing = asked.n - sum(sample.kept for sample in samples)
    spare = {place for place, sample in enumerate(samples) if sample.verdict == "spare"}
    chosen = set(sorted(spare)[:missing]) if missing > 0 else set()
    return [replace(sample, verdict="kept") if place in chosen else sample for place, sample in enumerate(samples)]


def _covering(learner: Learner, asked: Asked, samples: list[ReplaySample]) -> list[ReplaySample]:
    """As many kept as before and balanced as before, but those of all that passed whose tokens together cover most, and before the
    others those whose decoded answer the answering pass gives too: their parts belong together.
    """
    passed = [place for place, sample in enumerate(samples) if sample.verdict in ("kept", "spare")]
    task = asked.task if learner.config.replay.balanced else None
    texts = [f"{samples[place].context} {samples[place].question} {samples[place].answer}" for place in passed]
    chosen = covering(
        [learner.backbone.tokens.encode(text) for text in texts],
        sum(sample.kept for sample in samples),
        [samples[place].answer_generated == samples[place].answer_relabelled for place in passed],
        [samples[place].answer for place in passed],
        lambda answer: asked.n if task is None else task.room(answer, asked.n),
    )
    kept = {passed[row] for row in chosen}
    verdicts = {place: "kept" if place in kept else "spare" for place in passed}
    return [replace(sample, verdict=verdicts.get(place, sample.verdict)) for place, sample in enumerate(samples)]


def _missing(samples: list[ReplaySample], asked: Asked, budget: int) -> int:
    """How many to decode in the next round: what is missing, over the share that came out well so far."""
    good = Counter(kept=sum(sample.kept for sample in samples), formed=sum(sample.well_formed for sample in samples))
    missing = max(asked.n - good["kept"], asked.spare - good["formed"])
    if missing <= 0:
        return 0
    rate = max(good["kept"] / len(samples), 0.25) if samples else 1.0
    return min(math.ceil(missing / rate), budget - len(samples))


@torch.no_grad()
def decode(learner: Learner, task: KnownTask | None, z: Tensor | None, n: int, generator: torch.Generator) -> list[list[int]]:
    """n token sequences from the generation token, by top-k sampling, given latents z [n, d] or none."""
    config = learner.config
    token = learner.backbone.tokens.gen_for(task.name if task is not None and config.replay.tokens == "task" else None)
    with learner.clock("decode"):
        return learner.backbone.generate(
            [[token]] * n,
            z=z,
            max_new_tokens=config.backbone.max_length,
            top_k=config.replay.top_k,
            temperature=config.replay.temperature,
            generator=generator,
            shaped=config.replay.shaped,
        )


@torch.no_grad()
def answer(learner: Learner, samples: list[ReplaySample]) -> list[str]:
    """The model's own answer to each sample's context and question: the question-answering pass, greedy."""
    tokens, length = learner.backbone.tokens, learner.config.backbone.max_length
    prompts = [prompt_ids(tokens, sample, length) for sample in samples]
    with learner.clock("answer"):
        rows = learner.backbone.generate(prompts, max_new_tokens=ANSWER_TOKENS, temperature=0.0, generator=None)
    return [tokens.decode(row) for row in rows]


@torch.no_grad()
def _relaxed(learner: Learner, samples: list[ReplaySample]) -> list[ReplaySample]:
    """The kept samples with the answering pass's distributions over their answers and ends."""
    backbone, done = learner.backbone, list(samples)
    encoded = {
        place: qa_ids(backbone.tokens, sample, learner.config.backbone.max_length) for place, sample in enumerate(samples) if sample.kept
    }
    rows = [(place, row) for place, row in encoded.items() if row is not None]
    with learner.clock("answer"):
        for start in range(0, len(rows), RELAXED_BATCH):
            part = rows[start : start + RELAXED_BATCH]
            batch = qa_batch([row for _, row in part], backbone.tokens.pad_id).to(learner.device)
            given = relaxed_targets(backbone, backbone.hidden(batch.ids, batch.lengths), batch, RELAXED_TOP)
            for (place, _), relaxed in zip(part, given, strict=True):
                done[place] = replace(samples[place], relaxed=relaxed)
    return done


def _parsed(learner: Learner, asked: Asked, row: list[int], chain: int, energies: Tensor | None, place: int) -> ReplaySample:
    parts, fault = parse(learner.backbone.tokens, row)
    if parts is not None and len(row) >= learner.config.backbone.max_length:
        fault = "unfinished"
    context, question, given = parts or ("", "", "")
    return ReplaySample(
        task=asked.task.name if asked.task is not None else ANY_TASK,
        context=context,
        question=question,
        answer=given,
        origin=asked.origin,
        verdict=fault,
        generation=asked.generation,
        seed=asked.seed,
        text=learner.backbone.tokens.decode(row),
        chain=chain,
        energy=None if energies is None else float(energies[place]),
        answer_generated=given,
    )


def _answered(learner: Learner, samples: list[ReplaySample]) -> list[ReplaySample]:
    if learner.config.replay.answers == "generated":
        return samples
    formed = [sample for sample in samples if not sample.verdict]
    given = iter(answer(learner, formed) if formed else [])
    return [sample if sample.verdict else replace(sample, answer_relabelled=next(given)) for sample in samples]


def _final_answer(sample: ReplaySample, answers: str) -> str:
    return sample.answer_relabelled if answers in ("relabelled", "relaxed") and not sample.verdict else sample.answer


def _verdict(sample: ReplaySample, asked: Asked, seen: set[str], full: bool, answers: str) -> str:
    if sample.verdict:
        return sample.verdict
    if asked.task is not None and (fault := asked.task.fault(sample)):
        return fault
    key = f"{sample.context}\n{sample.question}"
    if key in seen:
        return "duplicate"
    seen.add(key)
    if answers == "agreed" and sample.answer_generated != sample.answer_relabelled:
        return "disagreed"
    return "spare" if full else "kept"


def refusals(samples: list[ReplaySample]) -> dict[str, int]:
    """{verdict: count} of a draw."""
    return dict(Counter(sample.verdict for sample in samples))
