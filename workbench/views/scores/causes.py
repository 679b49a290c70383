"""Why did a task drop here? Rules over what a run recorded, each with its evidence, the likeliest first.

A drop that its own noise may give is called noise, and no other cause is looked for. A rule speaks only where its evidence is there
and beyond a threshold that healthy runs do not reach; where none speaks, that is said. These are correlates, not proofs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from workbench.runs.schema import RunError
from workbench.views import timeline
from workbench.views.energy import snapshots
from workbench.views.replay import samples as replay
from workbench.views.scores import measures
from workbench.views.scores.forgetting import curves
from workbench.views.text import words as words_of
from workbench.views.timeline import Frame

FEW = 0.5
"""Share of the texts asked for, below which too few were kept."""
WRONG, UNKNOWN_WORDS, OFTENER = 0.3, 0.3, 0.35
"""Shares: of kept texts that are of another task or answered wrongly; of words that no training text has; by which one answer is too often."""
SPIKE = 3.0
"""Learning rate over the highest that earlier tasks were learnt at."""
STUCK, UNMOVED = 0.3, 0.5
"""Share of chains that stay where they began; distance moved over what noise alone gives."""
DRIFTED = 4.0
"""Standard deviations, all dimensions together, from the energy's place to where the task's texts are now. Healthy runs reach 3."""
DEAD, TOO_FEW_ACTIVE = 0.05, 0.1
AGAINST = -0.3
"""Mean cosine between the gradients of the new task and of replay."""


@dataclass(frozen=True)
class Cause:
    """One reason with its evidence. weight: how far beyond its threshold (1: at it); the heavier, the likelier."""

    name: str
    sentence: str
    weight: float


@dataclass(frozen=True)
class Dip:
    """A drop of a task at an iteration, on the teacher-forced match: from its best so far to its score, and what noise may give (points)."""

    task: str
    iteration: int
    best: float
    score: float
    noise: float
    learning: str

    @property
    def drop(self) -> float:
        return self.best - self.score


def dip(run: Any, task: str, iteration: int) -> Dip | None:
    """The drop at the last evaluation at or before an iteration; None before the task's own training ended.

    Noise: the items of an evaluation are the same each time, so it is that of the items that changed (where the run kept them), at one in
    twenty shared among all evaluations since the task began.
    """
    rows = curves(run)
    own = rows[(rows["eval_task"] == task) & (rows["iteration"] <= iteration)]
    end = timeline.ends(run).get(task)
    if own.empty or end is None or iteration <= end or not np.isfinite(own["best"].iloc[-1]):
        return None
    last = own.iloc[-1]
    seen = int(own["best"].notna().sum())
    at_best = own.loc[own["score"] == last["best"], "iteration"].iloc[-1]
    paired = _paired_error(run, task, int(at_best), int(last["iteration"]))
    noise = float(last["noise"]) if paired is None else 100 * float(ndtri(1 - 0.05 / max(seen, 1))) * paired
    return Dip(task, int(last["iteration"]), float(last["best"]), float(last["score"]), noise, str(last["trained_task"]))


def _paired_error(run: Any, task: str, before: int, after: int) -> float | None:
    """Standard error of the change in the share that is right, from the items that changed; None where items were not kept."""
    rows = run.table("eval")
    rows = (
        rows[(rows["kind"] == measures.FORCED) & (rows["eval_task"] == task)]
        .drop_duplicates("iteration", keep="last")
        .set_index("iteration")
    )
    bits = [rows["items"].get(at) for at in (before, after)]
    if not all(isinstance(one, str) and one for one in bits) or len(bits[0]) != len(bits[1]):
        return None
    first, second = (np.frombuffer(one.encode(), np.uint8) == ord("1") for one in bits)
    n, lost, won = len(first), int((first & ~second).sum()), int((~first & second).sum())
    # One item added to each side: where none changed, the error is not 0.
    return math.sqrt((lost + won + 2) / n - ((lost - won) / n) ** 2) / math.sqrt(n)


READ = ("eval", "metrics", "samples", "diagnostics", "chain_stats", "weights", "latents")
"""Tables and folders that the rules look at."""


def causes(run: Any, task: str, iteration: int) -> list[Cause]:
    """Why the task lies below its best at an iteration, the likeliest first; empty where it does not, or no rule speaks."""
    return timeline.remembered(run, f"causes {task} {iteration}", READ, lambda: _causes(run, task, iteration))


def _causes(run: Any, task: str, iteration: int) -> list[Cause]:
    found = dip(run, task, iteration)
    if found is None or found.drop <= 0:
        return []
    if found.drop <= found.noise:
        said = f"The drop of {found.drop:.1f} points is no more than the noise of these evaluations may give ({found.noise:.1f}): nothing needs a reason."
        return [Cause("noise", said, 1.0)]
    look = _Look(run, found)
    spoken = [cause for rule in RULES if (cause := rule(look)) is not None]
    return sorted(spoken, key=lambda cause: -cause.weight)


def sentence(run: Any, task: str, iteration: int) -> str:
    """What to say of a moment in one or two sentences."""
    found = dip(run, task, iteration)
    if found is None:
        return f"{task} has not been learnt yet, or nothing was evaluated since: nothing to lose."
    if found.drop <= 0:
        return f"{task} is at its best so far."
    reasons = causes(run, task, iteration)
    if reasons and reasons[0].name == "noise":
        return reasons[0].sentence
    told = f"{task} is {found.drop:.1f} points below its best so far (noise may give {found.noise:.1f}), while {found.learning} is learnt. "
    if not reasons:
        return f"{told}No rule finds a cause in what this run recorded. {_after_the_switch(run, found)}"
    return told + f"Likeliest cause: {reasons[0].sentence}"


def _after_the_switch(run: Any, found: Dip) -> str:
    """How long after the switch a drop is, and what became of it: what a stability gap looks like (De Lange et al. 2023)."""
    ends = timeline.ends(run)
    switch = max((end for end in ends.values() if end < found.iteration), default=0)
    rows = curves(run)
    later = rows[
        (rows["eval_task"] == found.task) & (rows["iteration"] > found.iteration) & (rows["iteration"] <= ends.get(found.learning, 0))
    ]
    words = f"It is {found.iteration - switch:,} iterations after the switch"
    if later.empty or later["score"].max() <= found.score + found.noise / 2:
        return f"{words}, and it does not come back while {found.learning} is learnt."
    best = later.loc[later["score"].idxmax()]
    return f"{words}; by iteration {int(best['iteration']):,} it is back at {best['score']:.1f}: a stability gap."


class _Look:
    """What the rules look at: the draw that was to protect the task, its kept texts, and the real examples."""

    def __init__(self, run: Any, found: Dip) -> None:
        self.run, self.dip = run, found
        ends = timeline.ends(run)
        before = [end for end in ends.values() if end < found.iteration]
        self.switch = max(before, default=0)

    @cached_property
    def drawn(self) -> Frame:
        """All texts of the draw before the task that is being learnt."""
        rows = self.run.table("samples")
        rows = (
            rows[(rows["iteration"] <= self.dip.iteration) & (rows["trained_task"].fillna("") == self.dip.learning)] if len(rows) else rows
        )
        return rows[rows["iteration"] == rows["iteration"].max()] if len(rows) else rows

    @cached_property
    def kept(self) -> Frame:
        rows = self.drawn
        return rows[(rows["task"] == self.dip.task) & rows["kept"].fillna(False).astype(bool)] if len(rows) else rows

    @cached_property
    def real(self) -> replay.Reference:
        return replay.reference(self.run.config, self.run.path)

    def diagnostic(self, name: str) -> float | None:
        """The last value of a diagnostic of the task, as it was when the draw was made; None where there is none."""
        rows = self.run.table("diagnostics")
        rows = rows[(rows["name"] == name) & (rows["subject"] == self.dip.task) & (rows["iteration"] <= self.switch)].dropna(
            subset=["value"]
        )
        return float(rows["value"].iloc[-1]) if len(rows) else None


def _no_replay(look: _Look) -> Cause | None:
    if len(look.kept):
        return None
    gamma = (look.run.config.get("replay") or {}).get("gamma")
    why = (
        "the method replays nothing, or gamma is 0" if look.drawn.empty or not gamma else f"none of its {len(look.drawn):,} texts was kept"
    )
    return Cause("no replay", f"Nothing of {look.dip.task} was replayed while {look.dip.learning} was learnt: {why}.", 1e6)


def _too_few(look: _Look) -> Cause | None:
    if look.kept.empty:
        return None
    tasks = list(look.run.info.tasks)
    asked = replay.asked(look.drawn, tasks, look.run.info.gamma, look.real).get((int(look.drawn["iteration"].iloc[0]), look.dip.task))
    if not asked or len(look.kept) >= FEW * asked:
        return None
    said = f"only {len(look.kept):,} of the {asked:,} texts asked for were kept: the filters refuse the rest."
    return Cause("too few texts", f"Of {look.dip.task} {said}", 2 * FEW * asked / len(look.kept))


def _wrong_answers(look: _Look) -> Cause | None:
    """Answers that the task never has, and texts of known examples with another answer than theirs."""
    if look.kept.empty:
        return None
    labels = look.real.labels.get(look.dip.task)
    answers = look.kept["answer"].fillna("")
    bad = ~answers.isin(labels) if labels else answers != answers
    gold = {(example.context, example.question): example.answers for example in look.real.examples.get(look.dip.task, ())}
    known = [gold.get((row.context, row.question)) for row in look.kept[["context", "question"]].fillna("").itertuples()]
    other = np.array([right is not None and answer not in right for right, answer in zip(known, answers, strict=True)])
    share = float((bad.to_numpy() | other).mean())
    if share < WRONG:
        return None
    said = f"{share:.0%} of the replayed texts carry an answer that the task never gives, or another than the example they repeat."
    return Cause("wrong answers", said, 2 * share / WRONG)


def _other_task(look: _Look) -> Cause | None:
    known = look.kept[look.kept["recognised"].fillna("") != ""] if len(look.kept) else look.kept
    if known.empty:
        return None
    share = float((known["recognised"] != look.dip.task).mean())
    if share < WRONG:
        return None
    commonest = known.loc[known["recognised"] != look.dip.task, "recognised"].mode().iloc[0]
    return Cause(
        "texts of another task",
        f"{share:.0%} of the texts replayed for {look.dip.task} look like another task, mostly {commonest}.",
        share / WRONG,
    )


def _one_answer(look: _Look) -> Cause | None:
    examples = look.real.examples.get(look.dip.task, ())
    if len(look.kept) < 5 or not examples:
        return None
    answers = look.kept["answer"].fillna("").value_counts(normalize=True)
    answer, share = str(answers.index[0]), float(answers.iloc[0])
    true = sum(example.answers[0] == answer for example in examples) / len(examples)
    if share - true < OFTENER:
        return None
    said = f"{share:.0%} of its replayed texts are answered {answer[:40]!r}, which {true:.0%} of the real ones are: one answer is learnt."
    return Cause("one answer", said, 3 * (share - true) / OFTENER)


def _garbled(look: _Look) -> Cause | None:
    examples = look.real.examples.get(look.dip.task, ())
    if look.kept.empty or not examples:
        return None
    vocabulary = {word for example in examples for word in words_of(f"{example.context} {example.question}".casefold())}
    spoken = [
        word for text in (look.kept["context"].fillna("") + " " + look.kept["question"].fillna("")) for word in words_of(text.casefold())
    ]
    share = sum(word not in vocabulary for word in spoken) / max(len(spoken), 1)
    if share < UNKNOWN_WORDS:
        return None
    said = f"{share:.0%} of the words of its replayed texts stand in no training text: what is replayed is garbled."
    return Cause("garbled texts", said, 2 * share / UNKNOWN_WORDS)


def _rate_spike(look: _Look) -> Cause | None:
    rows = look.run.table("metrics")[["iteration", "lr"]].dropna()
    before, now = (
        rows[rows["iteration"] <= look.switch]["lr"],
        rows[(rows["iteration"] > look.switch) & (rows["iteration"] <= look.dip.iteration)]["lr"],
    )
    if before.empty or now.empty or not before.max() > 0 or now.max() < SPIKE * before.max():
        return None
    said = f"the learning rate went to {now.max():.2g}, {now.max() / before.max():.0f} times the highest that earlier tasks were learnt at."
    return Cause("learning rate", f"While {look.dip.learning} is learnt {said}", 2 * now.max() / (SPIKE * before.max()))


def _chains_stand(look: _Look) -> Cause | None:
    rows = look.run.table("chain_stats")
    rows = rows[(rows["task"] == look.dip.task) & (rows["iteration"] <= look.switch)] if len(rows) else rows
    if rows.empty:
        return None
    last = rows[rows["iteration"] == rows["iteration"].max()].sort_values("step").iloc[-1]
    stuck = float(last["stuck"]) if np.isfinite(last["stuck"]) else 0.0
    energy = look.run.config.get("energy") or {}
    dim, delta = float(energy.get("dim") or 32), float(energy.get("delta") or 0.4)
    keeps = 1 - delta**2 / 2
    alone = math.sqrt(dim * delta**2 * (1 - keeps ** (2 * max(int(last["step"]), 1))) / (1 - keeps**2)) if 0 < delta < 2 else math.nan
    moved = float(last["moved_mean"]) / alone if np.isfinite(last["moved_mean"]) and alone > 0 else math.nan
    if stuck < STUCK and not moved < UNMOVED:
        return None
    far = f", and they moved {moved:.0%} of what noise alone gives" if moved < UNMOVED else ""
    said = f"{stuck:.0%} of the chains that drew its replay stayed where they began{far}: the texts are those of the starts."
    return Cause("chains that stand", said, 2 * max(stuck / STUCK, UNMOVED / max(moved, 0.05) if moved < UNMOVED else 0.0))


def _drifted(look: _Look) -> Cause | None:
    energies = [at for at in snapshots.energy_iterations(look.run) if at <= look.switch]
    codes = [at for at in snapshots.code_iterations(look.run) if at <= look.dip.iteration]
    if not energies or not codes:
        return None
    try:
        energy, probe = snapshots.load_energy(look.run, energies[-1]), snapshots.load_codes(look.run, codes[-1])
    except RunError:
        return None
    own = probe.draws(look.dip.task)
    if look.dip.task not in energy.symbols or len(own) < 2 or own.shape[1] != energy.dim:
        return None
    distance = float(np.linalg.norm(energy.to_w(own, look.dip.task).mean(axis=0)))
    if distance < DRIFTED:
        return None
    said = f"its texts are now encoded {distance:.1f} standard deviations from where the energy that draws its replay has its place."
    return Cause("codes drifted", said[0].upper() + said[1:], 2 * distance / DRIFTED)


def _collapsed(look: _Look) -> Cause | None:
    nats, active = look.diagnostic("delta_nll"), look.diagnostic("active_units")
    dead, few = nats is not None and nats < DEAD, active is not None and active < TOO_FEW_ACTIVE
    if not dead and not few:
        return None
    told = [
        f"another text's z costs only {nats:.3f} nats a token" if dead else "",
        f"{active:.0%} of its dimensions are in use" if few else "",
    ]
    said = f"The latent of {look.dip.task} is dead ({', '.join(part for part in told if part)}): replay ignores z."
    return Cause("collapsed latent", said, 4.0)


def _against(look: _Look) -> Cause | None:
    rows = look.run.table("metrics")[["iteration", "grad_cosine"]].dropna()
    own = rows[(rows["iteration"] > look.switch) & (rows["iteration"] <= look.dip.iteration)]["grad_cosine"]
    if len(own) < 2 or own.mean() > AGAINST:
        return None
    said = f"the gradient of {look.dip.learning} points against that of replay (mean cosine {own.mean():+.2f} since the switch)."
    return Cause("gradients against each other", said[0].upper() + said[1:], float(own.mean() / AGAINST))


RULES: Sequence[Callable[[_Look], Cause | None]] = (
    _no_replay,
    _too_few,
    _wrong_answers,
    _other_task,
    _one_answer,
    _garbled,
    _rate_spike,
    _chains_stand,
    _drifted,
    _collapsed,
    _against,
)
