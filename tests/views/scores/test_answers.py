"""What was answered, lost and said instead: recomputed from the parquet and the stream's own lines, and from runs made for it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.writer import RunWriter
from workbench.views.scores import answers

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "data" / "runs" / "20261126-191921_lsebmcl_s0"
FINETUNE = ROOT / "data" / "runs" / "20261121-123635_finetune_s0"


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(SAMPLE)


@pytest.fixture(scope="module")
def said() -> pd.DataFrame:
    return pd.read_parquet(SAMPLE / "predictions.parquet")


def ends(run: Run, task: str) -> tuple[answers.Moment, answers.Moment]:
    learnt = answers.learnt_at(run, task)
    assert learnt is not None
    return learnt, answers.moments(run)[-1]


def test_f51_every_question_has_its_text_its_gold_and_both_answers(run: Run, said: pd.DataFrame):
    then, now = ends(run, "srl")
    rows = answers.compared(run, "srl", then, now).set_index("uid")
    lines = [json.loads(line) for line in (ROOT / "data/streams/bundled/srl.jsonl").read_text().splitlines()][-200:]
    before, after = (
        said[(said["eval_task"] == "srl") & (said["iteration"] == moment.iteration)].set_index("uid") for moment in (then, now)
    )
    assert len(rows) == 200 and (then.iteration, now.iteration) == (414, 1089)
    by_text = {(context, question): gold for context, question, gold, *_ in lines}
    for uid, row in rows.iterrows():
        assert (row["answer_then"], row["answer_now"]) == (before.loc[uid, "prediction"], after.loc[uid, "prediction"])
        assert row["gold"] == " | ".join(answer or answers.EMPTY for answer in by_text[row["context"], row["question"]])
    lost = ((before["score"] >= 0.5) & (after["score"] < 0.5) & (before["prediction"] != after["prediction"])).sum()
    assert (rows["change"] == "lost").sum() == lost > 0


def test_f51_an_answer_lost_through_an_earlier_turn_is_told_apart(run: Run):
    """The joint goal of a dialogue: the same answer, right then, is wrong where a turn before it went wrong."""
    rows = answers.compared(run, "dialogue", *ends(run, "dialogue"))
    carried = rows[rows["change"] == "carried"]
    assert len(carried) and (carried["answer_then"] == carried["answer_now"]).all() and (carried["score_now"] < 0.5).all()
    lost = rows[rows["change"] == "lost"]
    assert len(lost) and (lost["answer_then"] != lost["answer_now"]).all()
    assert not len(answers.compared(run, "sql", *ends(run, "sql")).query("change == 'carried'"))
    assert set(answers.instead(rows)["times"]) and (answers.instead(rows)["then"] != answers.instead(rows)["now"]).all()


def test_f51_scores_empty_and_commonest_answers_by_task_end(said: pd.DataFrame):
    table = answers.by_moment(Run(FINETUNE), "dialogue").set_index("iteration")
    rows = pd.read_parquet(FINETUNE / "predictions.parquet")
    last = rows[(rows["iteration"] == 945) & (rows["eval_task"] == "dialogue")]
    assert (last["prediction"] == "").all() and table.loc[945, "empty"] == 100 and table.loc[945, "commonest"] == answers.EMPTY
    assert table.loc[567, "score"] == pytest.approx(
        100 * rows[(rows["iteration"] == 567) & (rows["eval_task"] == "dialogue")]["score"].mean()
    )
    before, after = (rows[(rows["iteration"] == at) & (rows["eval_task"] == "dialogue")].set_index("uid")["score"] for at in (567, 756))
    assert table.loc[756, "lost"] == ((before >= 0.5) & (after < 0.5)).sum()
    assert table["low"].le(table["score"]).all() and table["high"].ge(table["score"]).all()


def test_f51_filters_find_what_they_name(run: Run):
    rows = answers.compared(run, "srl", *ends(run, "srl"))
    word = rows["answer_now"].iloc[0].split()[-1]
    found = answers.choose(rows, find=word)
    assert len(found) and all(
        word in f"{row.context} {row.question} {row.gold} {row.answer_then} {row.answer_now}".casefold() for row in found.itertuples()
    )
    assert (
        answers.choose(rows, change="lost", answer="").empty or (answers.choose(rows, change="lost", answer="")["answer_now"] == "").all()
    )
    assert answers.choose(rows, find="nothing says this word (").empty


def made(tmp_path: Path, moments: dict[int, tuple[str, dict[str, list[str]]]]) -> Run:
    """A run of tasks with the given answers: {iteration: (trained task, {task: answers})}; an answer is right where it is 'right ...'."""
    tasks = [trained for trained, _ in moments.values() if trained]
    writer = RunWriter.create(tmp_path, "stream: sst\n", {"label": "er", "tasks": tasks, "seed": 0})
    for iteration, (trained, given) in moments.items():
        for task, texts in given.items():
            for place, text in enumerate(texts):
                row = {"iteration": iteration, "trained_task": trained, "eval_task": task, "uid": f"{task}-{place}", "kind": "generated"}
                writer.append("predictions", {**row, "prediction": text, "score": float(text.startswith("right"))})
    writer.finish()
    return Run(writer.path)


def test_f51_old_tasks_that_answer_in_the_words_of_the_new_one_are_seen(tmp_path: Path):
    mood, sql = ["positive", "negative"] * 10, [f"SELECT name FROM t WHERE n = {n}" for n in range(20)]
    shifted = [*mood[:5], *["SELECT mood FROM t WHERE n = 99"] * 12, "", "", ""]
    run = made(tmp_path, {5: ("mood", {"mood": mood, "sql": mood}), 10: ("sql", {"mood": shifted, "sql": sql})})
    table = answers.confusion(run, answers.moments(run)[-1])
    assert table.loc["mood"].to_dict() == {"mood": 25.0, "sql": 60.0, answers.EMPTY: 15.0}
    assert table.loc["sql", "sql"] == 100
    first = answers.confusion(run, answers.moments(run)[0])
    assert list(first.index) == ["mood"] and first.loc["mood", "mood"] == 100
    assert len(answers.confusion_figure(run, answers.moments(run)[-1]).data) == 2


def test_f51_saying_nothing_is_a_tasks_own_where_it_says_nothing_when_it_knows_it(tmp_path: Path):
    run = made(
        tmp_path, {5: ("reading", {"reading": ["", "", "rome", "paris"]}), 9: ("mood", {"reading": ["", "", "", ""], "mood": ["good"] * 4})}
    )
    assert answers.confusion(run, answers.moments(run)[-1]).loc["reading", "reading"] == 100


def test_f51_between_task_ends_the_matches_of_the_fixed_subset_are_named(run: Run):
    rows = pd.read_parquet(SAMPLE / "eval.parquet")
    own = rows[(rows["kind"] == "teacher_forced") & (rows["eval_task"] == "dialogue") & (rows["iteration"] <= 876)].iloc[-1]
    found = answers.forced(run, "dialogue", 876)
    uids = json.loads((SAMPLE / "subsets.json").read_text())["dialogue"]
    assert found is not None and found[0] == own["iteration"] and list(found[1]) == uids
    assert 100 * sum(found[1].values()) / len(uids) == own["score"]
    marked = answers.with_forced(answers.compared(run, "dialogue", *ends(run, "dialogue")), run, "dialogue", 639, 876)
    assert marked["match_now"].notna().sum() == 64 and answers.forced(run, "nobody", 876) is None


def test_f51_the_replay_most_like_a_lost_question_is_of_the_draw_that_was_to_protect_it(run: Run):
    samples = pd.read_parquet(SAMPLE / "samples.parquet")
    text = samples[(samples["task"] == "dialogue") & (samples["iteration"] == 864) & samples["kept"]]["context"].iloc[3]
    near = answers.nearest_replay(run, "dialogue", 900, str(text))
    assert near["similarity"].iloc[0] == 100 and (near["iteration"] == 864).all() and near["kept"].all()
    assert answers.nearest_replay(run, "dialogue", 100, "x").empty


def test_a_run_without_answers_or_without_its_stream_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    run = made(tmp_path, {5: ("sst", {"sst": ["right", "wrong"]})})
    rows = answers.compared(run, "sst", answers.moments(run)[0], answers.moments(run)[0])
    assert rows["gold"].tolist() == ["", ""] and "WORKBENCH_DATA" in answers.questions(run, "sst")[1]
    writer = RunWriter.create(tmp_path, "stream: sst\n", {"label": "er", "tasks": ["sst"], "seed": 1})
    writer.finish()
    assert answers.moments(Run(writer.path)) == [] and answers.moment_at(Run(writer.path), 3) is None
