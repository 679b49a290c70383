"""The score matrix R: which task scored what after which task was learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.runs import metrics
from workbench.views import style, timeline
from workbench.views.scores.curves import shorten
from workbench.views.timeline import Frame


def scores(run: Any, kind: str = "generated") -> tuple[list[str], np.ndarray]:
    """Tasks in order of training and R [T, T] in points; of the other kind of score where this one was not recorded."""
    return timeline.remembered(run, f"matrix {kind}", ("eval",), lambda: _scores(run, kind))


def _scores(run: Any, kind: str) -> tuple[list[str], np.ndarray]:
    rows = run.table("eval")
    tasks, matrix = metrics.score_matrix(rows, kind)
    if not len(matrix):
        tasks, matrix = metrics.score_matrix(rows, "teacher_forced")
    order = [task for task in timeline.tasks(run) if task in tasks] + [task for task in tasks if task not in timeline.tasks(run)]
    places = [tasks.index(task) for task in order]
    return order, matrix[np.ix_(places, places)] if places else matrix


def frame(run: Any, kind: str = "generated") -> Frame:
    """R in long form: after, task, score, iteration at which 'after' ended."""
    tasks, matrix = scores(run, kind)
    ends = timeline.ends(run)
    rows = [
        {"after": after, "task": task, "score": matrix[i, j], "iteration": ends.get(after)}
        for i, after in enumerate(tasks)
        for j, task in enumerate(tasks)
        if np.isfinite(matrix[i, j])
    ]
    return pd.DataFrame(rows, columns=["after", "task", "score", "iteration"])


def figure(run: Any, kind: str = "generated", dark: bool = False) -> go.Figure:
    """The matrix with its numbers; cells above the diagonal are scores before the task was learnt.

    Every cell carries a transparent marker whose customdata is [iteration, task], since heat maps send no clicks.
    """
    tasks, matrix = scores(run, kind)
    if not len(tasks) or not np.isfinite(matrix).any():
        return style.empty("No task has been finished yet", dark)
    ends = timeline.ends(run)
    shown = int(np.flatnonzero(np.isfinite(matrix).any(axis=1))[-1]) + 1
    matrix = matrix[:shown]
    names = [shorten(task, 14) for task in tasks]
    rows, columns = np.nonzero(np.isfinite(matrix))
    values = matrix[rows, columns]
    size = 12 if len(tasks) <= 8 else 9
    # Plain dicts, made into a figure once at the end: several times faster than plotly's own additions.
    cells = {
        "type": "heatmap",
        "z": matrix,
        "x": list(range(len(tasks))),
        "y": list(range(shown)),
        "zmin": 0,
        "zmax": 100,
        "hoverinfo": "skip",
        "xgap": 2,
        "ygap": 2,
        "colorscale": style.SCORE_SCALE_DARK if dark else style.SCORE_SCALE,
        "colorbar": {"title": {"text": "score", "side": "right", "font": {"size": 12}}, "thickness": 10, "outlinewidth": 0},
    }
    numbers = {
        "type": "scatter",
        "x": columns,
        "y": rows,
        "mode": "markers+text",
        "text": [f"{value:.0f}" for value in values],
        "textfont": {"size": size, "color": [_ink(value, dark) for value in values]},
        "marker": {"size": max(12, 320 // max(len(tasks), 1) // 2), "opacity": 0, "symbol": "square"},
        "customdata": [[ends.get(tasks[row], 0), tasks[column]] for row, column in zip(rows, columns, strict=True)],
        "hovertext": [f"{names[column]} after {names[row]}: {value:.1f}" for row, column, value in zip(rows, columns, values, strict=True)],
        "hoverinfo": "text",
        "showlegend": False,
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
    }
    frames = [
        {
            "type": "rect",
            "x0": at - 0.5,
            "x1": at + 0.5,
            "y0": at - 0.5,
            "y1": at + 0.5,
            "line": {"color": style.task_color(at, dark), "width": 2},
        }
        for at in range(shown)
    ]
    plain = {"showgrid": False, "zeroline": False}
    layout = {
        "shapes": frames,
        "height": max(280, 120 + 46 * min(shown, 6) + 26 * max(shown - 6, 0)),
        "margin": {"t": 16, "l": 52 + 7 * max(map(len, names)), "b": 60},
        "xaxis": {"title": {"text": "score on"}, "tickvals": list(range(len(tasks))), "ticktext": names, "side": "bottom", **plain}
        | {"range": [-0.5, len(tasks) - 0.5]},
        "yaxis": {"title": {"text": "after learning"}, "tickvals": list(range(shown)), "ticktext": names[:shown], **plain}
        | {"range": [shown - 0.5, -0.5]},
    }
    return style.dress(go.Figure({"data": [cells, numbers], "layout": layout}), dark)


def _ink(value: float, dark: bool) -> str:
    if dark:
        return "#0E1117" if value > 70 else "#E6E9ED"
    return "#FFFFFF" if value > 55 else "#1F2933"
