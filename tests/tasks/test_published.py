"""The published sets: what records become, what is said of malformed ones, and, where the files are at hand, the real counts."""

from __future__ import annotations

import copy
import gzip
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks import small_published as small
from workbench.tasks import published
from workbench.tasks.example import SPLITS, Task, TaskError
from workbench.tasks.published.drafts import Draft, draw, hold_out
from workbench.tasks.published.reading import detokenised
from workbench.tasks.published.records import json_lines
from workbench.tasks.published.structured import readable_wikisql, split_header
from workbench.tasks.scoring import score

DATA = Path(os.environ.get("WORKBENCH_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
real = pytest.mark.skipif(not (DATA / "sst" / "SST2" / "train.tsv").is_file(), reason="the published files are not at hand")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    folder = small.write(tmp_path_factory.mktemp("data"))
    return {task.name: task for task in published.load(published.NAMES, folder)}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {task.name: task for task in published.load(published.NAMES, DATA)}


# What records become.


def test_every_set_has_all_splits_unique_uids_and_legal_labels(made: dict[str, Task]) -> None:
    assert tuple(made) == published.NAMES
    assert len(made) == 12
    for task in made.values():
        examples = [item for split in SPLITS for item in getattr(task, split)]
        assert len({item.uid for item in examples}) == len(examples)
        assert task.train and task.test and task.files
        if task.labels:
            assert {item.answers[0] for item in examples} <= set(task.labels)
            assert all(label in task.train[0].question for label in task.labels)


def test_sst_asks_as_lamol_does(made: dict[str, Task]) -> None:
    assert [(item.context, item.answers) for item in made["sst"].train] == [("a fine film", ("positive",)), ("a dull film", ("negative",))]
    assert made["sst"].train[0].question == "Is this review negative or positive?"


def test_spellings_of_files_become_the_official_labels(made: dict[str, Task]) -> None:
    answers = {item.answers[0] for split in ("train", "validation") for item in getattr(made["dbpedia"], split)}
    assert {"Athlete", "EducationalInstitution", "MeanOfTransportation"} <= answers
    assert [item.answers[0] for item in made["dbpedia"].test] == ["MeanOfTransportation", "WrittenWork"]
    assert made["yahoo"].test[0].answers == ("Sports",)
    assert made["yahoo"].test[0].question.endswith("Family & Relationships, or Politics & Government?")
    assert made["agnews"].train[0].question == "Is this sentence World, Sports, Business, or Sci/Tech?"
    assert made["trec"].test[0].answers == ("number",)
    assert "café" in made["trec"].train[0].context


def test_titles_and_line_ends_become_plain_text(made: dict[str, Task]) -> None:
    assert made["amazon"].test[0].context == "Thing 50 A text about thing 50 in two lines"
    assert made["yelp"].test[0].context == "A text about thing 50 in two lines"
    assert made["yahoo"].train[0].context == "Why 0_42 train 0? Because. Really"


def test_pooled_training_rows_that_recur_in_the_test_file_are_dropped(made: dict[str, Task]) -> None:
    contexts = [item.context for split in ("train", "validation") for item in getattr(made["yahoo"], split)]
    assert "Why not?" not in contexts
    assert len(contexts) == len(set(contexts)) == 6 * len(small.TOPICS)


def test_qasrl_takes_the_span_that_most_annotators_mark(made: dict[str, Task]) -> None:
    first = made["qasrl"].train[0]
    name = re.search(r"Ann\d", first.context)
    assert name
    assert first.context == f'The "old" baker ({name[0]}) didn\'t sell bread, she said.'
    assert first.question == "Who did not sell something?"
    assert first.answers == (f'The "old" baker ({name[0]})', "baker")
    assert all(item.question != "When did someone sell something?" for item in made["qasrl"].train), "most annotators call it invalid"


def test_detokenised_offsets_cut_the_words_out() -> None:
    tokens = ["-LRB-", "It", "'s", "$", "5", "%", "-RRB-", "--", "``", "no", "''"]
    text, starts, ends = detokenised(tokens)
    assert text == '(It\'s $5%) -- "no"'
    assert [text[start:end] for start, end in zip(starts, ends, strict=True)] == ["(", "It", "'s", "$", "5", "%", ")", "--", '"', "no", '"']


def test_woz_writes_new_and_changed_slots_then_requests(made: dict[str, Task]) -> None:
    turns = made["woz"].train
    assert [item.answers[0] for item in turns] == ["price range: cheap, area: north;", "area: south; phone, address", "None"]
    assert turns[0].context == "Somewhere cheap in the north please"
    assert turns[1].context == "food, area: north -- Rather the south, and what is the phone number and address?"
    assert [dict(item.meta) for item in turns] == [{"dialogue": 7, "turn": n} for n in range(3)]
    assert turns[0].question == "What is the change in state?"


def test_squad_gives_every_distinct_answer_and_the_empty_one_where_impossible(made: dict[str, Task]) -> None:
    assert [item.answers for item in made["squad"].test[:2]] == [("Hail", "a thing"), ("",)]
    assert made["squad"].records == {"train": 22, "validation": 2, "test": 8}


def test_wikisql_finds_column_names_that_hold_commas(made: dict[str, Task]) -> None:
    task = made["wikisql"]
    assert [item.answers[0] for item in task.train] == [
        "SELECT Height (in m, rounded) FROM table WHERE Name = The Mill",
        "SELECT COUNT Name FROM table WHERE Built < 1900 AND Name = Rock AND Sons",
        "SELECT MAX Floors FROM table",
    ]
    assert task.train[0].meta["header"] == ["Name", "Height (in m, rounded)", "Built", "Floors"]
    assert task.train[0].context.startswith("The table has columns Name, Height (in m, rounded), Built, Floors and key words MAX, MIN,")
    assert task.train[0].context.endswith("AGGOPS, CONDOPS-- How tall is the mill?")
    assert split_header("Power, takeoff, Power, dry, Weight", {"Power, takeoff", "Power, dry"}) == [
        "Power, takeoff",
        "Power, dry",
        "Weight",
    ]


def test_tweetqa_has_the_tweet_as_context(made: dict[str, Task]) -> None:
    item = made["tweetqa"].test[0]
    assert (item.context, item.question, item.answers) == ("It was you", "who?", ("you",))


def test_draws_keep_contexts_together_and_never_change() -> None:
    drafts = [Draft(f"context {n // 3}", f"question {n}", ("answer",)) for n in range(90)]
    taken, rest = draw(drafts, 12, "made")
    assert len(taken) == 12 and len(rest) == 78
    assert not {draft.context for draft in taken} & {draft.context for draft in rest}
    assert draw(drafts, 12, "made")[0] == taken
    assert draw(drafts, 12, "other")[0] != taken
    assert {draft.context for draft in taken} == {"context 2", "context 12", "context 17", "context 18"}, "recorded: it never changes"
    assert len(hold_out(drafts, "made")[0]) == 9


# What is said of folders, files and records that cannot be used.


def test_available_leaves_absent_sets_out(tmp_path: Path) -> None:
    folder = small.write(tmp_path)
    (folder / "sst" / "SST2" / "dev.tsv").unlink()
    rows = {row["task"]: row for row in published.available(folder)}
    assert set(rows) == set(published.NAMES) - {"sst"}
    assert rows["woz"] == {
        "task": "woz",
        "records": {"train": 3, "validation": 3, "test": 3},
        "metric": "dsem",
        "files": ["woz/woz_train_en.json.gz", "woz/woz_validate_en.json", "woz/woz_test_en.part80.json"],
    }


def test_missing_folder_file_and_name_are_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no data folder .*nowhere; accepted: .*WORKBENCH_DATA"):
        published.available(tmp_path / "nowhere")
    with pytest.raises(TaskError, match="no data folder"):
        published.load(["sst"], tmp_path / "nowhere")
    with pytest.raises(TaskError, match=r"sst/SST2/train.tsv: no such file"):
        published.load(["sst"], tmp_path)
    with pytest.raises(TaskError, match="no published set named 'sts'; accepted: sst, qasrl"):
        published.load(["sts"], tmp_path)


def changed(record: dict[str, Any], way: str, value: Any) -> dict[str, Any]:
    """A copy with the field at `way` ("a/0/b") replaced, or taken out where value is `...`."""
    record = copy.deepcopy(record)
    *path, last = [int(part) if part.isdecimal() and part != "10" else part for part in way.split("/")]
    inner: Any = record
    for part in path:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return record


WHO = "verbEntries/10/questionLabels/Who did not sell something?"
MALFORMED: list[tuple[str, str, Callable[[list[Any]], list[Any]], str]] = [
    ("sst", "sst/SST2/train.tsv", lambda good: [*good, "no label here"], r"record 3: field 'label' is missing"),
    ("sst", "sst/SST2/train.tsv", lambda good: [*good, "odd\t2"], r"record 3: field 'label' is '2'; accepted: 0, 1"),
    ("sst", "sst/SST2/dev.tsv", lambda good: ["  \t1", *good], r"record 1: field 'text' is empty"),
    ("qasrl", "qasrl/qasrl-v2_1/orig/dev.jsonl.gz", lambda good: [good[0], changed(good[1], "sentenceTokens", ...)],
     r"record 2: field 'sentenceTokens' is missing; found: sentenceId, verbEntries"),
    ("qasrl", "qasrl/qasrl-v2_1/orig/dev.jsonl.gz", lambda good: [changed(good[0], f"{WHO}/answerJudgments/1/spans", [[4, 99]])],
     r"record 1: field 'verbEntries\[10\]\.questionLabels\[Who did not sell something\?\]\.answerJudgments\[1\]\.spans\[0\]' is \[4, 99\]"),
    ("qasrl", "qasrl/qasrl-v2_1/orig/dev.jsonl.gz", lambda good: [changed(good[0], f"{WHO}/answerJudgments/2/isValid", "yes")],
     r"record 1: field '.*answerJudgments\[2\]\.isValid' is text; accepted: true or false"),
    ("qasrl", "qasrl/qasrl-v2_1/orig/test.part80.jsonl.gz", lambda good: [*good, changed(good[0], f"{WHO}/questionString", 3)],
     r"record 3: field '.*questionString' is a whole number; accepted: text"),
    ("woz", "woz/woz_train_en.json.gz", lambda good: [*good, changed(good[0], "dialogue/1/transcript", ...)],
     r"record 2: field 'dialogue\[1\]\.transcript' is missing"),
    ("woz", "woz/woz_validate_en.json", lambda good: [changed(good[0], "dialogue/0/belief_state/1/slots", ["area"])],
     r"record 1: field 'dialogue\[0\]\.belief_state\[1\]\.slots\[0\]' is 'area'; accepted: \[slot, value\]"),
    ("woz", "woz/woz_test_en.part80.json", lambda good: [changed(good[0], "dialogue/0/belief_state/0/act", "deny")],
     r"record 1: field 'dialogue\[0\]\.belief_state\[0\]\.act' is 'deny'; accepted: inform, request"),
    ("squad", "squad2/dev-v2.0.cs224n.json.gz", lambda good: [good[0], changed(good[1], "paragraphs/2/qas/0/answers/1/text", ...)],
     r"record 2: field 'paragraphs\[2\]\.qas\[0\]\.answers\[1\]\.text' is missing"),
    ("squad", "squad2/dev-v2.0.explorer.part80.json", lambda good: [changed(good[0], "paragraphs/0/qas/0/answers", [])],
     r"record 1: field 'paragraphs\[0\]\.qas\[0\]\.answers' is empty; accepted: at least one answer, or is_impossible true"),
    ("wikisql", "wikisql/mlx/train.jsonl", lambda good: [*good, {"text": "table: t\nQ: no columns"}],
     r"record 4: field 'text' is not of the"),
    ("wikisql", "wikisql/mlx/test.jsonl", lambda good: [small.query("?", "SELECT Name FROM 1-23-4 WHERE Colour = 'red'")],
     r"record 1: field 'text' uses the column 'Colour', which is not in its header; accepted: Name, "),
    ("agnews", "agnews/train.json", lambda good: [good[0], changed(good[1], "label", "Weather")],
     r"record 2: field 'label' is 'Weather'; accepted: World"),
    ("amazon", "amazon/test.part80.json.gz", lambda good: [changed(good[0], "sentence", "no layout")],
     r"record 1: field 'sentence' is not of the form"),
    ("yelp", "yelp/train.head4000.json.gz", lambda good: [*good, "a string"], r"record 11: is text; accepted: an object"),
    ("dbpedia", "dbpedia/dbpedia_csv/1_142/valid.txt", lambda good: [*good, "A thing\tthing"],
     r"record 8: field 'label' is 'thing'; accepted: .*thlete"),
    ("yahoo", "yahoo/yahoo_answers_csv/0_42/test.txt", lambda good: [*good, ""], r"record 3: field 'label' is missing"),
    ("trec", "trec/TREC.train", lambda good: [*good, "DESC What ?"], r"record 13: field 'label' is 'DESC'; accepted: COARSE:fine"),
    ("trec", "trec/TREC.train", lambda good: [*good, "WHY:x What ?"], r"record 13: field 'label' is 'WHY'; accepted: ABBR, ENTY"),
    ("tweetqa", "tweetqa/dev.part80.json", lambda good: [*good, changed(good[0], "Answer", ...)], r"record 2: field 'Answer' is missing"),
    ("tweetqa", "tweetqa/train.json.gz", lambda good: [changed(good[0], "Answer", ["a", 4])],
     r"record 1: field 'Answer\[1\]' is a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "file", "spoil", "message"), MALFORMED, ids=[f"{row[0]}-{n}" for n, row in enumerate(MALFORMED)])
def test_a_malformed_record_is_named(tmp_path: Path, task: str, file: str, spoil: Callable[[list[Any]], list[Any]], message: str) -> None:
    folder = small.write(tmp_path, {file: spoil(small.records()[file])})
    with pytest.raises(TaskError, match=f"^{re.escape(file)}: {message}"):
        published.load([task], folder)


@pytest.mark.parametrize("file", [name for name in small.records() if name.endswith(".gz")])
def test_a_truncated_gzip_file_names_the_record_where_it_ends(tmp_path: Path, file: str) -> None:
    # Long incompressible records: a file cut in two loses some of them.
    content = small.encoded(file, small.records()[file] * 40)
    packed = gzip.compress(content, compresslevel=0)
    folder = small.write(tmp_path, {file: packed[: len(packed) // 2]})
    with pytest.raises(TaskError, match=rf"^{re.escape(file)}: record \d+: the file ends early or is damaged") as caught:
        published.load([file.split("/")[0].removesuffix("2")], folder)
    number = re.search(r"record (\d+)", str(caught.value))
    assert number and int(number[1]) > 1


@pytest.mark.parametrize("file", ["woz/woz_train_en.json.gz", "qasrl/qasrl-v2_1/orig/dev.jsonl.gz"])
def test_a_gzip_file_with_a_wrong_checksum_is_refused(tmp_path: Path, file: str) -> None:
    packed = bytearray(gzip.compress(small.encoded(file, small.records()[file])))
    packed[-6] ^= 1
    folder = small.write(tmp_path, {file: bytes(packed)})
    with pytest.raises(TaskError, match=rf"^{re.escape(file)}: record \d+: the file ends early or is damaged"):
        published.load([file.split("/")[0]], folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("woz/woz_test_en.part80.json", b'[{"dialogue_idx": 1, "dialogue": []}, {"dial', r"record 2: is not valid JSON"),
        ("woz/woz_test_en.part80.json", b'[{"dialogue_idx": 1, "dialogue": []}', r"record 2: the file ends early; accepted: a JSON list"),
        ("woz/woz_test_en.part80.json", b'{"dialogue_idx": 1}', r"record 1: '\{' found; accepted: a JSON list of objects"),
        ("woz/woz_train_en.json.gz", b"not a gzip file", r"record 1: the file ends early or is damaged"),
        ("squad2/train-v2.0.subset-1.json", b'{"version": "v2.0"}', r"record 1: field 'data' is missing"),
        ("agnews/train.json", b'[{"label": "World", "sentence": "Text: a"}, {"label": "\xff"}]', r"record 2: cannot be read as utf-8"),
        ("wikisql/mlx/valid.jsonl", b'{"text": 3}\n', r"record 1: field 'text' is a whole number"),
        ("wikisql/mlx/valid.jsonl", b'{"text"\n', r"record 1: line is not valid JSON"),
        ("sst/SST2/train.tsv", b"good\t1\n\xff\xfe\t0\n", r"record 2: cannot be read as utf-8"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    folder = small.write(tmp_path, {file: content})
    with pytest.raises(TaskError, match=f"^{re.escape(file)}: {message}"):
        published.load([file.split("/")[0].removesuffix("2")], folder)


def test_an_empty_list_is_no_fault(tmp_path: Path) -> None:
    folder = small.write(tmp_path, {"woz/woz_validate_en.json": b" [ ]\n"})
    assert published.load(["woz"], folder)[0].records == {"train": 3, "validation": 0, "test": 3}


# The real files.

COUNTS = {
    "sst": (6920, 872, 1457),
    "qasrl": (6414, 2183, 2201),
    "woz": (2536, 830, 1315),
    "squad": (6149, 682, 4780),
    "wikisql": (1000, 100, 100),
    "agnews": (3600, 400, 6080),
    "amazon": (4500, 500, 6080),
    "yelp": (3600, 400, 800),
    "dbpedia": (4515, 502, 6080),
    "yahoo": (1751, 194, 1000),
    "trec": (4907, 545, 400),
    "tweetqa": (9623, 1069, 869),
}

OVERLAP = {"sst": 2, "woz": 302, "trec": 9}
"""Test records whose context and question also stand in train, in the sets as they were published (short dialogue turns)."""


@real
def test_real_counts(tasks: dict[str, Task]) -> None:
    assert {name: tuple(task.records.values()) for name, task in tasks.items()} == COUNTS


@real
def test_real_loading_of_the_three_main_sets_is_quick() -> None:
    # Processor time of this process, against the bare decoding of the largest files: other work on the machine moves both.
    start = time.process_time()
    for name in ("dev", "test.part80"):
        for _ in json_lines(DATA, f"qasrl/qasrl-v2_1/orig/{name}.jsonl.gz"):
            pass
    bare = time.process_time() - start
    start = time.process_time()
    published.load(["sst", "qasrl", "woz"], DATA)
    assert time.process_time() - start < max(3.0, 6 * bare)


@real
def test_real_labels_are_balanced_as_published(tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        if task.labels:
            shares = Counter(item.answers[0] for item in task.train)
            assert set(shares) == set(task.labels)
            smallest = min(shares.values()) * len(task.labels) / len(task.train)
            assert smallest > (0.05 if task.name == "trec" else 0.9), task.name


@real
@pytest.mark.parametrize("name", ["qasrl", "squad"])
def test_real_spans_occur_in_their_context(tasks: dict[str, Task], name: str) -> None:
    for split in SPLITS:
        for item in getattr(tasks[name], split):
            assert all(answer in item.context for answer in item.answers), item.uid
            assert item.question.strip() and item.context.strip()


@real
def test_real_squad_keeps_the_published_share_of_impossible_questions(tasks: dict[str, Task]) -> None:
    task = tasks["squad"]
    assert sum(item.answers == ("",) for item in task.test) == 2318
    assert sum(item.answers == ("",) for item in (*task.train, *task.validation)) == 3168


@real
def test_real_woz_turns(tasks: dict[str, Task]) -> None:
    task = tasks["woz"]
    assert sum(item.answers[0] == "None" for item in task.train) == 814
    assert len({item.meta["dialogue"] for item in task.train}) == 600
    legal = re.compile(r"None|(?:[a-z ]+: [^,;:]+(?:, [a-z ]+: [^,;:]+)*)?;(?: [a-z ]+(?:, [a-z ]+)*)?")
    assert all(legal.fullmatch(item.answers[0]) for split in SPLITS for item in getattr(task, split))


@real
def test_real_wikisql_agrees_with_the_official_logical_forms() -> None:
    for readable, official in (("valid", "dev.jsonl"), ("test", "test.part80.jsonl.gz")):
        forms = {record.text("question"): record.get("sql", dict) for record in json_lines(DATA, f"wikisql/{official}")}
        for record in readable_wikisql(DATA, f"wikisql/mlx/{readable}.jsonl"):
            assert _plain(record.values["sql"]) == _plain(forms[record.values["question"]]), record.number


def _plain(sql: dict[str, Any]) -> tuple[Any, ...]:
    return sql["sel"], sql["agg"], [(column, operator, str(value).strip().lower()) for column, operator, value in sql["conds"]]


@real
def test_real_gold_answers_score_full_marks(tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        assert score(task.metric, [item.answers[0] for item in task.test], task.test) == 100.0, task.name


@real
def test_real_test_records_do_not_stand_in_train(tasks: dict[str, Task]) -> None:
    for name, task in tasks.items():
        seen = {(item.context, item.question) for item in task.train}
        assert sum((item.context, item.question) in seen for item in task.test) == OVERLAP.get(name, 0), name
        kept = {(item.context, item.question) for item in task.validation}
        assert name == "woz" or not seen & kept, name


@real
def test_real_sets_are_the_same_every_time(tasks: dict[str, Task]) -> None:
    again = published.load(["squad", "yahoo"], DATA)
    for task in again:
        assert json.dumps([item.uid + item.context for item in task.validation]) == json.dumps(
            [item.uid + item.context for item in tasks[task.name].validation]
        )
