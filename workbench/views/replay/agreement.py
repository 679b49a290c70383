"""Do the raters mean the same thing, and does the energy predict what they say?

Input everywhere: `answers`, one row a standing answer (workbench.runs.ratings.answers): run, sample_id, rater, scale, value,
repeat, control, plan, t. Repeats and controls never count as shared items. Intervals are 95 % percentile bootstraps over items.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import krippendorff
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.views.style import MUTED, dress, faded, task_color, task_colors
from workbench.views.text import in_figure
from workbench.views.timeline import Frame

ENOUGH = 20
"""Shared items below which nothing is reported."""

LEVELS = (1, 2, 3, 4, 5)
TOO_FEW = "too few to report"
NAN = float("nan")


def table(answers: Frame, scale: str) -> Frame:
    """Values as [items, raters], index (run, sample_id), NaN where a rater did not answer. First answers only."""
    first = answers[(answers["scale"] == scale) & ~answers["repeat"] & ~answers["control"] & answers["value"].notna()]
    if first.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=["run", "sample_id"]))
    return first.sort_values("t").pivot_table(index=["run", "sample_id"], columns="rater", values="value", aggfunc="last")


def shared(items: Frame) -> Frame:
    """The items that at least two raters answered."""
    return items[items.notna().sum(axis=1) >= 2]


def coverage(answers: Frame, scale: str) -> Frame:
    """One row a rater: items rated, skipped, shared with another rater, repeats and controls answered."""
    chosen = answers[answers["scale"] == scale]
    both = shared(table(answers, scale))
    rows = []
    for rater, own in chosen.groupby("rater"):
        rated = own["value"].notna()
        rows.append(
            {
                "rater": rater,
                "rated": int((rated & ~own["repeat"] & ~own["control"]).sum()),
                "shared": int(both[rater].notna().sum()) if rater in both else 0,
                "repeats": int((rated & own["repeat"]).sum()),
                "controls": int((rated & own["control"]).sum()),
                "skipped": int((own["kind"] == "skip").sum()) if "kind" in own else 0,
                "mean": float(own.loc[rated & ~own["repeat"] & ~own["control"], "value"].mean()),
            }
        )
    return pd.DataFrame(rows, columns=["rater", "rated", "shared", "repeats", "controls", "skipped", "mean"])


def joint_counts(first: np.ndarray, second: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Counts [..., 5, 5] of pairs of answers (1..5). weights: [..., items], one count an item; default one each."""
    cells = (first.astype(int) - 1) * len(LEVELS) + (second.astype(int) - 1)
    one_hot = np.eye(len(LEVELS) ** 2)[cells]
    counts = (np.ones(len(cells)) if weights is None else weights) @ one_hot
    return counts.reshape(*counts.shape[:-1], len(LEVELS), len(LEVELS))


def kappa_of_counts(counts: np.ndarray) -> np.ndarray:
    """Quadratic-weighted Cohen kappa of pair counts [..., 5, 5]; NaN where chance agreement is already perfect (Cohen 1968)."""
    levels = np.arange(counts.shape[-1])
    weights = (levels[:, None] - levels[None, :]) ** 2
    total = counts.sum(axis=(-2, -1), keepdims=True)
    expected = counts.sum(axis=-1, keepdims=True) * counts.sum(axis=-2, keepdims=True) / total
    disagreement, by_chance = (weights * counts).sum(axis=(-2, -1)), (weights * expected).sum(axis=(-2, -1))
    return 1 - np.divide(disagreement, by_chance, out=np.full_like(disagreement, np.nan), where=by_chance > 0)


def quadratic_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Quadratic-weighted kappa of two raters' answers (1..5) to the same items."""
    return float(kappa_of_counts(joint_counts(np.asarray(first), np.asarray(second))))


def ordinal_alpha(values: np.ndarray) -> float:
    """Krippendorff's alpha of [items, raters] with NaN for missing; NaN where every answer is alike."""
    counts = np.stack([(values == level).sum(axis=1) for level in LEVELS], axis=1)
    return _alpha(counts)


def _alpha(counts: np.ndarray) -> float:
    counts = counts[counts.sum(axis=1) >= 2]
    used = counts.sum(axis=0) > 0
    if used.sum() < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=counts, value_domain=list(LEVELS), level_of_measurement="ordinal"))


def percent_agreement(values: np.ndarray) -> float:
    """Share of rater pairs with the same answer to the same item, in percent; values [items, raters] with NaN for missing."""
    same, pairs = _pairs(values)
    return float(100 * same.sum() / pairs.sum()) if pairs.sum() else float("nan")


def _pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = np.stack([(values == level).sum(axis=1) for level in LEVELS], axis=1)
    answered = counts.sum(axis=1)
    return (counts * (counts - 1) // 2).sum(axis=1), answered * (answered - 1) // 2


class Agreement(NamedTuple):
    """One number with its interval; `value` is NaN where `sentence` says why."""

    statistic: str
    value: float
    low: float
    high: float
    percent: float
    percent_low: float
    percent_high: float
    items: int
    raters: int
    sentence: str


def agreement(answers: Frame, scale: str, raters: tuple[str, ...] | None = None, seed: int = 0, draws: int = 1000) -> Agreement:
    """Weighted kappa for two raters, ordinal alpha for more, with percent agreement beside it.

    Under ENOUGH shared items no number is given. Bootstrap: items drawn with replacement (`draws` times; alpha at most 300).
    """
    items = table(answers, scale)
    if raters is not None:
        items = items[[rater for rater in raters if rater in items]]
    items = shared(items).dropna(axis=1, how="all")
    values, n, k = items.to_numpy(dtype=float), len(items), items.shape[1]
    name = "quadratic-weighted kappa" if k <= 2 else "Krippendorff's alpha (ordinal)"
    if k < 2:
        return Agreement(name, NAN, NAN, NAN, NAN, NAN, NAN, n, k, "No item has answers of two raters.")
    if n < ENOUGH:
        return Agreement(name, NAN, NAN, NAN, NAN, NAN, NAN, n, k, f"{n} shared items: {TOO_FEW} ({ENOUGH} are needed).")
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    if k == 2:
        value = quadratic_kappa(values[:, 0], values[:, 1])
        spread = kappa_of_counts(joint_counts(values[:, 0], values[:, 1], weights))
    else:
        counts = np.stack([(values == level).sum(axis=1) for level in LEVELS], axis=1)
        value = _alpha(counts)
        spread = np.array([_alpha(np.repeat(counts, row, axis=0)) for row in weights[:300]])
    same, pairs = _pairs(values)
    low, high = _interval(spread)
    percent_low, percent_high = _interval(100 * (weights @ same) / np.maximum(weights @ pairs, 1))
    sentence = (
        _sentence(low, high, n)
        if np.isfinite(value)
        else "Every answer is the same: chance-corrected agreement is not defined; read the percent."
    )
    return Agreement(name, value, low, high, percent_agreement(values), percent_low, percent_high, n, k, sentence)


def _sentence(low: float, high: float, n: int) -> str:
    """The words of both ends of the interval: the point alone promises more than n texts can tell."""
    words = ("no better than chance", "slight", "fair", "moderate", "substantial", "almost perfect")
    first, last = (words[0] if end <= 0 else words[1 + int(np.clip(np.ceil(end * 5) - 1, 0, 4))] for end in (low, high))
    word = first if first == last else f"{first} to {last}"
    return f"{word[0].upper()}{word[1:]} agreement on {n} shared texts (the 95 % interval in words of Landis and Koch, 1977)."


def _interval(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    return (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))) if len(values) else (float("nan"), float("nan"))


def bootstrap_mean(values: np.ndarray, seed: int = 0, draws: int = 1000) -> tuple[float, float, float]:
    """Mean and its 95 % interval; no interval (NaN) for a single value."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return (float(values.mean()) if len(values) else float("nan"), float("nan"), float("nan"))
    n = len(values)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return (float(values.mean()), *_interval(weights @ values / n))


def self_agreement(answers: Frame, scale: str) -> Frame:
    """One row a rater: how the answer to a repeated item compares with the first answer to it."""
    chosen = answers[(answers["scale"] == scale) & answers["value"].notna()]
    keys = ["run", "sample_id", "rater"]
    first = chosen[~chosen["repeat"]].sort_values("t").drop_duplicates(keys, keep="last")
    again = chosen[chosen["repeat"]].sort_values("t").drop_duplicates(keys, keep="last")
    both = again.merge(first, on=keys, suffixes=("_again", "_first"))
    rows = []
    for rater, own in both.groupby("rater"):
        gap = (own["value_again"] - own["value_first"]).abs()
        enough = len(own) >= ENOUGH
        kappa = quadratic_kappa(own["value_first"].to_numpy(), own["value_again"].to_numpy()) if enough else float("nan")
        rows.append(
            {
                "rater": rater,
                "repeats": len(own),
                "same %": 100 * float((gap == 0).mean()),
                "within one %": 100 * float((gap <= 1).mean()),
                "kappa": kappa,
            }
        )
    return pd.DataFrame(rows, columns=["rater", "repeats", "same %", "within one %", "kappa"])


def controls(answers: Frame, scale: str) -> Frame:
    """One row a rater: mean answer on real texts and on generated ones, with intervals. Equal: the question tells them not apart."""
    chosen = answers[(answers["scale"] == scale) & answers["value"].notna() & ~answers["repeat"]]
    rows = []
    for rater, own in chosen.groupby("rater"):
        real, generated = own[own["control"]]["value"].to_numpy(), own[~own["control"]]["value"].to_numpy()
        if len(real):
            mean, low, high = bootstrap_mean(real)
            rows.append(
                {
                    "rater": rater,
                    "controls": len(real),
                    "real": mean,
                    "low": low,
                    "high": high,
                    "generated": float(generated.mean()) if len(generated) else float("nan"),
                }
            )
    return pd.DataFrame(rows, columns=["rater", "controls", "real", "low", "high", "generated"])


def raters(answers: Frame, scale: str) -> Frame:
    """Coverage, agreement with oneself and answers to real texts in one table, one row a rater."""
    real = controls(answers, scale)
    spans = [f"{low:.2f} to {high:.2f}" if low == low else "" for low, high in zip(real["low"], real["high"], strict=True)]
    real = real.assign(interval=spans)[["rater", "real", "interval", "generated"]]
    own = self_agreement(answers, scale).drop(columns="repeats")
    merged = coverage(answers, scale).drop(columns="mean").merge(own, on="rater", how="left").merge(real, on="rater", how="left")
    names = {
        "same %": "same again %",
        "within one %": "within one %",
        "kappa": "kappa with oneself",
        "real": "mean on real",
        "generated": "mean on generated",
    }
    return merged.rename(columns={**names, "interval": "95 % on real"})


def pairs_of_raters(answers: Frame, scale: str) -> list[tuple[str, str]]:
    """Pairs of raters with a shared item, most shared first."""
    items = table(answers, scale)
    counted = [(int((items[a].notna() & items[b].notna()).sum()), a, b) for a, b in combinations(items.columns, 2)]
    return [(a, b) for n, a, b in sorted(counted, key=lambda row: -row[0]) if n]


def confusion(answers: Frame, scale: str, first: str, second: str) -> Frame:
    """Counts [5, 5] of the answers of two raters to the same items; rows: first rater."""
    both = table(answers, scale)[[first, second]].dropna()
    counts = joint_counts(both[first].to_numpy(), both[second].to_numpy()) if len(both) else np.zeros((5, 5))
    return pd.DataFrame(counts.astype(int), index=pd.Index(LEVELS, name=first), columns=pd.Index(LEVELS, name=second))


def confusion_figure(counts: Frame, dark: bool = False) -> go.Figure:
    """The confusion of two raters as a heatmap with the counts in the cells."""
    color = task_color(0, dark)
    figure = go.Figure(
        go.Heatmap(
            z=counts.to_numpy(),
            x=[str(level) for level in counts.columns],
            y=[str(level) for level in counts.index],
            text=counts.to_numpy(),
            texttemplate="%{text}",
            colorscale=[[0, faded(color, 0.05)], [1, faded(color, 0.9)]],
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y} and %{x}: %{z} items<extra></extra>",
        )
    )
    figure.update_xaxes(title=in_figure(str(counts.columns.name), 30), type="category", showgrid=False, constrain="domain")
    figure.update_yaxes(title=in_figure(str(counts.index.name), 30), type="category", showgrid=False, scaleanchor="x", constrain="domain")
    return dress(figure, dark, height=320, margin={"t": 10})


def disagreements(answers: Frame, scale: str) -> Frame:
    """Shared items, widest disagreement first: run, sample_id, spread (largest minus smallest answer), one column a rater."""
    items = shared(table(answers, scale))
    if items.empty:
        return pd.DataFrame(columns=["run", "sample_id", "spread"])
    spread = (items.max(axis=1) - items.min(axis=1)).rename("spread")
    rows: Frame = pd.concat([spread, items], axis=1)
    return rows[rows["spread"] > 0].sort_values("spread", ascending=False, kind="stable").reset_index()


def sample_means(answers: Frame, scale: str, samples: Frame) -> Frame:
    """One row a rated sample: its mean answer over raters beside its row of `samples` (which has run, sample_id and more)."""
    items = table(answers, scale)
    means = pd.DataFrame({"rating": items.mean(axis=1), "raters": items.notna().sum(axis=1)}).reset_index()
    return means.merge(samples, on=["run", "sample_id"], how="inner")


def mean_rating(means: Frame, by: list[str]) -> Frame:
    """Mean rating with its interval over samples, by any columns of `sample_means`."""
    rows = []
    for key, own in means.groupby(by, dropna=False):
        mean, low, high = bootstrap_mean(own["rating"].to_numpy())
        rows.append(
            {
                **dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True)),
                "samples": len(own),
                "mean": mean,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows, columns=[*by, "samples", "mean", "low", "high"])


class Correlation(NamedTuple):
    """Spearman's rho with its bootstrap interval over samples; NaN where `sentence` says why."""

    rho: float
    low: float
    high: float
    n: int
    sentence: str


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation with ties at mean ranks; NaN where one side is constant."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (x, y)]
    spread = [values.std() for values in ranks]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if min(spread) > 0 else float("nan")


def correlation(means: Frame, column: str, seed: int = 0, draws: int = 500) -> Correlation:
    """Does `column` (energy, similarity) predict the mean rating of a sample?"""
    known = means[["rating", column]].dropna().to_numpy(dtype=float) if column in means else np.empty((0, 2))
    n = len(known)
    if n < ENOUGH:
        return Correlation(NAN, NAN, NAN, n, f"{n} rated samples have a value of {column}: {TOO_FEW} ({ENOUGH} are needed).")
    rho, generator = spearman(known[:, 0], known[:, 1]), np.random.default_rng(seed)
    drawn = [known[generator.integers(0, n, n)] for _ in range(draws)]
    low, high = _interval(np.array([spearman(rows[:, 0], rows[:, 1]) for rows in drawn]))
    if not np.isfinite(rho):
        return Correlation(rho, low, high, n, f"All ratings or all values of {column} are the same: no correlation is defined.")
    if low <= 0 <= high:
        return Correlation(rho, low, high, n, f"No relation of {column} and rating can be told from chance on these {n} samples.")
    return Correlation(rho, low, high, n, f"Higher {column} goes with {'higher' if rho > 0 else 'lower'} ratings, on {n} samples.")


def against_figure(means: Frame, column: str, tasks: list[str], dark: bool = False) -> go.Figure:
    """Mean rating of each sample against its energy or similarity, coloured by task; points are spread a little so that ties show."""
    figure, jitter, colors = go.Figure(), np.random.default_rng(0), task_colors(tasks, dark)
    known = means.dropna(subset=[column, "rating"])
    for task in [name for name in tasks if name in set(known["task"])] + sorted(set(known["task"]) - set(tasks)):
        own = known[known["task"] == task]
        figure.add_scatter(
            x=own[column].to_numpy(),
            y=own["rating"].to_numpy() + jitter.uniform(-0.08, 0.08, len(own)),
            mode="markers",
            name=in_figure(str(task), 30),
            marker={"color": colors.get(str(task), MUTED[dark]), "size": 7, "opacity": 0.75},
            customdata=own["sample_id"].to_numpy(),
            text=[in_figure(text, 90) for text in own["text"]],
            hovertemplate="%{text}<br>" + column + " %{x:.3g}<extra></extra>",
        )
    figure.update_layout(xaxis_title=column, yaxis={"title": "mean rating", "range": [0.8, 5.2], "dtick": 1})
    return dress(figure, dark, height=340, margin={"t": 36})


def means_figure(rows: Frame, by: str, tasks: list[str], dark: bool = False) -> go.Figure:
    """Mean ratings with intervals by run or task; by iteration (rows with a task column) a line a task."""
    figure, colors = go.Figure(), task_colors(tasks, dark)
    for task, own in rows.groupby("task") if by == "iteration" else [("", rows)]:
        own = own.sort_values("iteration") if by == "iteration" else own
        error = {
            "type": "data",
            "array": (own["high"] - own["mean"]).fillna(0),
            "arrayminus": (own["mean"] - own["low"]).fillna(0),
            "thickness": 1.2,
        }
        one = colors.get(str(task), task_color(0, dark))
        figure.add_scatter(
            x=own["iteration"].to_numpy() if by == "iteration" else [in_figure(str(value), 28) for value in own[by]],
            y=own["mean"].to_numpy(),
            error_y=error,
            mode="lines+markers" if by == "iteration" else "markers",
            name=in_figure(str(task), 30),
            marker={"color": [colors.get(str(value), one) for value in own[by]] if by == "task" else one, "size": 9},
            line={"color": one, "width": 1.5},
            showlegend=by == "iteration",
            customdata=own["samples"].to_numpy(),
            hovertemplate="%{y:.2f} (%{customdata} samples)<extra></extra>",
        )
    figure.update_layout(xaxis_title=by, yaxis={"title": "mean rating", "range": [0.8, 5.2], "dtick": 1})
    return dress(figure, dark, height=300, margin={"t": 36})
