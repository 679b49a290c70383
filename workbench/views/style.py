"""One look for every figure: task colours, light and dark templates, thinning and smoothing of long curves.

Task k has colour k on every page, in notebooks and in exports. Figures carry the light template; the app (or a
notebook) turns one dark with `dress(figure, dark=True)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from tsdownsample import MinMaxLTTBDownsampler

# Okabe and Ito (2008): told apart by people with any common colour vision; black becomes light grey on dark paper.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
OKABE_ITO_DARK = ("#3D9BD6", "#F0B02E", "#1FC796", "#DD95BD", "#7BC8F2", "#F0803C", "#F5EA6B", "#D0D0D0")
# Tol's muted scheme: for methods, groups of runs and verdicts, so that no colour means both a task and something else.
TOL_MUTED = ("#332288", "#CC6677", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#999933")
TOL_MUTED_DARK = ("#8F85D6", "#E08E9B", "#4FB573", "#E6DA9A", "#A6DDF2", "#C7659B", "#74CBBD", "#BDBD63")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
FONT = "'Source Sans', 'Source Sans Pro', 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

# Numbers without a task: energies, counts, differences.
SEQUENTIAL = "Viridis"
DIVERGING = "RdBu"
SCORE_SCALE = [[0.0, "#F7FBFF"], [0.5, "#6BAED6"], [1.0, "#08306B"]]
SCORE_SCALE_DARK = [[0.0, "#10202E"], [0.5, "#2C7FB8"], [1.0, "#C7E9F1"]]

INK = {False: "#1F2933", True: "#E6E9ED"}
MUTED = {False: "#5F6A75", True: "#9AA5B1"}
GRID = {False: "#E4E8EC", True: "#323A45"}
PAPER = {False: "#FFFFFF", True: "#0E1117"}
LOSS_OF_SCORE = {False: "rgba(213, 94, 0, 0.16)", True: "rgba(240, 128, 60, 0.24)"}

# Room for what usually stands there: where it is too little, plotly draws the whole figure once more with more of it.
MARGIN = {"l": 64, "r": 20, "t": 48, "b": 56}

MAX_POINTS = 2000


def task_color(index: int, dark: bool = False) -> str:
    """Colour of the task at `index` (0-based) of the run's task order; the ninth task starts the colours again (and see `task_dash`)."""
    colors = OKABE_ITO_DARK if dark else OKABE_ITO
    return colors[index % len(colors)]


def task_colors(tasks: list[str], dark: bool = False) -> dict[str, str]:
    """Colour of every task by name, in the run's task order."""
    return {task: task_color(index, dark) for index, task in enumerate(tasks)}


def task_dash(index: int) -> str:
    """Line dash of the task at `index`: tasks that share a colour differ in dash."""
    return DASHES[(index // len(OKABE_ITO)) % len(DASHES)]


def task_symbol(index: int) -> str:
    """Marker of the task at `index`, so that colour is never the only sign."""
    return SYMBOLS[index % len(SYMBOLS)]


def on_score(value: float, dark: bool = False) -> str:
    """Colour of a number written on a cell of the score scale (0..100)."""
    if dark:
        return "#0E1117" if value > 70 else "#E6E9ED"
    return "#FFFFFF" if value > 55 else "#1F2933"


def faded(color: str, alpha: float) -> str:
    """'#RRGGBB' with an opacity, as plotly takes it."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def _template(dark: bool) -> go.layout.Template:
    axis = {
        "gridcolor": GRID[dark],
        "zerolinecolor": GRID[dark],
        "linecolor": MUTED[dark],
        "tickcolor": GRID[dark],
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13, "color": MUTED[dark]}},
        "tickfont": {"size": 12, "color": MUTED[dark]},
    }
    layout = go.Layout(
        font={"family": FONT, "size": 13, "color": INK[dark]},
        title={"font": {"size": 16}, "x": 0, "xref": "paper", "xanchor": "left", "y": 0.98, "yanchor": "top"},
        colorway=list(OKABE_ITO_DARK if dark else OKABE_ITO),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis=axis,
        yaxis=axis,
        margin=MARGIN,
        hoverlabel={"bgcolor": PAPER[dark], "bordercolor": MUTED[dark], "font": {"color": INK[dark], "size": 13}},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0, "title": {"text": ""}, "font": {"size": 12}},
        colorscale={"sequential": SEQUENTIAL, "diverging": DIVERGING},
        scene={
            name: {"gridcolor": GRID[dark], "backgroundcolor": "rgba(0,0,0,0)", "color": INK[dark], "zerolinecolor": GRID[dark]}
            for name in ("xaxis", "yaxis", "zaxis")
        },
        annotationdefaults={"font": {"color": INK[dark], "size": 12}},
    )
    return go.layout.Template(layout=layout)


LIGHT, DARK = "workbench", "workbench_dark"
pio.templates[LIGHT] = _template(False)
pio.templates[DARK] = _template(True)


def dress(figure: go.Figure, dark: bool = False, **layout: Any) -> go.Figure:
    """Give a figure the light or the dark template, and any further layout; returns the same figure."""
    template = DARK if dark else LIGHT
    worn: Any = figure.layout
    if layout or worn.template.layout.font.color != INK[dark]:
        figure.update_layout(template=template, **layout)
    return figure


def empty(sentence: str, dark: bool = False, height: int = 240) -> go.Figure:
    """A figure that says in words why it shows nothing."""
    figure = go.Figure()
    figure.add_annotation(text=sentence, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 14})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return dress(figure, dark, height=height)


def thin(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series, points: int = MAX_POINTS) -> np.ndarray:
    """Positions (sorted, at most about `points`) that keep the shape of a curve, every spike included: MinMaxLTTB, never random.

    x, y: [n]. NaN in y is left out of the choice and kept out of the result. Ends are always kept.
    """
    x_values, y_values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(y_values))
    if len(finite) <= points:
        return finite
    chosen = MinMaxLTTBDownsampler().downsample(
        np.ascontiguousarray(x_values[finite]), np.ascontiguousarray(y_values[finite]), n_out=points
    )
    return finite[np.unique(np.concatenate([[0], chosen.astype(np.int64), [len(finite) - 1]]))]


def smooth(values: np.ndarray | pd.Series, amount: float) -> np.ndarray:
    """Exponential smoothing of ALL rows (do it before `thin`), debiased so that the first value is the first value.

    amount: 0 (none) to below 1 (more); weight of the past a row.
    """
    series = pd.Series(np.asarray(values, dtype=np.float64))
    if amount <= 0:
        return series.to_numpy()
    return series.ewm(alpha=1.0 - min(amount, 0.999), adjust=True, ignore_na=True).mean().to_numpy()
