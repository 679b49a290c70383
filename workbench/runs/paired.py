"""Differences between groups of runs, pair by pair: same seed, order, stream and code. What is left is the method's and the noise's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.runs.results import UPPER_BOUND, Row, code_of, comparable, order_of, replay_ratio, same_stream, value
from workbench.runs.schema import RunError
from workbench.runs.statistics import Estimate, estimate, holm

Groups = Sequence[Sequence[Row]]


@dataclass(frozen=True)
class Difference:
    """One group against another in one measure. `p_held` is the t test's p held against the number of comparisons made with it (Holm)."""

    estimate: Estimate
    pairs: list[tuple[str, str, float]]
    """(run of the base, run, difference)."""
    p_held: float | None = None

    @property
    def told_apart(self) -> bool:
        """Whether a difference may be claimed: the interval excludes 0, and still does so after as many comparisons as were made."""
        return self.p_held is not None and self.p_held <= 0.05


def pair_up(base: Sequence[Row], other: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(row of base, row of other) of one seed, order, stream hash and code. The upper bound, to which order is nothing, is paired by seed
    where the two groups share a stream.
    """
    free = UPPER_BOUND in (base[0]["method"], other[0]["method"]) and same_stream(base, other)
    exact = {(row["seed"], order_of(row), row.get("stream_hash"), code_of(row)): row for row in base}
    by_seed = {(row["seed"], code_of(row)): row for row in base} if free else {}
    found = []
    for row in other:
        twin = exact.get((row["seed"], order_of(row), row.get("stream_hash"), code_of(row))) or by_seed.get((row["seed"], code_of(row)))
        if twin is not None and code_of(row) is not None:
            found.append((twin, row))
    if free and other[0]["method"] == UPPER_BOUND:  # every order of the base has its own difference from the one bound
        bounds = {(row["seed"], code_of(row)): row for row in other}
        found = [(row, bounds[key]) for row in base if (key := (row["seed"], code_of(row))) in bounds]
    return found


def difference(base: Sequence[Row], other: Sequence[Row], measure: str) -> Difference:
    """other minus base."""
    pairs = []
    for one, two in pair_up(base, other):
        a, b = value(one, measure), value(two, measure)
        if a is not None and b is not None:
            pairs.append((str(one["run"]), str(two["run"]), b - a))
    return Difference(estimate([gap for _, _, gap in pairs]), pairs)


def held(found: Sequence[Difference | None]) -> list[Difference | None]:
    """The same differences with their p held against all of them."""
    ps = holm([one.estimate.p if one is not None else None for one in found])
    return [one if one is None else Difference(one.estimate, one.pairs, p) for one, p in zip(found, ps, strict=True)]


def against(groups: Groups, baseline: str, measure: str) -> list[Difference | None]:
    """For each group its difference from the baseline of the same stream, settings, code and gamma; None where there is none.

    Raises RunError where no group is of that method.
    """
    if not any(group[0]["method"] == baseline for group in groups):
        names = ", ".join(sorted({str(group[0]["method"]) for group in groups}))
        raise RunError(f"baseline: no finished row of {baseline!r}; accepted: {names or 'a method that has rows'}")
    found: list[Difference | None] = []
    for group in groups:
        bases = [base for base in groups if base[0]["method"] == baseline and base is not group and _fits(base, group)]
        if len(bases) > 1:  # several settings of the baseline: only the one a study set alike is its counterpart
            bases = [base for base in bases if _cell(base) == _cell(group)]
        made = difference(bases[0], group, measure) if len(bases) == 1 else None
        found.append(made if made is not None and made.pairs and group[0]["method"] != baseline else None)
    return held(found)


def _fits(base: Sequence[Row], group: Sequence[Row]) -> bool:
    gammas = {replay_ratio(base[0]), replay_ratio(group[0])} - {None}
    return comparable(base[0], group[0]) and len(gammas) < 2


def _cell(group: Sequence[Row]) -> dict[str, Any]:
    cell = group[0].get("cell") or {}
    return {key: found for key, found in cell.items() if key != "method" and not key.startswith("replay.source")}
