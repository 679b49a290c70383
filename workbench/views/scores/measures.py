"""The two scores of a run, each with one name on every page, and the interval that goes with a score of n items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

GENERATED, FORCED = "generated", "teacher_forced"
NAMES = {GENERATED: "answer score", FORCED: "teacher-forced match"}
ABOUT = {
    GENERATED: "answers generated to the whole test set, in the task's own metric, at task ends",
    FORCED: "per cent of a fixed subset whose every answer token is the likeliest given the true ones before it, every few iterations",
}


def interval(score: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Any, Any]:
    """Wilson's interval (1927) of a mean of n scores, in points 0..100; NaN where n is not known.

    Scores of 0 or 1 are what it is made for; for graded ones (F1) it is at most too wide, for their variance is smaller.
    """
    share, count = np.asarray(score, np.float64) / 100, np.asarray(n, np.float64)
    z = float(ndtri(0.5 + level / 2))
    with np.errstate(all="ignore"):
        middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z / (1 + z**2 / count) * np.sqrt(np.maximum(share * (1 - share), 0) / count + z**2 / (4 * count**2))
    known = count > 0
    return np.where(known, 100 * (middle - half), np.nan), np.where(known, 100 * (middle + half), np.nan)


def mean_half_width(scores: ArrayLike, n: ArrayLike, level: float = 0.95) -> float | None:
    """Half the width of the interval of a mean over tasks, each a score of its own n items; None where a number is missing."""
    share, count = np.asarray(scores, np.float64) / 100, np.asarray(n, np.float64)
    if not len(share) or not np.isfinite(share).all() or not (count > 0).all():
        return None
    # A score of 0 or 100 has no spread of its own: two items are added, one right and one wrong.
    share = (share * count + 1) / (count + 2)
    return float(100 * ndtri(0.5 + level / 2) * np.sqrt((share * (1 - share) / count).sum()) / len(share))
