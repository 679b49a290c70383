"""Choosing among texts those that together cover most tokens: greedy maximisation of a concave-over-modular function.

Each generation of replay narrows: what was rarely drawn is rarely learnt and more rarely drawn again. Feature-based submodular selection
(Kirchhoff and Bilmes 2014, "Submodularity for data selection in machine translation") counts a token for less the oftener it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def covering(
    rows: Sequence[Sequence[int]], n: int, preferred: Sequence[bool], groups: Sequence[str], room: Callable[[str], int]
) -> list[int]:
    """Places of n of these rows of token ids, none empty (or of all, where there are fewer), in the order they are chosen.

    First come rows of a group of which fewer than room(group) are chosen, among these the preferred ones, and of those the row whose distinct
    tokens are newest on the mean over its length, sum_u 1 / sqrt(1 + count_u) / length; of equals the first.
    """
    distinct = [np.unique(np.asarray(row, dtype=np.int64)) for row in rows]
    flat = np.concatenate(distinct) if distinct else np.empty(0, dtype=np.int64)
    lengths = np.array([len(row) for row in rows])
    starts = np.cumsum([0, *(len(row) for row in distinct)])[:-1]
    counts = np.zeros(int(flat.max()) + 1 if len(flat) else 1)
    left = {group: room(group) for group in groups}
    names, before = np.array(groups), np.array(preferred, dtype=float)
    before += 2.0 * np.array([left[group] > 0 for group in groups], dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(n, len(rows)):
        newness = np.add.reduceat(1 / np.sqrt(1 + counts[flat]), starts) / lengths  # at most 1
        place = int((newness + before).argmax())
        chosen.append(place)
        before[place] = -np.inf
        counts[distinct[place]] += 1
        left[groups[place]] -= 1
        if left[groups[place]] == 0:
            before[names == groups[place]] -= 2.0
    return chosen
