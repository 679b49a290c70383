"""Loading ahead of need: the libraries of the other pages, once a server, and the browser's parts of them, while the first page is read."""

from __future__ import annotations

import contextlib
import gc
import importlib
import threading
from pathlib import Path
from typing import Any

import streamlit as st

# By page: Forgetting, Energy, Chains, Replay, Compare, Agreement, Report; Live draws with altair; then what Chains and Replay measure with.
MODULES = (
    "workbench.views.scores.forgetting",
    "workbench.views.energy.landscape",
    "workbench.views.energy.mixing",
    "workbench.views.replay.samples",
    "workbench.views.studies.compare",
    "workbench.views.replay.agreement",
    "workbench.views.studies.report",
    "altair",
    "sacrebleu.metrics.chrf",
)

# What pages draw with, those that take longest first: plotly, vega (Live), the colours of code (Report), then widgets.
CHUNKS = (
    "PlotlyChart",
    "embed",
    "StreamlitSyntaxHighlighter",
    "ArrowVegaLiteChart",
    "ButtonGroup",
    "Checkbox",
    "Multiselect",
    "NumberInput",
    "Pagination",
    "Progress",
    "Spinner",
)
PRELOAD_JS = """
export default async function ({ data }) {
  const idle = () => new Promise((done) => ("requestIdleCallback" in window ? requestIdleCallback(done) : setTimeout(done, 200)));
  for (const file of data.files) {
    await idle();
    await import(new URL(`./static/js/${file}`, document.baseURI).href).catch(() => {});
  }
}
"""


def preload() -> None:
    """Have the browser load Streamlit's chunks of the other pages, one after another, when it is idle; none that is named otherwise."""
    build: Any = st.components.v2.component  # pyright: ignore[reportAttributeAccessIssue]
    with st.container(key="preload"):
        build("workbench_preload", html="", js=PRELOAD_JS)(key="preload_chunks", data={"files": _chunks()})


@st.cache_resource(show_spinner=False)
def _chunks() -> list[str]:
    folder = Path(st.__file__).parent / "static" / "static" / "js"
    return [path.name for name in CHUNKS for path in sorted(folder.glob(f"{name}.*.js"))]


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
        gc.freeze()  # what modules hold stays: a full collection that looks through all of it takes as long as a page
