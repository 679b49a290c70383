"""Choosing among texts those that together cover most tokens: greedy maximisation of a concave-over-modular function.

Each generation of replay narrows: what was rarely drawn is rarely learnt and more rarely drawn again. Feature-based submodular selection
(Kirchhoff and Bilmes 2014, "Submodularity for data selection in machine translation") counts a token for less the oftener it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def covering(rows: Sequence[Sequence[int]], groups: Sequence[str], quota: Mapping[str, int], preferred: Sequence[bool]) -> list[int]:
    """Places of the chosen rows of token ids, quota[group] of each group, in the order they were chosen.

    The next row is the one whose distinct tokens are newest on the mean over its length, sum_u 1 / sqrt(1 + count_u) / length; of equals the first. A
    preferred row goes before any that is not.
    """
    distinct = [np.unique(np.asarray(row, dtype=np.int64)) for row in rows]
    lengths = np.array([max(len(row), 1) for row in rows])
    starts = np.cumsum([0, *(len(row) for row in distinct)])[:-1]
    flat = np.concatenate(distinct) if distinct else np.empty(0, dtype=np.int64)
    counts = np.zeros(int(flat.max()) + 1 if len(flat) else 1)
    left, open_rows = dict(quota), np.array([len(row) > 0 for row in rows], dtype=bool)
    open_rows &= np.array([left.get(group, 0) > 0 for group in groups], dtype=bool)
    names, before = np.array(groups), np.array(preferred, dtype=float)
    chosen: list[int] = []
    while open_rows.any():
        newness = np.add.reduceat(1 / np.sqrt(1 + counts[flat]), starts) / lengths  # at most 1
        place = int(np.where(open_rows, newness + before, -1).argmax())
        chosen.append(place)
        counts[distinct[place]] += 1
        open_rows[place] = False
        left[groups[place]] -= 1
        if left[groups[place]] == 0:
            open_rows &= names != groups[place]
    return chosen
