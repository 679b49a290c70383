"""The cursor's line over a chart of iterations, drawn by the browser: a step of the slider sends two numbers, not the chart again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from workbench.views.style import MUTED

JS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def cursor_line(chart: str, value: float, dark: bool) -> None:
    """A dotted line at `value` of the x axis on every panel of the chart with that key; none where it is out of view."""
    build: Any = st.components.v2.component  # pyright: ignore[reportAttributeAccessIssue]
    component = build("workbench_cursor_line", html="", js=JS)
    with st.container(key=f"cursor_line_{chart}"):
        component(key=f"{chart}_line", data={"chart": chart, "value": value, "color": MUTED[dark]})
