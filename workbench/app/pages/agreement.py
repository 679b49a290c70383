"""Agreement: do the raters mean the same thing, and does the energy predict what they say?"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from workbench.app import cards, frame
from workbench.runs import ratings
from workbench.views.replay import agreement
from workbench.views.replay import samples as replay
from workbench.views.text import in_markdown, shorten
from workbench.views.timeline import Frame

EXPORT = [
    *("run", "sample_id", "rater", "scale", "value", "kind", "degenerate", "copy", "note"),
    *("repeat", "control", "blind", "time", "ms", "plan", "item", "versus"),
]


@st.cache_resource(max_entries=16, show_spinner=False)
def answers_of(names: tuple[str, ...], signature: Any) -> tuple[Frame, list[str]]:
    return ratings.read_answers([run.path for name in names if (run := frame.open_run(name)) is not None])


@st.cache_resource(max_entries=16, show_spinner="Drawing bootstrap samples")
def agreement_of(names: tuple[str, ...], signature: Any, scale: str, raters: tuple[str, ...]) -> agreement.Agreement:
    return agreement.agreement(answers_of(names, signature)[0], scale, raters)


@st.cache_resource(max_entries=8, show_spinner="Comparing with real texts")
def means_of(names: tuple[str, ...], signature: Any, samples_signature: Any, scale: str) -> Frame:
    answers, frames = answers_of(names, signature)[0], []
    for name in names:
        run = frame.open_run(name)
        if run is None:
            continue
        rows = run.table("samples").drop_duplicates("sample_id")
        rows = rows[rows["sample_id"].isin(list(answers.loc[answers["run"] == name, "sample_id"]))]
        real = replay.reference(run.config, run.path)
        frames.append(pd.concat([rows, replay.nearest(rows, real)], axis=1).assign(run=name, method=run.info.label))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return agreement.sample_means(answers, scale, rows) if len(rows) else rows


def number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    return "" if math.isnan(low) else f"95 % interval {low:.{digits}f} to {high:.{digits}f}"


def headline(found: agreement.Agreement) -> None:
    columns = st.columns(4)
    columns[0].metric(
        found.statistic[0].upper() + found.statistic[1:],
        number(found.value),
        help="1: the same answers; 0: no more than by chance. Answers further apart count as more of a disagreement.",
    )
    columns[0].caption(interval(found.low, found.high))
    columns[1].metric(
        "Same answer",
        "–" if math.isnan(found.percent) else f"{found.percent:.0f} %",
        help="Share of pairs of answers to one text that are equal. The first number collapses when nearly all answers are alike.",
    )
    columns[1].caption(interval(found.percent_low, found.percent_high, 0))
    columns[2].metric("Shared texts", found.items)
    columns[3].metric("Raters", found.raters)
    if math.isnan(found.value):
        st.warning(found.sentence, icon=":material/hourglass_empty:")
    else:
        st.info(found.sentence, icon=":material/handshake:")


def raters_panel(answers: Frame, scale: str) -> None:
    st.markdown("**Each rater: coverage, agreement with oneself on repeats, answers to real texts (controls)**")
    two = st.column_config.NumberColumn(format="%.2f")
    whole = st.column_config.NumberColumn(format="%.0f")
    formats = {"kappa with oneself": two, "mean on real": two, "mean on generated": two, "same again %": whole, "within one %": whole}
    frame.frame_table(agreement.raters(answers, scale), key="raters_table", name="raters", alt="One row a rater", column_config=formats)
    st.caption(
        "Kappa with oneself needs 20 repeats. Where real texts are rated no higher than generated ones, the question does not tell them apart."
    )


def confusion_panel(answers: Frame, scale: str, here: frame.Cursor) -> None:
    pairs = agreement.pairs_of_raters(answers, scale)
    if not pairs:
        st.caption("No two raters have answered the same text.")
        return
    labels = [f"{a} and {b}" for a, b in pairs]
    chosen = st.selectbox("Two raters", labels, key="pair", bind="query-params") if len(pairs) > 1 else labels[0]
    first, second = pairs[labels.index(chosen)]
    counts = agreement.confusion(answers, scale, first, second)
    alt = "How often each pair of answers was given to the same text"
    frame.chart(
        agreement.confusion_figure(counts, here.dark),
        key="confusion",
        alt=alt,
        data=counts.reset_index().rename(columns=str),
        name="confusion",
    )


def disagreements_panel(answers: Frame, scale: str, here: frame.Cursor) -> None:
    table = agreement.disagreements(answers, scale)
    if table.empty:
        st.caption("No text has two different answers.")
        return
    fingerprint = f"{len(table)}_{hash(tuple(table['sample_id'])) & 0xFFFF:x}"
    order = ["sample_id", *(name for name in table.columns if name not in ("run", "sample_id")), "run"]
    event = frame.frame_table(
        table[order], key=f"disagreements_{fingerprint}", name="disagreements", on_select="rerun", selection_mode="single-row", height=260
    )
    chosen = event["selection"]["rows"]
    row = table.iloc[chosen[0] if chosen else 0]
    st.caption("Select a row to read that text with every answer to it." if not chosen else "All answers to the selected text:")
    review(str(row["run"]), str(row["sample_id"]), answers, here)


def review(run_name: str, sample_id: str, answers: Frame, here: frame.Cursor) -> None:
    """One text with the answers, flags and notes of everybody."""
    run = frame.open_run(run_name)
    rows = run.table("samples") if run is not None else pd.DataFrame()
    rows = rows[rows["sample_id"] == sample_id] if len(rows) else rows
    if run is None or rows.empty:
        st.info("The text is no longer in its run.", icon=":material/block:")
    else:
        cards.sample_card(run, rows.iloc[0].to_dict(), tasks=list(run.info.tasks), strip=False, key="review", dark=here.dark)
    own = answers[(answers["run"] == run_name) & (answers["sample_id"] == sample_id)]
    shown = own[["rater", "scale", "value", "repeat", "degenerate", "copy", "note"]]
    st.dataframe(shown, hide_index=True, key="review_answers", alt="All answers to this text")


def predicts_panel(means: Frame, here: frame.Cursor) -> None:
    left, right = st.columns(2)
    for column, name, question in (
        (left, "energy", "Does energy predict the rating?"),
        (right, "similarity", "Do near-copies of real texts rate higher?"),
    ):
        with column:
            st.markdown(f"**{question}**")
            found = agreement.correlation(means, name)
            if not math.isnan(found.rho):
                st.metric("Spearman's rho", f"{found.rho:.2f}", help=f"rank correlation of {name} and mean rating")
                st.caption(interval(found.low, found.high))
            st.text(found.sentence)
            if name in means and means[name].notna().any():
                alt = f"Mean rating of each text against its {name}"
                data = means[["run", "sample_id", "task", name, "rating"]]
                frame.chart(
                    agreement.against_figure(means, name, here.tasks, here.dark),
                    key=f"against_{name}",
                    alt=alt,
                    data=data,
                    name=f"rating_by_{name}",
                )


def means_panel(means: Frame, here: frame.Cursor) -> None:
    by = st.segmented_control(
        "Mean rating by", ["task", "run", "method", "iteration"], key="by", bind="query-params", default="task", required=True
    )
    rows = agreement.mean_rating(means, ["iteration", "task"] if by == "iteration" else [by])
    alt = f"Mean rating by {by} with 95 % intervals over texts"
    frame.chart(agreement.means_figure(rows, by, here.tasks, here.dark), key="means", alt=alt, data=rows, name=f"rating_by_{by}")


def page() -> None:
    here = frame.header(
        "Agreement",
        about="Do the raters mean the same thing? And does the energy know what they like?",
        code=frame.snippet(
            "replay.agreement", "table(read_answers([run.path])[0], 'fluency')", "from workbench.runs.ratings import read_answers"
        ),
    )
    with frame.panel("Agreement"):
        names = frame.run_names()
        first, second, third = st.columns([4, 2, 3], vertical_alignment="bottom")
        with first:
            runs = tuple(st.multiselect("Runs", names, default=[here.run.name], key="of", bind="query-params")) or (here.run.name,)
        signature = tuple(events_signature(name) for name in runs)
        answers, faults = answers_of(runs, signature)
        for fault in faults[:5]:
            st.text(fault)
        scales = list(dict.fromkeys([*cards.SCALES, *answers["scale"].dropna().astype(str)]))
        with second:
            scale = st.selectbox("Question", scales, key="scale", bind="query-params")
        everyone = tuple(sorted(answers.loc[answers["scale"] == scale, "rater"].unique()))
        with third:
            raters = tuple(st.multiselect("Raters", everyone, key="raters", placeholder="all")) or everyone
        answers = answers[answers["rater"].isin(raters)]
        if answers[answers["scale"] == scale].empty:
            st.info(
                f"Nobody has rated {in_markdown(scale)} in {'this run' if len(runs) == 1 else 'these runs'} yet.", icon=":material/star:"
            )
            frame.link("rate", "Rate some texts", icon=":material/star:")
            return
        headline(agreement_of(runs, signature, scale, raters))
        raters_panel(answers, scale)
    with frame.panel("Disagreements"):
        st.subheader("Where they differ", anchor=False)
        left, right = st.columns([2, 3])
        with left:
            confusion_panel(answers, scale, here)
        with right:
            disagreements_panel(answers, scale, here)
    with frame.panel("What ratings say"):
        st.subheader("What the ratings say", anchor=False)
        samples = tuple(run.signature("samples") for name in runs if (run := frame.open_run(name)) is not None)
        means = means_of(runs, signature, samples, scale)
        if means.empty:
            st.caption("No rated text is in the samples of these runs.")
        else:
            predicts_panel(means, here)
            means_panel(means, here)
    with frame.panel("Export"):
        st.caption("One row a standing answer: run, text, rater, question, value, flags, note.")
        times = pd.to_datetime(answers["t"], unit="s", utc=True).dt.strftime("%Y-%m-%d %H:%M:%S")
        table = answers.assign(note=answers["note"].map(lambda note: shorten(note, 500)), time=times)[EXPORT]
        frame.frame_table(table, key="ratings", name="ratings", alt="Every standing answer", height=220)


def events_signature(name: str) -> Any:
    run = frame.open_run(name)
    return None if run is None else tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in ratings.files(run.path))


page()
