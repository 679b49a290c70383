"""Imports ahead of need: the libraries of the other pages load while the first one is read, once a server."""

from __future__ import annotations

import contextlib
import importlib
import threading

import streamlit as st

# By page: Forgetting, Energy, Chains, Replay, Compare, Agreement, Report; Live draws with altair.
MODULES = (
    "workbench.views.forgetting",
    "workbench.views.landscape",
    "workbench.views.mixing",
    "workbench.views.replay",
    "workbench.views.compare",
    "workbench.views.agreement",
    "workbench.views.report",
    "altair",
)


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
