"""Runs: what there is, filtered in words, grouped, picked. Reads run.json and summary.json only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.app import frame
from workbench.app.store import zipped
from workbench.views.studies import health, runs_table

SHOWN = ["name", "acc", "status", "method", "seed", "tasks", "iterations", "forgetting", "min_acc", "ratings", "size_mb", "curve", "tags"]
SHOWN_TASKS = 5
OPTIONAL = ["stream", "gamma", "group", "error"]
COLUMN_CONFIG = {
    "name": st.column_config.TextColumn("run", width=245),
    "status": st.column_config.TextColumn("status", width="small"),
    "iterations": st.column_config.NumberColumn("iterations", format="localized"),
    "acc": st.column_config.NumberColumn(
        "ACC",
        width=70,
        format="%.1f",
        help="mean answer score over the tasks learnt, after the last of them: answers generated to the whole test set",
    ),
    "forgetting": st.column_config.NumberColumn(
        "forgetting", format="%.1f", help="mean drop of the answer score from its best after learning to the last one"
    ),
    "min_acc": st.column_config.NumberColumn(
        "min-ACC, forced",
        format="%.1f",
        help="another measure than ACC: mean over old tasks of the worst teacher-forced match since each was learnt, on a fixed subset",
    ),
    "size_mb": st.column_config.NumberColumn("MB", format="%.1f"),
    "curve": st.column_config.LineChartColumn("match", y_min=0, y_max=100, width="small", help="mean teacher-forced match over the run"),
}


def picked(key: str, names: list[str]) -> list[str]:
    rows = (st.session_state.get(key) or {}).get("selection", {}).get("rows", [])
    return [names[row] for row in rows if row < len(names)]


def row_picked(key: str, names: list[str]) -> None:
    """The row picked last becomes the run of the cursor; positions are turned into names at once."""
    chosen = picked(key, names)
    if chosen:
        frame.go(run=chosen[-1])


def step_run(names: list[str], step: int) -> None:
    at = names.index(st.session_state["run"]) if st.session_state.get("run") in names else 0
    frame.go(run=names[min(max(at + step, 0), len(names) - 1)])


def filters() -> tuple[str, list[str], str | None]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="run_filters"):
        query = st.text_input(
            "Filter",
            key="q",
            bind="query-params",
            placeholder="lsebmcl seed:<3 acc:>70 status:finished",
            width="stretch",
            icon=":material/search:",
            help="Words in name, method, stream and tags; or column:value, with =, !=, <, <=, > and >= for numbers",
        )
        with st.popover("Columns", icon=":material/view_column:"):
            extra = st.multiselect("Also show", OPTIONAL, key="cols", bind="query-params")
        group = st.selectbox(
            "Group by", runs_table.GROUPS, index=None, key="group", bind="query-params", placeholder="no grouping", width=170
        )
    return query, extra, group


def main_table(rows: Any, extra: list[str]) -> list[str]:
    names = rows["name"].tolist()
    # Selections are positions: a table with other rows must be another table.
    key = "runs_" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:10]
    st.dataframe(
        rows[[*SHOWN, *extra]],
        key=key,
        hide_index=True,
        column_config=COLUMN_CONFIG,
        on_select=lambda: row_picked(key, names),
        selection_mode="multi-row",
        height=min(38 + 35 * max(len(rows), 1), 640),
        placeholder="–",
        alt="Runs with their scores, newest first",
    )
    return picked(key, names)


def actions(rows: Any, chosen: list[str], paths: dict[str, Path]) -> None:
    names = rows["name"].tolist()
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="run_actions"):
        st.button(
            "Up", key="run_up", shortcut="K", icon=":material/keyboard_arrow_up:", on_click=step_run, args=(names, -1), help="Run above"
        )
        st.button(
            "Down",
            key="run_down",
            shortcut="J",
            icon=":material/keyboard_arrow_down:",
            on_click=step_run,
            args=(names, 1),
            help="Run below",
        )
        if len(chosen) > 1:
            frame.link("compare", f"Compare {len(chosen)} runs", icon=":material/compare_arrows:", params={"runs": ",".join(chosen)})
        st.space("stretch")
        st.download_button(
            "Table (CSV)",
            lambda: rows.drop(columns=["curve"]).to_csv(index=False).encode(),
            "runs.csv",
            "text/csv",
            key="runs_csv",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )
        if chosen:
            st.download_button(
                f"{len(chosen)} runs (zip)" if len(chosen) > 1 else "Run (zip)",
                lambda: zipped([paths[name] for name in chosen]),
                "runs.zip",
                "application/zip",
                key="runs_zip",
                on_click="ignore",
                type="tertiary",
                icon=":material/folder_zip:",
                help="Without weights",
            )


def details(here: frame.Cursor) -> None:
    """The run of the cursor: how it went, what it was, where to look."""
    run = here.run
    frame.run_line(run)
    info = next(info for info in here.runs if info.name == run.name)
    if info.error:
        st.badge("broken file", icon=":material/broken_image:", color="red")
        st.text(info.error)
        st.caption("`workbench check RUN` lists every file of the run with its fault.")
    if info.info is None:
        return
    summary, about = info.summary, info.info
    scores, words, more = frame.beside([3, 5, 4], "run")
    with scores, st.container(horizontal=True, gap="small"):
        for label, value in (("ACC", summary.average_score), ("Forgetting", summary.forgetting), ("min-ACC, forced", summary.min_acc)):
            st.metric(label, f"{value:.1f}" if value is not None else "–", width="content")
    seconds = f"{summary.seconds:,.0f} s" if summary.seconds is not None else "–"
    with words:
        more_tasks = f" and {len(about.tasks) - SHOWN_TASKS} more" if len(about.tasks) > SHOWN_TASKS else ""
        fact("tasks", " → ".join(about.tasks[:SHOWN_TASKS]) + more_tasks)
        fact("stream", about.stream)
        fact("length", f"{summary.iterations or 0:,} iterations, {seconds}")
        fact("begun", f"{about.created[:19].replace('T', ' ')} UTC on {about.device or 'an unnamed device'}")
    with more:
        with st.container(horizontal=True, gap="small"):
            frame.link("overview", "Overview", icon=":material/dashboard:")
            frame.link("forgetting", "Forgetting", icon=":material/trending_down:")
            frame.link("answers", "Answers", icon=":material/quiz:")
            frame.link("replay", "Replay", icon=":material/history:")
        for sentence in summary.warnings:
            st.text(f"⚠ {sentence}")
        with st.expander("Settings that differ from the defaults", on_change="rerun", key="run_config") as opened:
            if opened.open:
                table = health.config_frame(run)
                st.dataframe(table[table["differs"]][["key", "value", "default"]], hide_index=True)


def fact(label: str, value: str) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center", wrap=False):
        st.caption(label, width=64)
        st.text(value, width="stretch")  # as wide as the card leaves it, else it would be cut without a word


here = frame.header("Runs", needs_run=False, about="Every run in the folder, newest first. Pick one to look at it, two or more to compare.")
if not here.runs:
    frame.no_runs()
    st.stop()
with frame.panel("The list of runs"):
    query, extra, group = filters()
    everything = runs_table.table(here.runs)
    rows, faults = runs_table.filtered(everything, query)
    for sentence in faults:
        st.text(f"Filter: {sentence}")
    if group:
        frame.frame_table(
            runs_table.grouped(rows, group).round(2),
            key=f"grouped_{group}",
            name="runs-grouped",
            alt=f"Runs grouped by {group}",
            placeholder="–",
        )
    if rows.empty:
        st.info("No run matches this filter.", icon=":material/filter_alt_off:")
    else:
        chosen = main_table(rows, extra)
        actions(rows, chosen, {info.name: info.path for info in here.runs})
    st.caption(f"{len(rows):,} of {len(everything):,} runs under {frame.folder_name()}")
    frame.offer_samples()
if here.run is not None:
    with st.container(border=True), frame.panel("The run"):
        details(here)
