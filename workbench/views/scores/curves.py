"""Curves by iteration: evaluated scores of each task, and what was logged at every step; frames first, then figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.runs import metrics
from workbench.views import style, timeline
from workbench.views.scores import measures
from workbench.views.timeline import Frame

SPAN_LABELS = {"iteration": "iteration", "epoch": "epoch", "time": "minutes since the start"}

MARKERS = 160
"""Points of a curve that are drawn as markers; a browser without a graphics card takes seconds to draw thousands."""


def evaluated(run: Any, kind: str = "teacher_forced") -> Frame:
    """Evaluations of one kind, a row an iteration and task, in order: iteration, trained_task, eval_task, score, loss, n.

    Falls back to the other kind where a run has none of this one.
    """
    return timeline.remembered(run, f"evaluated {kind}", ("eval",), lambda: _evaluated(run, kind))


def _evaluated(run: Any, kind: str) -> Frame:
    frame = run.table("eval")
    chosen = frame[frame["kind"] == kind]
    if chosen.empty:
        chosen = frame
    chosen = chosen.drop_duplicates(["iteration", "eval_task"], keep="last").sort_values(["eval_task", "iteration"], kind="stable")
    chosen = chosen[["iteration", "trained_task", "eval_task", "kind", "metric", "score", "loss", "n"]].reset_index(drop=True)
    # A few names over up to a million rows: as categories they take a tenth of the memory.
    names = ["trained_task", "eval_task", "kind", "metric"]
    return chosen.assign(**{name: chosen[name].fillna("").astype("category") for name in names})


def by_task(frame: Frame, column: str = "score") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(iterations, values) of each task of an `evaluated` frame, as `workbench.runs.metrics` takes them."""
    groups = frame.groupby("eval_task", sort=False, observed=True)
    return {str(task): (rows["iteration"].to_numpy(np.float64), rows[column].to_numpy(np.float64)) for task, rows in groups}


def starts_of(ends: dict[str, int]) -> dict[str, int]:
    """Last iteration before each task began: the end of the task before, 0 for the first."""
    starts, before = {}, 0
    for task, end in ends.items():
        starts[task], before = before, end
    return starts


def axis_values(run: Any, iterations: np.ndarray, by: str = "iteration") -> np.ndarray:
    """Positions of iterations on an axis: the iteration, the epoch counted over all tasks, or minutes since the start."""
    if by == "iteration":
        return np.asarray(iterations, dtype=np.float64)
    logged = run.table("metrics")
    column = "epoch" if by == "epoch" else "seconds"
    if logged.empty or logged[column].isna().all():
        return np.asarray(iterations, dtype=np.float64)
    rows = logged[["iteration", "task", column]].dropna(subset=[column])
    at = rows["iteration"].to_numpy(np.float64)
    values = rows[column].to_numpy(np.float64)
    if by == "epoch":
        change = np.flatnonzero(np.diff(values) < 0) + 1
        carried = np.zeros(len(values))
        for position in change:
            carried[position:] += values[position - 1]
        values = values + carried
    else:
        values = values / 60.0
    return np.interp(np.asarray(iterations, dtype=np.float64), np.concatenate([[0.0], at]), np.concatenate([[0.0], values]))


def mean_score(run: Any, kind: str = "teacher_forced", column: str = "score") -> Frame:
    """`workbench.runs.metrics.mean_curve` of a run, the one mean of every page: iteration, `column`, tasks.

    Falls back to the other kind where a run has none of this one.
    """
    return timeline.remembered(run, f"mean {column} {kind}", ("eval",), lambda: _mean_score(run, kind, column))


def _mean_score(run: Any, kind: str, column: str) -> Frame:
    rows = run.table("eval")
    kinds = list(rows["kind"].dropna().unique()) if len(rows) else []
    return metrics.mean_curve(rows, kind if kind in kinds or not kinds else str(kinds[0]), column)


def mean_answers(run: Any) -> Frame:
    """Mean answer score over the tasks learnt, at each task end: iteration, score, tasks, half (of its 95 % interval, NaN if not known)."""
    return timeline.remembered(run, "mean answers", ("eval",), lambda: _mean_answers(run))


def _mean_answers(run: Any) -> Frame:
    rows = run.table("eval")
    rows = rows[(rows["kind"] == measures.GENERATED) & (rows["iteration"] > 0)]
    ends, found = timeline.ends(run), []
    for number, (task, end) in enumerate(ends.items(), start=1):
        own = rows[(rows["trained_task"] == task) & rows["eval_task"].isin(list(ends)[:number])].drop_duplicates("eval_task", keep="last")
        if len(own) == number:
            half = measures.mean_half_width(own["score"], own["n"])
            found.append({"iteration": end, "score": float(own["score"].mean()), "tasks": number, "half": np.nan if half is None else half})
    return pd.DataFrame(found, columns=["iteration", "score", "tasks", "half"])


def mean_figure(run: Any, dark: bool = False) -> go.Figure:
    """Mean teacher-forced match of the tasks begun so far by iteration, over the bands in which each task was learnt.

    Diamonds: mean answer score at task ends with its 95 % interval, another measure and named so.
    """
    frame, marks = mean_score(run, measures.FORCED), mean_answers(run)
    names, ends = timeline.tasks(run), timeline.ends(run)
    if frame.empty:
        return style.empty("Nothing was evaluated yet", dark)
    kept = style.thin(frame["iteration"], frame["score"])
    line = {
        "type": "scatter",
        "x": frame["iteration"].to_numpy()[kept],
        "y": frame["score"].to_numpy()[kept],
        "mode": "lines+markers" if len(kept) <= MARKERS else "lines",
        "marker": {"size": 4},
        "line": {"color": style.INK[dark], "width": 1.8},
        "customdata": frame["tasks"].to_numpy()[kept],
        "hovertemplate": f"iteration %{{x:,}}<br>mean {measures.NAMES[measures.FORCED]} %{{y:.1f}} over %{{customdata}} tasks<extra></extra>",
        "name": f"mean {measures.NAMES[measures.FORCED]}",
    }
    points = {
        "type": "scatter",
        "x": marks["iteration"].to_numpy(),
        "y": marks["score"].to_numpy(),
        "error_y": {"type": "data", "array": marks["half"].fillna(0).to_numpy(), "thickness": 1.4, "width": 3},
        "mode": "markers",
        "marker": {"size": 10, "symbol": "diamond", "color": style.OKABE_ITO[5], "line": {"width": 1, "color": style.INK[dark]}},
        "customdata": marks["tasks"].to_numpy(),
        "hovertemplate": f"mean {measures.NAMES[measures.GENERATED]} %{{y:.1f}} over %{{customdata}} tasks<extra></extra>",
        "name": f"mean {measures.NAMES[measures.GENERATED]} at task ends",
    }
    shapes, notes = bands(ends, names, "y domain", dark)
    axes = {"xaxis": {"title": {"text": "iteration"}}, "yaxis": {"title": {"text": "points"}, "range": [-3, 103]}}
    layout = {"shapes": shapes, "annotations": notes, "height": 310, "margin": {"t": 66}, "legend": {"y": 1.12}, **axes}
    return style.dress(go.Figure({"data": [line, *([points] if len(marks) else [])], "layout": layout}), dark)


def bands(
    ends: dict[str, int], names: list[str], yref: str, dark: bool = False, *, position: Any = None, xref: str = "x", label: bool = True
) -> tuple[list[dict], list[dict]]:
    """Shapes and annotations of the bands in which each task was learnt. position: iteration -> axis value."""
    shapes, notes = [], []
    for task, start in starts_of(ends).items():
        x0, x1 = (float(position(value)) if position else float(value) for value in (start, ends[task]))
        color = style.task_color(names.index(task) if task in names else 0, dark)
        shapes.append(
            {
                "type": "rect",
                "xref": xref,
                "yref": yref,
                "x0": x0,
                "x1": x1,
                "y0": 0,
                "y1": 1,
                "fillcolor": color,
                "opacity": 0.10,
                "line": {"width": 0},
                "layer": "below",
            }
        )
        if label:
            notes.append(
                {
                    "xref": xref,
                    "yref": yref,
                    "x": (x0 + x1) / 2,
                    "y": 1,
                    "yanchor": "bottom",
                    "text": shorten(task, 18),
                    "showarrow": False,
                    "font": {"size": 12, "color": color},
                }
            )
    return shapes, notes


def shorten(text: str, length: int) -> str:
    """A name that fits; plotly reads a little HTML, so angle brackets are escaped."""
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def loss_figure(run: Any, column: str = "loss", smoothing: float = 0.6, dark: bool = False) -> go.Figure:
    """A logged column by iteration, raw (faint) and smoothed on all rows, coloured by the task being learnt."""
    frame = run.table("metrics")
    if frame.empty or frame[column].isna().all():
        return style.empty(f"This run logged no {column}", dark)
    figure = go.Figure()
    for index, task in enumerate(timeline.tasks(run)):
        rows = frame[frame["task"] == task]
        if rows.empty:
            continue
        color = style.task_color(index, dark)
        x, raw = rows["iteration"].to_numpy(), rows[column].to_numpy(np.float64)
        smoothed = style.smooth(raw, smoothing)
        faint, strong = style.thin(x, raw, 800), style.thin(x, smoothed, 800)
        hover = f"iteration %{{x:,}}<br>{column} %{{y:.4g}}<extra>{shorten(task, 30)}</extra>"
        figure.add_scatter(
            x=x[faint], y=raw[faint], mode="lines", line={"color": style.faded(color, 0.3), "width": 1}, hoverinfo="skip", showlegend=False
        )
        figure.add_scatter(
            x=x[strong], y=smoothed[strong], mode="lines", line={"color": color, "width": 2}, name=shorten(task, 24), hovertemplate=hover
        )
    figure.update_xaxes(title="iteration")
    figure.update_yaxes(title=column)
    return style.dress(figure, dark, height=300)
