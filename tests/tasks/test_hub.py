"""The hub table on small Parquet files that the tests make: every row is read, converted, and its faults are named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.tasks import hub, published
from workbench.tasks.example import SPLITS, TaskError

BELIEFS = [
    [{"act": "inform", "slots": [["food", "thai"]]}],
    [{"act": "inform", "slots": [["food", "thai"]]}, {"act": "request", "slots": [["slot", "phone"]]}],
]
TURNS = [
    {"turn_idx": 0, "transcript": "Thai food", "system_acts": [], "belief_state": BELIEFS[0]},
    {"turn_idx": 1, "transcript": "And the phone?", "system_acts": [["area"], ["food", "thai"]], "belief_state": BELIEFS[1]},
]
WIKISQL = {
    "phase": 1,
    "question": "How tall is the mill?",
    "table": {"header": ["Name", "Height (m, rounded)"], "id": "1-2-3", "rows": [["Mill", "9"]]},
    "sql": {"sel": 1, "agg": 1, "conds": {"column_index": [0], "operator_index": [0], "condition": ["The Mill"]}, "human_readable": "x"},
}
QASRL = {
    "sentence": "The old baker -LRB- Ann -RRB- sold bread .",
    "sent_id": "MADE:1",
    "question": ["who", "_", "_", "sold", "something", "_", "_", "?"],
    "answers": ["baker", "The old baker", "The old baker"],
}
ROWS: dict[str, dict[str, Any]] = {
    "sst": {"text": "a fine film", "label": 1, "label_text": "positive"},
    "qasrl": QASRL,
    "woz": {"dialogue_idx": 3, "dialogue": TURNS},
    "squad": {"id": "1", "title": "Fog", "context": "Fog is a cloud.", "question": "What is fog?",
              "answers": {"text": ["a cloud", "cloud", "a cloud"], "answer_start": [7, 9, 7]}},
    "wikisql": WIKISQL,
    "agnews": {"text": "A match was\\played", "label": 1},
    "amazon": {"text": "It broke\\nat once", "label": 0},
    "yelp": {"text": "Good soup", "label": 4},
    "dbpedia": {"title": "The Mill", "content": "The Mill is a mill.", "label": 6},
    "yahoo": {"id": 1, "topic": 5, "question_title": "Who won?", "question_content": "", "best_answer": "They did"},
    "trec": {"text": "How many ?", "coarse_label": 5, "fine_label": 40},
    "tweetqa": {"Question": "who?", "Answer": ["me", "me"], "Tweet": "It was me", "qid": "q"},
}  # fmt: skip
CONVERTED = {
    "sst": ("a fine film", "Is this review negative or positive?", ("positive",)),
    "qasrl": ("The old baker (Ann) sold bread.", "who sold something?", ("The old baker", "baker")),
    "woz": ("Thai food", "What is the change in state?", ("food: thai;",)),
    "squad": ("Fog is a cloud.", "What is fog?", ("a cloud", "cloud")),
    "agnews": ("A match was played", "Is this sentence World, Sports, Business, or Sci/Tech?", ("Sports",)),
    "amazon": ("It broke at once", "Is this sentence very negative, negative, neutral, positive, or very positive?", ("very negative",)),
    "yelp": ("Good soup", "Is this sentence very negative, negative, neutral, positive, or very positive?", ("very positive",)),
    "tweetqa": ("It was me", "who?", ("me",)),
}
ANSWERS = {
    "wikisql": "SELECT MAX Height (m, rounded) FROM table WHERE Name = The Mill",
    "dbpedia": "Building",
    "yahoo": "Sports",
    "trec": "number",
}


@pytest.fixture(autouse=True)
def _cache_in_the_test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import config, disable_progress_bars

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    disable_progress_bars()


def files(folder: Path, name: str, row: Mapping[str, Any], count: int = 20) -> dict[str, Path]:
    """Parquet files of all splits of a task, each of `count` rows that differ in one text."""
    made = {}
    for split in hub.SOURCES[name].splits.values():
        made[split] = folder / f"{name}-{split}.parquet"
        pq.write_table(pa.Table.from_pylist([dict(row)] * count), made[split])
    return made


@pytest.mark.parametrize("name", hub.NAMES)
def test_every_row_of_the_table_is_read_and_converted(tmp_path: Path, name: str) -> None:
    row = hub.SOURCES[name]
    assert set(row.columns) <= set(ROWS[name])
    [task] = hub.load([name], {name: files(tmp_path, name, ROWS[name])})
    assert (task.name, task.metric, task.labels, task.files) == (name, row.metric, row.labels, (f"hub:{row.id}",))
    first = task.test[0]
    if name in CONVERTED:
        assert (first.context, first.question, first.answers) == CONVERTED[name]
    else:
        assert first.answers == (ANSWERS[name],)
    assert {item.uid.split("/")[1] for split in SPLITS for item in getattr(task, split)} <= set(SPLITS)


def test_hub_and_published_name_the_same_sets_with_the_same_scores() -> None:
    assert hub.NAMES == published.NAMES
    assert sorted(name for name, row in hub.SOURCES.items() if not row.confirmed) == ["amazon", "trec", "wikisql", "yelp"]


def test_dialogue_turns_keep_their_place(tmp_path: Path) -> None:
    [task] = hub.load(["woz"], {"woz": files(tmp_path, "woz", ROWS["woz"], count=2)})
    assert [(item.context, item.answers[0], dict(item.meta)) for item in task.train[:2]] == [
        ("Thai food", "food: thai;", {"dialogue": 3, "turn": 0}),
        ("area, food: thai -- And the phone?", "; phone", {"dialogue": 3, "turn": 1}),
    ]


def test_an_impossible_question_has_the_empty_answer(tmp_path: Path) -> None:
    row = ROWS["squad"] | {"answers": {"text": [], "answer_start": []}}
    table = pa.Table.from_pylist([ROWS["squad"], row])
    made = {split: tmp_path / f"{split}.parquet" for split in ("train", "validation")}
    for path in made.values():
        pq.write_table(table, path)
    assert [item.answers for item in hub.load(["squad"], {"squad": made})[0].test] == [("a cloud", "cloud"), ("",)]


def test_validation_is_held_out_where_the_hub_has_none(tmp_path: Path) -> None:
    made = {split: tmp_path / f"{split}.parquet" for split in ("train", "test")}
    for path in made.values():
        pq.write_table(pa.Table.from_pylist([{"text": f"News {n}", "label": n % 4} for n in range(40)]), path)
    [task] = hub.load(["agnews"], {"agnews": made})
    assert task.records == {"train": 36, "validation": 4, "test": 40}
    assert not {item.context for item in task.train} & {item.context for item in task.validation}


def test_large_sets_are_cut_by_a_fixed_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "LARGE", (30, 10))
    made = {split: tmp_path / f"{split}.parquet" for split in ("train", "test")}
    for path in made.values():
        pq.write_table(pa.Table.from_pylist([{"text": f"Review {n}", "label": n % 5} for n in range(100)]), path)
    first, again = (hub.load(["yelp"], {"yelp": made})[0] for _ in range(2))
    assert (len(first.train) + len(first.validation), len(first.test)) == (30, 10)
    assert first.test == again.test
    numbers = [int(item.context.split()[1]) for item in first.test]
    assert numbers == sorted(numbers) and numbers != list(range(10))
    assert all(item.answers[0] == hub.SOURCES["yelp"].labels[n % 5] for item, n in zip(first.test, numbers, strict=True))  # type: ignore[index]


@pytest.mark.parametrize("name", hub.NAMES)
def test_a_missing_column_names_id_found_and_expected(tmp_path: Path, name: str) -> None:
    source = hub.SOURCES[name]
    column = source.columns[-1]
    row = {key: value for key, value in ROWS[name].items() if key != column} | {"spare": 1}
    with pytest.raises(TaskError) as caught:
        hub.load([name], {name: files(tmp_path, name, row)})
    message = str(caught.value)
    assert message.startswith(f"{source.id} ({source.train}): no column {column!r}; found: ")
    assert "spare" in message and message.endswith(f"expected: {', '.join(source.columns)}")


def test_a_missing_split_and_a_bad_record_are_named(tmp_path: Path) -> None:
    made = files(tmp_path, "sst", ROWS["sst"])
    with pytest.raises(TaskError, match=r"^SetFit/sst2: no split 'validation'; found: train, test; expected: train, validation, test$"):
        hub.load(["sst"], {"sst": {split: path for split, path in made.items() if split != "validation"}})
    pq.write_table(pa.Table.from_pylist([ROWS["sst"], ROWS["sst"] | {"label": -1}]), made["test"])
    with pytest.raises(TaskError, match=r"^SetFit/sst2 \(test\): record 2: field 'label' is -1; accepted: 0 to 1$"):
        hub.load(["sst"], {"sst": made})


def test_an_unknown_set_and_an_unreadable_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"hub: no set named 'imdb'; accepted: sst, qasrl"):
        hub.load(["imdb"])
    with pytest.raises(TaskError, match="SetFit/sst2: cannot be loaded from local files"):
        hub.load(["sst"], {"sst": {"train": tmp_path / "nothing.parquet"}})
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TaskError, match="SetFit/sst2: cannot be loaded from local files"):
        hub.load(["sst"], {"sst": {"train": tmp_path / "bad.parquet"}})


def test_importing_the_table_does_not_load_the_library() -> None:
    code = "import sys; import workbench.tasks.hub; assert 'datasets' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
