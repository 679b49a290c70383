"""Paired differences between groups of runs: same seed, stream and task order; no winner is named inside the noise.

The interval is Student's t over pairs: at three pairs a bootstrap over pairs covers the truth in 76 of 100 cases where it says 95.
Where several groups are compared with one baseline, their p values are corrected together (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.runs.statistics import estimate, holm
from workbench.views.studies.compare import METRICS, Group, colors_of, metric_name, value_of
from workbench.views.style import INK, MUTED, dress, empty, faded
from workbench.views.text import in_figure
from workbench.views.timeline import Frame

ENOUGH_PAIRS = 5
"""Pairs below which no winner is named: with four, all of one sign still happens by chance in one case of eight."""

LEVEL = 0.05
"""How often, at most, any winner is named where there is none."""


def pairs(base: Group, other: Group, metric: str) -> Frame:
    """Runs of two groups with the same seed, stream and task order: seed, base, other, difference (other minus base)."""
    rows = []
    for run in other.runs:
        twin = next((run_b for run_b in base.runs if _conditions(run_b) == _conditions(run)), None)
        if twin is not None:
            a, b = value_of(twin, metric), value_of(run, metric)
            rows.append({"seed": run.info.seed, "base_run": twin.name, "run": run.name, "base": a, "other": b, "difference": b - a})
    return pd.DataFrame(rows, columns=["seed", "base_run", "run", "base", "other", "difference"]).dropna(subset=["difference"])


def _conditions(run: Any) -> tuple[Any, ...]:
    return run.info.seed, run.info.stream, run.info.stream_hash, tuple(run.info.tasks)


def paired(groups: Sequence[Group], base_key: str, metric: str) -> Frame:
    """One row a group against the baseline: pairs, mean difference, its 95 % t interval, p (Holm's, over the groups), a verdict in words."""
    base = next((one for one in groups if one.key == base_key), None)
    others = [one for one in groups if base is not None and one.key != base.key]
    gaps = [pairs(base, one, metric)["difference"].to_numpy(dtype=float) for one in others] if base is not None else []
    found = [estimate(own) for own in gaps]
    corrected = holm([one.p if one.n >= ENOUGH_PAIRS else None for one in found])
    rows = [
        {
            "group": one.key,
            "label": one.label,
            "pairs": len(own),
            "difference": number(about.mean),
            "low": number(about.low),
            "high": number(about.high),
            "p": number(p),
            "verdict": verdict(own, number(about.low), number(about.high), number(p), metric),
        }
        for one, own, about, p in zip(others, gaps, found, corrected, strict=True)
    ]
    return pd.DataFrame(rows, columns=["group", "label", "pairs", "difference", "low", "high", "p", "verdict"])


def number(value: float | None) -> float:
    return float("nan") if value is None else value


def verdict(gaps: np.ndarray, low: float, high: float, p: float, metric: str) -> str:
    """What the differences (other minus baseline) allow one to say: a winner only outside the noise and on enough pairs.

    low, high: the interval of this comparison alone; p: corrected for all that are made at once.
    """
    n = len(gaps)
    if n == 0:
        return "no pair with the same seed, stream and order"
    word = "higher" if gaps.mean() > 0 else "lower"
    if n < ENOUGH_PAIRS:
        same = (gaps > 0).all() or (gaps < 0).all()
        return (
            f"{word} in all {n} pairs; too few to call ({ENOUGH_PAIRS} are needed)"
            if same and n > 1
            else f"{n} pair{'s' * (n > 1)}: too few to call"
        )
    if low <= 0 <= high:
        return "no difference beyond the noise"
    if not p < LEVEL:
        return f"no difference beyond the noise of so many comparisons (p {p:.2f} after Holm's correction)"
    sign = METRICS[metric][1] if metric in METRICS else 1
    better = (gaps.mean() > 0) == (sign > 0)
    return f"{word}, which is {'better' if better else 'worse'} ({n} pairs)"


def paired_figure(groups: Sequence[Group], base_key: str, metric: str, dark: bool = False) -> go.Figure:
    """The difference of each pair as a dot, the mean with its interval as a bar, zero as a line."""
    table = paired(groups, base_key, metric)
    base = next((one for one in groups if one.key == base_key), None)
    if table.empty or base is None or not table["pairs"].any():
        return empty("No two runs share seed, stream and task order, so nothing can be paired.", dark)
    figure, colors = go.Figure(), colors_of(groups, dark)
    for one in groups:
        own = table[table["group"] == one.key]
        if own.empty or not own["pairs"].iloc[0]:
            continue
        row, gaps, label = own.iloc[0], pairs(base, one, metric), in_figure(one.label, 40)
        figure.add_scatter(
            x=gaps["difference"].to_numpy(),
            y=[label] * len(gaps),
            mode="markers",
            name=label,
            showlegend=False,
            marker={"color": faded(colors[one.key], 0.55), "size": 8},
            text=[f"seed {seed}" for seed in gaps["seed"]],
            hovertemplate="%{text}: %{x:.2f}<extra></extra>",
        )
        error = {
            "type": "data",
            "symmetric": False,
            "array": [row["high"] - row["difference"]],
            "arrayminus": [row["difference"] - row["low"]],
            "thickness": 3,
        }
        figure.add_scatter(
            x=[row["difference"]],
            y=[label],
            mode="markers",
            showlegend=False,
            name=label,
            error_x=error if np.isfinite(row["low"]) else None,
            marker={"color": colors[one.key], "size": 13, "symbol": "diamond", "line": {"color": INK[dark], "width": 1}},
            hovertemplate="mean %{x:.2f}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": MUTED[dark], "width": 1.5})
    figure.update_layout(xaxis_title=f"{metric_name(metric)}, difference from {in_figure(base.label, 40)}")
    figure.update_yaxes(autorange="reversed", type="category")
    return dress(figure, dark, height=140 + 44 * int((table["pairs"] > 0).sum()), margin={"t": 16})
