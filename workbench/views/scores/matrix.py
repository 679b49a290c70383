"""The score matrix R: which task scored what after which task was learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.runs import metrics
from workbench.views import style, timeline
from workbench.views.scores import baselines, measures
from workbench.views.scores.curves import shorten
from workbench.views.timeline import Frame


def scores(run: Any, kind: str = measures.GENERATED) -> tuple[list[str], np.ndarray]:
    """Tasks in order of training and R [T, T] in points; of the other kind of score where this one was not recorded."""
    return timeline.remembered(run, f"matrix {kind}", ("eval",), lambda: _scores(run, kind))


def _scores(run: Any, kind: str) -> tuple[list[str], np.ndarray]:
    rows = run.table("eval")
    tasks, matrix = metrics.score_matrix(rows, kind)
    if not len(matrix):
        tasks, matrix = metrics.score_matrix(rows, measures.FORCED)
    order = [task for task in timeline.tasks(run) if task in tasks] + [task for task in tasks if task not in timeline.tasks(run)]
    places = [tasks.index(task) for task in order]
    return order, matrix[np.ix_(places, places)] if places else matrix


def kind_of(run: Any, kind: str = measures.GENERATED) -> str:
    """The kind of score that `scores` shows: the other one where none of this kind was recorded after a task."""
    rows = run.table("eval")
    return kind if len(metrics.score_matrix(rows, kind)[1]) else measures.FORCED


def frame(run: Any, kind: str = measures.GENERATED) -> Frame:
    """R in long form: after ('' for the untrained model), task, measure, score, n, low, high (Wilson's 95 %), iteration at which 'after' ended."""
    return timeline.remembered(run, f"matrix rows {kind}", ("eval",), lambda: _frame(run, kind))


def _frame(run: Any, kind: str) -> Frame:
    tasks, matrix = scores(run, kind)
    ends, shown = timeline.ends(run), kind_of(run, kind)
    rows = run.table("eval")
    rows = rows[rows["kind"] == shown].sort_values("iteration", kind="stable")
    last = (
        rows[rows["iteration"] > 0]
        .drop_duplicates(["trained_task", "eval_task"], keep="last")
        .set_index(["trained_task", "eval_task"])["n"]
    )
    first = rows[rows["iteration"] == 0].drop_duplicates("eval_task", keep="last").set_index("eval_task")
    cells = [("", task, float(first.loc[task, "score"]), first.loc[task, "n"], 0) for task in tasks if task in first.index]
    cells += [
        (after, task, matrix[i, j], last.get((after, task), np.nan), ends.get(after))
        for i, after in enumerate(tasks)
        for j, task in enumerate(tasks)
        if np.isfinite(matrix[i, j])
    ]
    found = pd.DataFrame(cells, columns=["after", "task", "score", "n", "iteration"])
    found["low"], found["high"] = measures.interval(found["score"], found["n"].astype(float))
    return found.assign(measure=measures.NAMES[shown])[["after", "task", "measure", "score", "n", "low", "high", "iteration"]]


UNTRAINED, TRIVIAL = "untrained", "one answer"


def figure(run: Any, kind: str = measures.GENERATED, dark: bool = False) -> go.Figure:
    """The matrix with its numbers and half the width of their 95 % intervals; cells above the diagonal are scores before the task was
    learnt. Above it the untrained model; below it what one answer to every question, or none, would score (where it is known).

    Every cell carries a transparent marker whose customdata is [iteration, task], since heat maps send no clicks.
    """
    tasks, matrix = scores(run, kind)
    if not len(tasks) or not np.isfinite(matrix).any():
        return style.empty("No task has been finished yet", dark)
    cells = frame(run, kind)
    shown = int(np.flatnonzero(np.isfinite(matrix).any(axis=1))[-1]) + 1
    names = [shorten(task, 14) for task in tasks]
    rows = list(dict.fromkeys(["", *tasks[:shown]])) if (cells["after"] == "").any() else list(tasks[:shown])
    labels = [names[tasks.index(after)] if after else UNTRAINED for after in rows]
    floor = _trivial(run, tasks) if kind_of(run, kind) == measures.GENERATED else {}
    if floor:
        rows, labels = [*rows, TRIVIAL], [*labels, TRIVIAL]
    values = np.full((len(rows), len(tasks)), np.nan)
    cells = cells[cells["after"].isin(rows)]
    at = [(rows.index(after), tasks.index(task)) for after, task in zip(cells["after"], cells["task"], strict=True)]
    for (row, column), value in zip(at, cells["score"], strict=True):
        values[row, column] = value
    for task, value in floor.items():
        values[len(rows) - 1, tasks.index(task)] = value
    # Plain dicts, made into a figure once at the end: several times faster than plotly's own additions.
    grid = {
        "type": "heatmap",
        "z": values,
        "x": list(range(len(tasks))),
        "y": list(range(len(rows))),
        "zmin": 0,
        "zmax": 100,
        "hoverinfo": "skip",
        "xgap": 2,
        "ygap": 2,
        "colorscale": style.SCORE_SCALE_DARK if dark else style.SCORE_SCALE,
        "showscale": False,
    }
    half = ((cells["high"] - cells["low"]) / 2).tolist()
    texts = [_cell_text(value, width, len(tasks)) for value, width in zip(cells["score"], half, strict=True)]
    told = [
        f"{shorten(task, 30)} {f'after {shorten(after, 30)}' if after else 'before any training'}: {value:.1f}{_between(low, high, n)}"
        for after, task, value, low, high, n in cells[["after", "task", "score", "low", "high", "n"]].itertuples(index=False)
    ]
    shared = {"type": "scatter", "mode": "markers+text", "hoverinfo": "text", "showlegend": False}
    shared |= {"marker": {"size": max(12, 320 // max(len(tasks), 1) // 2), "opacity": 0, "symbol": "square"}}
    shared |= {"selected": {"marker": {"opacity": 0}}, "unselected": {"marker": {"opacity": 0}}}
    size = 12 if len(tasks) <= 8 else 9
    numbers = shared | {
        "x": [column for _, column in at],
        "y": [row for row, _ in at],
        "text": texts,
        "textfont": {"size": size, "color": [style.on_score(value, dark) for value in cells["score"]]},
        "customdata": [[int(value), task] for value, task in zip(cells["iteration"].fillna(0), cells["task"], strict=True)],
        "hovertext": told,
    }
    trivial = shared | {
        "x": [tasks.index(task) for task in floor],
        "y": [len(rows) - 1] * len(floor),
        "text": [f"{value:.0f}" for value in floor.values()],
        "textfont": {"size": size, "color": [style.on_score(value, dark) for value in floor.values()]},
        "hovertext": [f"{shorten(task, 30)}, the same answer to every question, or none: {value:.1f}" for task, value in floor.items()],
    }
    frames = [
        {
            "type": "rect",
            "x0": tasks.index(task) - 0.5,
            "x1": tasks.index(task) + 0.5,
            "y0": rows.index(task) - 0.5,
            "y1": rows.index(task) + 0.5,
            "line": {"color": style.task_color(tasks.index(task), dark), "width": 2},
        }
        for task in tasks[:shown]
    ]
    plain = {"showgrid": False, "zeroline": False}
    layout = {
        "shapes": frames,
        "height": max(280, 120 + 46 * min(len(rows), 7) + 26 * max(len(rows) - 7, 0)),
        "margin": {"t": 16, "l": 52 + 7 * max(map(len, labels)), "b": 60},
        "xaxis": {"title": {"text": f"{measures.NAMES[kind_of(run, kind)]} on"}, "tickvals": list(range(len(tasks))), "ticktext": names}
        | {"side": "bottom", "range": [-0.5, len(tasks) - 0.5], **plain},
        "yaxis": {"title": {"text": "after learning"}, "tickvals": list(range(len(rows))), "ticktext": labels, **plain}
        | {"range": [len(rows) - 0.5, -0.5]},
    }
    return style.dress(go.Figure({"data": [grid, numbers, *([trivial] if floor else [])], "layout": layout}), dark)


def words(run: Any) -> str:
    """What to know of the figure, for the line beneath it."""
    said = (
        "Framed: right after learning. Above it: before the task was learnt. ±: half the width of the 95 % interval over the test items. "
    )
    if kind_of(run) == measures.GENERATED and baselines.floors(run)["trivial"].notna().any():
        said += "Last row: what saying the commonest training answer, or nothing, to every question would score. "
    return said + "Click a cell to go there."


def _trivial(run: Any, tasks: list[str]) -> dict[str, float]:
    known = baselines.floors(run).dropna(subset=["trivial"]).set_index("task")["trivial"]
    return {task: float(known[task]) for task in tasks if task in known.index}


def _cell_text(value: float, half: float, tasks: int) -> str:
    """The number, and under it half the width of its interval where there is room."""
    if not np.isfinite(half) or tasks > 8:
        return f"{value:.0f}"
    return f"{value:.0f}<br><span style='font-size:9px'>±{half:.0f}</span>"


def _between(low: float, high: float, n: float) -> str:
    return f" (95 %: {low:.1f} to {high:.1f}, n = {int(n):,})" if np.isfinite(low) else ""
