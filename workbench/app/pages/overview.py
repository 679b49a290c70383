"""Overview: one run in four numbers, its timeline, the matrix; configuration, events, environment and health in tabs."""

from __future__ import annotations

import re

import numpy as np
import streamlit as st

from workbench.app import answer_parts, frame
from workbench.app.cursor_line import cursor_line
from workbench.runs import metrics
from workbench.views import timeline
from workbench.views.scores import curves, forgetting_numbers, matrix
from workbench.views.scores.measures import ABOUT, FORCED, GENERATED, NAMES
from workbench.views.studies import health
from workbench.views.text import in_markdown


def cell_clicked() -> None:
    points = (st.session_state.get("matrix") or {}).get("selection", {}).get("points", [])
    where = points[0].get("customdata") if points else None
    if isinstance(where, (list, tuple)) and len(where) >= 2:
        frame.go(it=where[0], task=where[1])


def number(value: float | None, decimals: int = 1) -> str:
    return f"{value:.{decimals}f}" if value is not None and np.isfinite(value) else "–"


def change(now: float | None, before: float | None, decimals: int = 1) -> str | None:
    if now is None or before is None or not np.isfinite(now - before):
        return None
    step = round(now - before, decimals) + 0.0  # no minus sign before a zero
    return f"{step:+.{decimals}f} since the task before"


def plus_minus(half: float | None) -> str:
    return f" ± {half:.1f}" if half is not None and np.isfinite(half) else ""


def four_numbers(here: frame.Cursor) -> None:
    """Average score, average forgetting, worst task, energy gap; each against the state after the task before. Scores are answer scores."""
    tasks, cells = matrix.scores(here.run)
    k = metrics.done(cells)
    if k == 0:
        st.info("No task has been finished yet: the numbers come with the first one.", icon=":material/hourglass_empty:")
        return
    now, before = cells[:k], cells[: k - 1, : k - 1]
    last = cells[k - 1, :k]
    worst = int(np.nanargmin(last))
    old = float(cells[k - 2, worst]) if k > 1 and worst < k - 1 else None
    gap = health.widest_gap(here.run)
    halves = forgetting_numbers.half_widths(here.run)
    own = matrix.frame(here.run).set_index(["after", "task"]).loc[(tasks[k - 1], tasks[worst])]
    with st.container(key="cards_overview"):
        one, two, three, four = st.columns(4)
    one.metric(
        "Average score",
        number(metrics.average_score(now)) + plus_minus(halves.get("ACC")),
        change(metrics.average_score(now), metrics.average_score(before)),
        border=True,
        help="ACC: mean answer score over the tasks learnt; ±: 95 % over the test items",
    )
    two.metric(
        "Average forgetting",
        number(metrics.forgetting(now)) + plus_minus(halves.get("Forgetting")),
        change(metrics.forgetting(now), metrics.forgetting(before)),
        delta_color="inverse",
        border=True,
        help="Mean drop from the best answer score after learning to the last one; ±: 95 % over the test items",
    )
    three.metric(
        f"Worst task: {tasks[worst]}",
        number(float(last[worst])) + plus_minus((own["high"] - own["low"]) / 2),
        change(float(last[worst]), old),
        border=True,
        help="The task with the lowest answer score now",
    )
    four.metric(
        f"Widest energy gap: {in_markdown(gap.task)}" if gap else "Energy gap",
        (f"{gap.value:+.2f}" + (f" ± {gap.error:.2f}" if gap.error is not None else "")) if gap else "–",
        ("within its noise" if gap.within_noise else change(gap.value, gap.before, 2)) if gap else None,
        delta_color="off",
        delta_arrow="off" if gap and gap.within_noise else "auto",
        border=True,
        help="Of the tasks learnt, the one furthest from 0: mean U of short-run samples less mean U of the codes that the energy was "
        "fitted to, in nats. Near 0: the fit holds where it was made. On held-out codes it is another number: see the Energy page",
    )
    n = f" (n = {int(own['n']):,} a task)" if own["n"] == own["n"] else ""
    kind = matrix.kind_of(here.run)
    st.caption(
        f"{NAMES[kind].capitalize()}: {ABOUT[kind]}{n}; here after the last task learnt."
        + (" Energy gap: on the codes of the fit." if gap else "")
    )


def timeline_panel(here: frame.Cursor) -> None:
    figure = here.run.remember(f"mean score {here.dark}", ("eval", "metrics"), lambda: curves.mean_figure(here.run, here.dark))
    frame.chart(
        figure,
        key="mean_score",
        alt=f"Mean {NAMES[FORCED]} of the tasks begun so far by iteration, and mean {NAMES[GENERATED]} at task ends",
        data=lambda: curves.mean_score(here.run),
        name=f"{here.run.name}-mean-score",
    )
    cursor_line("mean_score", here.iteration, here.dark)
    st.caption(
        f"Line: {NAMES[FORCED]}, on a fixed subset of the test set, with teacher forcing. Diamonds: {NAMES[GENERATED]}, as above. "
        "They are two measures, and need not agree."
    )


def matrix_panel(here: frame.Cursor) -> None:
    figure = here.run.remember(f"matrix {here.dark}", ("eval", "predictions"), lambda: matrix.figure(here.run, dark=here.dark))
    frame.chart(
        figure,
        key="matrix",
        alt=f"{NAMES[matrix.kind_of(here.run)]} on each task after each task was learnt",
        data=lambda: matrix.frame(here.run),
        name=f"{here.run.name}-matrix",
        on_select=cell_clicked,
    )
    st.caption(matrix.words(here.run))
    answer_parts.link(here)


TERM = re.compile(r"loss(_\w{1,30})?|grad_norm", re.ASCII)
"""Columns of metrics that are drawn: a method names its own terms. A run may come from elsewhere, so not just any name."""


def loss_panel(here: frame.Cursor) -> None:
    logged = here.run.table("metrics")
    terms = [name for name in logged if TERM.fullmatch(name) and logged[name].notna().any()]
    if not terms:
        frame.not_recorded("steps")
        return
    term = st.segmented_control("Logged", terms, default=terms[0], required=True, key="term", label_visibility="collapsed")
    frame.chart(
        curves.loss_figure(here.run, term, dark=here.dark),
        key=f"loss_{term}",
        alt=f"{term} by iteration, raw and smoothed",
        data=lambda: here.run.table("metrics")[["iteration", "task", term]],
    )


def config_tab(here: frame.Cursor) -> None:
    table = health.config_frame(here.run)
    only = st.toggle("Only what differs from the defaults", value=bool(table["differs"].any()), key="diff_only")
    shown = table[table["differs"]] if only else table
    frame.frame_table(shown[["key", "value", "default", "meaning"]], key="config", name=f"{here.run.name}-config", alt="Configuration")


def events_tab(here: frame.Cursor) -> None:
    table = health.events_frame(here.run)
    st.caption(f"{len(table):,} events")
    frame.frame_table(table.iloc[::-1], key="events", name=f"{here.run.name}-events", alt="Events, newest first")


def health_tab(here: frame.Cursor) -> None:
    for sentence in health.warnings_of(here.run):
        st.text(f"⚠ {sentence}")
    table = health.files_frame(here.run)
    faults = int((~table["ok"]).sum())
    if faults:
        st.error(f"{faults} of {len(table)} files have a fault.", icon=":material/broken_image:")
    else:
        st.success(f"All {len(table)} files are whole.", icon=":material/check_circle:")
    frame.frame_table(
        table.sort_values("ok", kind="stable"), key="files", name=f"{here.run.name}-check", alt="Verdict on every file", placeholder="–"
    )
    st.caption("The same as `workbench check RUN`.")
    frame.chart(
        health.timings_figure(here.run, here.dark),
        key="timings",
        alt="Seconds of each phase by task",
        data=lambda: health.seconds_by_task(here.run),
    )


def environment_tab(here: frame.Cursor) -> None:
    table = health.environment_frame(here.run)
    frame.frame_table(table, key="environment", name=f"{here.run.name}-environment", alt="What made the run")


TABS = {
    "Scores": None,
    "Losses": loss_panel,
    "Config": config_tab,
    "Events": events_tab,
    "Health": health_tab,
    "Environment": environment_tab,
}

here = frame.header("Overview", code=frame.snippet("scores.matrix"))
with frame.panel("The four numbers"):
    four_numbers(here)
tabs = st.tabs(list(TABS), key="show", on_change="rerun", bind="query-params")
for tab, (name, draw) in zip(tabs, TABS.items(), strict=True):
    if not tab.open:
        continue
    with tab:
        if draw is not None:
            with frame.panel(name):
                draw(here)
            continue
        left, right = frame.beside([3, 2], "scores")
        with left, frame.panel("The mean score"):
            st.subheader("Mean over the tasks begun so far", anchor=False)
            timeline_panel(here)
            ends = timeline.task_ends(here.run.table("eval"), here.tasks)
            with st.container(horizontal=True, gap="small"):
                for task, end in ends.items():
                    st.button(
                        f"{task} ends at {end:,}",
                        key=f"end_{task}",
                        on_click=frame.go,
                        kwargs={"it": end, "task": task},
                        type="tertiary",
                        icon=":material/flag:",
                    )
        with right, frame.panel("The matrix"):
            st.subheader(f"Matrix of the {NAMES[matrix.kind_of(here.run)]}", anchor=False)
            matrix_panel(here)
