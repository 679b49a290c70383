"""Figures of the energy on a slice: heatmap with contours or surface, codes, chains, and a grid of points that takes clicks.

A picture is made of a background (`heatmap`, `surface`) and what is laid on it (`add_...`). Colours of the background and of a
chain mean the same: the value at a chain's points is its true one, computed in the whole space, not the plane's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from workbench.views import style
from workbench.views.energy.saved import MIXTURE, SavedEnergy
from workbench.views.energy.slices import PARTS, SIGNS, Range, Slice, color_range, extent, field, principal_plane
from workbench.views.energy.snapshots import Codes, at_or_before, code_iterations, energy_iterations, load_codes, load_energy
from workbench.views.text import in_figure

Array = NDArray[Any]

CAMERAS: dict[str, dict[str, Any]] = {
    "Iso": {"eye": {"x": 1.35, "y": -1.45, "z": 1.05}},
    "Top": {"eye": {"x": 0.0, "y": -0.01, "z": 2.3}},
    "Front": {"eye": {"x": 0.0, "y": -2.2, "z": 0.35}},
    "Side": {"eye": {"x": 2.2, "y": 0.0, "z": 0.35}},
}
CLICK_POINTS = 21
"""Points a side of the transparent grid that takes clicks; grids of 20 k + 1 points hold it. A click between them takes the nearest."""
GRID_SIZES = (41, 81, 121)
CLICK_TRACE = "click"
LINES = 14
BELOW = {"orientation": "h", "yanchor": "top", "y": -0.13, "xanchor": "left", "x": 0}


def value_at(energy: SavedEnergy, z: Array, part: str, symbol: str) -> Array:
    """The true value [n] of a part of the energy at z [n, d], in float64."""
    return {"U": energy.energy, "F": energy.neg_energy, "reference": energy.reference_energy}[part](z, symbol)


BAR = {"lenmode": "pixels", "len": 310, "y": 1, "yanchor": "top"}
"""A colour bar as long as the map is in the narrowest page: the map keeps its shape, and a bar of the figure's length would outgrow it."""


def heatmap(
    values: Array, where: Range, slice_: Slice, part: str, colors: tuple[float, float], *, title: str = "", difference: bool = False
) -> go.Figure:
    """Field [n, n] as a heatmap with contour lines. difference: colours diverge from zero."""
    bar = {
        "title": {"text": "difference in nats" if difference else SIGNS[part].split(":")[0], "side": "right"},
        "thickness": 12,
        "outlinewidth": 0,
        **BAR,
    }
    # One dict, made into a figure once: several times faster than plotly's updates, and the slider waits for it.
    layout = {"coloraxis": _coloraxis(colors, part, bar, difference), "height": 640, "margin": {"r": 24, "b": 90}, "legend": BELOW}
    layout |= {"title": {"text": title}} if title else {}
    return go.Figure({"data": _field(values, where, colors), "layout": layout | _square(where, slice_)})


def surface(
    values: Array, where: Range, slice_: Slice, part: str, colors: tuple[float, float], *, camera: str = "Iso", title: str = ""
) -> go.Figure:
    """Field [n, n] as a surface, cut at the colour range; axes and camera are explicit, so that nothing turns when the data change."""
    xs, ys = where.axes(values.shape[1])
    low, high = colors
    cut = np.clip(values, low, high).astype(np.float32)
    lines = {"z": {"show": True, "start": low, "end": high, "size": (high - low) / LINES, "color": "rgba(255,255,255,0.35)", "width": 1}}
    figure = go.Figure(go.Surface(z=cut, x=xs, y=ys, coloraxis="coloraxis", contours=lines, hoverinfo="skip", opacity=0.92))
    bar = {"title": {"text": SIGNS[part].split(":")[0], "side": "right"}, "thickness": 12, "outlinewidth": 0}
    room = 0.05 * (high - low)
    figure.update_layout(
        coloraxis=_coloraxis(colors, part, bar, False),
        title_text=title,
        height=620,
        margin={"l": 0, "r": 0, "b": 0, "t": 60},
        scene={
            "camera": CAMERAS.get(camera, CAMERAS["Iso"]),
            "xaxis": {"title": {"text": slice_.x_label}, "range": [where.x0, where.x1]},
            "yaxis": {"title": {"text": slice_.y_label}, "range": [where.y0, where.y1]},
            "zaxis": {"title": {"text": "nats"}, "range": [low - room, high + room]},
            "aspectmode": "manual",
            "aspectratio": {"x": 1, "y": 1, "z": 0.7},
        },
    )
    return figure


def side_by_side(
    fields: Array, names: Sequence[str], where: Range, slice_: Slice, part: str, colors: tuple[float, float], columns: int = 3
) -> go.Figure:
    """Several fields [k, n, n] on the same axes and one colour range."""
    columns = min(len(names), columns)
    rows = math.ceil(len(names) / columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[in_figure(name, 60) for name in names],
        shared_xaxes="all",  # pyright: ignore[reportArgumentType]
        shared_yaxes="all",  # pyright: ignore[reportArgumentType]
        horizontal_spacing=0.04,
        vertical_spacing=0.09,
    )
    for k, values in enumerate(fields):
        row, column = k // columns + 1, k % columns + 1
        figure.add_traces(_field(values, where, colors, lines=9), [row, row], [column, column])
    bar = {"title": {"text": SIGNS[part].split(":")[0], "side": "right"}, "thickness": 12, "outlinewidth": 0}
    figure.update_layout(coloraxis=_coloraxis(colors, part, bar, False), height=110 + 290 * rows)
    figure.update_xaxes(range=[where.x0, where.x1], showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(range=[where.y0, where.y1], showgrid=False, zeroline=False, constrain="domain")
    figure.update_xaxes(title_text=slice_.x_label, row=rows)
    figure.update_yaxes(title_text=slice_.y_label, col=1)
    return figure


def add_codes(
    figure: go.Figure,
    slice_: Slice,
    codes: Codes,
    order: Sequence[str],
    *,
    heights: Array | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Codes as points in the colour and with the marker of their task. heights: the value at each code, for a surface."""
    xy, traces = slice_.project(codes.z), []
    for task in codes.tasks:
        mine = np.flatnonzero(codes.task_index == codes.tasks.index(task))
        if not len(mine):
            continue
        index = list(order).index(task) if task in order else codes.tasks.index(task)
        labels = [in_figure((texts or {}).get(codes.uids[k], codes.uids[k]), 90) for k in mine]
        look = {"color": style.task_color(index), "size": 7, "line": {"color": "white", "width": 0.8}, "opacity": 0.85}
        shared = {
            "name": in_figure(task, 40),
            "legendgroup": task,
            "mode": "markers",
            "text": labels,
            "customdata": [f"code:{codes.uids[k]}" for k in mine],
        }
        hover = "%{text}<extra>" + in_figure(task, 40) + "</extra>"
        if heights is None:
            marker = {**look, "symbol": style.task_symbol(index)}
            traces.append({"type": "scatter", "x": xy[mine, 0], "y": xy[mine, 1], "marker": marker, "hovertemplate": hover, **shared})
        else:
            marker = {**look, "size": 2.5, "line": {"width": 0}}
            solid = {"type": "scatter3d", "x": xy[mine, 0], "y": xy[mine, 1], "z": heights[mine], "marker": marker}
            traces.append({**solid, "hovertemplate": hover, **shared})
    figure.add_traces(traces)


def add_chain_ends(figure: go.Figure, slice_: Slice, z: Array) -> None:
    """Start (open) and end (filled) of every chain, z [steps+1, n, d]."""
    traces = []
    for name, points, symbol in (("chain starts", z[0], "circle-open"), ("chain ends", z[-1], "circle")):  # coral: seen on paper and map
        xy, edge = slice_.project(points), "#FFFFFF" if symbol == "circle" else "#FF7F6B"
        traces.append(
            {
                "type": "scatter",
                "x": xy[:, 0],
                "y": xy[:, 1],
                "name": name,
                "mode": "markers",
                "customdata": [f"chain:{k}" for k in range(len(xy))],
                "marker": {"symbol": symbol, "size": 6, "color": "#FF7F6B", "line": {"color": edge, "width": 1}},
                "hovertemplate": "%{customdata}<extra>" + name + "</extra>",
            }
        )
    figure.add_traces(traces)


def add_trajectory(
    figure: go.Figure, slice_: Slice, z: Array, values: Array, name: str, *, at: int | None = None, scale: float = 1.0, height: bool = False
) -> None:
    """One chain z [steps+1, d], coloured by the true value at each step; fainter the further it lies from the plane, against `scale`."""
    xy, away = slice_.project(z), slice_.distance(z)
    opacity = np.clip(1 / (1 + (away / max(scale, 1e-9)) ** 2) * 1.6, 0.2, 1.0)
    text = [f"step {k}: {values[k]:.2f} nats, {away[k]:.2f} from the plane" for k in range(len(z))]
    size = np.full(len(z), 9.0)
    size[[0, -1]] = 13
    marker = {"color": values, "coloraxis": "coloraxis", "size": size, "line": {"color": "#FFFFFF", "width": 1.5}}
    if height:
        figure.add_trace(
            go.Scatter3d(
                x=xy[:, 0],
                y=xy[:, 1],
                z=values,
                name=name,
                mode="lines+markers",
                text=text,
                hovertemplate="%{text}<extra></extra>",
                line={"color": "#FFFFFF", "width": 4},
                marker={"color": values, "coloraxis": "coloraxis", "size": 4, "line": {"color": "#FFFFFF", "width": 1}},
            )
        )
        return
    line, steps = {"color": "rgba(255,255,255,0.75)", "width": 1.5}, [f"step:{k}" for k in range(len(z))]
    symbols = ["circle-open-dot", *["circle"] * (len(z) - 2), "circle"][: len(z)]
    # A marker coloured by value is black in the legend; this one is seen on paper and on black.
    legend = {"symbol": "circle", "size": 10, "color": "#FFFFFF", "line": {"color": "#888888", "width": 2}}
    way = {"type": "scatter", "x": xy[:, 0], "y": xy[:, 1], "name": name, "legendgroup": name, "showlegend": False}
    told = {"text": text, "customdata": steps, "hovertemplate": "%{text}<extra></extra>"}
    traces = [
        {**way, "mode": "lines", "hoverinfo": "skip", "line": line},
        {**way, **told, "mode": "markers", "marker": {**marker, "opacity": opacity, "symbol": symbols}},
        {"type": "scatter", "x": [None], "y": [None], "name": name, "mode": "markers", "marker": legend, "legendgroup": name},
    ]
    if at is not None and 0 <= at < len(z):
        ring = {"size": 20, "symbol": "circle-open", "color": "#FF2D2D", "line": {"width": 3}}
        here = {"x": xy[[at], 0], "y": xy[[at], 1], "name": f"step {at}", "legendgroup": None}
        traces.append({**way, **here, "mode": "markers", "hoverinfo": "skip", "marker": ring})
    figure.add_traces(traces)
    drawn: Any = figure.layout
    look = {"showarrow": False, "yshift": 15, "font": {"color": "#FFFFFF", "size": 12}, "bgcolor": "rgba(20,20,20,0.55)"}
    ends = [{"x": xy[k, 0], "y": xy[k, 1], "text": words, **look} for k, words in ((0, "○ start"), (len(z) - 1, "● end"))]
    drawn.annotations = [*drawn.annotations, *ends]


def add_marks(figure: go.Figure, slice_: Slice, marks: Mapping[str, Array], name: str, symbol: str = "x", color: str = "#FFFFFF") -> None:
    """Labelled points {label: z [d]}: task means, minima, picked points."""
    if not marks:
        return
    xy = slice_.project(np.stack(list(marks.values())))
    labels = [in_figure(label, 30) for label in marks]
    figure.add_trace(
        go.Scatter(
            x=xy[:, 0],
            y=xy[:, 1],
            mode="markers+text",
            name=name,
            text=labels,
            textposition="top center",
            textfont={"color": "#FFFFFF", "size": 11},
            hovertemplate="%{text}<extra>" + name + "</extra>",
            marker={"symbol": symbol, "size": 11, "color": color, "line": {"color": "#222222", "width": 1.5}},
        )
    )


def add_click_grid(figure: go.Figure, where: Range, values: Array, slice_: Slice, unit: str = "nats") -> None:
    """The transparent grid that tells a click on the heatmap where it was; a heatmap itself reports no clicks."""
    stride = max((values.shape[0] - 1) // (CLICK_POINTS - 1), 1)
    some = values[::stride, ::stride]
    xs, ys = where.axes(values.shape[1])
    x, y = np.meshgrid(xs[::stride], ys[::stride])
    hover = f"{slice_.x_label} %{{x:.2f}}, {slice_.y_label} %{{y:.2f}}: %{{customdata:.2f}} {unit}<extra></extra>"
    figure.add_trace(
        go.Scatter(
            x=x.ravel().astype(np.float32),
            y=y.ravel().astype(np.float32),
            customdata=some.ravel().astype(np.float32),
            mode="markers",
            opacity=0,
            name=CLICK_TRACE,
            showlegend=False,
            marker={"size": 14},
            hovertemplate=hover,
        )
    )


def grid_frame(values: Array, where: Range) -> pd.DataFrame:
    """The field as rows x, y, value."""
    xs, ys = where.axes(values.shape[1])
    x, y = np.meshgrid(xs, ys)
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "nats": values.ravel()})


def moment_title(part: str, symbol: str, iteration: int) -> str:
    return f"{PARTS[part]} of {in_figure(symbol, 40)} at iteration {iteration:,}"


def _field(values: Array, where: Range, colors: tuple[float, float], lines: int = LINES) -> list[dict[str, Any]]:
    """A field [n, n] as two traces, colours and lines.

    Contours that fill themselves with colours paint every pixel of the screen in JavaScript; a heat map paints its n x n cells, and the
    browser smooths them.
    """
    xs, ys = where.axes(values.shape[1])
    low, high = colors
    shared = {"z": np.round(np.asarray(values, np.float64), 3), "x": xs, "y": ys, "hoverinfo": "skip", "showlegend": False}
    levels = {"coloring": "none", "start": low, "end": high, "size": (high - low) / lines}
    line = {"width": 0.7, "color": "rgba(255,255,255,0.45)"}
    return [
        {"type": "heatmap", "coloraxis": "coloraxis", "zsmooth": "fast", **shared},
        {"type": "contour", "contours": levels, "line": line, **shared},
    ]


def _coloraxis(colors: tuple[float, float], part: str, bar: dict[str, Any], difference: bool) -> dict[str, Any]:
    low, high = colors
    if difference:
        reach = max(abs(low), abs(high), 1e-6)
        return {"cmin": -reach, "cmax": reach, "colorscale": style.DIVERGING, "reversescale": False, "colorbar": bar}
    # Dark is probable in every part: F, where higher is more probable, runs through the scale the other way.
    return {"cmin": low, "cmax": high, "colorscale": style.SEQUENTIAL, "reversescale": part == "F", "colorbar": bar}


def _square(where: Range, slice_: Slice) -> dict[str, Any]:
    """Axes to scale: those of a slice are orthonormal, and a circle is a circle on any screen."""
    quiet = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    level = {"scaleanchor": "x", "constraintoward": "top"}
    return {
        "xaxis": {"title": {"text": slice_.x_label}, "range": [where.x0, where.x1], **quiet},
        "yaxis": {"title": {"text": slice_.y_label}, "range": [where.y0, where.y1], **level, **quiet},
    }


def figure(run: Any, iteration: int | None = None, *, part: str = "U", symbol: str = MIXTURE, points: int = 81) -> go.Figure:
    """The picture of a run in one call: the last (or the given) saved energy on the first two principal components of the codes."""
    saved = energy_iterations(run)
    at = at_or_before(saved, saved[-1] if iteration is None and saved else iteration or 0)
    moments = code_iterations(run)
    if at is None or not moments:
        return style.empty("This run saved no latent energy, or no codes.")
    energy, codes = load_energy(run, at), load_codes(run, at_or_before(moments, at) or moments[-1])
    plane = principal_plane(codes.z)
    where = extent(plane, codes.z, energy.mean)
    values = field(energy, plane, *where.axes(points), part, symbol)
    drawing = heatmap(values, where, plane, part, color_range([values], part), title=moment_title(part, symbol, at))
    add_codes(drawing, plane, codes, list(energy.symbols))
    return drawing
