"""Replay: what was asked, generated, kept and refused; how good the texts are; the texts themselves, to read and to rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from workbench.app import cards, frame
from workbench.app.cursor_line import cursor_line
from workbench.views.replay import samples as replay
from workbench.views.text import in_markdown
from workbench.views.timeline import Frame

A_PAGE = 10
ALL = "all"


@st.cache_resource(max_entries=16, show_spinner="Measuring the texts", show_time=True)
def quality(path: str, signature: Any, _samples: Frame, _real: replay.Reference) -> Frame:
    return replay.quality(_samples, _real)


@st.cache_resource(max_entries=32, show_spinner="Looking for near-copies")
def compared(path: str, signature: Any, iteration: int, _samples: Frame, _real: replay.Reference) -> Frame:
    rows = _samples[_samples["iteration"] == iteration]
    return pd.concat([rows, replay.nearest(rows, _real)], axis=1)


def real_of(run: Any) -> replay.Reference:
    return replay.reference(run.config, run.path)


def rated_rows(run: Any, iteration: int, scale: str) -> tuple[Frame, Frame]:
    """The samples of a draw with similarity and mean rating, and the answers that stand."""
    rows = compared(str(run.path), run.signature("samples"), iteration, run.table("samples"), real_of(run))
    answers = cards.standing_answers(run)
    rated = answers[(answers["scale"] == scale) & ~answers["repeat"] & ~answers["control"]]
    return rows.assign(rating=rows["sample_id"].map(rated.groupby("sample_id")["value"].mean())), answers


def why_empty(run: Any) -> str:
    method, gamma = str(run.config.get("method", "")), (run.config.get("replay") or {}).get("gamma")
    if method in ("finetune", "multitask", "ewc", "mas", "gem"):
        return f"The method {method} replays nothing it generated."
    if gamma == 0:
        return "Replay is off in this run: replay.gamma is 0."
    if run.status == "running":
        return "No replay so far: the first draw comes before the second task."
    return "No sample was recorded. Replay begins with the second task."


def summary(here: frame.Cursor, samples: Frame, iteration: int) -> None:
    real = real_of(here.run)
    rows = samples[samples["iteration"] == iteration]
    wanted = replay.asked(samples, here.tasks, here.run.info.gamma, real)
    table = replay.counts(rows, wanted)
    asked = int(table["asked"].sum()) if table["asked"].notna().all() and len(table) else None
    numbers = (
        ("Asked", asked),
        ("Generated", int(table["generated"].sum())),
        ("Kept", int(table["kept"].sum())),
        ("Refused", int(table["refused"].sum())),
        ("Spare", int(table["spare"].sum())),
    )
    numbers = [(name, value) for name, value in numbers if value is not None]  # nothing is asked for in the draw for reading
    for column, (name, value) in zip(st.columns(len(numbers)), numbers, strict=True):
        note = {
            "Asked": "ceil(gamma x new examples), split over the old tasks",
            "Spare": "well-formed, beyond the number asked",
            "Refused": "not replayed, for the reasons below",
        }.get(name)
        column.metric(name, f"{value:,}", help=note)
    left, right = frame.beside([3, 2], "reasons", gap="small")
    with left:
        alt = "Bars of generated texts by task: kept, spare, and each reason of refusal"
        frame.chart(
            replay.reasons_figure(rows, here.tasks, here.dark), key="reasons", alt=alt, data=replay.reasons(rows), name="replay_reasons"
        )
    with right:
        alt = "Histogram of the energies of kept and refused texts"
        frame.chart(
            replay.energy_figure(rows, here.tasks, here.dark),
            key="replay_energy",
            alt=alt,
            data=rows[["sample_id", "task", "energy", "verdict"]],
            name="replay_energy",
        )


def strip(here: frame.Cursor, samples: Frame, iteration: int) -> None:
    real = real_of(here.run)
    rows = quality(str(here.run.path), here.run.signature("samples"), samples, real)
    alt = "Quality of replayed texts over iterations, one small panel a measure, one line a task"
    figure = here.run.remember(
        f"quality {here.tasks} {here.dark}", ("samples",), lambda: replay.quality_figure(rows, here.tasks, here.dark)
    )
    frame.chart(figure, key="quality", alt=alt, data=rows, name="replay_quality")
    cursor_line("quality", iteration, here.dark)
    if real.sentence:
        st.caption(real.sentence)
    st.caption(
        "Over the kept texts of each draw (64 at most, 20 for self-chrF, all of them for words and answers). Dotted line: the draw shown. "
        "Valid answers: in the task's closed label set. Commonest answer: the largest share that one answer has. Different words: how many "
        "there are in contexts, questions and answers; fewer texts have fewer. "
        "Near-copies: 90 % alike or more with a real example (rapidfuzz ratio). Distinct: share of different words, and of word pairs. "
        "Self-chrF: 100 where all texts are alike."
    )


def filters(rows: Frame, tasks: Sequence[str]) -> Frame:
    present = [task for task in (*tasks, replay.ANY_TASK) if task in set(rows["task"])]
    first, second, third, fourth = st.columns([2, 2, 2, 2])
    with first:
        task = st.selectbox("Task asked", [ALL, *present], key="asked", bind="query-params")
    with second:
        verdicts = st.multiselect(
            "Verdict", sorted(rows["verdict"].fillna("").unique()), key="verdict", bind="query-params", placeholder="all"
        )
    with third:
        recognised = st.multiselect(
            "Recognised as", sorted(rows["recognised"].fillna("").unique()), key="recognised", bind="query-params", placeholder="all"
        )
    with fourth:
        order = st.selectbox("Order", list(replay.ORDERS), key="order", bind="query-params")
    words = st.text_input(
        "Words in the text",
        key="words",
        bind="query-params",
        placeholder="part of a text",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    return replay.choose(rows, task="" if task == ALL else task, verdicts=verdicts, recognised=recognised, words_in=words, order=order)


def page_of(rows: Frame) -> Frame:
    pages = max(1, -(-len(rows) // A_PAGE))
    if pages == 1:
        return rows
    if int(st.session_state.get("page") or 1) > pages:
        st.session_state["page"] = pages
    page = st.pagination(pages, key="page", bind="query-params")
    return rows.iloc[(page - 1) * A_PAGE : page * A_PAGE]


def draw_cards(run: Any, rows: Frame, answers: Frame, here: frame.Cursor, rater: str, scale: str, side: str = "") -> None:
    real = real_of(run)
    for row in rows.to_dict("records"):
        key = f"card{side}_{row['sample_id']}"
        cards.sample_card(
            run,
            row,
            tasks=here.tasks,
            rater=rater,
            scale=scale,
            real=real,
            answers=answers,
            key=key,
            links=not side or side == "_a",
            dark=here.dark,
        )


def one(here: frame.Cursor, iteration: int, rater: str, scale: str) -> None:
    rows, answers = rated_rows(here.run, iteration, scale)
    chosen = filters(rows, here.tasks)
    if chosen.empty:
        st.info("No text passes these filters.", icon=":material/filter_alt_off:")
        return
    shown = page_of(chosen)
    st.caption(f"{len(chosen):,} of {len(rows):,} texts" + (f", {len(shown)} on this page" if len(shown) < len(chosen) else ""))
    if rater:
        draw_cards(here.run, shown, answers, here, rater, scale)
    else:
        ways(here, shown, iteration)
        cards.text_cards("texts", shown.to_dict("records"), here.tasks, here.dark, real_of(here.run))


def ways(here: frame.Cursor, shown: Frame, iteration: int) -> None:
    """To the chains and the energy of the texts on show. Where the cursor is elsewhere, it is moved first."""
    at_cursor = (shown["task"] == here.task) & (iteration == here.iteration)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="ways"):
        for task in shown.loc[~at_cursor & shown["task"].isin(here.tasks), "task"].unique():
            where, help_ = {"it": iteration, "task": str(task)}, "Moves the cursor to this draw and task, where its chains and energy are"
            label = f"Go to {in_markdown(str(task))}"
            st.button(label, key=f"go_{task}", on_click=frame.go, kwargs=where, type="tertiary", icon=":material/my_location:", help=help_)
        if at_cursor.any():
            cards.chain_links(shown[at_cursor])


def two(here: frame.Cursor, iteration: int, draws: list[int], rater: str, scale: str) -> None:
    left, right = st.columns(2)
    with right:
        other_name = st.selectbox(
            "Other run", frame.run_names(), index=frame.run_names().index(here.run.name), key="run_b", bind="query-params"
        )
        other = frame.open_run(other_name) or here.run
        other_draws = sorted(int(value) for value in other.table("samples")["iteration"].unique())
        if not other_draws:
            st.info(why_empty(other), icon=":material/block:")
            return
        default = (
            next((value for value in other_draws if value != iteration), other_draws[-1])
            if other.name == here.run.name
            else (iteration if iteration in other_draws else other_draws[-1])
        )
        other_iteration = st.selectbox("Other iteration", other_draws, index=other_draws.index(default), key="it_b", bind="query-params")
    with left:
        st.selectbox("Run", [here.run.name], disabled=True, key="run_a")
        st.selectbox("Iteration", [iteration], disabled=True, key="it_a")
    rows_a, answers_a = rated_rows(here.run, iteration, scale)
    rows_b, answers_b = rated_rows(other, other_iteration, scale)
    known = set(rows_a["task"]) & set(rows_b["task"]) or set(rows_a["task"]) | set(rows_b["task"])
    tasks = [task for task in here.tasks if task in known]
    task = here.task if here.task in tasks else (tasks[0] if tasks else replay.ANY_TASK)
    st.caption(f"Kept texts of the task {in_markdown(task)} (the cursor's, where it was replayed), in the order of their chains.")
    pair = [rows[(rows["task"] == task) & rows["kept"].astype(bool)].sort_values("chain") for rows in (rows_a, rows_b)]
    for column, rows in zip(st.columns(2), pair, strict=True):
        if rows.empty:
            column.info("No kept text of this task in this draw.", icon=":material/block:")
    longest = max(pair, key=len)
    pages = max(1, -(-len(longest) // 10))
    page = st.pagination(pages, key="page_b", bind="query-params") if pages > 1 else 1
    for place in range((page - 1) * 10, min(page * 10, len(longest))):
        for column, run, rows, answers, side in zip(
            st.columns(2), (here.run, other), pair, (answers_a, answers_b), ("_a", "_b"), strict=True
        ):
            with column:
                if place < len(rows):
                    draw_cards(run, rows.iloc[[place]], answers, here, rater, scale, side)


def page() -> None:
    about = "What was generated to stand in for old tasks: read it, rate it, follow it to its chain and energy."
    here = frame.header("Replay", code=frame.snippet("replay.samples"), about=about)
    with frame.panel("Replay"):
        samples = here.run.table("samples")
        if samples.empty:
            st.info(why_empty(here.run), icon=":material/block:")
            return
        draws = sorted(int(value) for value in samples["iteration"].unique())
        iteration = here.nearest(draws)
        assert iteration is not None
        trained = str(samples.loc[samples["iteration"] == iteration, "trained_task"].iloc[0])
        with st.container(horizontal=True, vertical_alignment="center"):
            words = f"before task {trained!r} was learnt" if trained else "after the last task, for reading"
            st.text(f"Draw of iteration {iteration:,}, {words}", width="content")
            if iteration != here.iteration:
                st.button(
                    "Move the cursor there",
                    key="to_draw",
                    on_click=frame.go,
                    kwargs={"it": iteration},
                    type="tertiary",
                    icon=":material/my_location:",
                )
        with frame.panel("Counts"):
            summary(here, samples, iteration)
        with frame.panel("Quality"):
            strip(here, samples, iteration)
    with frame.panel("Texts"):
        st.subheader("Texts", anchor=False)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            mode = st.segmented_control("Show", ["list", "side by side"], key="show", bind="query-params", default="list", required=True)
            scale = cards.scale_choice()
            with st.container(width=240):
                rater = cards.rater_name()
        if not rater:
            st.caption("With a rater's name the texts can be rated here.")
        if mode == "list":
            one(here, iteration, rater, scale)
        else:
            two(here, iteration, draws, rater, scale)


page()
