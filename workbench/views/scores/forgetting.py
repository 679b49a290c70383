"""Forgetting by iteration: one panel a task, the best so far and the drop from it, what was done at that moment beneath.

from workbench.runs.reader import Run
from workbench.views.scores import forgetting
forgetting.figure(Run("runs/NAME"))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import ndtri

from workbench.views import style, timeline
from workbench.views.scores import measures
from workbench.views.scores.curves import MARKERS, SPAN_LABELS, axis_values, bands, evaluated, shorten, starts_of
from workbench.views.timeline import Frame

Metric = Literal["score", "loss", "forgetting"]
Lines = Literal["raw", "smoothed", "both"]
Span = Literal["iteration", "epoch", "time"]

LABELS = {
    "score": measures.NAMES[measures.FORCED],
    "loss": "loss, nats a token",
    "forgetting": f"{measures.NAMES[measures.FORCED]}, points below the best so far",
}
BENEATH = {"lr": "learning rate", "replay_share": "replay share", "grad_cosine": "gradient cosine"}


def curves(run: Any, kind: str = "teacher_forced") -> Frame:
    """One row an evaluation: eval_task, iteration, trained_task, score, loss, best (so far), forgetting, noise.

    best and forgetting are NaN before the task's own training begins: nothing can be forgotten that was not learnt.
    noise: the drop in points that one in twenty models which lost nothing would show here (`drop_of_noise`).
    """
    return timeline.remembered(run, f"curves {kind}", ("eval",), lambda: _curves(run, kind))


def _curves(run: Any, kind: str) -> Frame:
    frame = evaluated(run, kind)
    starts = starts_of(timeline.ends(run))
    pieces = []
    for task, rows in frame.groupby("eval_task", sort=False, observed=True):
        begun = rows["iteration"] > starts.get(str(task), np.inf)
        best = rows["score"].where(begun).cummax()
        noise = drop_of_noise(best, rows["score"], rows["n"], begun.cumsum())
        pieces.append(rows.assign(best=best, forgetting=best - rows["score"], noise=noise))
    return pd.concat(pieces, ignore_index=True) if pieces else frame.assign(best=np.nan, forgetting=np.nan, noise=np.nan)


def drop_of_noise(best: Any, score: Any, n: Any, seen: Any, level: float = 0.05) -> Any:
    """Points by which a score of n items falls below the best of the `seen` evaluations so far by chance alone, at most once in 1 / level.

    The best of many noisy scores is high by luck: the level is shared among all of them (Bonferroni). Items are taken to be drawn anew,
    which makes the bound wide where they are always the same.
    """
    count = np.asarray(n, np.float64)
    shares = [(np.asarray(values, np.float64) / 100 * count + 1) / (count + 2) for values in (best, score)]
    error = np.sqrt(sum(share * (1 - share) for share in shares) / np.maximum(count, 1))
    return 100 * ndtri(1 - level / np.maximum(np.asarray(seen, np.float64), 1)) * error


def seed_band(runs: Sequence[Any], column: str = "score") -> Frame:
    """Lowest, mean and highest value over runs that differ by seed, where all were evaluated: eval_task, iteration, low, mean, high."""
    frames = [curves(run)[["eval_task", "iteration", column]] for run in runs]
    together = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if together.empty:
        return pd.DataFrame(columns=["eval_task", "iteration", "low", "mean", "high"])
    groups = together.groupby(["eval_task", "iteration"], sort=True, observed=True)[column]
    band = pd.DataFrame({"low": groups.min(), "mean": groups.mean(), "high": groups.max(), "seeds": groups.count()}).reset_index()
    return band[band["seeds"] == len(runs)]


@dataclass(frozen=True)
class _Panel:
    """Where one row of the figure lies and how its numbers become positions. number: 1-based; domain: share of the height."""

    number: int
    domain: tuple[float, float]
    run: Any
    span: Span
    shift: float = 0.0

    @property
    def suffix(self) -> str:
        return "" if self.number == 1 else str(self.number)

    @property
    def axes(self) -> dict[str, str]:
        return {"xaxis": f"x{self.suffix}", "yaxis": f"y{self.suffix}"}

    def at(self, iterations: np.ndarray) -> np.ndarray:
        return axis_values(self.run, iterations, self.span) - self.shift

    def at_one(self, iteration: float) -> float:
        return float(self.at(np.array([iteration], dtype=np.float64))[0])

    def bands(self, ends: dict[str, int], names: list[str], dark: bool, label: bool) -> tuple[list[dict], list[dict]]:
        return bands(ends, names, f"y{self.suffix} domain", dark, position=self.at_one, xref=f"x{self.suffix}", label=label)

    def note(self, text: str, color: str, **where: Any) -> dict[str, Any]:
        return {
            "text": text,
            "xref": "paper",
            "yref": f"y{self.suffix} domain",
            "showarrow": False,
            "font": {"size": 13, "color": color},
            **where,
        }


def figure(
    run: Any,
    *,
    metric: Metric = "score",
    lines: Lines = "both",
    smoothing: float = 0.6,
    span: Span = "iteration",
    align: bool = False,
    seeds: Sequence[Any] = (),
    window: tuple[float, float] | None = None,
    task: str = "",
    dark: bool = False,
) -> go.Figure:
    """Small multiples, a panel a task, with the same axes; learning rate, replay share and gradient cosine aligned beneath.

    smoothing acts on all rows before thinning. align puts each task's own start at 0 (and leaves out the rows beneath).
    seeds: further runs that differ by seed alone, drawn as a band. window: iterations shown. task: the cursor's, in bold.
    The customdata of every point begins with [iteration, task]. Diamonds on the scores: answer scores at task ends, all test items.
    """
    every = timeline.tasks(run)
    each = timeline.remembered(run, "curves by task", ("eval",), lambda: _by_task(curves(run)))
    names = [name for name in every if name in each]
    if not names:
        return style.empty("Nothing was evaluated yet", dark)
    ends = timeline.ends(run)
    starts, points = starts_of(ends), max(300, 2400 // len(names))
    beneath = [] if align else [column for column in BENEATH if _has(run, column)]
    height = 150 if len(names) <= 4 else 120 if len(names) <= 8 else 96
    domains, total = _domains([height] * len(names) + [84] * len(beneath))
    band = _bands([run, *seeds], metric) if seeds else {}
    # Plain dicts, made into a figure once at the end: several times faster than plotly's own subplots.
    traces, shapes, notes, axes = [], [], [], {}
    same = _y_axis(metric, list(each.values()))
    for number, name in enumerate(names, start=1):
        shift = float(axis_values(run, np.array([starts.get(name, 0)]), span)[0]) if align else 0.0
        panel, index = _Panel(number, domains[number - 1], run, span, shift), every.index(name)
        if name in band:
            traces += _band_traces(band[name], panel, index, dark, len(seeds) + 1)
        traces += _task_traces(each[name], name, metric, lines, smoothing, panel, index, points, dark)
        if metric == "score":
            traces += _answer_marks(run, name, panel, index, dark)
        label = shorten(name, 13)
        text = f"<b>{label}</b>" if name == task else label
        notes.append(panel.note(text, style.task_color(index, dark), x=1.0, xanchor="left", xshift=8, y=0.5, yanchor="middle"))
        more, labels = panel.bands(ends, every, dark, number == 1 and not align)
        shapes, notes = shapes + more, notes + labels
        axes[f"yaxis{panel.suffix}"] = {"domain": panel.domain, "anchor": panel.axes["xaxis"], **same}
    for number, column in enumerate(beneath, start=len(names) + 1):
        panel = _Panel(number, domains[number - 1], run, span)
        traces.append(_beneath_trace(run, column, panel, points, dark))
        shapes += panel.bands(ends, every, dark, False)[0]
        notes.append(panel.note(BENEATH[column], style.MUTED[dark], x=0, xanchor="left", xshift=4, y=1, yanchor="bottom"))
        signed = {"range": [-1.05, 1.05], "tickvals": [-1, 0, 1], "zeroline": True, "zerolinecolor": style.MUTED[dark]}
        scale = signed if column == "grad_cosine" else {"rangemode": "tozero", "nticks": 3}
        axes[f"yaxis{panel.suffix}"] = {"domain": panel.domain, "anchor": panel.axes["xaxis"], **scale}
    axes |= _x_axes(run, len(domains), span, align, window)
    middle = 1 - sum(height for _ in names) / total / 2
    notes.append(
        {"text": LABELS[metric], "xref": "paper", "yref": "paper", "x": 0, "xshift": -48, "y": middle, "textangle": -90, "showarrow": False}
        | {"font": {"size": 13, "color": style.MUTED[dark]}}
    )
    layout = {"height": total + 86, "margin": {"t": 30, "l": 66, "b": 56, "r": 96}, "hovermode": "closest", "showlegend": False}
    return style.dress(go.Figure({"data": traces, "layout": {**layout, **axes, "shapes": shapes, "annotations": notes}}), dark)


def place(run: Any, iteration: int, span: Span) -> float:
    """Where an iteration lies on the x axis of `figure`."""
    return float(axis_values(run, np.array([iteration], dtype=np.float64), span)[0])


def _has(run: Any, column: str) -> bool:
    metrics = run.table("metrics")
    return column in metrics and bool(metrics[column].notna().any())


def _domains(heights: list[int], gap: int = 30) -> tuple[list[tuple[float, float]], int]:
    """Shares of the height of each row, from the top, and the height in pixels."""
    total = sum(heights) + gap * (len(heights) - 1)
    domains, top = [], total
    for height in heights:
        domains.append((max((top - height) / total, 0.0), top / total))
        top -= height + gap
    return domains, total


def _x_axes(run: Any, rows: int, span: Span, align: bool, window: tuple[float, float] | None) -> dict[str, Any]:
    """One x axis a row, moving together; only the last has its numbers."""
    last = f"x{rows}" if rows > 1 else "x"
    label = "iterations since the task began" if align and span == "iteration" else SPAN_LABELS[span]
    axes: dict[str, Any] = {}
    for number in range(1, rows + 1):
        suffix = "" if number == 1 else str(number)
        axis: dict[str, Any] = {"anchor": f"y{suffix}", "domain": [0, 1]}
        axis |= {"title": {"text": label}} if number == rows else {"matches": last, "showticklabels": False, "ticks": ""}
        if window is not None and not align:
            axis["range"] = [float(value) for value in axis_values(run, np.array(window), span)]
        axes[f"xaxis{suffix}"] = axis
    return axes


def _bands(runs: Sequence[Any], column: str) -> dict[str, Frame]:
    state = [(run.name, len(run.table("eval"))) for run in runs]
    return timeline.remembered(runs[0], f"band {column} {state}", ("eval",), lambda: _by_task(seed_band(runs, column)))


def _by_task(frame: Frame) -> dict[str, Frame]:
    return {str(task): rows for task, rows in frame.groupby("eval_task", sort=False, observed=True)}


def _y_axis(metric: Metric, frames: list[Frame]) -> dict[str, Any]:
    if metric == "score":
        return {"range": [-4, 104], "tickvals": [0, 50, 100]}
    values = np.concatenate([frame[metric].to_numpy(np.float64) for frame in frames])
    top, low = float(np.nanmax(values, initial=1.0)), float(np.nanmin(values, initial=0.0))
    return {"range": [min(low, 0.0) - 0.04 * top, top * 1.06], "nticks": 4}


def _band_traces(band: Frame, panel: _Panel, index: int, dark: bool, seeds: int) -> list[dict]:
    if band.empty:
        return []
    part = band.iloc[style.thin(band["iteration"], band["high"] - band["low"], 600)]
    shared = {"type": "scatter", "x": panel.at(part["iteration"].to_numpy(np.float64)), "mode": "lines", "line": {"width": 0}, **panel.axes}
    color = style.faded(style.task_color(index, dark), 0.22)
    hover = f"{seeds} seeds: %{{y:.1f}} to %{{customdata[0]:.1f}}, mean %{{customdata[1]:.1f}}<extra></extra>"
    return [
        {**shared, "y": part["high"].to_numpy(), "hoverinfo": "skip"},
        {**shared, "y": part["low"].to_numpy(), "fill": "tonexty", "fillcolor": color, "hovertemplate": hover}
        | {"customdata": part[["high", "mean"]].to_numpy()},
    ]


def _task_traces(
    rows: Frame,
    name: str,
    metric: Metric,
    lines: Lines,
    smoothing: float,
    panel: _Panel,
    index: int,
    points: int,
    dark: bool,
) -> list[dict]:
    color = style.task_color(index, dark)
    iterations, values = rows["iteration"].to_numpy(np.float64), rows[metric].to_numpy(np.float64)
    kept = style.thin(iterations, values, points)
    x = panel.at(iterations[kept])
    shared, quiet = {"type": "scatter", **panel.axes}, {"hoverinfo": "skip", "mode": "lines"}
    traces: list[dict] = []
    if metric == "score" and lines != "smoothed":
        best = rows["best"].to_numpy(np.float64)[kept]
        floor = np.where(np.isfinite(best), values[kept], np.nan)
        traces.append({**shared, **quiet, "x": x, "y": best, "line": {"color": color, "width": 1.2, "dash": "dot"}})
        traces.append(
            {**shared, **quiet, "x": x, "y": floor, "line": {"width": 0}, "fill": "tonexty", "fillcolor": style.LOSS_OF_SCORE[dark]}
        )
    faint = lines == "both" and smoothing > 0
    if lines != "smoothed":
        marker = {"size": 4, "color": style.faded(color, 0.6) if faint else color}
        line = {"color": style.faded(color, 0.45) if faint else color, "width": 1.1 if faint else 1.8}
        traces.append({**shared, **quiet, "x": x, "y": values[kept], "line": line})
        shown = style.thin(iterations, values, MARKERS)
        traces.append(
            {**shared, "x": panel.at(iterations[shown]), "y": values[shown], "mode": "markers", "marker": marker}
            | {"customdata": _points(rows.iloc[shown], name), "hovertemplate": _hover(metric, name)}
            | {"selected": {"marker": {"size": 9}}, "unselected": {"marker": {"opacity": 0.5}}}
        )
    if lines == "smoothed" or faint:
        smoothed = style.smooth(values, smoothing)
        chosen = style.thin(iterations, smoothed, MARKERS if lines == "smoothed" else points)
        trace = {**shared, **quiet, "x": panel.at(iterations[chosen]), "y": smoothed[chosen], "line": {"color": color, "width": 2}}
        if lines == "smoothed":
            clickable = {"mode": "lines+markers", "marker": {"size": 4}, "customdata": _points(rows.iloc[chosen], name)}
            trace |= clickable | {"hoverinfo": "all", "hovertemplate": _hover(f"smoothed {metric}", name)}
        traces.append(trace)
    return traces


def answers_at_ends(run: Any) -> Frame:
    """Answer scores, the last of each iteration and task: eval_task, iteration, trained_task, score, n, low, high (95 %)."""
    return timeline.remembered(run, "answers at ends", ("eval",), lambda: _answers_at_ends(run))


def _answers_at_ends(run: Any) -> Frame:
    rows = run.table("eval")
    rows = rows[rows["kind"] == measures.GENERATED].drop_duplicates(["iteration", "eval_task"], keep="last")
    low, high = measures.interval(rows["score"], rows["n"].astype(float))
    return rows[["eval_task", "iteration", "trained_task", "score", "n"]].assign(low=low, high=high).reset_index(drop=True)


def _answer_marks(run: Any, name: str, panel: _Panel, index: int, dark: bool) -> list[dict]:
    """Diamonds with their intervals: another measure than the line, on the same 0 to 100."""
    found = answers_at_ends(run)
    rows = found[found["eval_task"] == name]
    if rows.empty:
        return []
    words = [
        f"{measures.NAMES[measures.GENERATED]} {score:.1f}"
        + (f" (95 %: {low:.1f} to {high:.1f}, n = {int(n):,})" if np.isfinite(low) else "")
        + (f"<br>after {shorten(str(trained), 30)}" if trained else "<br>before any training")
        for score, low, high, n, trained in rows[["score", "low", "high", "n", "trained_task"]]
        .fillna({"trained_task": ""})
        .itertuples(index=False)
    ]
    up, down = (rows["high"] - rows["score"]).fillna(0).clip(lower=0), (rows["score"] - rows["low"]).fillna(0).clip(lower=0)
    bars = {"type": "data", "symmetric": False, "array": up.to_numpy(), "arrayminus": down.to_numpy(), "thickness": 1.2, "width": 3}
    look = {"size": 9, "symbol": "diamond", "color": style.PAPER[dark], "line": {"width": 2, "color": style.task_color(index, dark)}}
    data = np.empty((len(rows), 2), dtype=object)
    data[:, 0], data[:, 1] = rows["iteration"].tolist(), name
    mark = {"type": "scatter", "mode": "markers", "x": panel.at(rows["iteration"].to_numpy(np.float64)), "y": rows["score"].to_numpy()}
    mark |= {"marker": look, "error_y": bars | {"color": style.task_color(index, dark)}, "customdata": data, "text": words}
    return [mark | {"hovertemplate": "%{text}<extra>" + shorten(name, 30) + "</extra>", "name": "answers", **panel.axes}]


def _points(rows: Frame, name: str) -> np.ndarray:
    """[iteration, task, what was being learnt, the drop in words] of every point drawn, [n, 4] of objects."""
    learning = [shorten(str(task), 30) or "nothing yet" for task in rows["trained_task"]]
    drops = [
        f", {drop:.1f} below the best so far{' (no more than noise may give)' if drop <= noise else ''}" if drop > 0 else ""
        for drop, noise in zip(rows["forgetting"].tolist(), rows["noise"].tolist(), strict=True)
    ]
    points = np.empty((len(rows), 4), dtype=object)
    points[:, 0], points[:, 1], points[:, 2], points[:, 3] = rows["iteration"].tolist(), name, learning, drops
    return points


def _hover(label: str, name: str) -> str:
    label = {"score": measures.NAMES[measures.FORCED], "smoothed score": f"smoothed {measures.NAMES[measures.FORCED]}"}.get(label, label)
    first = f"iteration %{{customdata[0]:,}}<br>{label} %{{y:.3~f}}%{{customdata[3]}}"
    return f"{first}<br>while learning %{{customdata[2]}}<extra>{shorten(name, 30)}</extra>"


def _beneath_trace(run: Any, column: str, panel: _Panel, points: int, dark: bool) -> dict:
    rows = run.table("metrics")[["iteration", column]].dropna()
    at, values = rows["iteration"].to_numpy(np.float64), rows[column].to_numpy(np.float64)
    kept = style.thin(at, values, min(points, 600))
    look = {
        "mode": "markers+lines" if column == "grad_cosine" else "lines",
        "marker": {"size": 4},
        "line": {"color": style.MUTED[dark], "width": 1.3},
    }
    hover = f"iteration %{{customdata:,}}<br>{BENEATH[column]} %{{y:.4~g}}<extra></extra>"
    return {
        "type": "scatter",
        "x": panel.at(at[kept]),
        "y": values[kept],
        "customdata": at[kept],
        "hovertemplate": hover,
        **look,
        **panel.axes,
    }
