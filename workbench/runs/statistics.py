"""What a few paired runs allow one to say: intervals, exact tests, several comparisons at once, spreads told apart. Pure functions.

Sources: Student (1908) for the interval; Fisher (1935) for the sign-flip test; Holm (1979) for several comparisons; the method of
moments of a one-way analysis of variance for the part that orders have in a spread.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
EXACT_UP_TO = 16
"""Pairs up to which every assignment of signs is counted (65,536 of them); beyond, 100,000 drawn ones stand for all."""
DRAWS = 100_000


@dataclass(frozen=True)
class Estimate:
    """A mean with its t interval. `low`, `high`, `p` and `p_flip` are None where fewer than two values leave nothing to judge by."""

    n: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    """Two-sided p of Student's t against 0."""
    p_flip: float | None
    """Two-sided p of the sign-flip test against 0: needs no normal distribution, and cannot fall below 2 / 2**n."""


def estimate(differences: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean of paired differences, its t interval and both tests against 0. All equal, so without a spread to judge by: an interval of no
    width, and p by their signs alone.
    """
    from scipy.special import stdtr, stdtrit

    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("differences: found one that is no number; accepted: finite numbers")
    n = len(values)
    if n < 2:
        return Estimate(n, float(values[0]) if n else None, None, None, None, None)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    flipped = sign_flip(values)
    if error <= 1e-12 * abs(mean):
        return Estimate(n, mean, mean, mean, flipped, flipped)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * error
    return Estimate(n, mean, mean - half, mean + half, float(2 * stdtr(n - 1, -abs(mean) / error)), flipped)


def sign_flip(differences: Sequence[float] | np.ndarray) -> float:
    """Share of sign assignments whose mean is at least as far from 0 as the one seen: exact up to 16 pairs. 1 where there is none."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if not n:
        return 1.0
    seen = abs(values.sum()) * (1 - 1e-9) - 1e-12
    if n <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ values) >= seen).mean())
    signs = np.random.default_rng(0).integers(0, 2, size=(DRAWS, n), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ values) >= seen).sum()) / (1 + DRAWS))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values held against how many there are: the k-th smallest of m times m - k + 1, never falling, at most 1. None stays None."""
    known = sorted((value, at) for at, value in enumerate(values) if value is not None)
    held: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, at) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        held[at] = largest
    return held


def within(values: Mapping[tuple[Hashable, Hashable], float], by: int) -> float | None:
    """Pooled standard deviation over what is left of the key when its part `by` is held: over seeds for {(order, seed): value} and by 0,
    over orders for by 1. None where no two values share that part.
    """
    held: dict[Hashable, list[float]] = {}
    for key, value in values.items():
        held.setdefault(key[by], []).append(value)
    free = sum(len(group) - 1 for group in held.values())
    if not free:
        return None
    squares = sum(sum((value - sum(group) / len(group)) ** 2 for value in group) for group in held.values())
    return math.sqrt(squares / free)


@dataclass(frozen=True)
class Spread:
    """Standard deviations of one measure of one group of runs."""

    seeds: float | None
    """Over seeds, the order held."""
    orders: float | None
    """Over orders, the seed held: holds the noise between two runs too, so it is to be read beside `seeds`."""
    order_part: float | None
    """What the orders add of their own: sqrt(orders^2 - seeds^2), 0 where they add nothing."""


def spread(values: Mapping[tuple[Hashable, Hashable], float]) -> Spread:
    """The spread over seeds and over orders apart, of {(order, seed): value}. Parts that the runs do not tell apart are None."""
    seeds, orders = within(values, 0), within(values, 1)
    part = None if seeds is None or orders is None else math.sqrt(max(0.0, orders**2 - seeds**2))
    return Spread(seeds, orders, part)
