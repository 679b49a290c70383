"""A figure as the browser draws it once, and not three times.

Streamlit hands plotly.js a fresh copy of a figure right after drawing it, and plotly.js draws anew whatever it cannot tell to be the
same: a template (compared by reference), typed arrays (which plotly.py makes of numpy's), any array without a `datarevision`, and, of a
selectable chart, modes that Streamlit fills in later. So the template is written out into the layout, arrays go as lists, and the
revision and the modes are given. For Streamlit another figure is another element: one revision is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

from workbench.views import style

MODES = {"clickmode": "event+select", "hovermode": "closest", "dragmode": "pan"}
SOLID = ("surface", "scatter3d")


# The look is written out here: a figure made in the app need not carry plotly's own, which takes longer to make than most figures.
pio.templates.default = None


class Spec(go.Figure):
    """Stands for a figure where Streamlit asks for one, and gives the specification made of it."""

    def __init__(self, figure: go.Figure, dark: bool, selectable: bool) -> None:  # without that of Figure: nothing of it is asked for
        self._spec = specification(figure, dark, selectable)

    def to_dict(self) -> dict[str, Any]:
        return self._spec


def specification(figure: go.Figure, dark: bool = False, selectable: bool = False) -> dict[str, Any]:
    """{data, layout, frames} of a figure in the light or dark look, in plain JSON types."""
    content: Any = figure
    data = [_plain(trace.to_plotly_json()) for trace in content.data]
    layout = _plain(content.layout.to_plotly_json())
    layout.pop("template", None)
    layout = _written_out(layout, _look(dark), data) | {"modebar": _toolbar(layout, data)}
    frames = [_plain(frame.to_plotly_json()) for frame in content.frames]
    return {"data": data, "layout": (MODES if selectable else {}) | layout | {"datarevision": 1, "autosize": True}, "frames": frames}


@cache
def _look(dark: bool) -> dict[str, Any]:
    template: Any = pio.templates[style.DARK if dark else style.LIGHT]
    return template.layout.to_plotly_json()


def _toolbar(layout: Mapping[str, Any], data: list[dict[str, Any]]) -> dict[str, Any]:
    """Plotly's toolbar, upright where a legend lies along the top: it would cover the legend's end. Beside a colour bar it lies flat."""
    named = layout.get("showlegend", sum(trace.get("showlegend", True) and bool(trace.get("name")) for trace in data) > 1)
    on_top = named and layout.get("legend", {}).get("y", 1.02) >= 1
    barred = "coloraxis" in layout or any("colorbar" in trace for trace in data)
    return {"orientation": "v" if on_top and not barred else "h", "bgcolor": "rgba(0,0,0,0)"}


def _written_out(layout: dict[str, Any], template: Mapping[str, Any], data: list[dict[str, Any]]) -> dict[str, Any]:
    """The layout over the template's; what the template says of an axis, a scene or a note holds for each of them."""
    each = {kind: template.get(kind, {}) for kind in ("xaxis", "yaxis", "scene")}
    result = _merged({name: value for name, value in template.items() if name not in (*each, "annotationdefaults")}, layout)
    for name in {name for name in layout if name.rstrip("0123456789") in each}.union(*map(_spaces, data)):
        result[name] = _merged(each[name.rstrip("0123456789")], layout.get(name, {}))
    if notes := layout.get("annotations"):
        result["annotations"] = [_merged(template.get("annotationdefaults", {}), note) for note in notes]
    return result


def _spaces(trace: Mapping[str, Any]) -> set[str]:
    """Names in the layout of the axes, or the scene, that a trace is drawn in."""
    if trace.get("type") in SOLID:
        return {trace.get("scene", "scene")}
    return {f"{kind}axis{trace.get(f'{kind}axis', kind)[1:]}" for kind in "xy"}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for name, value in over.items():
        known = result.get(name)
        result[name] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def _plain(value: Any) -> Any:
    """Dicts and lists all the way down, no arrays."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, np.ndarray, list, tuple)) for item in value):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value
