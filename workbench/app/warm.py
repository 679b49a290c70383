"""Loading ahead of need: the libraries of the other pages, once a server, and the browser's part of plotly, while the first page is read."""

from __future__ import annotations

import contextlib
import importlib
import threading
from pathlib import Path
from typing import Any

import streamlit as st

# By page: Forgetting, Energy, Chains, Replay, Compare, Agreement, Report; Live draws with altair; then what Chains and Replay measure with.
MODULES = (
    "workbench.views.forgetting",
    "workbench.views.landscape",
    "workbench.views.mixing",
    "workbench.views.replay",
    "workbench.views.compare",
    "workbench.views.agreement",
    "workbench.views.report",
    "altair",
    "arviz_stats.base",
    "sacrebleu.metrics.chrf",
)

CHARTS = "PlotlyChart.*.js"
PRELOAD_JS = """
export default function ({ data }) {
  const load = () => data.files.forEach((file) => import(new URL(`./static/js/${file}`, document.baseURI).href).catch(() => {}));
  "requestIdleCallback" in window ? requestIdleCallback(load) : setTimeout(load, 500);
}
"""


def preload() -> None:
    """Have the browser load the chunk that draws plotly figures when it is idle; nothing where Streamlit names it otherwise."""
    build: Any = st.components.v2.component  # pyright: ignore[reportAttributeAccessIssue]
    with st.container(key="preload_charts"):
        build("workbench_preload", html="", js=PRELOAD_JS)(key="preload", data={"files": _chunks()})


@st.cache_resource(show_spinner=False)
def _chunks() -> list[str]:
    return [path.name for path in sorted((Path(st.__file__).parent / "static" / "static" / "js").glob(CHARTS))]


@st.cache_resource(show_spinner=False)
def warm() -> threading.Thread:
    """Start importing in the background, the first time only."""
    thread = threading.Thread(target=_imports, name="imports", daemon=True)
    thread.start()
    return thread


def _imports() -> None:
    for name in MODULES:
        with contextlib.suppress(Exception):  # the page that needs it will say what is wrong
            importlib.import_module(name)
