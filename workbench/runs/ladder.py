"""The ladder: where replay loses, rung by rung. Each rung differs from the one above it by one thing; the paired difference of two rungs
at equal gamma, stream, settings and code is the price of that thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.runs.paired import Difference, Groups, difference, held
from workbench.runs.results import UPPER_BOUND, Row, code_of, comparable, group_rows, mean, replay_ratio, value

TRUNK = (
    ("multitask", ""),
    ("er", "seeing gamma of the old data"),
    ("er_generating", "learning to generate"),
    ("reencoded", "decoding"),
    ("lsebmcl", "the prior"),
)
"""Rungs from the top, each with what the step down to it is the price of. A rung without rows is stepped over, and its price joins the next."""
BRANCHES = (
    ("er", "er_relaxed", "relaxed answers"),
    ("lsebmcl", "mixture", "what the energy knows more than a mixture"),
    ("lsebmcl", "gaussian", "what the energy knows more than a Gaussian a task"),
    ("lsebmcl", "normal", "what the energy knows more than one Gaussian"),
    ("lsebmcl", "stored", "codes kept while encoder and decoder move"),
    ("lsebmcl", "lamol_task", "the latent"),
)
"""(from, to, price): rungs beside the trunk."""


@dataclass(frozen=True)
class Step:
    """One step down. `above` and `below` are means of the groups; the difference is below minus above, over pairs of seed and order."""

    upper: str
    lower: str
    price: str
    above: float | None
    below: float | None
    difference: Difference

    def as_row(self) -> dict[str, Any]:
        found = self.difference.estimate
        return {
            "from": self.upper,
            "to": self.lower,
            "price of": self.price,
            "above": self.above,
            "below": self.below,
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "pairs": found.n,
            "p": found.p,
            "p_flip": found.p_flip,
            "p_holm": self.difference.p_held,
            "told apart": self.difference.told_apart,
        }


@dataclass(frozen=True)
class Ladder:
    """All steps of one stream, gamma, settings and code. p values are held against the number of its steps."""

    stream: str
    gamma: float | None
    regime: str | None
    code: str | None
    steps: list[Step]
    without_rows: list[str]


def ladders(rows: Sequence[Row], measure: str = "average_score") -> list[Ladder]:
    """One ladder for each stream, gamma, settings and code of which at least two rungs have rows."""
    groups = group_rows(rows)
    found, seen = [], set()
    for group in groups:
        first = group[0]
        key = (first.get("stream"), replay_ratio(first), first.get("regime"), code_of(first))
        if key in seen or (key[1] is None and first["method"] == UPPER_BOUND) or key[3] is None:
            continue
        seen.add(key)
        rungs = _rungs(groups, first, key[1])
        if steps := _steps(rungs, measure):
            lacking = [name for name in _names() if name not in rungs]
            found.append(Ladder(str(key[0]), key[1], key[2], key[3], steps, lacking))
    return found


def _names() -> list[str]:
    return [name for name, _ in TRUNK] + [lower for _, lower, _ in BRANCHES]


def _rungs(groups: Groups, first: Row, gamma: float | None) -> dict[str, Sequence[Row]]:
    """The one group of each rung. A rung that has groups of several settings is left out: none of them can speak for it."""
    rungs: dict[str, list[Sequence[Row]]] = {}
    for group in groups:
        if comparable(first, group[0]) and (replay_ratio(group[0]) == gamma or group[0]["method"] == UPPER_BOUND):
            rungs.setdefault(str(group[0]["method"]), []).append(group)
    return {name: found[0] for name, found in rungs.items() if name in _names() and len(found) == 1}


def _steps(rungs: dict[str, Sequence[Row]], measure: str) -> list[Step]:
    made: list[tuple[str, str, str]] = []
    upper, prices = None, []
    for name, price in TRUNK:
        prices.append(price)
        if name in rungs:
            if upper is not None:
                made.append((upper, name, ", ".join(prices)))
            upper, prices = name, []
    made += [(one, two, price) for one, two, price in BRANCHES if one in rungs and two in rungs]
    differences = held([difference(rungs[one], rungs[two], measure) for one, two, _ in made])
    return [
        Step(one, two, price, _mean(rungs[one], measure), _mean(rungs[two], measure), found)
        for (one, two, price), found in zip(made, differences, strict=True)
        if found is not None
    ]


def _mean(group: Sequence[Row], measure: str) -> float | None:
    return mean(value(row, measure) for row in group)
