"""The histogram of energies of one task: data, short-run samples, replay; and the gap between the first two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.views import style
from workbench.views.text import in_figure

Array = NDArray[Any]

BELOW = {"orientation": "h", "yanchor": "top", "y": -0.3, "xanchor": "left", "x": 0}
FEW = 30
"""Groups smaller than this are drawn as ticks: a density of so few would mislead."""


def histogram(groups: Mapping[str, Array], *, symbol: str, colors: Mapping[str, str] | None = None) -> go.Figure:
    """Densities of energies {group: [n]} in nats on shared bins, the mean of each as a line, and the gap as a number."""
    kept = {name: np.asarray(values, np.float64)[np.isfinite(values)] for name, values in groups.items()}
    kept = {name: values for name, values in kept.items() if len(values)}
    if not kept:
        return style.empty("No energies were recorded for this task at this iteration.")
    everything = np.concatenate(list(kept.values()))
    low, high = np.quantile(everything, [0.002, 0.998])
    smallest = min((len(values) for values in kept.values() if len(values) >= FEW), default=FEW)
    edges = np.linspace(low, high if high > low else low + 1, int(np.clip(2 * smallest**0.5, 8, 28)) + 1)
    palette = {
        "data codes": "#0072B2",
        "short-run samples": "#D55E00",
        "replay kept": "#009E73",
        "replay refused": "#999999",
        **(colors or {}),
    }
    figure = go.Figure()
    top = 0.0
    for name, values in kept.items():
        color = palette.get(name, "#CC79A7")
        label = f"{name} (n={len(values):,})"
        if len(values) < FEW:
            continue
        density = np.histogram(values, edges, density=True)[0]
        top = max(top, float(density.max()))
        line = {"color": color, "width": 2}
        x, y = np.repeat(edges, 2), np.concatenate([[0], np.repeat(density, 2), [0]])
        fill = {"fill": "tozeroy", "fillcolor": style.faded(color, 0.13)}
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", name=label, line=line, hovertemplate="%{x:.2f} nats", **fill))
        figure.add_vline(x=values.mean(), line={"color": color, "width": 1.5, "dash": "dot"})
    top = top or 1.0
    for row, (name, values) in enumerate((name, values) for name, values in kept.items() if len(values) < FEW):
        tick = {"symbol": "line-ns-open", "size": 13, "color": palette.get(name, "#CC79A7"), "line": {"width": 2}}
        height = np.full(len(values), -top * 0.09 * (row + 1))
        label = f"{name} (n={len(values):,})"
        figure.add_trace(go.Scatter(x=values, y=height, mode="markers", name=label, marker=tick, hovertemplate="%{x:.2f} nats"))
    figure.update_xaxes(title_text=f"U of {in_figure(symbol, 40)} in nats (lower = more probable)")
    figure.update_yaxes(title_text="density", zeroline=True)
    return figure.update_layout(height=430, margin={"t": 16, "b": 140}, legend=BELOW)


def gap(groups: Mapping[str, Array]) -> float:
    """Mean U of the short-run samples less mean U of the data codes, in nats; NaN where one is missing."""
    samples, data = np.asarray(groups.get("short-run samples", [])), np.asarray(groups.get("data codes", []))
    return float(samples.mean() - data.mean()) if len(samples) and len(data) else float("nan")


def gap_error(groups: Mapping[str, Array]) -> float:
    """Standard error of `gap`: both means are of some tens of draws. NaN where a group has fewer than two."""
    samples, data = np.asarray(groups.get("short-run samples", [])), np.asarray(groups.get("data codes", []))
    if min(len(samples), len(data)) < 2:
        return float("nan")
    return float(np.sqrt(samples.var(ddof=1) / len(samples) + data.var(ddof=1) / len(data)))
