"""Pieces every page is made of: charts with their downloads, states in the same words everywhere, the error boundary."""

from __future__ import annotations

import io
import json
import logging
import platform
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.app.chart_spec import Spec
from workbench.runs.schema import RunError
from workbench.views import style

log = logging.getLogger("workbench.app")

FrameSource = pd.DataFrame | Callable[[], pd.DataFrame]
PLOTLY_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
KEYS_HELP = {
    "← →": "iteration saved before, next (with Shift on Chains and Rate)",
    "H or ?": "this list",
    "Tab, Enter": "move between controls, press one",
}


def dark() -> bool:
    """Whether the reader has the dark theme."""
    return st.context.theme.type == "dark"


def chart(
    figure: go.Figure,
    *,
    key: str,
    alt: str,
    data: FrameSource | None = None,
    name: str = "",
    on_select: Any = "ignore",
    selection_mode: Any = "points",
    downloads: bool = True,
    config: dict[str, Any] | None = None,
) -> Any:
    """Draw a plotly figure in the reader's theme with an alt text and its downloads beneath.

    data: the rows behind the figure (or a function that makes them when asked). on_select: 'ignore', 'rerun' or a
    callback, which reads `st.session_state[key]["selection"]["points"]`. Returns what `st.plotly_chart` returns.
    """
    spec = Spec(figure, dark(), selectable=on_select != "ignore")
    image = {"toImageButtonOptions": {"format": "svg", "filename": name or key}}
    event = st.plotly_chart(
        spec,
        key=key,
        alt=alt,
        theme=None,
        on_select=on_select,
        selection_mode=selection_mode,
        config=PLOTLY_CONFIG | image | (config or {}),
    )
    if downloads:
        download_row(key=key, name=name or key, data=data, figure=figure)
    return event


def download_row(*, key: str, name: str, data: FrameSource | None = None, figure: go.Figure | None = None) -> None:
    """Data (CSV), Data (Parquet), Figure (HTML): listed when asked for and made when pressed, so that they cost nothing before."""
    with st.popover("Download", icon=":material/download:", type="tertiary", key=f"downloads_{key}", on_change="rerun") as menu:
        if not menu.open:
            return
        if data is not None:
            _download("Data (CSV)", lambda: rows_of(data).to_csv(index=False).encode(), f"{name}.csv", "text/csv", f"{key}_csv")
            _download("Data (Parquet)", lambda: _parquet(rows_of(data)), f"{name}.parquet", "application/octet-stream", f"{key}_parquet")
        if figure is not None:
            _download("Figure (HTML)", lambda: _html(figure), f"{name}.html", "text/html", f"{key}_html")


def rows_of(data: FrameSource) -> pd.DataFrame:
    return data() if callable(data) else data


def _download(label: str, content: Callable[[], bytes], file_name: str, mime: str, key: str) -> None:
    st.download_button(label, content, file_name=file_name, mime=mime, key=key, on_click="ignore", type="tertiary")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _html(figure: go.Figure) -> bytes:
    # Self-contained and on light paper: it opens offline, and prints.
    copy = style.dress(go.Figure(figure), paper_bgcolor="#FFFFFF", plot_bgcolor="#FFFFFF")
    return copy.to_html(include_plotlyjs=True, full_html=True, config=PLOTLY_CONFIG).encode()


def frame_table(frame: pd.DataFrame, *, key: str, name: str = "", alt: str = "", downloads: bool = True, **options: Any) -> Any:
    """A table with its downloads. Returns what `st.dataframe` returns."""
    event = st.dataframe(frame, key=key, hide_index=True, alt=alt or name or key, **options)
    if downloads:
        download_row(key=key, name=name or key, data=frame)
    return event


def text_block(text: str, *, limit: int = 4000) -> None:
    """Text from a model or a data set, as text: never Markdown, never HTML; long ones are cut, and say so."""
    shown = printable(text)
    st.text(shown[:limit])
    if len(shown) > limit:
        st.caption(f"first {limit:,} of {len(shown):,} characters")


def printable(text: str) -> str:
    """Control and bidirectional characters as visible escapes, so that nothing reorders or hides what is read."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else f"\\u{ord(sign):04x}" for sign in str(text))


def not_recorded(what: str, setting: str = "", size: str = "", hint: str = "") -> None:
    """'This run saved no chains. Set `recording.chains` (adds about 38 MB).'"""
    sentence = f"This run saved no {what}."
    if setting:
        sentence += f" Set `{setting}`" + (f" (adds about {size})." if size else ".")
    st.info(f"{sentence} {hint}".strip(), icon=":material/block:")


def broken(error: RunError) -> None:
    """A red chip for a file that cannot be read, and what to do."""
    with st.container(key=f"broken_{secrets.token_hex(3)}"):
        st.badge("broken file", icon=":material/broken_image:", color="red")
        st.text(printable(str(error)))
        st.caption("`workbench check RUN` lists every file of the run with its fault; the other panels are not affected.")


@contextmanager
def panel(what: str, height: int | None = None) -> Iterator[None]:
    """One panel of a page: a skeleton of the final height while it is made; a broken file or a fault stays inside it."""
    try:
        if height:
            with st.skeleton(height):
                yield
        else:
            yield
    except RunError as error:
        broken(error)
    except Exception as error:
        fault(error, what)


@contextmanager
def boundary() -> Iterator[None]:
    """Around the whole page: a sentence with a short id in place of a trace, which goes to the log."""
    try:
        yield
    except RunError as error:
        broken(error)
    except Exception as error:
        fault(error, "This page")


def fault(error: Exception, what: str) -> None:
    """Log the trace under a short id and offer a report without data and without paths."""
    number = secrets.token_hex(3)
    log.error("fault %s in %s", number, what, exc_info=error)
    with st.container(border=True, key=f"fault_{number}"):
        st.error(
            f"{what} could not be shown (fault {number}, {type(error).__name__}). The log has the trace under this id.",
            icon=":material/report:",
        )
        report = json.dumps(bug_report(error, number, what), indent=2)
        st.download_button(
            "Download a bug report", report, f"fault-{number}.json", "application/json", key=f"report_{number}", on_click="ignore"
        )


def bug_report(error: Exception, number: str, what: str) -> dict[str, Any]:
    """Versions, panel, cursor and the lines of code passed through: no data, no message (it may hold either), no paths."""
    steps = traceback.extract_tb(error.__traceback__)
    position = {name: st.session_state.get(name) for name in ("it", "task")}
    return {
        "fault": number,
        "where": what,
        "error": type(error).__name__,
        "steps": [f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in steps],
        "cursor": position,
        "versions": {name: version(name) for name in ("streamlit", "plotly", "pandas", "pyarrow", "numpy")}
        | {"python": platform.python_version()},
    }


def code_popover(code: str) -> None:
    """The lines that make the same figure in a notebook."""
    with st.popover("Code", icon=":material/code:", help="The same figure in a notebook"):
        st.caption("The same figure in a notebook, from the folder above your runs:")
        st.code(code, language="python")


COPY_JS = """
export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  button.onclick = async () => {
    try { await navigator.clipboard.writeText(window.location.href); button.textContent = "Copied"; }
    catch { button.textContent = "Copy the address bar"; }
    setTimeout(() => { button.textContent = "Copy link"; }, 1500);
  };
  const keys = (event) => {
    const at = event.target;
    if (event.key !== "?" || at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    document.querySelector(".st-key-keys_help button")?.click();
  };
  document.addEventListener("keydown", keys);
  return () => document.removeEventListener("keydown", keys);
}
"""
COPY_CSS = """
button { font: inherit; font-size: 0.875rem; color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); padding: 0.25rem 0.75rem;
  min-height: 2.5rem; white-space: nowrap; cursor: pointer; }
button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); outline: none; }
"""


def copy_link() -> None:
    """A button that copies the address: the address is the state."""
    _copy_component()(key="copy_link", width="content")


def _copy_component() -> Any:
    build: Any = st.components.v2.component  # pyright: ignore[reportAttributeAccessIssue]
    return build("workbench_copy_link", html="<button type='button'>Copy link</button>", css=COPY_CSS, js=COPY_JS)


@st.dialog("Keys")
def explain_keys() -> None:
    """Every key of the frame; pages add their own rows to KEYS_HELP."""
    for keys, meaning in KEYS_HELP.items():
        left, right = st.columns([1, 3])
        left.code(keys, language=None)
        right.text(meaning)
