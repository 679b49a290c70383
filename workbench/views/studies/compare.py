"""Two to twenty runs side by side: curves by group, final numbers, what differs in the configs, paired differences.

Runs whose configuration differs by the seed alone (equal group_hash) form a group. A missing task is a gap, never a zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.views import timeline
from workbench.views.scores.curves import evaluated, mean_score
from workbench.views.scores.measures import FORCED, GENERATED, NAMES
from workbench.views.style import DASHES, INK, MUTED, TOL_MUTED, TOL_MUTED_DARK, dress, empty, faded
from workbench.views.text import in_figure
from workbench.views.timeline import Frame

MOST = 20
METRICS: dict[str, tuple[str, int]] = {
    "average_score": ("average answer score at the end", 1),
    "forgetting": ("forgetting", -1),
    "backward_transfer": ("backward transfer", 1),
    "min_acc": ("min-ACC, teacher-forced", 1),
    "wc_acc": ("WC-ACC, teacher-forced", 1),
    "seconds": ("seconds", -1),
}
"""Numbers of summary.json: (name, 1 where higher is better and -1 where lower is)."""
BY_MEASURE = {GENERATED: ("average_score", "forgetting", "backward_transfer"), FORCED: ("min_acc", "wc_acc")}
"""Which of them are of which score: one figure has those of one only."""

BY = {"config": "configuration without the seed", "method": "method", "run": "each run by itself"}


@dataclass(frozen=True)
class Group:
    """Runs that are drawn as one line. `label` is made from what differs."""

    key: str
    label: str
    runs: list[Any] = field(default_factory=list)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config as {dotted key: value}."""
    rows: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            rows.update(flat(value, f"{prefix}{name}."))
        else:
            rows[f"{prefix}{name}"] = value
    return rows


def method_of(run: Any) -> str:
    return run.info.label or str(run.config.get("method", "")) or run.name


def group(runs: Sequence[Any], by: str = "config") -> list[Group]:
    """The groups of the runs, in the order in which they first appear; labels are told apart by the keys that differ."""
    made: dict[str, Group] = {}
    for run in runs:
        key = {"method": method_of(run), "run": run.name}.get(by) or run.info.group_hash or run.name
        made.setdefault(key, Group(key, run.name if by == "run" else method_of(run))).runs.append(run)
    groups = list(made.values())
    configs = {one.key: flat(one.runs[0].config) for one in groups}
    labels: dict[str, str] = {}
    for one in groups:
        alike = [configs[other.key] for other in groups if other.label == one.label and configs[other.key]]
        labels[one.key] = f"{one.label} {_difference(configs[one.key], alike)}".strip() if len(alike) > 1 else one.label
    # Two lines of one name could not be told apart, and figures that go by the name would make one of them.
    named = list(labels.values())
    return [
        Group(one.key, labels[one.key] if named.count(labels[one.key]) == 1 else f"{labels[one.key]} {one.key[:6]}", one.runs)
        for one in groups
    ]


def _difference(config: dict[str, Any], others: list[dict[str, Any]], most: int = 2) -> str:
    """What this config has that most of the others have not; of keys without a value that most share, the value."""
    told = []
    for key in config:
        values = [repr(other.get(key)) for other in others]
        if key not in SEED_KEYS and len(set(values)) > 1 and 2 * values.count(repr(config[key])) <= len(values):
            told.append(f"{key.rsplit('.', 1)[-1]}={config[key]}")
    return ", ".join(told[:most])


SEED_KEYS = ("seed", "device", "data", "name")


def colors_of(groups: Sequence[Group], dark: bool = False) -> dict[str, str]:
    palette = TOL_MUTED_DARK if dark else TOL_MUTED
    return {one.key: palette[at % len(palette)] for at, one in enumerate(groups)}


def score_curve(run: Any, task: str = "", measure: str = "score") -> Frame:
    """iteration, value of one task, or the mean over the tasks that count (`mean_score`)."""
    return timeline.remembered(run, f"score curve {task} {measure}", ("eval",), lambda: _score_curve(run, task, measure))


def _score_curve(run: Any, task: str, measure: str) -> Frame:
    if not task:
        return mean_score(run, column=measure)[["iteration", measure]].rename(columns={measure: "value"})
    rows = evaluated(run)
    own = rows[rows["eval_task"] == task].dropna(subset=[measure])
    return pd.DataFrame({"iteration": own["iteration"].to_numpy(dtype=int), "value": own[measure].to_numpy(dtype=float)})


@dataclass(frozen=True)
class Curves:
    """Per group: the grid, each run's values on it, and where all were cut. `sentence` says what was left out.

    x of the rows: the iteration, or, where `tasks` are named, tasks and share of a task: 2.5 is the middle of the third.
    """

    rows: Frame  # group, run, iteration, value, x
    cut_at: int | None
    sentence: str
    tasks: tuple[str, ...] = ()


def by_share(run: Any, iterations: Any) -> np.ndarray:
    """Where iterations lie in tasks and shares of them, each task one wide: runs of different lengths lie over each other.

    A run that learns all its tasks at once is one long stretch over them.
    """
    ends = list(timeline.ends(run).values())
    at = np.asarray(iterations, dtype=np.float64)
    if not ends:
        return at / max(timeline.last_iteration(run), 1) * max(len(run.info.tasks), 1)
    return np.interp(at, [0.0, *ends], np.arange(len(ends) + 1, dtype=np.float64))


def aligned(groups: Sequence[Group], task: str = "", measure: str = "score") -> Curves:
    """Score curves of every run, whole, over tasks and shares of a task."""
    found = curves(groups, task, measure, full=True)
    runs = {run.name: run for one in groups for run in one.runs}
    parts = [rows.assign(x=by_share(runs[str(name)], rows["iteration"])) for name, rows in found.rows.groupby("run", sort=False)]
    orders = {tuple(run.info.tasks) for run in runs.values()}
    longest = max(orders, key=len, default=())
    named = longest if len(orders) == 1 else tuple(f"task {number}" for number in range(1, len(longest) + 1))
    words = [] if len(orders) < 2 else ["The runs learn different tasks, or in different orders: what lies over each other is their place."]
    lacking = found.sentence[found.sentence.index("Gap:") :] if "Gap:" in found.sentence else ""
    rows = pd.concat(parts, ignore_index=True) if parts else found.rows.assign(x=[])
    return Curves(rows, None, " ".join([*words, lacking]).strip() if parts else found.sentence, named)


def curves(groups: Sequence[Group], task: str = "", measure: str = "score", full: bool = False) -> Curves:
    """Score curves of every run by iteration, cut at the shortest of them unless `full`."""
    frames, lacking = [], []
    for one in groups:
        for run in one.runs:
            rows = score_curve(run, task, measure)
            if rows.empty:
                lacking.append(run.name)
            else:
                frames.append(rows.assign(group=one.key, run=run.name))
    if not frames:
        return Curves(pd.DataFrame(columns=["group", "run", "iteration", "value", "x"]), None, "None of these runs has this measurement.")
    ends = [int(rows["iteration"].max()) for rows in frames]
    cut_at = None if full or min(ends) == max(ends) else min(ends)
    rows = pd.concat(frames, ignore_index=True).assign(x=lambda every: every["iteration"].astype(float))
    rows = rows[rows["iteration"] <= cut_at] if cut_at is not None else rows
    words = [f"Cut at iteration {cut_at:,}, where the shortest run ends (the longest has {max(ends):,})."] if cut_at is not None else []
    if full and min(ends) < max(ends):
        words.append(
            f"Runs have different lengths ({min(ends):,} to {max(ends):,} iterations): beyond the shortest, means are over fewer runs."
        )
    if lacking:
        words.append(f"Gap: {', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no such measurement.")
    return Curves(rows, cut_at, " ".join(words))


def band(rows: Frame, at: str = "iteration") -> Frame:
    """Mean, lowest and highest over the runs of one group, on all their places: `at` (iteration, or x), mean, low, high, n.

    Runs evaluated elsewhere are joined to the grid by straight lines within their own range.
    """
    grid = np.unique(rows[at].to_numpy())
    values = []
    for _, own in rows.groupby("run"):
        own = own.sort_values("iteration")
        values.append(np.interp(grid, own[at], own["value"], left=np.nan, right=np.nan))
    stacked = np.array(values)
    n = np.isfinite(stacked).sum(axis=0)
    return pd.DataFrame(
        {
            at: grid,
            "mean": np.nanmean(stacked, axis=0),
            "low": np.nanmin(stacked, axis=0),
            "high": np.nanmax(stacked, axis=0),
            "n": n,
        }
    )


def curves_figure(groups: Sequence[Group], found: Curves, title: str = f"mean {NAMES[FORCED]}", dark: bool = False) -> go.Figure:
    """A line a group (mean), a band from the lowest to the highest seed, each run a faint line with its name on hover."""
    if found.rows.empty:
        return empty(found.sentence, dark)
    figure, colors = go.Figure(), colors_of(groups, dark)
    for at, one in enumerate(groups):
        rows = found.rows[found.rows["group"] == one.key]
        if rows.empty:
            continue
        color, mean, several = colors[one.key], band(rows, "x"), rows["run"].nunique() > 1
        if several:
            x = np.concatenate([mean["x"], mean["x"][::-1]])
            y = np.concatenate([mean["high"], mean["low"][::-1]])
            figure.add_scatter(
                x=x,
                y=y,
                fill="toself",
                fillcolor=faded(color, 0.16),
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=one.key,
                showlegend=False,
            )
            for name, own in rows.groupby("run"):
                own = own.sort_values("iteration")
                label = in_figure(str(name), 48)
                figure.add_scatter(
                    x=own["x"].to_numpy(),
                    y=own["value"].to_numpy(),
                    mode="lines",
                    line={"color": faded(color, 0.35), "width": 1},
                    name=label,
                    legendgroup=one.key,
                    showlegend=False,
                    hovertemplate=f"{label}: %{{y:.2f}}<extra></extra>",
                )
        figure.add_scatter(
            x=mean["x"].to_numpy(),
            y=mean["mean"].to_numpy(),
            mode="lines",
            name=f"{in_figure(one.label, 48)} (n = {rows['run'].nunique()})",
            legendgroup=one.key,
            line={"color": color, "width": 2.5, "dash": DASHES[(at // 8) % len(DASHES)]},
            customdata=mean["n"].to_numpy(),
            hovertemplate=f"mean %{{y:.2f}} of %{{customdata}} runs at {'task and share %{x:.2f}' if found.tasks else '%{x:,}'}<extra></extra>",
        )
    figure.update_layout(xaxis_title="share of each task" if found.tasks else "iteration", yaxis_title=title, hovermode="closest")
    if found.tasks:
        names = [in_figure(name, 18) for name in found.tasks]
        figure.update_xaxes(tickvals=np.arange(len(names)) + 0.5, ticktext=names, showgrid=False, ticks="")
        edges = [{"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "y domain"} for at in range(len(names) + 1)]
        figure.update_layout(
            shapes=[edge | {"line": {"color": MUTED[dark], "width": 1, "dash": "dot"}, "layer": "below"} for edge in edges]
        )
    return dress(figure, dark, height=420)


def finals(groups: Sequence[Group], metric: str = "average_score") -> Frame:
    """One row a run: group, label, run, seed, value of the summary (NaN where it is missing)."""
    rows = [
        {"group": one.key, "label": one.label, "run": run.name, "seed": run.info.seed, "value": value_of(run, metric)}
        for one in groups
        for run in one.runs
    ]
    return pd.DataFrame(rows, columns=["group", "label", "run", "seed", "value"])


def value_of(run: Any, metric: str) -> float:
    """A number of summary.json; 'score:TASK' is one task's score at the end. NaN where it is missing."""
    summary = run.summary
    value = summary.scores.get(metric.removeprefix("score:")) if metric.startswith("score:") else getattr(summary, metric, None)
    return float("nan") if value is None else float(value)


def bars_figure(groups: Sequence[Group], metrics: Sequence[str], dark: bool = False) -> go.Figure:
    """Mean of each final number by group as a bar, each seed a dot. Missing numbers are gaps."""
    figure, colors = go.Figure(), colors_of(groups, dark)
    names = [metric_name(metric) for metric in metrics]
    anything = False
    for at, one in enumerate(groups):
        values = [np.array([value_of(run, metric) for run in one.runs]) for metric in metrics]
        means = [float(np.nanmean(own)) if np.isfinite(own).any() else None for own in values]
        anything = anything or any(mean is not None for mean in means)
        figure.add_bar(
            x=names,
            y=means,
            name=in_figure(one.label, 48),
            legendgroup=one.key,
            offsetgroup=str(at),
            marker={"color": faded(colors[one.key], 0.55), "line": {"color": colors[one.key], "width": 1}},
            hovertemplate="%{x}: %{y:.2f}<extra></extra>",
        )
        width = 0.8 / len(groups)
        offset = -0.4 + width * (at + 0.5)
        for place, own in enumerate(values):
            spread = np.linspace(-0.22, 0.22, len(own)) * width if len(own) > 1 else np.zeros(1)
            figure.add_scatter(
                x=place + offset + spread,
                y=own,
                mode="markers",
                xaxis="x2",
                legendgroup=one.key,
                showlegend=False,
                name="",
                marker={"color": colors[one.key], "size": 7, "line": {"color": INK[dark], "width": 0.6}},
                text=[in_figure(run.name, 60) for run in one.runs],
                hovertemplate="%{text}: %{y:.2f}<extra></extra>",
            )
    if not anything:
        return empty("None of these runs has final numbers yet.", dark)
    edges = [-0.5, len(names) - 0.5]
    figure.update_layout(
        barmode="group",
        bargap=0.2,
        bargroupgap=0.06,
        xaxis={"range": edges},
        yaxis={"zeroline": True, "zerolinecolor": MUTED[dark]},
        xaxis2={"overlaying": "x", "range": edges, "visible": False, "matches": None},
    )
    return dress(figure, dark, height=380)


def metric_name(metric: str) -> str:
    return f"{in_figure(metric.removeprefix('score:'), 24)} answer score" if metric.startswith("score:") else METRICS[metric][0]


def differences(groups: Sequence[Group], pattern: str = "", only: bool = True) -> tuple[Frame, str]:
    """Config keys by group (values joined where seeds differ), and a sentence where the pattern is no regular expression.

    only: leave out keys with one value everywhere. Columns: key, then a column a group label.
    """
    configs = [[flat(run.config) for run in one.runs] for one in groups]
    keys = sorted({key for group_configs in configs for config in group_configs for key in config})
    sentence = ""
    if pattern:
        try:
            found = re.compile(pattern[:200], re.IGNORECASE)
            keys = [key for key in keys if found.search(key)]
        except re.error as error:
            sentence = f"The filter is no regular expression ({error}); it is not applied."
    rows = []
    for key in keys:
        cells = [", ".join(dict.fromkeys(_written(config.get(key)) for config in own)) for own in configs]
        if not only or len(set(cells)) > 1:
            rows.append({"key": key, **{one.label: cell for one, cell in zip(groups, cells, strict=True)}})
    return pd.DataFrame(rows, columns=["key", *dict.fromkeys(one.label for one in groups)]), sentence


def _written(value: Any) -> str:
    return "—" if value is None else str(value)


def texts(runs: Sequence[Any], task: str, iteration: int, n: int = 6, kept_only: bool = True) -> dict[str, Frame]:
    """For each run, the first n texts of a task at its draw nearest to the iteration; an empty frame where there is none."""
    found = {}
    for run in runs:
        rows = run.table("samples")
        rows = rows[(rows["task"] == task) & (rows["kept"].fillna(False).astype(bool) | (not kept_only))] if len(rows) else rows
        if len(rows):
            at = rows["iteration"].unique()
            rows = rows[rows["iteration"] == at[np.argmin(np.abs(at - iteration))]]
        found[run.name] = rows.head(n)
    return found
