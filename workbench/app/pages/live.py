"""Live: runs that write now, with progress, rate and plain warnings. Charts are Vega: they change in place."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import streamlit as st

from workbench.app import frame
from workbench.app.store import CachedRun
from workbench.views import style, timeline
from workbench.views.scores import curves
from workbench.views.scores.measures import FORCED, NAMES
from workbench.views.studies import health
from workbench.views.text import in_markdown

SCORE = (
    "Mean over the tasks begun, on a fixed subset of the test set, with teacher forcing. The average score of the Overview is another "
    "measure: of answers generated to the whole test set"
)
GAP = (
    "Mean U of short-run samples less mean U of the codes that the energy was fitted to, in nats, of the task where it is furthest from 0 "
    "at the last measurement. The Energy page has it on held-out codes"
)
WINDOWS = {"All": 1.0, "Last half": 0.5, "Last 10 %": 0.1}


def series(run: Any, what: str, share: float) -> Any:
    """iteration, value, task of one logged or evaluated series, thinned; smoothed nowhere: these are the rows as written."""
    if what == "mean score":
        rows = curves.mean_score(run).rename(columns={"score": "value"}).assign(task="mean")
    else:
        rows = run.table("metrics")[["iteration", "loss", "task"]].rename(columns={"loss": "value"})
    rows = rows[rows["iteration"] >= rows["iteration"].max() * (1 - share)] if len(rows) else rows
    return rows.iloc[style.thin(rows["iteration"], rows["value"], 800)]


def chart(run: Any, what: str, share: float, dark: bool) -> None:
    rows = series(run, what, share)
    if rows.empty:
        st.caption("Nothing written yet.")
        return
    names = timeline.tasks(run)
    mean = what == "mean score"
    color = (
        alt.value(style.INK[dark])
        if mean
        else alt.Color(
            "task:N",
            scale=alt.Scale(domain=names, range=[style.task_color(k, dark) for k in range(len(names))]),
            legend=alt.Legend(orient="top", title=None),
        )
    )
    figure = (
        alt.Chart(rows)
        .mark_line(strokeWidth=1.6)
        .encode(
            x=alt.X("iteration:Q", title="iteration"),
            y=alt.Y(
                "value:Q",
                title=f"mean {NAMES[FORCED]}" if mean else what,
                scale=alt.Scale(zero=False, domain=[0, 100]) if mean else alt.Scale(zero=False),
            ),
            color=color,
            tooltip=["iteration", alt.Tooltip("value:Q", format=".3f", title=what)] + ([] if mean else ["task"]),
        )
        .properties(height=320)
    )
    st.altair_chart(figure, key=f"live_{run.name}", alt=f"{what} of {run.name} by iteration")


def card(run: Any, what: str, share: float, dark: bool) -> None:
    now = health.progress(run)
    with st.container(border=True, key=f"card_{run.name}"):
        frame.run_line(run)
        place = f"task {now.task_number} of {now.tasks}: {now.task}" if now.task else "before the first step"
        rate = f", {now.rate:.1f} a second" if now.rate else ""
        left = f", about {frame.ago(now.eta)} left" if now.eta and run.status == "running" else ""
        st.progress(now.share, text=None)
        st.text(f"{place}; iteration {now.iteration:,}{rate}{left}")
        with st.container(horizontal=True, gap="medium"):
            gap = now.energy_gap
            for label, value, form, help_ in (
                ("Loss", now.loss, ".3f", None),
                (f"Mean {NAMES[FORCED]}", now.score, ".1f", SCORE),
                (f"Widest energy gap, codes of the fit: {in_markdown(gap.task)}" if gap else "Energy gap", gap and gap.value, "+.2f", GAP),
            ):
                st.metric(label, format(value, form) if value is not None else "–", width="content", help=help_)
        for sentence in health.warnings_of(run):
            st.text(f"⚠ {sentence}")
        chart(run, what, share, dark)
        rows = len(run.table("metrics"))
        st.caption(f"{rows:,} steps, all loaded")


def cards(here: frame.Cursor, what: str, share: float) -> None:
    runs = frame.all_runs()
    if not runs:
        frame.no_runs()
        return
    if not here.runs:
        st.rerun()  # the first run of this folder has appeared: the sidebar gets its cursor
    live = [info for info in runs if info.status == "running"]
    if not live:
        st.info("No run has written in the last minute.", icon=":material/sensors_off:")
        finished = next((info for info in runs if info.status in ("finished", "interrupted", "crashed", "failed")), None)
        if finished is None:
            return
        st.subheader("The last one", anchor=False)
        live = [finished]
    for start in range(0, len(live), 2):
        for column, info in zip(
            frame.beside(2 if len(live) > 1 else 1, f"live_{start}", gap="medium"), live[start : start + 2], strict=False
        ):
            with column, frame.panel(info.name):
                card(CachedRun(info.path), what, share, here.dark)


here = frame.header(
    "Live", needs_run=False, about="Runs that are writing now. Looked at every five seconds; a chart changes only when rows arrived."
)
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    what = st.segmented_control("Show", ["loss", "mean score"], default="loss", required=True, key="live_series", bind="query-params")
    window = st.segmented_control("Window", list(WINDOWS), default="All", required=True, key="live_window", bind="query-params")
    follow = st.segmented_control("Update", ["Follow", "Hold"], default="Follow", required=True, key="follow", bind="query-params")
with frame.panel("The runs"), np.errstate(all="ignore"):
    # Looked at even while nothing runs: a run that begins appears by itself.
    st.fragment(cards, run_every=5 if follow == "Follow" else None)(here, what, WINDOWS[window])
