"""Rate: a deck of texts, one at a time, by keyboard; blind, shuffled, with repeats and real texts among them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from workbench.app import cards, frame
from workbench.app.deck.deck import deck
from workbench.app.deck.plan import SCALES, Item, PlanError, Setup, draw, from_link, pool
from workbench.views.replay import samples as replay
from workbench.views.timeline import Frame

QUESTIONS = {"fluency": "Fluency", "fits": "Fits its task", "better": "Better of two runs"}


def real_of(name: str) -> replay.Reference:
    run = frame.open_run(name)
    return replay.reference(run.config, run.path) if run is not None else replay.reference({})


@st.cache_resource(max_entries=32, show_spinner="Shuffling the deck")
def plan_items(setup: Setup, _samples: dict[str, Frame]) -> list[Item]:
    return draw(setup, _samples, real_of(setup.runs[0]))


def samples_of(names: tuple[str, ...]) -> dict[str, Frame]:
    return {name: run.table("samples") for name in names if (run := frame.open_run(name)) is not None}


def paths_of(names: tuple[str, ...]) -> dict[str, Path]:
    return {name: run.path for name in names if (run := frame.open_run(name)) is not None}


def start(setup: Setup) -> None:
    st.query_params["deck"] = setup.link()


def leave() -> None:
    del st.query_params["deck"]


def setup_form(here: frame.Cursor) -> None:
    """Choose what is rated; the link that comes out of it carries the whole setup."""
    st.caption(
        "Texts come one at a time in a shuffled order. The address then carries the whole setup: send it to a colleague, "
        "or open it again to go on where you stopped."
    )
    left, right = st.columns(2)
    with left:
        runs = st.multiselect("Runs to draw from", frame.run_names(), default=[here.run.name], key="rate_runs")
        scale = st.segmented_control(
            "Question", list(QUESTIONS), format_func=lambda name: QUESTIONS[name], default="fluency", key="rate_scale", required=True
        )
        others = [name for name in frame.run_names() if name not in runs]
        versus = st.selectbox("Against", others, key="rate_versus", index=None, placeholder="another run") if scale == "better" else ""
        count = st.number_input("Texts in the deck", 1, 2000, 100, 10, key="rate_count", help="Repeats and real texts included")
    samples = samples_of(tuple(runs))
    every = pd.concat(samples.values(), ignore_index=True) if samples else pd.DataFrame(columns=["task", "iteration"])
    with right:
        tasks = st.multiselect("Tasks", sorted(every["task"].dropna().unique()), key="rate_tasks", placeholder="all")
        iterations = sorted(int(value) for value in every["iteration"].unique())
        first, last = (
            st.select_slider("Draws, by iteration", iterations, value=(iterations[0], iterations[-1]), key="rate_range")
            if len(iterations) > 1
            else (0, 0)
        )
        seed = st.number_input("Seed of the order", 0, 10**6, 0, key="rate_seed")
        with st.container(horizontal=True):
            blind = st.toggle(
                "Blind",
                True,
                key="rate_blind",
                help="Run, iteration and origin are hidden, and the task where the question does not need it",
            )
            repeats = st.toggle("10 % repeats", True, key="rate_repeats", help="Shown twice, to see whether you agree with yourself")
            controls = st.toggle(
                "10 % real texts", True, key="rate_controls", help="Real training examples, to see whether the question separates them"
            )
            refused = st.toggle("Refused too", False, key="rate_refused", help="Draw from refused texts as well")
    if not runs or every.empty:
        st.info("These runs have no replayed texts to rate.", icon=":material/block:")
        return
    if scale == "better" and not versus:
        st.info("Choose the run to compare with.", icon=":material/compare_arrows:")
        return
    whole = not iterations or (first, last) == (iterations[0], iterations[-1])
    rows = tuple(int(samples[name]["row"].max()) + 1 if len(samples[name]) else 0 for name in runs)
    setup = Setup(
        runs=tuple(runs),
        rows=rows,
        scale=scale,
        tasks=tuple(tasks),
        first=0 if whole else first,
        last=0 if whole else last,
        refused=refused,
        count=int(count),
        seed=int(seed),
        blind=blind,
        repeats=repeats,
        controls=controls,
        versus=versus or "",
    )
    available = len(pool(setup, samples))
    real = real_of(runs[0])
    notes = [f"{available:,} texts fit this choice."]
    if controls and not real.examples and scale != "better":
        notes.append(f"No real texts can be mixed in. {real.sentence}")
    st.caption(" ".join(notes))
    st.button(
        "Start rating",
        key="rate_start",
        type="primary",
        on_click=start,
        args=(setup,),
        disabled=not available,
        icon=":material/play_arrow:",
    )


@st.fragment
def play(setup: Setup, items: list[Item], rater: str) -> None:
    names = (*setup.runs, setup.versus) if setup.versus else setup.runs
    deck(setup, items, rater, paths_of(names))


def rating(setup: Setup) -> None:
    samples = samples_of((*setup.runs, setup.versus) if setup.versus else setup.runs)
    items = plan_items(setup, samples)
    if not items:
        st.info("No text of these runs fits the deck's setup.", icon=":material/block:")
        st.button("Set up another deck", key="rate_leave", on_click=leave)
        return
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    with left:
        rater = cards.rater_name()
    with right, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Another deck", key="rate_leave", on_click=leave, type="tertiary", icon=":material/arrow_back:")
        frame.link("agreement", "Agreement", icon=":material/handshake:")
        with st.popover("This deck", icon=":material/info:", type="tertiary"):
            st.text(
                f"plan {setup.plan}\nseed {setup.seed}, {'blind' if setup.blind else 'not blind'}\n{SCALES[setup.scale][0]}\n"
                f"{len(items)} texts: {sum(item.repeat for item in items)} repeats, {sum(item.control for item in items)} real"
            )
    if not rater:
        st.info("Type your name and press Enter: your answers are stored under it.", icon=":material/person:")
        return
    play(setup, items, rater)


def page() -> None:
    here = frame.header(
        "Rate", about="1 to 5 answers and goes on. Each answer is on disk before the next page is drawn; leaving is always safe."
    )
    with frame.panel("The deck"):
        link = st.query_params.get("deck", "")
        if not link:
            setup_form(here)
            return
        try:
            setup = from_link(link, frame.run_names())
        except PlanError as error:
            st.warning("This link's deck cannot be used.", icon=":material/link_off:")
            st.text(str(error))
            st.button("Set up another deck", key="rate_leave", on_click=leave)
            return
        rating(setup)


page()
