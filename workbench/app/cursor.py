"""The shared cursor: the run, iteration and task that every page shows, chosen in the sidebar and kept in the URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from workbench.app.store import CachedRun, known_runs, runs_root, sample_runs
from workbench.runs.reader import RunInfo
from workbench.views import timeline

# Pages whose own keys are the plain arrows: there the iteration moves with Shift.
ARROW_PAGES = ("chains", "rate")


@dataclass(frozen=True)
class Cursor:
    """The shared selection. `run` is None when there is none to show; then `header` has already stopped the page."""

    run: Any  # CachedRun; Any so that pages need no cast after `header`
    runs: list[RunInfo]
    iteration: int = 0
    task: str = ""
    tasks: list[str] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    dark: bool = False
    unknown: str = ""
    messages: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        return "workbench_dark" if self.dark else "workbench"

    @property
    def task_index(self) -> int:
        return self.tasks.index(self.task) if self.task in self.tasks else 0

    def nearest(self, iterations: list[int]) -> int | None:
        """The saved iteration at or before the cursor, else the first after it, else None."""
        before = [value for value in iterations if value <= self.iteration]
        return max(before) if before else min(iterations, default=None)


def go(**where: Any) -> None:
    """Move the cursor: run=, it=, task=, or any other bound key of the page. Call it from a callback only."""
    for name, value in where.items():
        st.session_state[name] = int(value) if name == "it" else value
    if "run" in where:
        st.session_state["_unknown"] = ""


def run_names() -> list[str]:
    """Names of the runs on show, newest first."""
    return [info.name for info in all_runs()]


def all_runs() -> list[RunInfo]:
    """Runs of the folder; the bundled sample runs too once they were asked for (or a link names one)."""
    runs = known_runs(runs_root())
    names = {info.name for info in runs}
    requested = [st.query_params.get("run", ""), *st.query_params.get("runs", "").split(",")]
    samples = sample_runs()
    if st.session_state.get("_samples") or any(info.name in requested for info in samples if info.name not in names):
        st.session_state["_samples"] = True
        runs = runs + [info for info in samples if info.name not in names]
    return runs


def open_run(name: str) -> CachedRun | None:
    """A run by name, looked up in the list and never joined to a path; None when it is not there."""
    found = next((info for info in all_runs() if info.name == name), None)
    return CachedRun(found.path) if found else None


def cursor() -> Cursor:
    """The shared cursor as rendered for this page."""
    found = st.session_state.get("_cursor")
    return found if isinstance(found, Cursor) else Cursor(None, [])


def render_cursor(page: str = "") -> None:
    """Draw Run, Iteration and Task in the sidebar, bound to the URL, and keep the cursor for the page."""
    dark = st.context.theme.type == "dark"
    runs = all_runs()
    if not runs:
        st.session_state["_cursor"] = Cursor(None, [], dark=dark, unknown=_requested())
        return
    names = [info.name for info in runs]
    unknown = _requested()
    if unknown in names:
        unknown = st.session_state["_unknown"] = ""
    elif unknown:
        st.session_state["_unknown"] = unknown
    elif st.session_state.get("run") is None:
        unknown = st.session_state.get("_unknown", "")
    if not unknown and "run" not in st.session_state and not st.query_params.get("run"):
        st.session_state["run"] = st.query_params["run"] = names[0]  # before the widget is bound: even the first address names its run
    with st.sidebar:
        newest = "Choose a run" if unknown else f"{names[0]} (newest)"
        name = st.selectbox("Run", names, index=None, key="run", bind="query-params", placeholder=newest, on_change=_run_changed)
        name = name or (None if unknown else names[0])
        if name is None:
            st.session_state["_cursor"] = Cursor(None, runs, dark=dark, unknown=unknown)
            return
        run = CachedRun(next(info.path for info in runs if info.name == name))
        messages: list[str] = []
        iterations, tasks = _timeline(run)
        iteration, iterations = _iteration_widget(iterations, page, messages)
        task = _task_widget(tasks, messages)
    st.session_state["_cursor"] = Cursor(run, runs, iteration, task, tasks, iterations, dark, "", tuple(messages))


def _requested() -> str:
    return st.query_params.get("run", "")


def _run_changed() -> None:
    st.session_state["_unknown"] = ""


def _timeline(run: CachedRun) -> tuple[tuple[list[int], int], list[str]]:
    # The cursor must stand when a file is broken: the page's panels name the file.
    try:
        saved = timeline.saved_iterations(run)
    except Exception:
        saved = sorted({0, *(value for values in timeline.snapshots(run.path).values() for value in values)})
    try:
        last = timeline.last_iteration(run)
    except Exception:
        last = saved[-1]
    try:
        tasks = timeline.tasks(run)
    except Exception:
        tasks = []
    return (saved, max(last, saved[-1])), tasks


def _iteration_widget(found: tuple[list[int], int], page: str, messages: list[str]) -> tuple[int, list[int]]:
    saved, last = found
    options = set(saved)
    for wanted in (st.query_params.get("it"), st.session_state.get("it")):
        if wanted is None:
            continue
        # Any iteration of the run can be linked to; the slider lists the saved ones and the one that is open.
        if str(wanted).isascii() and str(wanted).isdecimal() and int(wanted) <= last:
            options.add(int(wanted))
        elif wanted == st.query_params.get("it"):
            messages.append(f"No iteration {str(wanted)[:40]!r} in this run; it has 0 to {last:,}. Shown: the last one saved.")
    if st.session_state.get("it") is not None and st.session_state["it"] not in options:
        st.session_state["it"] = max(value for value in options if value <= st.session_state["it"])
    ordered = sorted(options)
    if len(ordered) == 1:
        st.caption(f"Iteration {ordered[0]:,} is the only one saved")
        return ordered[0], ordered
    iteration = st.select_slider(
        "Iteration", ordered, value=saved[-1], key="it", bind="query-params", help="Iterations at which something was saved"
    )
    at = ordered.index(iteration)
    shift = "Shift+" if page in ARROW_PAGES else ""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        before, after = ordered[max(at - 1, 0)], ordered[min(at + 1, len(ordered) - 1)]
        st.button(
            "‹", key="it_back", help="Iteration saved before", shortcut=f"{shift}Left", on_click=go, kwargs={"it": before}, disabled=at == 0
        )
        st.button(
            "›",
            key="it_on",
            help="Iteration saved next",
            shortcut=f"{shift}Right",
            on_click=go,
            kwargs={"it": after},
            disabled=at == len(ordered) - 1,
        )
        st.caption(f"{at + 1} of {len(ordered)} saved")
    return iteration, ordered


def _task_widget(tasks: list[str], messages: list[str]) -> str:
    if not tasks:
        return ""
    wanted = st.query_params.get("task")
    if wanted and wanted not in tasks:
        messages.append(f"No task named {wanted[:80]!r} in this run; its tasks: {', '.join(tasks)}.")
    if st.session_state.get("task") not in (None, *tasks):
        del st.session_state["task"]
    return st.selectbox("Task", tasks, key="task", bind="query-params")
