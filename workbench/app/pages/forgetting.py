"""Forgetting: the curves, the cause beside them, the stability gap measured, every number with its rows."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.app import answer_parts, cards, frame
from workbench.app.cursor_line import cursor_line
from workbench.app.store import CachedRun
from workbench.views import timeline
from workbench.views.scores import baselines, causes, forgetting, forgetting_numbers, matrix
from workbench.views.scores.measures import FORCED, GENERATED, NAMES

CURVES = "forgetting_curves"
SHOWN = 6
WINDOWS = {"All": 1.0, "Last half": 0.5, "Last 10 %": 0.1}


def point_clicked(key: str) -> None:
    """Move the cursor to the clicked point: customdata is [iteration, task]."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points", [])
    where = points[0].get("customdata") if points else None
    if isinstance(where, (list, tuple)) and len(where) >= 2:
        frame.go(it=where[0], task=where[1])


def controls() -> dict[str, Any]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="forgetting_controls"):
        metric = st.segmented_control(
            "Show", ["score", "loss", "forgetting"], default="score", required=True, key="metric", bind="query-params"
        )
        lines = st.segmented_control("Lines", ["raw", "smoothed", "both"], default="raw", required=True, key="lines", bind="query-params")
        span = st.segmented_control(
            "Axis", ["iteration", "epoch", "time"], default="iteration", required=True, key="span", bind="query-params"
        )
        window = st.segmented_control("Window", list(WINDOWS), default="All", required=True, key="window", bind="query-params")
        align = st.toggle("Align at task start", key="align", bind="query-params", help="Each panel starts where its own task began")
        seeds = st.toggle(
            "Band over seeds", value=True, key="band", bind="query-params", help="Lowest to highest over the runs that differ by seed alone"
        )
        smoothing = 0.0
        if lines != "raw":
            help_text = "Weight of the past, on all rows before the curve is thinned, without a bias at its start"
            smoothing = st.slider("Smoothing", 0.0, 0.98, 0.6, 0.02, key="smooth", bind="query-params", width=200, help=help_text)
    return {"metric": metric, "lines": lines, "span": span, "window": window, "align": align, "seeds": seeds, "smoothing": smoothing}


def same_group(here: frame.Cursor) -> list[CachedRun]:
    """The finished runs that differ from this one by their seed alone."""
    group = here.run.info.group_hash
    others = [info for info in here.runs if info.info is not None and info.status == "finished" and info.name != here.run.name]
    return [CachedRun(info.path) for info in others if info.info and group and info.info.group_hash == group]


def curves_panel(here: frame.Cursor) -> None:
    chosen = controls()
    seeds = same_group(here) if chosen.pop("seeds") else []
    last = timeline.last_iteration(here.run)
    share = WINDOWS[chosen.pop("window")]
    window = (last * (1 - share), last) if share < 1 else None
    options = {"window": window, "task": here.task, "dark": here.dark, **chosen}
    figure = here.run.remember(
        f"curves {options} {[(run.name, run.signature('eval')) for run in seeds]}",
        ("eval", "metrics"),
        lambda: forgetting.figure(here.run, seeds=seeds, **options),
    )
    alt = f"{forgetting.LABELS[chosen['metric']]} of each task at every evaluated iteration, one panel a task: {', '.join(here.tasks)}"
    frame.chart(
        figure,
        key=CURVES,
        alt=alt,
        data=lambda: forgetting.curves(here.run),
        name=f"{here.run.name}-forgetting",
        on_select=lambda: point_clicked(CURVES),
        selection_mode="points",
    )
    st.number_input(
        "Go to iteration",
        0,
        max(last, here.iteration),
        here.iteration,
        key=f"goto_{here.run.name}_{here.iteration}",
        width=170,
        on_change=lambda: frame.go(it=st.session_state[f"goto_{here.run.name}_{here.iteration}"]),
        help="The points of the curves by keyboard: the task is chosen in the sidebar",
    )
    if not chosen["align"]:
        cursor_line(CURVES, forgetting.place(here.run, here.iteration, chosen["span"]), here.dark)
    table = here.run.table("eval")
    rows, items = len(table), table.loc[table["kind"] == FORCED, "n"].max()
    words = (
        f"Lines: {NAMES[FORCED]}{f' (n = {int(items):,})' if items == items else ''}; diamonds: {NAMES[GENERATED]} at task ends with its 95 % "
        "interval. The shaded area is the line's drop from its best so far (dotted)."
        if chosen["metric"] == "score" and chosen["lines"] != "smoothed"
        else ""
    )
    band = f" The band goes from the lowest to the highest of {len(seeds) + 1} seeds." if seeds else ""
    st.caption(f"{rows:,} evaluations, all loaded. {words}{band} Click a point to read the replay of that moment.")


def answers_panel(here: frame.Cursor) -> None:
    """The likeliest cause of the drop at the cursor, what its task is answered now, and what it lost."""
    st.subheader(f"Why is {here.task} where it is?", anchor=False)
    st.text(causes.sentence(here.run, here.task, here.iteration))
    others = causes.causes(here.run, here.task, here.iteration)[1:]
    if others:
        with st.expander(f"{len(others)} more that the rules see"):
            for cause in others:
                st.text(f"{cause.name}: {cause.sentence}")
    answer_parts.lost_lines(here)
    answer_parts.link(here)


def replay_panel(here: frame.Cursor) -> None:
    """The replay texts of the cursor's moment and task: curve and cause side by side."""
    st.subheader(f"Replay at iteration {here.iteration:,}", anchor=False)
    samples = here.run.table("samples")
    if samples.empty:
        config = here.run.config
        method = here.run.info.label
        reason = (
            "replay.gamma is 0"
            if not (config.get("replay") or {}).get("gamma", 1)
            else f"the method {method or 'of this run'} saved no replay samples"
        )
        st.info(f"Nothing was replayed in this run: {reason}.", icon=":material/block:")
        return
    of_task = samples[samples["task"] == here.task]
    moments = sorted(int(value) for value in (samples if of_task.empty else of_task)["iteration"].unique())
    moment = max((value for value in moments if value <= here.iteration), default=None)
    if moment is None:
        st.info(f"No replay yet at this iteration; the first is at {moments[0]:,}.", icon=":material/hourglass_empty:")
        st.button(f"Go to iteration {moments[0]:,}", on_click=frame.go, kwargs={"it": moments[0]}, key="first_replay")
        return
    drawn = samples[samples["iteration"] == moment]
    chosen = drawn[drawn["task"] == here.task]
    kept = int(chosen["kept"].fillna(False).astype(bool).sum())
    trained = drawn["trained_task"].iloc[0]
    words = (
        f"What was replayed of {here.task} from iteration {moment:,} on, while {trained} was learnt"
        if trained
        else f"Texts of {here.task} drawn after the last task, for reading, at iteration {moment:,}"
    )
    st.text(f"{words}: {kept} kept of {len(chosen)} decoded.")
    if chosen.empty:
        others = ", ".join(sorted(drawn["task"].astype(str).unique()))
        st.info(f"Nothing of this task was replayed at that moment; replayed were: {others}.", icon=":material/block:")
        return
    shown = chosen.sort_values("kept", ascending=False, kind="stable").head(SHOWN)
    cards.text_cards("moment", shown.to_dict("records"), here.tasks, here.dark)
    with st.container(horizontal=True, gap="medium"):
        frame.link("replay", f"All {len(chosen)} on the Replay page", icon=":material/history:")
        cards.chain_links(shown)


def numbers_panel(here: frame.Cursor) -> None:
    st.subheader("In numbers", anchor=False)
    values, halves = forgetting_numbers.overall(here.run), forgetting_numbers.half_widths(here.run)
    formulas = {name: forgetting_numbers.FORMULAS[name.rstrip("0123456789")] for name in values}
    by_end = [name for name in values if name in forgetting_numbers.BY_END]
    for kind, names in ((GENERATED, by_end), (FORCED, [name for name in values if name not in by_end])):
        words = "at task ends, all test items; ±: 95 % over the items" if kind == GENERATED else "by iteration, the fixed subset"
        st.caption(f"**{NAMES[kind].capitalize()}**, {words}")
        with st.container(horizontal=True, gap="small", key=f"forgetting_numbers_{kind}"):
            for name in names:
                value, half = values[name], halves.get(name)
                shown = f"{value:.1f}" + (f" ± {half:.1f}" if half is not None else "") if value is not None else "–"
                st.metric(name, shown, help=formulas[name][0], border=True, width=210 if half is not None else 132)
    with st.popover("How they are made", type="tertiary", icon=":material/function:", on_change="rerun", key="how") as how:
        if how.open:
            name = st.segmented_control("Number", list(values), default=next(iter(values)), required=True, key="how_number")
            explain(here, name, formulas[name])
    if len(here.tasks) > 1:
        st.caption(
            "In points (0 to 100). A dash: not defined for this run so far. The two measures differ by some ten points and can rank methods "
            "differently: never compare a number of one row with one of the other."
        )


def task_table(here: frame.Cursor) -> None:
    st.subheader("Task by task", anchor=False)
    tables = {
        GENERATED: ("at task ends, all test items; low and high: 95 % interval of the last", forgetting_numbers.per_task(here.run)),
        FORCED: ("by iteration, the fixed subset", forgetting_numbers.per_task_by_iteration(here.run)),
    }
    for kind, (words, table) in tables.items():
        st.caption(f"**{NAMES[kind].capitalize()}**, {words}")
        frame.frame_table(
            table,
            key=f"per_task_{kind}",
            name=f"{here.run.name}-per-task-{NAMES[kind].replace(' ', '-')}",
            alt=f"{NAMES[kind]} of each task",
            placeholder="–",
            column_config={
                name: st.column_config.NumberColumn(format="%.1f") for name in table if name not in ("task", "n", "at iteration")
            },
        )
    if sentence := baselines.why_not(here.run):
        st.caption(f"What one answer to every question would score is not known: {sentence}")


def explain(here: frame.Cursor, name: str, formula: tuple[str, str]) -> None:
    st.markdown(f"**{name}**: {formula[0]}.")
    st.latex(formula[1])
    st.caption("Made from exactly these rows:")
    st.dataframe(forgetting_numbers.rows_used(here.run, name), hide_index=True, width=560)


def gaps_panel(here: frame.Cursor) -> None:
    st.subheader(f"Stability gap of the {NAMES[FORCED]}, switch by switch", anchor=False)
    st.caption(
        "The drop of an old task right after a new one begins, and whether it came back (De Lange et al., 2023). "
        "Counted in iterations; area in points × iterations."
    )
    table = forgetting_numbers.stability_gaps(here.run)
    if table.empty:
        st.info("A stability gap needs a second task.", icon=":material/hourglass_empty:")
        return
    decimals = {name: st.column_config.NumberColumn(format="%.1f") for name in ("before", "minimum", "depth")} | {
        "area": st.column_config.NumberColumn(format="%.0f")
    }
    frame.frame_table(
        table,
        key="gaps",
        name=f"{here.run.name}-stability-gaps",
        alt="Stability gap of each old task at each switch",
        column_config=decimals,
    )
    worst = table.loc[table["depth"].idxmax()]
    st.button(
        f"Go to the deepest: {worst['old task']} at iteration {worst['switch'] + worst['to minimum']:,}",
        key="deepest",
        icon=":material/south_east:",
        on_click=frame.go,
        kwargs={"it": int(worst["switch"] + worst["to minimum"]), "task": worst["old task"]},
    )


def matrix_panel(here: frame.Cursor) -> None:
    st.subheader(f"Matrix of the {NAMES[matrix.kind_of(here.run)]}", anchor=False)
    figure = here.run.remember(f"matrix {here.dark}", ("eval", "predictions"), lambda: matrix.figure(here.run, dark=here.dark))
    frame.chart(
        figure,
        key="forgetting_matrix",
        alt=f"{NAMES[matrix.kind_of(here.run)]} on each task after each task was learnt",
        data=lambda: matrix.frame(here.run),
        name=f"{here.run.name}-matrix",
        on_select=lambda: point_clicked("forgetting_matrix"),
    )
    st.caption(matrix.words(here.run))
    answer_parts.link(here)


here = frame.header(
    "Forgetting",
    code=frame.snippet("scores.forgetting"),
    about="How the score on every task moves while others are learnt, and what was replayed at that moment.",
)
with frame.panel("The curves"):
    if here.run.table("eval").empty:
        frame.not_recorded("evaluations", "evaluation.every", hint="A run that has just begun shows its curves after the first evaluation.")
        st.stop()
    if len(timeline.task_ends(here.run.table("eval"))) < 2:
        st.info("Forgetting needs a second task; the learning curve is shown.", icon=":material/hourglass_empty:")
    curves_panel(here)
with frame.panel("The answers of this moment"):
    answers_panel(here)
with frame.panel("The replay of this moment"):
    replay_panel(here)
left, right = frame.beside([3, 2], "numbers")
with left, frame.panel("The numbers"):
    numbers_panel(here)
with right, frame.panel("The matrix"):
    matrix_panel(here)
with frame.panel("The table of tasks"):
    task_table(here)
with frame.panel("The stability gap"):
    gaps_panel(here)
