from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.tasks import Example, load_stream
from workbench.views.replay import samples as replay
from workbench.views.text import compare_words, cut, in_figure, in_markdown, shorten, visible

REAL = replay.Reference(
    {
        "mood": (
            Example("mood", "1", "the film was a joy", "good?", ("yes",)),
            Example("mood", "2", "a dull and noisy thing", "good?", ("no",)),
        )
    },
    {"mood": ("yes", "no")},
)


def sample(at: int, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "sample_id": f"s{at}", "iteration": 10, "trained_task": "next", "task": "mood", "context": f"text number {at}", "question": "good?", "answer": "yes",
        "answer_generated": "yes", "answer_relabelled": "yes", "text": "", "chain": at, "energy": float(at), "verdict": "kept", "kept": True, "recognised": "mood",
        "seconds": 0.5, "generation": 1,
    }  # fmt: skip
    return {**row, **fields}


def refused(at: int, verdict: str, **fields: Any) -> dict[str, Any]:
    return sample(at, verdict=verdict, kept=False, **fields)


def test_counts_add_up_and_spare_is_no_refusal() -> None:
    frame = pd.DataFrame([sample(0), sample(1), refused(2, "spare"), refused(3, "duplicate"), refused(4, "disagreed")])
    row = replay.counts(frame, {(10, "mood"): 2}).iloc[0]
    assert row[["asked", "generated", "kept", "spare", "refused", "seconds"]].tolist() == [2, 5, 2, 1, 2, 2.5]
    assert pd.isna(replay.counts(frame).iloc[0]["asked"])
    assert replay.reasons(frame)["verdict"].tolist()[:2] == ["kept", "spare"]
    assert sum(sum(trace.x) for trace in replay.reasons_figure(frame, ["mood", "next"]).data) == 5


def test_asked_is_counted_as_lamol_does() -> None:
    real = replay.Reference({"a": (), "b": (), "c": tuple(Example("c", str(n), "x", "", ("y",)) for n in range(101))}, {})
    frame = pd.DataFrame([sample(0, trained_task="c", task="a"), sample(1, trained_task="c", task="b")])
    # ceil(0.2 * 101) = 21, less the remainder over two old tasks: 10 each.
    assert replay.asked(frame, ["a", "b", "c"], 0.2, real) == {(10, "a"): 10, (10, "b"): 10}
    anything = pd.DataFrame([sample(0, trained_task="c", task="any")])
    assert replay.asked(anything, ["a", "b", "c"], 0.2, real) == {(10, "any"): 20}
    assert replay.asked(frame, ["a", "b", "c"], None, real) == replay.asked(frame, ["a", "b", "c"], 0.2, replay.Reference({}, {})) == {}


def test_the_nearest_real_example_is_found_and_its_words_compared() -> None:
    frame = pd.DataFrame([sample(0, context="the film was a joy"), sample(1, context="the film was a bore"), sample(2, task="other")])
    found = replay.nearest(frame, REAL)
    assert found["similarity"].tolist()[0] == 100 and found["nearest_at"].tolist() == [0, 0, -1]
    assert 60 < found["similarity"].iloc[1] < 100 and math.isnan(found["similarity"].iloc[2])
    left, right = compare_words("the film was a bore", REAL.examples["mood"][0].context)
    assert [word for word, differs in left if differs] == ["bore"] and [word for word, differs in right if differs] == ["joy"]


def test_measures_by_hand() -> None:
    # 6 words, 4 different; 4 pairs, 3 different.
    assert replay.distinct(["a b c", "a b D"], 1) == pytest.approx(4 / 6)
    assert replay.distinct(["a b c", "a b D"], 2) == pytest.approx(3 / 4)
    assert math.isnan(replay.distinct(["", "one"], 2))
    assert replay.self_chrf(["the same text", "the same text"]) == pytest.approx(100)
    assert replay.self_chrf(["abcdef", "uvwxyz"]) == pytest.approx(0)
    assert math.isnan(replay.self_chrf(["alone", " "]))


def test_quality_counts_labels_and_near_copies() -> None:
    rows = [
        sample(0, context="the film was a joy"),
        sample(1, context="something else entirely"),
        refused(2, "disagreed", answer_generated="maybe"),
    ]
    row = replay.quality(pd.DataFrame(rows), REAL).iloc[0]
    assert row["label_valid"] == pytest.approx(200 / 3) and row["texts"] == 3
    assert row["near_copies"] == 50 and row["length"] == 4
    answers = [
        sample(n, context="the film was", question="good ?", answer=answer) for n, answer in enumerate(["None", "None", "None", "a b"])
    ]
    row = replay.quality(pd.DataFrame([*answers, refused(4, "spare", answer="c d e f")]), REAL).iloc[0]
    assert row["commonest_answer"] == 75 and row["different_words"] == 8  # the film was good ? none a b
    blind = replay.quality(pd.DataFrame(rows), replay.Reference({}, {})).iloc[0]
    assert math.isnan(blind["near_copies"]) and math.isnan(blind["label_valid"])


def test_real_samples_have_the_answers_they_came_with() -> None:
    rows = [sample(n, answer_generated=None if n else "", answer_relabelled=None) for n in range(2)]
    assert replay.quality(pd.DataFrame(rows), REAL).iloc[0]["label_valid"] == 100


def test_a_long_run_is_measured_at_some_of_its_draws() -> None:
    frame = pd.DataFrame([sample(n, iteration=n) for n in range(500)])
    kept = replay.some_draws(frame)["iteration"].unique()
    assert len(kept) <= replay.MOST_DRAWS and {0, 499} <= set(kept)


def test_filters_and_orders() -> None:
    frame = pd.DataFrame(
        [sample(0, energy=None), sample(1, energy=5.0, context="A Needle here"), refused(2, "duplicate", energy=1.0, recognised="next")]
    )
    assert replay.choose(frame, order="energy, low first")["sample_id"].tolist() == ["s2", "s1", "s0"]
    assert replay.choose(frame, order="energy, high first")["sample_id"].tolist() == ["s1", "s2", "s0"]
    assert replay.choose(frame, verdicts=["duplicate"])["sample_id"].tolist() == ["s2"]
    assert replay.choose(frame, recognised=["next"])["sample_id"].tolist() == ["s2"]
    assert replay.choose(frame, words_in="needle")["sample_id"].tolist() == ["s1"]
    assert replay.choose(frame, words_in="(")["sample_id"].tolist() == []
    assert replay.choose(frame, task="nobody").empty


def test_reference_reads_the_bundled_stream_and_nothing_that_a_run_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    found = replay.reference({"stream": "bundled", "seed": 3, "tasks": {"train_limit": 7}})
    assert len(found.examples) == 5 and all(0 < len(examples) <= 7 for examples in found.examples.values())
    for config in ({"stream": "sst", "data": "/etc"}, {"stream": "hub:sst"}, {"stream": "../../etc"}, {}):
        nothing = replay.reference(config)
        assert not nothing.examples and nothing.sentence


def test_f5_the_real_examples_are_those_the_run_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training draws with seed 0 whatever the run's seed; a run that kept its uids says so itself."""
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    config = {"stream": "bundled", "seed": 3, "tasks": {"train_limit": 100}}
    drawn = load_stream("bundled").limited(100, None, 0).tasks
    assert {task.name: [example.uid for example in task.train] for task in drawn} == {
        name: [example.uid for example in examples] for name, examples in replay.reference(config).examples.items()
    }
    uids = {task.name: [example.uid for example in task.train[-3:]] for task in load_stream("bundled").tasks}
    (tmp_path / replay.TRAINING_UIDS).write_text(json.dumps(uids))
    own = replay.reference(config, tmp_path).examples
    assert {name: [example.uid for example in examples] for name, examples in own.items()} == uids


def test_f5_uids_that_the_stream_does_not_have_are_said(tmp_path: Path) -> None:
    (tmp_path / replay.TRAINING_UIDS).write_text(json.dumps({"sentiment": ["sentiment-train-1", "gone"]}))
    found = replay.reference({"stream": "bundled"}, tmp_path)
    assert not found.examples and "1 of 2 uids of 'sentiment'" in found.sentence
    (tmp_path / replay.TRAINING_UIDS).write_text("[")
    assert "could not be read" in replay.reference({"stream": "bundled"}, tmp_path).sentence


def test_f5_some_tasks_of_a_bundled_stream_need_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    found = replay.reference({"stream": "bundled20:taxi,hotel"})
    assert list(found.examples) == ["taxi", "hotel"] and not found.sentence


def test_the_strip_of_a_run_is_drawn(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, tasks=3, iterations=60, chains=4, chain_count=4, texts=6, latents=4, hidden=4, dim=4, hostile=True))
    assert len(replay.figure(run).data) > 0
    assert len(replay.energy_figure(run.table("samples"), run.info.tasks).data) >= 1
    none = run.table("samples").iloc[:0]
    for figure in (replay.energy_figure(none, []), replay.reasons_figure(none, []), replay.quality_figure(replay.quality(none, REAL), [])):
        assert figure.layout.annotations[0].text


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain", "plain"),
        ("a\x00b\x1bc", "a␀b␛c"),
        ("evil\u202egnp.exe", "evil⟨U+202E⟩gnp.exe"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("\u2066x\u2069\ufeff", "⟨U+2066⟩x⟨U+2069⟩⟨U+FEFF⟩"),
        ("line\nand\ttab", "line\nand\ttab"),
        ("naïve 日本語 עברית", "naïve 日本語 עברית"),
    ],
)
def test_hidden_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_texts_are_cut_and_say_so_and_marks_are_escaped() -> None:
    found = cut("x" * 100_000)
    assert (len(found.text), found.total, found.complete) == (20_000, 100_000, False)
    assert len(shorten("word " * 1000, 80)) <= 80
    assert in_figure("<b>x</b> $y$") == "&lt;b&gt;x&lt;/b&gt; &#36;y&#36;"
    assert in_markdown("**x** [a](b) `c` $d$ :red[e]") == r"\*\*x\*\* \[a\]\(b\) \`c\` \$d\$ \:red\[e\]"
