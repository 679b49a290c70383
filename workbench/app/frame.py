"""The frame around every page: navigation, the shared cursor (run, iteration, task) in the URL, and the header line.

A page file reads:

    from workbench.app import frame
    from workbench.views.scores import forgetting

    here = frame.header("Forgetting", code=frame.snippet("scores.forgetting"))     # stops by itself when there is no run to show
    with frame.panel("Curves"):                                             # a fault inside leaves the rest of the page standing
        figure = forgetting.figure(here.run, dark=here.dark)
        frame.chart(figure, key="curves", alt="Score of each task by iteration", data=lambda: forgetting.curves(here.run))

The cursor moves in callbacks only: `st.button("Go", on_click=frame.go, kwargs={"it": 120, "task": "topic"})`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from workbench.app.cursor import Cursor, all_runs, cursor, go, open_run, render_cursor, run_names
from workbench.app.parts import (
    KEYS_HELP,
    boundary,
    chart,
    code_popover,
    copy_link,
    explain_keys,
    frame_table,
    not_recorded,
    panel,
    text_block,
)
from workbench.app.store import CachedRun, nearest_names, runs_root, sample_runs
from workbench.views.studies import health
from workbench.views.style import MUTED

__all__ = [
    "KEYS_HELP",
    "Cursor",
    "ago",
    "all_runs",
    "beside",
    "boundary",
    "chart",
    "code_popover",
    "cursor",
    "folder_name",
    "frame_table",
    "go",
    "header",
    "link",
    "navigation",
    "no_runs",
    "not_recorded",
    "offer_samples",
    "open_run",
    "panel",
    "render_cursor",
    "render_keys",
    "run_line",
    "run_names",
    "snippet",
    "text_block",
]

PAGES_FOLDER = Path(__file__).parent / "pages"
# group -> (file, title, icon); a file that is not there is left out of the navigation.
PAGES: dict[str, list[tuple[str, str, str]]] = {
    "Runs": [("runs", "Runs", "list"), ("live", "Live", "sensors")],
    "Look": [
        ("overview", "Overview", "dashboard"),
        ("forgetting", "Forgetting", "trending_down"),
        ("answers", "Answers", "quiz"),
        ("energy", "Energy", "terrain"),
        ("chains", "Chains", "timeline"),
        ("latent_map", "Latent map", "scatter_plot"),
        ("replay", "Replay", "history"),
    ],
    "Judge": [("rate", "Rate", "star"), ("agreement", "Agreement", "handshake")],
    "Compare": [("compare", "Compare", "compare_arrows"), ("report", "Report", "description")],
}
STATUS = {
    "running": ("blue", ":material/play_circle:", "running, so far"),
    "finished": ("green", ":material/check_circle:", "finished"),
    "interrupted": ("orange", ":material/pause_circle:", "interrupted"),
    "crashed": ("orange", ":material/warning:", "crashed"),
    "failed": ("red", ":material/error:", "failed"),
    "broken": ("red", ":material/broken_image:", "broken"),
}


CHAIN_ON_MAP = "on_chain"
"""Key of the chain on the Energy page's map. Not `chain`, as on the Chains page: a key that two pages bind is lost on the way between them."""

# Streamlit leaves six rem above every page; words in a status line are not code.
LOOK = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.5rem clamp(1rem, 3vw, 3rem) 4rem; }
[data-testid="stMainBlockContainer"] { container-type: inline-size; }
[class*="st-key-cursor_line_"], .st-key-preload { position: absolute; }
[data-testid="stFullScreenFrame"]:has(> .stPlotlyChart) { width: round(down, 100%, 1px); }
[data-testid="stCaptionContainer"] { opacity: 1; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { color: CAPTION; }
[data-testid="stSidebarNavItems"] { padding-top: 0; }
[data-testid="stSidebarNavLink"] { min-height: 1.5rem; margin: 0; padding-top: 0; padding-bottom: 0; line-height: 1.5rem; }
[data-testid="stSidebarNavLink"] * { line-height: 1.5rem; }
[data-testid="stNavSectionHeader"] { margin-top: 0.35rem; padding-top: 0; padding-bottom: 0; }
[data-testid="stSidebarHeader"] { height: 2rem; padding-bottom: 0; margin-bottom: 0; }
[data-testid="stSidebarUserContent"] { padding-top: 0.5rem; padding-bottom: 1rem; }
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] { gap: 0.6rem; }
@media (max-width: 900px) { [data-testid="stSidebar"][data-collapsed="false"] { width: 220px !important; min-width: 220px !important; } }
[data-testid="stText"] { white-space: pre-wrap; overflow-wrap: anywhere; }
.st-key-page_header { margin-bottom: -0.75rem; }
[class*="st-key-downloads_"] { align-self: flex-end; }
[class*="st-key-downloads_"] button { min-height: 0; padding: 0; font-size: 0.8rem; opacity: 0.85; }
@container (max-width: 760px) {
  [class*="st-key-beside_"] [data-testid="stColumn"] { min-width: 100%; }
  [class*="st-key-cards_"] [data-testid="stColumn"] { min-width: calc(50% - 1rem); }
}
</style>"""


def navigation() -> Any:
    """The pages that exist, in four groups; returns the page to run."""
    groups: dict[str, list[Any]] = {}
    for group, rows in PAGES.items():
        pages = [
            st.Page(PAGES_FOLDER / f"{name}.py", title=title, icon=f":material/{icon}:", url_path=name, default=name == "runs")
            for name, title, icon in rows
            if (PAGES_FOLDER / f"{name}.py").exists()
        ]
        if pages:
            groups[group] = pages
    st.session_state["_pages"] = [page.url_path or "runs" for pages in groups.values() for page in pages]
    return st.navigation(groups, expanded=True)


def link(page: str, label: str, *, icon: str | None = None, help: str | None = None, params: dict[str, str] | None = None) -> None:
    """A link to a page by its file name; the cursor goes along. Nothing is drawn while that page does not exist.

    params: further query parameters of that page (chain=, t=, ...); never run, it or task, which are bound here.
    """
    if page in st.session_state.get("_pages", ()):
        st.page_link(PAGES_FOLDER / f"{page}.py", label=label, icon=icon, help=help, query_params=params)


def beside(spec: Any, key: str, *, gap: Any = "large") -> list[Any]:
    """Columns that stand under each other where the page is narrow."""
    with st.container(key=f"beside_{key}"):
        return list(st.columns(spec, gap=gap))


def folder_name() -> str:
    """The runs folder as a person would type it."""
    return str(runs_root())


def header(title: str, *, code: str = "", about: str = "", needs_run: bool = True) -> Cursor:
    """Title, run line, messages; stops the page with the right sentence when there is no run to show."""
    here = cursor()
    st.html(LOOK.replace("CAPTION", MUTED[here.dark]))
    with st.container(horizontal=True, vertical_alignment="center", key="page_header"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        if code and here.run is not None:
            code_popover(code.replace("RUN_NAME", here.run.name))
        copy_link()
    if needs_run and here.run is not None:
        run_line(here.run)
    if about:
        st.caption(about)
    for message in here.messages if needs_run else ():
        st.warning(message, icon=":material/link_off:")
    if here.unknown:
        unknown_run(here)
    if here.run is None and needs_run:
        if not here.unknown or not here.runs:
            no_runs() if not here.runs else st.info("Choose a run in the sidebar.")
        st.stop()
    return here


def run_line(run: CachedRun) -> None:
    """Run name, status badge, and when it was last written."""
    color, icon, words = STATUS.get(run.status, ("gray", ":material/help:", run.status))
    if run.fault:
        (color, icon, _), words = STATUS["broken"], f"{words}, but broken: {run.fault}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run_line"):
        st.text(run.name, width="content")
        st.badge(words, icon=icon, color=color)  # pyright: ignore[reportArgumentType]
        if run.remember("diverged", ("metrics",), lambda: diverged(run)):
            st.badge("diverged", icon=":material/warning:", color="red", help="The loss was no finite number: see Health on the Overview")
        st.caption(written_words(run), width="content")


def diverged(run: CachedRun) -> bool:
    """Whether the loss was no finite number at some step; False where the table cannot be read (its panels say so)."""
    try:
        return bool(health.not_finite(run))
    except Exception:
        return False


def written_words(run: CachedRun) -> str:
    """'last written 12 s ago' of a run that goes on; else when, as run.json says it: a copy's files are as old as the copy."""
    written = run.last_written
    if written is None:
        return "nothing written yet"
    if run.status in ("running", "broken"):
        return f"last written {ago(written)} ago"
    return f"{'last written' if run.status == 'crashed' else run.status} {moment(run.info.updated)}"


def moment(stamp: str) -> str:
    """'2026-01-02 03:04 UTC' of a time in run.json."""
    return f"{stamp[:16].replace('T', ' ')} UTC"


def ago(seconds: float) -> str:
    """'12 s', '5 min', '3 h', '2 days'."""
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}"
    return f"{max(int(seconds), 0)} s"


def unknown_run(here: Cursor) -> None:
    """What a link to a run that is not there shows: the names nearest to it, never another run in its place."""
    names = [info.name for info in here.runs]
    nearest = nearest_names(here.unknown, names)
    words = f" Nearest names: {', '.join(nearest)}." if nearest else ""
    st.warning("This link names a run that is not here.", icon=":material/link_off:")
    st.text(f"No run named {here.unknown[:120]!r} under {runs_root()}.{words}")
    with st.container(horizontal=True):
        for name in nearest or names[:1]:
            st.button(f"Open {name}", key=f"open_{name}", on_click=go, kwargs={"run": name})


def no_runs() -> None:
    """No run anywhere: where was looked, how one is made, and the bundled sample."""
    st.info("There are no runs yet.", icon=":material/inbox:")
    st.text(f"Looked in: {runs_root().absolute()} (the environment variable WORKBENCH_RUNS, or ./runs)")
    st.markdown("Make one with")
    st.code("workbench train --set stream=bundled --set method=lsebmcl", language="bash")
    offer_samples()


def offer_samples() -> None:
    """The button that brings in the bundled sample runs, when there are any."""
    samples = sample_runs()
    if not samples or st.session_state.get("_samples"):
        return
    st.button("Open the bundled sample run", key="open_samples", type="primary", on_click=_open_samples, args=(samples[0].name,))


def _open_samples(name: str) -> None:
    st.session_state["_samples"] = True
    go(run=name)


def snippet(view: str, call: str = "figure(run)", also: str = "") -> str:
    """The lines that make the same figure in a notebook; `header` puts in the run's name (never a path of this machine).

    view: room and name, as 'scores.matrix'; call: what is called of it; also: a further import that the call needs.
    """
    root = runs_root()
    folder = "runs" if root.is_absolute() else str(root)
    room, _, name = view.rpartition(".")
    imports = ["from workbench.runs.reader import Run", f"from workbench.views.{room} import {name}", *([also] if also else [])]
    return "\n".join([*imports, f'run = Run("{folder}/RUN_NAME")', f"{name}.{call}"])


def render_keys() -> None:
    """The list of keys, opened with ? or H."""
    with st.sidebar:
        st.button(
            "Keys", key="keys_help", icon=":material/keyboard:", type="tertiary", shortcut="H", on_click=None, help="List of keys (also ?)"
        )
        if st.session_state.get("keys_help"):
            explain_keys()
