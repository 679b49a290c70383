"""What the model answers, in a few lines for other pages, and the link to all of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from workbench.app import frame
from workbench.views.scores import answers
from workbench.views.scores.answers import Moment
from workbench.views.text import shorten

COLUMN_CONFIG = {
    "uid": st.column_config.TextColumn("question id", width=110),
    "context": st.column_config.TextColumn("context", width=290),
    "question": st.column_config.TextColumn("question", width=170),
    "gold": st.column_config.TextColumn("right answer", width=135),
    "answer_then": st.column_config.TextColumn("answer then", width=135),
    "answer_now": st.column_config.TextColumn("answer now", width=135),
    "score_then": st.column_config.NumberColumn("then", format="%.2f", width=52, help="Score then, 0 to 1"),
    "score_now": st.column_config.NumberColumn("now", format="%.2f", width=52, help="Score now, 0 to 1"),
    "match_then": st.column_config.CheckboxColumn("match then", width=85, help="Teacher-forced match then, of the fixed subset only"),
    "match_now": st.column_config.CheckboxColumn(
        "match now", width=85, help="Teacher-forced match at the cursor, of the fixed subset only"
    ),
}
LINE = 160
"""Characters of a text in a cell of a table; the whole text stands below it when its row is chosen, and in the download."""


def now_and_then(here: frame.Cursor) -> tuple[Moment, Moment] | None:
    """The task end at or before the cursor, and the one to compare it with: right after the task was learnt, or the one before."""
    now = answers.moment_at(here.run, here.iteration)
    if now is None:
        return None
    known = answers.moments(here.run)
    learnt = answers.learnt_at(here.run, here.task)
    if learnt is not None and learnt.iteration < now.iteration:
        return now, learnt
    before = [moment for moment in known if moment.iteration < now.iteration]
    return now, before[-1] if before else now


def cells(rows: Any) -> Any:
    """The rows with texts cut to a line, hidden characters shown: for a table, which shows them as text."""
    texts = [name for name in ("context", "question", "gold", "answer_then", "answer_now", "then", "now") if name in rows]
    empty = {name: answers.EMPTY for name in ("answer_then", "answer_now")}
    return rows.assign(**{name: [shorten(str(text), LINE) or empty.get(name, "") for text in rows[name]] for name in texts})


def link(here: frame.Cursor) -> None:
    """To the answers of the cursor's task and moment."""
    frame.link("answers", f"What it answers to {here.task} at this moment", icon=":material/quiz:")


def lost_lines(here: frame.Cursor, most: int = 4) -> None:
    """How many answers of the cursor's task were lost since it was learnt, the first of them, and the link to all."""
    found = now_and_then(here)
    if found is None:
        frame.not_recorded("answers")
        return
    now, then = found
    rows = answers.compared(here.run, here.task, then, now)
    counts = rows["change"].value_counts()
    lost = int(counts.get("lost", 0))
    carried = f", {int(counts['carried'])} more through an earlier turn" if counts.get("carried") else ""
    st.text(
        f"Of {len(rows):,} test questions of {here.task}, {lost:,} were right {then.label} and are answered otherwise, and wrong, "
        f"{now.label}{carried}; {int(counts.get('won', 0)):,} were won."
    )
    some = answers.choose(rows, change="lost").head(most)
    if len(some):
        shown = cells(some)[["context", "question", "gold", "answer_then", "answer_now"]]
        st.dataframe(shown, key="lost_lines", hide_index=True, column_config=COLUMN_CONFIG, alt=f"Questions of {here.task} that were lost")
    if now.iteration != here.iteration:
        st.caption(f"Answers are kept at task ends: these are of iteration {now.iteration:,}, the last one at or before the cursor's.")
