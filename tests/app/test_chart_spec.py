"""What the browser gets of a figure: the same picture, in a form that plotly.js draws once."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.app.chart_spec import MODES, Spec, specification
from workbench.views import style


def figure() -> go.Figure:
    drawn = go.Figure()
    drawn.add_scatter(x=np.array([0.0, 1.0]), y=np.array([2.0, np.nan]), customdata=np.array([[1, "a"], [2, "b"]], dtype=object))
    drawn.add_scatter(x=[1], y=[1], xaxis="x2", yaxis="y2")
    drawn.update_layout(
        xaxis2={"title": {"text": "steps"}}, yaxis={"gridcolor": "red"}, annotations=[{"text": "here", "font": {"size": 20}}]
    )
    return drawn


def test_the_look_is_written_into_every_axis_and_note_and_what_the_figure_says_stays() -> None:
    layout = specification(figure(), dark=True)["layout"]
    assert "template" not in layout
    assert layout["font"]["color"] == style.INK[True] and layout["margin"] == style.MARGIN
    assert layout["xaxis"]["gridcolor"] == layout["xaxis2"]["gridcolor"] == layout["yaxis2"]["gridcolor"] == style.GRID[True]
    assert layout["yaxis"]["gridcolor"] == "red" and layout["yaxis"]["ticks"] == "outside"
    assert layout["xaxis2"]["title"]["text"] == "steps" and layout["xaxis2"]["title"]["standoff"] == 8
    assert layout["annotations"][0]["font"] == {"size": 20, "color": style.INK[True]}


def test_arrays_are_lists_for_typed_ones_are_drawn_again() -> None:
    data = specification(figure())["data"]
    assert data[0]["x"] == [0.0, 1.0] and data[0]["customdata"] == [[1, "a"], [2, "b"]]
    import plotly.io

    sent = json.loads(str(plotly.io.to_json(specification(figure()), validate=False)))
    assert sent["data"][0]["y"] == [2.0, None] and "bdata" not in json.dumps(sent)


def test_what_streamlit_would_set_later_is_there_from_the_beginning() -> None:
    layout = specification(figure(), selectable=True)["layout"]
    assert {name: layout[name] for name in MODES} == MODES and layout["datarevision"] == 1
    kept = specification(figure().update_layout(hovermode="x"), selectable=True)["layout"]
    assert kept["hovermode"] == "x"
    assert not set(MODES) & set(specification(figure())["layout"])


def test_scenes_and_frames_go_along() -> None:
    solid = go.Figure(go.Surface(z=np.eye(3)), frames=[go.Frame(data=[go.Surface(z=np.zeros((3, 3)))], name="1")])
    found = specification(solid, dark=True)
    assert found["layout"]["scene"]["xaxis"]["gridcolor"] == style.GRID[True] and "xaxis" not in found["layout"]
    assert found["frames"][0]["data"][0]["z"] == [[0.0] * 3] * 3


def test_the_figure_itself_stays_as_it_was() -> None:
    drawn = figure()
    before = drawn.to_json()
    assert Spec(drawn, False, True).to_dict()["layout"]["clickmode"] == "event+select"
    assert drawn.to_json() == before


@pytest.mark.parametrize("dark", [False, True])
def test_a_dressed_figure_and_a_bare_one_look_alike(dark: bool) -> None:
    assert specification(style.dress(figure(), dark), dark)["layout"] == specification(figure(), dark)["layout"]


def test_f62_the_toolbar_does_not_lie_on_a_legend_along_the_top() -> None:
    named = go.Figure([go.Scatter(x=[1], y=[1], name="a"), go.Scatter(x=[1], y=[1], name="b")])
    assert specification(named)["layout"]["modebar"]["orientation"] == "v"
    below = go.Figure(named).update_layout(legend={"y": -0.2})
    alone = go.Figure([go.Scatter(x=[1], y=[1], name="a")])
    barred = go.Figure(named).update_layout(coloraxis={"cmin": 0})
    hidden = go.Figure(named).update_layout(showlegend=False)
    assert {specification(one)["layout"]["modebar"]["orientation"] for one in (below, alone, barred, hidden)} == {"h"}
