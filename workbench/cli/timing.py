"""Timing two ways of doing the same, in interleaved rounds, so that other work on the machine hits both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def compared(name: str, ours: Callable[[], Any], baseline: Callable[[], Any], rounds: int = 7, repeats: int = 1) -> dict[str, Any]:
    """A bench row: median seconds of each, and the median of the ratios round by round. Both run once before the clock starts."""
    ours()
    baseline()
    pairs = []
    for number in range(rounds):
        first, second = (ours, baseline) if number % 2 else (baseline, ours)
        seconds = {id(action): _seconds(action, repeats) for action in (first, second)}
        pairs.append((seconds[id(ours)], seconds[id(baseline)]))
    return {
        "name": name,
        "ours": statistics.median(mine for mine, _ in pairs),
        "baseline": statistics.median(bare for _, bare in pairs),
        "ratio": statistics.median(mine / bare for mine, bare in pairs),
    }


def _seconds(action: Callable[[], Any], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - began) / repeats
