"""What the model answered to every test question at each task end: what it lost, what it says in its place, and in whose words.

`right` is a score of at least RIGHT. Answers are kept by the uid of their question; questions and gold answers come from the stream,
where it is at hand (`workbench.views.data`). Texts are plain data here: what shows them must show them as text.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from rapidfuzz import fuzz, process

from workbench.tasks import Example
from workbench.views import style, timeline
from workbench.views.data import stream_of
from workbench.views.scores import measures
from workbench.views.scores.curves import shorten
from workbench.views.text import words as words_of
from workbench.views.timeline import Frame

RIGHT = 0.5
"""Score (0..1) from which an answer counts as right: all or nothing in most metrics, half the words in F1."""
EMPTY = "(empty)"
CHANGES = {
    "lost": "right then, another answer now, and wrong",
    "carried": "right then, the same answer now, but wrong: an earlier turn of its dialogue went wrong, and the score is of the whole state",
    "won": "wrong then, right now",
    "kept": "right both times",
    "never": "wrong both times",
}


@dataclass(frozen=True)
class Moment:
    """A task end (after: the task just learnt; '' for the untrained model) at which every test question was answered."""

    iteration: int
    after: str

    @property
    def label(self) -> str:
        return f"after {self.after} ({self.iteration:,})" if self.after else "untrained"


def moments(run: Any) -> list[Moment]:
    """The moments at which answers were kept, in order; one an iteration, the later where a task began where another ended."""
    rows = run.table("predictions")
    if rows.empty:
        return []
    last = rows.drop_duplicates("iteration", keep="last").sort_values("iteration")
    return [Moment(int(at), str(after or "")) for at, after in zip(last["iteration"], last["trained_task"].fillna(""), strict=True)]


def moment_at(run: Any, iteration: int) -> Moment | None:
    """The last moment at or before an iteration, else the first, else None."""
    known = moments(run)
    before = [moment for moment in known if moment.iteration <= iteration]
    return before[-1] if before else (known[0] if known else None)


def learnt_at(run: Any, task: str) -> Moment | None:
    """The end of the task's own training, if it has been reached."""
    return next((moment for moment in moments(run) if moment.after == task), None)


def questions(run: Any, task: str) -> tuple[Mapping[str, Example], str]:
    """{uid: example} of a task's test set, and why there is none, where there is none."""
    stream, sentence = stream_of(run.config)
    if stream is None:
        return {}, sentence
    own = next((one for one in stream.tasks if one.name == task), None)
    if own is None:
        return {}, f"The stream as it is here has no task {task!r}."
    return {example.uid: example for example in own.test}, ""


def given(run: Any, task: str, moment: Moment) -> Frame:
    """The answers of a task at a moment: uid (index), answer, score (0..1)."""
    rows = run.table("predictions")
    own = rows[(rows["eval_task"] == task) & (rows["iteration"] == moment.iteration)].drop_duplicates("uid", keep="last")
    return (
        own.set_index("uid")[["prediction", "score"]]
        .rename(columns={"prediction": "answer"})
        .assign(answer=lambda x: x["answer"].fillna(""))
    )


def compared(run: Any, task: str, then: Moment, now: Moment) -> Frame:
    """A row a test question of a task: uid, question, context, gold (references joined by ' | '), answer_then, score_then, answer_now,
    score_now, change (a key of CHANGES).
    """
    key = f"answers {task} {then.iteration} {now.iteration}"
    return timeline.remembered(run, key, ("predictions",), lambda: _compared(run, task, then, now))


def _compared(run: Any, task: str, then: Moment, now: Moment) -> Frame:
    both = given(run, task, then).join(given(run, task, now), lsuffix="_then", rsuffix="_now", how="outer")
    real, _ = questions(run, task)
    found = both.reset_index().rename(columns={"index": "uid"})
    examples = [real.get(uid) for uid in found["uid"]]
    found["question"] = [example.question if example else "" for example in examples]
    found["context"] = [example.context if example else "" for example in examples]
    found["gold"] = [" | ".join(answer or EMPTY for answer in example.answers) if example else "" for example in examples]
    before, after = found["score_then"] >= RIGHT, found["score_now"] >= RIGHT
    for name in ("answer_then", "answer_now"):
        found[name] = found[name].fillna("")
    same = found["answer_then"].str.strip() == found["answer_now"].str.strip()
    kinds = {"carried": before & ~after & same, "lost": before & ~after, "won": ~before & after, "kept": before & after}
    found["change"] = np.select(list(kinds.values()), list(kinds), "never")
    columns = ["uid", "context", "question", "gold", "answer_then", "score_then", "answer_now", "score_now", "change"]
    return found[columns]


def choose(rows: Frame, *, change: str = "", find: str = "", answer: str | None = None) -> Frame:
    """The rows of one change, whose texts hold every word of `find`, and whose answer now is `answer` (None: any)."""
    if change:
        rows = rows[rows["change"] == change]
    if answer is not None:
        rows = rows[rows["answer_now"].str.strip() == answer.strip()]
    whole = (
        rows["context"] + "\n" + rows["question"] + "\n" + rows["gold"] + "\n" + rows["answer_then"] + "\n" + rows["answer_now"]
    ).str.casefold()
    for word in find.casefold().split():
        rows = rows[whole.loc[rows.index].str.contains(word, regex=False)]
    return rows


def by_moment(run: Any, task: str) -> Frame:
    """A row a moment of one task: score with n and its 95 % interval, how many questions were lost (carried ones too) and won since the
    moment before, how many different answers were given, the share of empty ones, and the commonest with its share (%).
    """
    return timeline.remembered(run, f"answers by moment {task}", ("predictions",), lambda: _by_moment(run, task))


def _by_moment(run: Any, task: str) -> Frame:
    table, before = [], None
    for moment in moments(run):
        rows = given(run, task, moment)
        if rows.empty:
            continue
        score = 100 * float(rows["score"].mean())
        low, high = measures.interval(score, len(rows))
        said = Counter(rows["answer"].str.strip())
        answer, count = said.most_common(1)[0]
        row = {
            "moment": moment.label,
            "iteration": moment.iteration,
            "score": score,
            "n": len(rows),
            "low": float(low),
            "high": float(high),
        }
        if before is not None:
            right, was = rows["score"] >= RIGHT, before.reindex(rows.index)["score"] >= RIGHT
            row |= {"lost": int((was & ~right).sum()), "won": int((~was & right).sum())}
        row |= {"different": len(said), "empty": 100 * said.get("", 0) / len(rows)}
        row |= {"commonest": answer or EMPTY, "commonest share": 100 * count / len(rows)}
        table.append(row)
        before = rows
    columns = ["moment", "iteration", "score", "low", "high", "n", "lost", "won", "different", "empty", "commonest", "commonest share"]
    return pd.DataFrame(table, columns=columns).astype({"lost": "Int64", "won": "Int64"})


def instead(rows: Frame, most: int = 8) -> Frame:
    """Of the lost questions: what is said now in the place of what was said then, commonest first: then, now, times."""
    lost = rows[rows["change"] == "lost"]
    pairs = lost.groupby(["answer_then", "answer_now"], sort=False).size().sort_values(ascending=False, kind="stable").head(most)
    found = [{"then": then or EMPTY, "now": now or EMPTY, "times": int(times)} for (then, now), times in pairs.items()]
    return pd.DataFrame(found, columns=["then", "now", "times"])


# -- in whose words ---------------------------------------------------------------------------------------------------


def confusion(run: Any, moment: Moment) -> Frame:
    """Whose answers are given: rows, the tasks learnt by then; columns, the tasks whose answers theirs look like, and EMPTY; in per cent.

    What a task's answers look like is learnt from those the model gave right after it learnt that task: an answer that was given there
    is of that task; any other goes to the task whose words (and number of them) make it likeliest (naive Bayes, add-one).
    """
    return timeline.remembered(run, f"confusion {moment.iteration}", ("predictions",), lambda: _confusion(run, moment))


def _confusion(run: Any, moment: Moment) -> Frame:
    learnt = [known.after for known in moments(run) if known.after and known.iteration <= moment.iteration]
    learnt = [task for task in learnt if len(given(run, task, moment))]
    voices = {task: _Voice([*given(run, task, known)["answer"]]) for task in learnt if (known := learnt_at(run, task)) is not None}
    table = np.zeros((len(learnt), len(learnt) + 1))
    for row, task in enumerate(learnt):
        answers = Counter(given(run, task, moment)["answer"].str.strip())
        for answer, times in answers.items():
            table[row, _whose(answer, task, learnt, voices)] += times
        table[row] *= 100 / max(sum(answers.values()), 1)
    return pd.DataFrame(table, index=pd.Index(learnt, name="questions of"), columns=[*learnt, EMPTY])


class _Voice:
    """How the answers of one task look: how often each was given, and its words."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.given = Counter(answer.strip() for answer in answers)
        self.words = Counter(word for answer in answers for word in words_of(answer.casefold()))
        self.lengths = Counter(min(len(words_of(answer)), 12) for answer in answers)
        self.total, self.answers = sum(self.words.values()), len(answers)

    def log_likelihood(self, answer: str, vocabulary: int) -> float:
        tokens = words_of(answer.casefold())
        length = math.log((self.lengths[min(len(tokens), 12)] + 1) / (self.answers + 13))
        return length + sum(math.log((self.words[word] + 1) / (self.total + vocabulary)) for word in tokens)


def _whose(answer: str, own: str, tasks: Sequence[str], voices: Mapping[str, _Voice]) -> int:
    if not answer:
        # An answer of nothing is a task's own where that task says nothing when it knows it.
        return tasks.index(own) if voices[own].given[""] > 0.05 * voices[own].answers else len(tasks)
    if voices[own].given[answer]:
        return tasks.index(own)
    others = [task for task in tasks if voices[task].given[answer]]
    if others:
        return tasks.index(max(others, key=lambda task: voices[task].given[answer] / voices[task].answers))
    vocabulary = len(set().union(*(voice.words for voice in voices.values()))) + 1
    return tasks.index(max(tasks, key=lambda task: (voices[task].log_likelihood(answer, vocabulary), task == own)))


def confusion_figure(run: Any, moment: Moment, dark: bool = False) -> go.Figure:
    """The confusion as a heat map with its numbers."""
    table = confusion(run, moment)
    if table.empty:
        return style.empty("No task has been learnt at this moment.", dark)
    values, names = table.to_numpy(), [shorten(str(name), 14) for name in table.columns]
    rows = [shorten(str(name), 14) for name in table.index]
    grid = {"type": "heatmap", "z": values, "zmin": 0, "zmax": 100, "showscale": False, "xgap": 2, "ygap": 2, "hoverinfo": "skip"}
    grid |= {"x": list(range(len(names))), "y": list(range(len(rows))), "colorscale": style.SCORE_SCALE_DARK if dark else style.SCORE_SCALE}
    at = [(row, column) for row in range(len(rows)) for column in range(len(names)) if values[row, column] >= 0.5]
    ink = [style.on_score(values[row, column], dark) for row, column in at]
    numbers = {"type": "scatter", "mode": "text", "x": [column for _, column in at], "y": [row for row, _ in at], "hoverinfo": "text"}
    numbers |= {"text": [f"{values[row, column]:.0f}" for row, column in at], "textfont": {"color": ink}, "showlegend": False}
    numbers["hovertext"] = [f"questions of {rows[row]}: {values[row, column]:.1f} % answered as {names[column]}" for row, column in at]
    plain = {"showgrid": False, "zeroline": False}
    layout = {
        "height": 130 + 40 * len(rows),
        "margin": {"t": 16, "b": 60, "l": 60 + 7 * max(map(len, rows))},
        "xaxis": {"title": {"text": "the answer looks like one of, %"}, "tickvals": list(range(len(names))), "ticktext": names, **plain},
        "yaxis": {
            "title": {"text": "questions of"},
            "tickvals": list(range(len(rows))),
            "ticktext": rows,
            "autorange": "reversed",
            **plain,
        },
    }
    return style.dress(go.Figure({"data": [grid, numbers], "layout": layout}), dark)


# -- between task ends ------------------------------------------------------------------------------------------------


def forced(run: Any, task: str, iteration: int) -> tuple[int, dict[str, bool]] | None:
    """The last teacher-forced evaluation at or before an iteration, and which questions of the fixed subset it had right, by uid.

    None where there was none, or the run did not keep which item is which.
    """
    rows = run.table("eval")
    own = rows[(rows["kind"] == measures.FORCED) & (rows["eval_task"] == task) & (rows["iteration"] <= iteration)]
    own = own.sort_values("iteration", kind="stable").dropna(subset=["items"])
    uids = _subsets(run).get(task, [])
    if own.empty or not uids:
        return None
    bits = str(own["items"].iloc[-1])
    if len(bits) != len(uids):
        return None
    return int(own["iteration"].iloc[-1]), {uid: bit == "1" for uid, bit in zip(uids, bits, strict=True)}


def _subsets(run: Any) -> dict[str, list[str]]:
    file = run.path / "subsets.json"
    if not file.is_file() or file.is_symlink():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(task): list(map(str, uids)) for task, uids in found.items() if isinstance(uids, list)} if isinstance(found, dict) else {}


def with_forced(rows: Frame, run: Any, task: str, then: int, now: int) -> Frame:
    """The rows with match_then and match_now: teacher-forced matches at two iterations, missing outside the fixed subset."""
    found = {}
    for name, iteration in (("match_then", then), ("match_now", now)):
        known = forced(run, task, iteration)
        found[name] = rows["uid"].map(known[1]) if known is not None else pd.Series(index=rows.index, dtype=object)
    return rows.assign(**found)


def nearest_replay(run: Any, task: str, iteration: int, text: str, most: int = 3) -> Frame:
    """The replayed texts most like a question's context, of the last draw at or before an iteration: similarity (0..100) and the sample."""
    samples = run.table("samples")
    columns = [*samples.columns, "similarity"]
    kept = samples[(samples["task"] == task) & (samples["iteration"] <= iteration)] if len(samples) else samples
    kept = kept[kept["kept"].fillna(False).astype(bool) & (kept["trained_task"].fillna("") != "")] if len(kept) else kept
    if kept.empty or not text.strip():
        return pd.DataFrame(columns=columns)
    kept = kept[kept["iteration"] == kept["iteration"].max()]
    bodies = (kept["context"].fillna("").where(kept["context"].fillna("") != "", kept["question"].fillna(""))).str[:2000].tolist()
    best = process.extract(text[:2000], bodies, scorer=fuzz.ratio, limit=most)
    return kept.iloc[[place for _, _, place in best]].assign(similarity=[score for _, score, _ in best])
