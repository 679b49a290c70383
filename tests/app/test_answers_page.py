"""The Answers page through AppTest: from a cell and a curve's moment, filters, one question, hostile texts as text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.app.conftest import ROOT, Opener, faults, words
from workbench.runs.writer import RunWriter

SAMPLES = ROOT / "data" / "runs"
NAME = "20261126-191921_lsebmcl_s0"


def tables(app: object) -> list[pd.DataFrame]:
    return [element.value for element in app.dataframe]  # type: ignore[attr-defined]


def test_f51_the_moment_of_a_cell_is_compared_with_the_end_of_its_task(open_page: Opener):
    app = open_page(SAMPLES, "answers", run=NAME, it="864", task="dialogue")
    assert faults(app) == []
    assert "Then: after dialogue (639). Now: after sql (864)" in words(app)
    said = pd.read_parquet(SAMPLES / NAME / "predictions.parquet")
    now = said[(said["iteration"] == 864) & (said["eval_task"] == "dialogue")].set_index("uid")
    score = next(element for element in app.metric if "Answer score" in element.label)
    assert score.value == f"{100 * now['score'].mean():.1f}" and score.delta.startswith("-21.0")
    listed = next(table for table in tables(app) if "answer_now" in table)
    assert len(listed) == 15 and (listed["answer_then"] != listed["answer_now"]).all()


def test_f51_filters_and_search(open_page: Opener):
    app = open_page(SAMPLES, "answers", run=NAME, task="srl", change="all", find_answer="sunday")
    assert faults(app) == []
    listed = next(table for table in tables(app) if "answer_now" in table)
    whole = listed[["context", "question", "gold", "answer_then", "answer_now"]].agg(" ".join, axis=1)
    assert 0 < len(listed) < 200 and whole.str.contains("sunday").any()
    app = open_page(SAMPLES, "answers", run=NAME, task="srl", find_answer="no such word here")
    assert "No question fits." in words(app)


def test_f51_a_link_opens_one_question_with_all_it_was_answered_and_the_replay_like_it(open_page: Opener):
    app = open_page(SAMPLES, "answers", run=NAME, task="srl", it="874", uid="srl-test-14")
    text = words(app)
    assert faults(app) == [] and "Who was something washed for?" in text and "for iris | iris" in text
    assert "Teacher-forced match at iteration 874: no" in text and "The replayed texts most like it, of the draw at iteration 864" in text
    one = next(table for table in tables(app) if set(table) == {"moment", "answer", "score"})
    assert len(one) == 6 and one["answer"].iloc[1] == "negative"
    assert faults(open_page(SAMPLES, "answers", run=NAME, task="srl", uid="<b>x</b>", then="nothing", change="nobody")) == []


@pytest.mark.parametrize("page", ["overview", "forgetting"])
def test_f51_answers_are_a_click_from_the_matrix_and_the_curves(open_page: Opener, page: str):
    app = open_page(SAMPLES, page, run=NAME, it="864", task="dialogue")
    assert faults(app) == []
    labels = [element.proto.label for element in app.get("page_link")]
    assert "What it answers to dialogue at this moment" in labels
    if page == "forgetting":
        assert "Of 200 test questions of dialogue, 15 were right after dialogue (639)" in words(app)


def test_f51_hostile_answers_are_text(open_page: Opener, tmp_path: Path):
    hostile = ["<script>alert(1)</script>", "# Heading [x](javascript:alert(1)) $\\frac{1}{0}$", "\u202eevil\x00", "x" * 50_000, ""]
    writer = RunWriter.create(tmp_path, "stream: sst\n", {"label": "er", "tasks": ["sst", "woz"], "seed": 0})
    for iteration, trained in ((5, "sst"), (9, "woz")):
        for place, text in enumerate(hostile):
            row = {"iteration": iteration, "trained_task": trained, "eval_task": "sst", "uid": f"u{place}", "kind": "generated"}
            writer.append("predictions", {**row, "prediction": text, "score": float(iteration == 5)})
            writer.append("eval", {**{k: v for k, v in row.items() if k != "uid"}, "metric": "em", "score": 50.0, "n": 5})
    writer.finish()
    app = open_page(tmp_path, "answers", task="sst", uid="u0", change="all")
    assert faults(app) == []
    rendered = "\n".join(element.value for kind in ("markdown", "caption") for element in app.get(kind)) + " ".join(
        m.label for m in app.metric
    )
    assert "<script>" not in rendered and "[x](javascript" not in rendered
    listed = next(table for table in tables(app) if "answer_now" in table)
    assert listed["answer_now"].str.len().max() <= 160 and not listed["answer_now"].str.contains("\u202e").any()
