"""How well short chains mix, measured by running chains anew on the saved energy.

Plain R-hat compares chains with the spread within each; at some 20 steps a chain has hardly moved within itself, and the number
says nothing. Nested R-hat (Margossian et al. 2024) compares GROUPS of chains that began at the same point: it falls towards 1 when
the starts are forgotten. It needs such groups, so `nested` runs them. Chains that share a start are not independent draws: the
effective sample size is counted from how far the means of the starts differ. What both give for F = 0, a plain Gaussian on which as
many steps of the same size are made, stands beside them: no energy is asked to mix better. `continue_chains` goes on with the saved
chains instead: what still changes after K steps is what a short run does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from workbench.views import style
from workbench.views.energy.sampler import reference_starts, run_chains
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.snapshots import Chains

Array = NDArray[Any]

GROUPS, PER_GROUP = 16, 8
"""Starts of a nested diagnostic, and chains from each."""
LONG = 200
NESTED_LIMIT = 1.1
PLAIN_RUNS = 40
"""Times that the diagnostic is made on a plain Gaussian, for the range that it has there."""


@dataclass(frozen=True)
class Plain:
    """What F = 0 gives with the same steps: 5th and 95th percentile of the worst nested R-hat, and of the effective sample size."""

    rhat: tuple[float, float]
    ess: tuple[float, float]


@dataclass(frozen=True)
class Nested:
    """Chains in groups that share a start: w [chains, steps + 1, d] whitened, rhat [d], ess [d], group [chains], plain (F = 0)."""

    w: Array
    rhat: Array
    ess: Array
    group: Array
    delta: float
    steps: int
    effective: float = float("nan")
    """Draws that count for a mean, over all dimensions together."""
    plain: Plain = Plain((float("nan"), float("nan")), (float("nan"), float("nan")))

    @property
    def worst(self) -> Array:
        """Dimensions by nested R-hat, worst first."""
        return np.argsort(-self.rhat)


def nested(energy: SavedEnergy, symbol: str, steps: int, delta: float, kernel: str = "ula", seed: int = 0) -> Nested:
    """Nested R-hat and ESS a dimension over the last half of the steps: GROUPS starts, PER_GROUP chains from each."""
    starts = energy.to_w(reference_starts(energy, symbol, GROUPS, seed), symbol)
    group = np.repeat(np.arange(GROUPS), PER_GROUP)
    path = run_chains(lambda w: energy.energy_and_grad_w(w, symbol), starts[group], steps, delta, kernel, np.random.default_rng([seed, 2]))[
        0
    ]
    w = np.swapaxes(path, 0, 1)
    draws = _last_half(w)
    rhat, ess = rhat_and_ess(draws, group)
    return Nested(w, rhat, ess, group, delta, steps, effective_size(draws, group), plain(energy.dim, steps, delta, kernel))


def _last_half(w: Array) -> Array:
    """The positions of the last half of the steps, at least four of them; w [chains, steps + 1, d]."""
    steps = w.shape[1] - 1
    return w[:, steps - max(steps // 2, 4) + 1 :] if steps >= 4 else w


@lru_cache(maxsize=32)
def plain(dim: int, steps: int, delta: float, kernel: str) -> Plain:
    """The range of both diagnostics on N(0, I), the reference in whitened coordinates, with F = 0."""
    group, rng, worst, sizes = np.repeat(np.arange(GROUPS), PER_GROUP), np.random.default_rng(0), [], []
    for _ in range(PLAIN_RUNS):
        starts = rng.standard_normal((GROUPS, dim))[group]
        path = run_chains(lambda w: (0.5 * (w**2).sum(axis=1), w), starts, steps, delta, kernel, rng)[0]
        draws = _last_half(np.swapaxes(path, 0, 1))
        worst.append(float(np.max(nested_rhat(draws, group))))
        sizes.append(effective_size(draws, group))
    low, high = np.quantile([worst, sizes], [0.05, 0.95], axis=1)
    return Plain((float(low[0]), float(high[0])), (float(low[1]), float(high[1])))


def rhat_and_ess(draws: Array, group: Array) -> tuple[Array, Array]:
    """Nested R-hat [d] and effective sample size [d] of draws [chains, draws, d]; one `group` [chains] shares a start.

    NaN: too few draws. A dimension's ESS rests on as many means as there are groups: at 16 its own error is a third of it.
    """
    if draws.shape[1] < 4:
        return np.full(draws.shape[-1], np.nan), np.full(draws.shape[-1], np.nan)
    blocks = _blocks(draws, group)
    spread, between = _variances(blocks)
    with np.errstate(all="ignore"):
        return nested_rhat(draws, group), len(blocks) * spread / between


def effective_size(draws: Array, group: Array) -> float:
    """How many independent draws give a mean as good as these [chains, draws, d] do, all dimensions together.

    The variance of the mean is that of the means of the groups, which are independent, over their number: what chains with one start
    share counts once.
    """
    if draws.shape[1] < 4:
        return float("nan")
    blocks = _blocks(draws, group)
    spread, between = _variances(blocks)
    return float(len(blocks) * spread.mean() / max(between.mean(), 1e-300))


def _variances(blocks: Array) -> tuple[Array, Array]:
    """Variance of a draw [d] (that of the groups' means and that within a group) and of the groups' means [d], both unbiased."""
    between = blocks.mean(axis=(1, 2)).var(axis=0, ddof=1)
    return between + blocks.var(axis=(1, 2)).mean(axis=0), between


def nested_rhat(draws: Array, group: Array) -> Array:
    """Nested R-hat [d] (Margossian et al. 2024, equation 4) of draws [chains, draws, d]; groups are of one size."""
    blocks = _blocks(draws, group)
    means = blocks.mean(axis=2)
    within = means.var(axis=1, ddof=1) if blocks.shape[1] > 1 else np.zeros(means[:, 0].shape)
    if blocks.shape[2] > 1:
        within = within + blocks.var(axis=2, ddof=1).mean(axis=1)
    between, inside = means.mean(axis=1).var(axis=0, ddof=1), within.mean(axis=0)
    with np.errstate(all="ignore"):
        return np.where(inside > 0, np.sqrt(1 + between / inside), np.nan)


def _blocks(draws: Array, group: Array) -> Array:
    """[groups, chains a group, draws, d]."""
    order = np.argsort(group, kind="stable")
    count = len(np.unique(group))
    return np.asarray(draws, np.float64)[order].reshape(count, -1, *draws.shape[1:])


def rank_figure(nested_: Nested, dims: Array) -> go.Figure:
    """Ranks of the last half of the steps: for each dimension, groups (rows) against rank bins (columns), as count over expected."""
    columns = 3
    rows = -(-len(dims) // columns)
    titles = [f"w[{d}]  nested R̂ {nested_.rhat[d]:.2f}" for d in dims]
    figure = make_subplots(
        rows, columns, subplot_titles=titles, shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=0.14
    )
    for k, d in enumerate(dims):
        figure.add_trace(
            go.Heatmap(
                z=rank_counts(nested_, int(d)).astype(np.float32),
                coloraxis="coloraxis",
                hovertemplate="group %{y}, bin %{x}: %{z:.2f} × expected<extra></extra>",
            ),
            k // columns + 1,
            k % columns + 1,
        )
    bar = {"title": {"text": "× expected", "side": "right"}, "thickness": 12, "outlinewidth": 0}
    figure.update_layout(
        coloraxis={"cmin": 0, "cmax": 2, "colorscale": style.DIVERGING, "reversescale": True, "colorbar": bar},
        height=110 + 210 * rows,
        margin={"t": 60},
    )
    figure.update_xaxes(title_text="rank bin, low to high", row=rows, showgrid=False)
    figure.update_yaxes(title_text="start", col=1, showgrid=False)
    return figure


def rank_counts(nested_: Nested, dim: int, bins: int = 8) -> Array:
    """[groups, bins]: how often draws of a group fall in a rank bin, over what chance gives. All near 1: starts are forgotten."""
    draws = nested_.w[:, nested_.w.shape[1] // 2 :, dim]
    ranks = np.argsort(np.argsort(draws.ravel(), kind="stable"), kind="stable").reshape(draws.shape)
    bin_of = ranks * bins // draws.size
    counts = np.stack([np.bincount(bin_of[nested_.group == g].ravel(), minlength=bins) for g in range(GROUPS)])
    return counts / counts.sum(axis=1, keepdims=True) * bins


def rhat_by_step(nested_: Nested) -> pd.DataFrame:
    """Largest and median nested R-hat over dimensions when only steps up to k count (their last half): does it fall to 1 by K?"""
    steps = nested_.w.shape[1] - 1
    rows = []
    for k in sorted({round(value) for value in np.linspace(min(8, steps), steps, 7)}):
        draws = nested_.w[:, k - max(k // 2, 4) + 1 : k + 1]
        rhat = nested_rhat(draws, nested_.group) if draws.shape[1] >= 4 else np.full(draws.shape[-1], np.nan)
        rows.append({"step": k, "largest": float(np.nanmax(rhat)), "median": float(np.nanmedian(rhat))})
    return pd.DataFrame(rows)


def rhat_figure(rows: pd.DataFrame, *, limit: float = NESTED_LIMIT, name: str = "", dark: bool = False) -> go.Figure:
    """Nested R-hat by the number of steps counted, with its threshold (and the words for it)."""
    figure = go.Figure()
    for column, color, dash in (("largest", style.OKABE_ITO[5], "solid"), ("median", style.MUTED[dark], "dot")):
        line = {"color": color, "dash": dash, "width": 2}
        figure.add_trace(go.Scatter(x=rows["step"], y=rows[column], mode="lines+markers", name=f"{column} over dimensions", line=line))
    figure.add_hline(
        y=limit,
        line={"color": style.MUTED[dark], "dash": "dash"},
        annotation_text=name or f"{limit:.2f}",
        annotation_position="top right",
    )
    figure.update_xaxes(title_text="Langevin steps counted")
    figure.update_yaxes(title_text="nested R̂ (1: the start is forgotten)")
    return figure.update_layout(height=300)


@dataclass(frozen=True)
class LongRun:
    """The saved chains gone on with. energy [steps+1, n], mean w over chains [steps+1, d], rms standard deviation [steps+1], K of the run."""

    energy: Array
    mean: Array
    spread: Array
    saved: int

    @property
    def drift(self) -> tuple[float, float]:
        """How far the mean of w moved from step K to the average over the last quarter of the steps, and what chance alone gives."""
        tail = self.mean[-max(len(self.mean) // 4, 1) :].mean(axis=0)
        chance = float(self.spread[self.saved] * np.sqrt(self.mean.shape[1] / self.energy.shape[1]))
        return float(np.linalg.norm(tail - self.mean[self.saved])), chance


def continue_chains(energy: SavedEnergy, chains: Chains, to: int = LONG, seed: int = 0) -> LongRun:
    """Go on with the saved chains to step `to`, with the same kernel and step size, on the same energy."""
    w = np.stack([energy.to_w(step, chains.task) for step in chains.z])
    rest = run_chains(
        lambda at: energy.energy_and_grad_w(at, chains.task),
        w[-1],
        max(to - chains.steps, 0),
        chains.delta,
        chains.kernel,
        np.random.default_rng(seed),
    )
    path = np.concatenate([w, rest[0][1:]])
    value = np.concatenate([np.stack([energy.energy_and_grad_w(step, chains.task)[0] for step in w]), rest[1][1:]])
    return LongRun(value, path.mean(axis=1), np.sqrt(path.var(axis=1).mean(axis=1)), chains.steps)


def long_figure(run: LongRun, data_energy: Array, data_w: Array, *, index: int = 0, dark: bool = False) -> go.Figure:
    """Energy, |mean w| and spread of the chains by step, with the data's values, and where the run stopped."""
    color, data = style.task_color(index, dark), style.MUTED[dark]
    steps = np.arange(len(run.energy))
    figure = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.5, 0.25, 0.25])
    low, middle, high = np.nanquantile(run.energy, [0.05, 0.5, 0.95], axis=1)
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([steps, steps[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            fillcolor=style.faded(color, 0.18),
            line={"width": 0},
            hoverinfo="skip",
        ),
        1,
        1,
    )
    for row, values in ((1, middle), (2, np.linalg.norm(run.mean, axis=1)), (3, run.spread)):
        figure.add_trace(
            go.Scatter(
                x=steps, y=values, mode="lines", line={"color": color, "width": 2}, hovertemplate="step %{x}: %{y:.3f}<extra></extra>"
            ),
            row,
            1,
        )
    if len(data_energy):
        marks = (float(np.median(data_energy)), float(np.linalg.norm(data_w.mean(axis=0))), float(np.sqrt(data_w.var(axis=0).mean())))
        for row, value in enumerate(marks, 1):
            note = {"annotation_text": "data codes", "annotation_position": "top right"} if row == 1 else {}
            figure.add_hline(y=value, line={"color": data, "dash": "dash"}, row=row, col=1, **note)  # pyright: ignore[reportArgumentType]
    figure.add_vline(x=run.saved, line={"color": style.OKABE_ITO[5], "dash": "dot", "width": 2})
    figure.add_annotation(
        x=run.saved, y=1.0, yref="paper", text=f"K = {run.saved}, where the run stops", showarrow=False, xanchor="left", xshift=6, yshift=10
    )
    figure.update_yaxes(title_text="U in nats", row=1)
    figure.update_yaxes(title_text="|mean w|", row=2)
    figure.update_yaxes(title_text="spread of w", row=3)
    figure.update_xaxes(title_text="Langevin step", row=3)
    return figure.update_layout(height=560, showlegend=False)


def change_of_median(before: Array, after: Array, draws: int = 400) -> tuple[float, float]:
    """Median over chains after less before, and its standard error by a bootstrap over chains, which are the same in both [n]."""
    known = np.isfinite(before) & np.isfinite(after)
    pair = np.stack([before[known], after[known]]).astype(np.float64)
    if not pair.shape[1]:
        return float("nan"), float("nan")
    low, high = np.median(pair, axis=1)
    picked = np.random.default_rng(0).integers(pair.shape[1], size=(draws, pair.shape[1]))
    medians = np.median(pair[:, picked], axis=2)
    return float(high - low), float((medians[1] - medians[0]).std())


def drift_words(run: LongRun) -> str:
    """Does anything keep changing after the run's K? Energies against the chains' own spread at K, the mean against chance."""
    quarter = max(len(run.energy) // 4, 1)
    moved, error = change_of_median(run.energy[run.saved], np.nanmedian(run.energy[-quarter:], axis=0))
    noise = float(np.nanstd(run.energy[run.saved]))
    spread = float(run.spread[-quarter:].mean() / max(run.spread[run.saved], 1e-12))
    drift, chance = run.drift
    steady = (abs(moved) < 2 * error or abs(moved) < 0.25 * noise) and 0.9 < spread < 1.12 and drift < 2 * chance
    words = (
        f"From step {run.saved} to the last quarter of {len(run.energy) - 1} steps the median energy changes by {moved:+.2f} ± {error:.2f} "
        f"nats (chains at one step differ by {noise:.2f}), the mean of w moves by {drift:.2f} (chance alone: {chance:.2f}), its "
        f"spread by {spread - 1:+.0%}. "
    )
    if steady:
        return words + "The short run stands for the long one."
    return words + "Short-run samples are NOT samples of exp(−U): judge the energy as a generator of so many steps."
