"""Answers: every test question with what the model said to it at two task ends, what it lost, and what it says in its place."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.app import cards, frame
from workbench.app.answer_parts import COLUMN_CONFIG, cells, now_and_then
from workbench.app.parts import download_row
from workbench.views.scores import answers, causes
from workbench.views.scores.answers import CHANGES, RIGHT, Moment
from workbench.views.scores.measures import GENERATED, NAMES
from workbench.views.text import in_markdown

TABLE = "answers_table"
ALL, USUAL = "all", "usual"


def moments_chosen(here: frame.Cursor) -> tuple[Moment, Moment] | None:
    """(then, now): now is the task end at or before the cursor, then is chosen here; None (and the sentence) without answers."""
    found = now_and_then(here)
    if found is None:
        running = here.run.status == "running"
        frame.not_recorded("answers so far" if running else "answers", hint="They are written at every task end." if running else "")
        return None
    now, usual = found
    known = {moment.label: moment for moment in answers.moments(here.run)}
    if st.session_state.get("then") not in (None, *known):
        del st.session_state["then"]
    options = [USUAL, *known]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="answers_moments"):
        picked = st.selectbox(
            "Then",
            options,
            key="then",
            bind="query-params",
            width=260,
            help="What the answers now are compared with; usual: right after the task was learnt",
        )
        then = known.get(picked or USUAL, usual)
        st.text(f"Then: {then.label}. Now: {now.label}, the task end at or before the cursor.")
    return then, now


def summary(here: frame.Cursor, rows: Any, then: Moment, now: Moment) -> None:
    table = answers.by_moment(here.run, here.task).set_index("iteration")
    counts, n = rows["change"].value_counts(), len(rows)
    before, after = table.loc[then.iteration], table.loc[now.iteration]
    with st.container(horizontal=True, gap="small", key="cards_answers"):
        st.metric(
            f"{NAMES[GENERATED].capitalize()} of {in_markdown(here.task)}",
            f"{after['score']:.1f}",
            delta=f"{after['score'] - before['score']:+.1f} since then",
            border=True,
            height="stretch",
            help=f"95 %: {after['low']:.1f} to {after['high']:.1f} over {n:,} test questions",
        )
        for change in ("lost", "carried", "won"):
            if change != "carried" or counts.get(change):
                st.metric(change.capitalize(), f"{int(counts.get(change, 0))} of {n}", border=True, height="stretch", help=CHANGES[change])
        st.metric(
            "Empty answers", f"{after['empty']:.0f} %", delta=f"{after['empty'] - before['empty']:+.0f}", delta_color="off", border=True
        )
        st.metric(
            f"Commonest: {in_markdown(str(after['commonest']), 24)}",
            f"{after['commonest share']:.0f} %",
            delta=f"{after['commonest share'] - before['commonest share']:+.0f}",
            delta_color="off",
            border=True,
            height="stretch",
            help="The answer given most often now, and to how many of the questions",
        )


def over_time(here: frame.Cursor) -> None:
    st.subheader("At each task end", anchor=False)
    table = answers.by_moment(here.run, here.task)
    decimals = {name: st.column_config.NumberColumn(format="%.1f") for name in ("score", "low", "high", "empty", "commonest share")}
    frame.frame_table(
        table.drop(columns="iteration"),
        key="answers_over_time",
        name=f"{here.run.name}-{here.task}-answers-by-task-end",
        alt=f"Answers to {here.task} at each task end",
        placeholder="–",
        column_config=decimals,
    )
    st.caption("Lost and won: since the row above. Low and high: 95 % over the test questions. Empty and commonest share in per cent.")


def whose_words(here: frame.Cursor, now: Moment) -> None:
    st.subheader("In whose words", anchor=False)
    frame.chart(
        answers.confusion_figure(here.run, now, here.dark),
        key="confusion",
        alt="Share of each learnt task's questions that are answered with what looks like an answer of each task",
        data=lambda: answers.confusion(here.run, now).reset_index(),
        name=f"{here.run.name}-confusion-{now.iteration}",
    )
    st.caption("What a task's answers look like is learnt from those given right after it was learnt. Off the diagonal: its form was lost.")


def row_chosen() -> None:
    """The chosen row's question goes into the address by its id: positions change with every filter."""
    rows = (st.session_state.get(TABLE) or {}).get("selection", {}).get("rows", [])
    shown = st.session_state.get("_answers_shown", [])
    if rows and rows[0] < len(shown):
        st.query_params["uid"] = shown[rows[0]]


def question_table(here: frame.Cursor, rows: Any) -> None:
    counts = rows["change"].value_counts()
    options = [ALL, *(change for change in CHANGES if counts.get(change))]
    default = "lost" if counts.get("lost") else ALL
    if st.session_state.get("change") not in (None, *options):
        del st.session_state["change"]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="answers_filters"):
        change = st.segmented_control(
            "Questions",
            options,
            default=default,
            required=True,
            key="change",
            bind="query-params",
        )
        find = st.text_input("Search", key="find_answer", bind="query-params", placeholder="every word must occur", width=240)
        said = rows["answer_now"].str.strip().value_counts()
        common = [answer for answer, times in said.head(12).items() if times > 1]
        answer = st.selectbox(
            "Answer now",
            common,
            index=None,
            key="answer_now",
            placeholder="any",
            width=240,
            format_func=lambda text: f"{text[:60] or answers.EMPTY} ({said[text]})",
        )
    shown = answers.choose(rows, change="" if change == ALL else str(change), find=find or "", answer=answer)
    st.session_state["_answers_shown"] = shown["uid"].tolist()
    if shown.empty:
        st.info("No question fits.", icon=":material/filter_alt_off:")
        return
    columns = ["context", "question", "gold", "answer_then", "answer_now", "score_then", "score_now", "match_then", "match_now", "uid"]
    columns = [name for name in columns if name in shown]  # the matches are of another table, which may be broken
    known = [name for name in columns if not name.startswith("match") or shown[name].notna().any()]
    known = [name for name in known if name not in ("context", "question", "gold") or (shown[name] != "").any()]
    st.dataframe(
        cells(shown)[known],
        key=TABLE,
        hide_index=True,
        column_config=COLUMN_CONFIG,
        on_select=row_chosen,
        selection_mode="single-row",
        height=min(38 + 35 * len(shown), 420),
        placeholder="–",
        alt=f"Test questions of {here.task} with the answers then and now",
    )
    name = f"{here.run.name}-{here.task}-answers"
    download_row(key="answers_rows", name=name, data=shown[columns])
    st.caption(
        f"{len(shown):,} of {len(rows):,} questions; right: a score of {RIGHT:g} or more. "
        + (f"{in_markdown(str(change))}: {CHANGES[change]}. " if change in CHANGES else "")
        + "Choose a row to read it."
    )


def one_question(here: frame.Cursor, rows: Any) -> None:
    """The question in the address, read in full: every answer it got, and the replay that was like it."""
    uid = st.query_params.get("uid", "")
    found = rows[rows["uid"] == uid]
    if found.empty:
        return
    row = found.iloc[0]
    st.subheader("The question", anchor=False)
    left, right = frame.beside([1, 1], "question")
    with left:
        for label, name in (("Context", "context"), ("Question", "question"), ("Right answer", "gold")):
            if row[name]:
                st.caption(label)
                frame.text_block(str(row[name]))
        st.caption(f"Its id: {in_markdown(str(uid))}")
    with right:
        st.caption("What was answered")
        said = []
        for moment in answers.moments(here.run):
            own = answers.given(here.run, here.task, moment)
            if uid in own.index:
                answer, score = str(own.loc[uid, "answer"]), float(own.loc[uid, "score"])
                said.append({"moment": moment.label, "answer": answer or answers.EMPTY, "score": score})
        st.dataframe(said, key="one_question", hide_index=True, column_config={"score": st.column_config.NumberColumn(format="%.2f")})
        known = answers.forced(here.run, here.task, here.iteration)
        if known is not None and uid in known[1]:
            st.text(f"Teacher-forced match at iteration {known[0]:,}: {'yes' if known[1][uid] else 'no'}")
    near = answers.nearest_replay(here.run, here.task, here.iteration, str(row["context"] or row["question"]))
    if near.empty:
        return
    st.caption(f"The replayed texts most like it, of the draw at iteration {int(near['iteration'].iloc[0]):,}")
    cards.text_cards("near_replay", near.to_dict("records"), here.tasks, here.dark)


def page() -> None:
    here = frame.header(
        "Answers",
        code=frame.snippet("scores.answers", f"by_moment(run, {here_task()!r})"),
        about="What the model answers to every test question, and what it has lost. A text is shown as the model wrote it.",
    )
    rows = then = now = None
    with frame.panel("The moments"):
        chosen = moments_chosen(here)
        if chosen is None:
            return
        then, now = chosen
        rows = answers.compared(here.run, here.task, then, now)
        rows = answers.with_forced(rows, here.run, here.task, then.iteration, here.iteration)
        if rows.empty:
            st.info(f"No questions of {here.task} were answered at these moments.", icon=":material/block:")
            return
    if rows is None or then is None or now is None:
        return
    with frame.panel("The summary"):
        summary(here, rows, then, now)
    with frame.panel("The likeliest cause"):
        st.text(causes.sentence(here.run, here.task, here.iteration))
    with frame.panel("The questions"):
        question_table(here, rows)
        _, sentence = answers.questions(here.run, here.task)
        if sentence:
            st.caption(f"Questions and right answers are not shown: {sentence}")
    with frame.panel("The question"):
        one_question(here, rows)
    with frame.panel("The task ends"):
        over_time(here)
    left, right = frame.beside([3, 2], "answers")
    with left, frame.panel("What is said instead"):
        instead = answers.instead(rows)
        if len(instead):
            st.subheader("Said in its place", anchor=False)
            frame.frame_table(
                cells(instead), key="instead", name=f"{here.run.name}-{here.task}-instead", alt="Answers then and now of what was lost"
            )
    with right, frame.panel("The words"):
        whose_words(here, now)


def here_task() -> str:
    return frame.cursor().task


page()
