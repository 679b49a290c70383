"""Compare: 2 to 20 runs; curves by group, final numbers, config differences, paired differences, texts in columns."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from workbench.app import cards, frame
from workbench.app.store import CachedRun, runs_root
from workbench.runs import tables
from workbench.runs.results import read_results
from workbench.runs.schema import RunError
from workbench.views.scores.measures import ABOUT, FORCED, NAMES
from workbench.views.studies import compare, paired, results_table
from workbench.views.text import in_markdown

MEAN = "mean of the tasks begun"
SHARE = "share of task"
RESULTS = Path(__file__).resolve().parents[3] / "data" / "results"


def chosen_runs(here: frame.Cursor) -> list[Any]:
    """The runs of `runs=` in the address, else the cursor's run and the newest others of its stream."""
    names = [info.name for info in here.runs if info.info is not None]
    asked = [name for name in st.query_params.get("runs", "").split(",") if name]
    unknown = [name for name in asked if name not in names]
    if unknown:
        st.warning("This link names runs that are not here.", icon=":material/link_off:")
        st.text(", ".join(name[:80] for name in unknown[:5]))
    if "compare_runs" not in st.session_state:
        stream = here.run.info.stream
        near = [info.name for info in here.runs if info.info is not None and info.info.stream == stream and info.name != here.run.name]
        st.session_state["compare_runs"] = [name for name in asked if name in names][: compare.MOST] or [here.run.name, *near[:11]]
    chosen = st.multiselect("Runs (2 to 20)", names, key="compare_runs", max_selections=compare.MOST, on_change=remember)
    paths = {info.name: info.path for info in here.runs}
    return [CachedRun(paths[name]) for name in chosen if name in paths]


def remember() -> None:
    st.query_params["runs"] = ",".join(st.session_state["compare_runs"])


def curves_panel(groups: list[compare.Group], tasks: list[str], here: frame.Cursor) -> None:
    first, second, third = st.columns([2, 2, 2], vertical_alignment="bottom")
    with first:
        task = st.selectbox("Score of", [MEAN, *tasks], key="score_of", bind="query-params")
    with second:
        measure = st.segmented_control("Measure", ["score", "loss"], key="measure", bind="query-params", default="score", required=True)
    with third:
        along = st.segmented_control(
            "Axis",
            [SHARE, "iteration"],
            default=SHARE,
            required=True,
            key="along",
            bind="query-params",
            help="Share of task: every task is one wide, so that runs of different lengths lie over each other",
        )
        full = along == "iteration" and st.toggle(
            "Full length", key="full", bind="query-params", help="Off: every curve is cut where the shortest run ends"
        )
    which = "" if task == MEAN else task
    found = compare.aligned(groups, which, measure) if along == SHARE else compare.curves(groups, which, measure, full)
    title = ("mean " if task == MEAN else "") + (NAMES[FORCED] if measure == "score" else measure)
    alt = f"{title} by {along}, one line a group with a band from the lowest to the highest seed"
    frame.chart(compare.curves_figure(groups, found, title, here.dark), key="compare_curves", alt=alt, data=found.rows, name="curves")
    st.caption(f"{found.sentence} Line: mean over the runs of a group. Band: lowest to highest run.".strip())


def bars_panel(groups: list[compare.Group], here: frame.Cursor) -> None:
    missing: list[str] = []
    for kind, scores in compare.BY_MEASURE.items():
        st.caption(f"**{NAMES[kind].capitalize()}**: {ABOUT[kind]}")
        data = pd.concat([compare.finals(groups, metric).assign(metric=metric) for metric in scores], ignore_index=True)
        alt = f"Final numbers of the {NAMES[kind]} by group as bars, each run a dot"
        name = f"final-numbers-{NAMES[kind].replace(' ', '-')}"
        frame.chart(compare.bars_figure(groups, scores, here.dark), key=f"bars_{kind}", alt=alt, data=data, name=name)
        missing += [name for name in data.loc[data["value"].isna(), "run"].unique() if name not in missing]
    if len(missing):
        st.caption(f"Gaps: {len(missing)} run{'s have' if len(missing) > 1 else ' has'} not all final numbers.")


def differences_panel(groups: list[compare.Group]) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        pattern = st.text_input("Filter of keys (regular expression)", key="keys", bind="query-params", placeholder="energy|replay")
    with right:
        only = st.toggle("Differences only", True, key="diff", bind="query-params")
    table, sentence = compare.differences(groups, pattern or "", only)
    if sentence:
        st.text(sentence)
    if table.empty:
        st.info("No key differs." if only and not pattern else "No key fits.", icon=":material/check:")
        return
    frame.frame_table(table, key="differences", name="config_differences", alt="Config keys by group")


def baseline(groups: list[compare.Group], key: str) -> str:
    """The group that others are compared with, as the address names it."""
    labels = {one.key: one.label for one in groups}
    wanted, keys = st.query_params.get("base"), list(labels)
    start = next((own for own in keys if wanted in (own, labels[own])), keys[0])
    return st.selectbox(
        "Baseline",
        keys,
        index=keys.index(start),
        format_func=labels.__getitem__,
        key=key,
        on_change=lambda: st.query_params.update({"base": st.session_state[key]}),
    )


def results_files() -> dict[str, Path]:
    """Kept results by name: those that come with the project, and those in the folder `results` beside the runs."""
    folders = (RESULTS, runs_root().resolve().parent / "results")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.json")) if path.is_file() and not path.is_symlink()}


def kept_rows(names: list[str]) -> list[results_table.Kept]:
    """The rows of the chosen results files; one that holds none is said."""
    known, found = results_files(), []
    for name in names:
        try:
            found += results_table.kept_runs(read_results(known[name]))
        except RunError as error:
            st.text(str(error).rpartition("/")[2])
    return found


def results_panel(groups: list[compare.Group]) -> None:
    left, right = st.columns(2)
    with left:
        base = baseline(groups, "base_results")
    rows = results_table.table(groups, base)
    decimals = {
        name: st.column_config.NumberColumn(format="%.1f", help=results_table.ABOUT.get(name))
        for name in rows
        if name not in ("method", "runs", "seeds", "p", "seconds")
    }
    whole = {"p": st.column_config.NumberColumn(format="%.3f", help=results_table.ABOUT["p"])}
    whole |= {"seconds": st.column_config.NumberColumn(format="%.0f", help=results_table.ABOUT["seconds"])}
    frame.frame_table(rows, key="results_table", name="results", alt="Results by group", placeholder="–", column_config=decimals | whole)
    with right, st.popover("As text", icon=":material/code:"):
        form = st.segmented_control("Form", ["Markdown", "LaTeX"], default="Markdown", required=True, key="results_form")
        st.code((tables.as_markdown if form == "Markdown" else tables.as_latex)(results_table.texts(rows)), language=None)
    st.caption(
        f"Scores are answer scores, means over runs, the best average first; sd: over runs. Difference: of the average from the baseline, "
        f"over pairs of the same seed, stream and order, with its 95 % t interval; p from {paired.ENOUGH_PAIRS} pairs on, after Holm's "
        "correction for all groups compared. Nothing is better or worse where the interval holds 0."
    )


def paired_panel(groups: list[compare.Group], tasks: list[str], here: frame.Cursor) -> None:
    left, right = st.columns(2)
    with left:
        base = baseline(groups, "base_group")
    with right:
        names = {**{key: name for key, (name, _) in compare.METRICS.items()}, **{f"score:{task}": f"{task} answer score" for task in tasks}}
        metric = st.selectbox("Number", list(names), format_func=names.__getitem__, key="number", bind="query-params")
    table = paired.paired(groups, base, metric)
    alt = "Difference of each pair from the baseline, with the mean and its interval"
    frame.chart(paired.paired_figure(groups, base, metric, here.dark), key="paired", alt=alt, data=table, name="paired")
    for row in table.to_dict("records"):
        between = f" ({row['low']:+.2f} to {row['high']:+.2f})" if row["low"] == row["low"] else ""
        amount = f"{row['difference']:+.2f}{between}: " if row["difference"] == row["difference"] else ""
        st.text(f"{row['label']}: {amount}{row['verdict']}")
    st.caption(
        "Pairs share seed, stream and task order. Interval: 95 %, Student's t over pairs. "
        f"Nothing is called better or worse under {paired.ENOUGH_PAIRS} pairs, where the interval holds 0, or where p is {paired.LEVEL:g} or "
        "more after Holm's correction for the number of groups compared."
    )


def texts_panel(groups: list[compare.Group], here: frame.Cursor, tasks: list[str]) -> None:
    first, second, third = st.columns([2, 2, 3], vertical_alignment="bottom")
    with first:
        task = st.selectbox("Task", tasks, index=tasks.index(here.task) if here.task in tasks else 0, key="text_task")
    with second:
        hidden = st.toggle("Blind", key="blind", bind="query-params", help="Columns in a shuffled order, without names")
    with third:
        st.caption(f"Kept texts of the draw nearest to iteration {here.iteration:,} (the cursor's), first run of each group")
    runs = [one.runs[0] for one in groups][:4]
    labels = [one.label for one in groups][:4]
    order = list(range(len(runs)))
    if hidden:
        random.Random(f"{task}{here.iteration}").shuffle(order)
    found = compare.texts(runs, task, here.iteration)
    for place, column in zip(order, st.columns(len(runs)), strict=True):
        with column:
            st.markdown(f"**{'Column ' + chr(65 + order.index(place)) if hidden else in_markdown(labels[place])}**")
            rows = found[runs[place].name]
            if rows.empty:
                st.caption("No kept text of this task.")
            unseen = dict.fromkeys(("energy", "chain", "generation")) | {"sample_id": "", "recognised": ""} if hidden else {}
            cards.text_cards(f"compare_{place}", [row | unseen for row in rows.to_dict("records")], here.tasks, here.dark)
    if len(groups) > 4:
        st.caption(f"The first four of {len(groups)} groups are shown.")


def page() -> None:
    here = frame.header(
        "Compare",
        about="Runs that differ by the seed alone are one line. A difference is called one only outside the noise.",
        code=frame.snippet("studies.compare", "curves(compare.group([run])).rows"),
    )
    with frame.panel("Compare"):
        left, right = st.columns([4, 2], vertical_alignment="bottom")
        with left:
            runs = chosen_runs(here)
        with right:
            by = st.selectbox("Group by", list(compare.BY), format_func=compare.BY.__getitem__, key="group", bind="query-params")
        beside = st.multiselect(
            "Rows of kept results",
            list(results_files()),
            key="results",
            bind="query-params",
            help="Files that `workbench table --json` wrote",
        )
        named = {run.name for run in runs}
        kept = [row for row in kept_rows(beside) if row.name not in named]
        if len(runs) + len(kept) < 2:
            st.info("Choose two runs or more.", icon=":material/compare_arrows:")
            return
        groups, everything = compare.group(runs, by), compare.group([*runs, *kept], by)
        if sentence := results_table.versions([*runs, *kept]):
            st.text(f"⚠ {sentence}")
        tasks = list(dict.fromkeys(task for run in [*runs, *kept] for task in run.info.tasks))
        names = ["Results", "Curves", "Final numbers", "Config", "Paired", "Texts"]
        panels = (
            lambda: results_panel(everything),
            lambda: curves_panel(groups, tasks, here),
            lambda: bars_panel(everything, here),
            lambda: differences_panel(groups),
            lambda: paired_panel(everything, tasks, here),
            lambda: texts_panel(groups, here, tasks),
        )
        for name, tab, draw in zip(names, st.tabs(names, key="tab", on_change="rerun", bind="query-params"), panels, strict=True):
            if tab.open:
                with tab, frame.panel(name):
                    draw()


page()
