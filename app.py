"""Streamlit entry: navigation and the shared cursor (run, iteration, task), nothing else. Start it with `workbench app`."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from workbench.app import frame, warm  # noqa: E402  (the folder of this file must be importable first)

st.set_page_config(
    page_title="Continual learning workbench",
    page_icon=str(ROOT / "workbench" / "app" / "icon.svg"),
    layout="wide",
    initial_sidebar_state="expanded",
)

with frame.boundary():
    page = frame.navigation()
    frame.render_cursor(page.url_path)
    page.run()
    frame.render_keys()
warm.preload()
warm.warm()
