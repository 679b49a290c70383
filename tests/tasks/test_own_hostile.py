"""Data of one's own as it comes: hostile, huge, from other systems, in any language. Every fault names file, record and field."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.tasks import available_tasks, load_stream
from workbench.tasks.example import Example, Task, TaskError
from workbench.tasks.lengths import unusable
from workbench.tasks.own import LONGEST_CONTEXT
from workbench.tasks.scoring import score_each, snapped

ROW = {"context": "c", "question": "q", "answer": "bug"}


def write(data: Path, train: bytes, name: str = "tickets", about: bytes = b'{"metric": "em"}') -> Path:
    (data / name).mkdir()
    (data / name / "task.json").write_bytes(about)
    (data / name / "train.jsonl").write_bytes(train)
    (data / name / "test.jsonl").write_bytes(lines(3))
    return data


def lines(count: int, **changes: Any) -> bytes:
    return b"".join(json.dumps(ROW | {"context": f"c {n}"} | changes).encode() + b"\n" for n in range(count))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"[" * 100_000, "line is not valid JSON (nested too deeply)"),
        (b'{"context": ' + b"[" * 100_000, "line is not valid JSON (nested too deeply)"),
        (b'{"context": "c", "question": "q", "answer": ' + b"9" * 6000 + b"}", "line is not valid JSON (a number of too many digits)"),
        (b'{"context": "\\ud800", "question": "q", "answer": "a"}', "field 'context' holds half a character ('\\ud800' at 0)"),
        (b'{"context": "c", "question": "q\\udfff", "answer": "a"}', "field 'question' holds half a character"),
        (b'{"context": "c", "question": "q", "answer": ["a", "b\\ud83d"]}', "field 'answer[1]' holds half a character"),
        (
            b'{"context": "c", "question": "q", "answer": "' + b"a" * 30_000 + b'"}',
            "field 'answer' has 30,000 characters; accepted: at most 20,000",
        ),
        (b"\xff\xfe{", "cannot be read as utf-8"),
    ],
)
def test_f33_a_hostile_line_is_one_sentence_and_hides_no_other_task(tmp_path: Path, line: bytes, sentence: str) -> None:
    write(tmp_path, lines(20), "good")
    write(tmp_path, lines(2) + line + b"\n", "bad")
    with pytest.raises(TaskError) as fault:
        load_stream("own:bad", str(tmp_path))
    assert str(fault.value).startswith("bad/train.jsonl: record 3: ") and sentence in str(fault.value) and len(str(fault.value)) < 400
    listed = {row["task"]: row for row in available_tasks(str(tmp_path))}
    assert listed["own:good"]["records"]["test"] == 3 and sentence in listed["own:bad"]["error"]


@pytest.mark.parametrize(
    "about", [b"[" * 100_000, b'{"metric": ' + b"9" * 6000 + b"}", b'{"metric": "em", "labels": ["\\ud800"]}', b"\xff", b"[]"]
)
def test_f33_a_hostile_task_file_is_one_sentence(tmp_path: Path, about: bytes) -> None:
    write(tmp_path, lines(20), "good")
    write(tmp_path, lines(20), "bad", about)
    listed = {row["task"]: row for row in available_tasks(str(tmp_path))}
    assert listed["own:good"]["records"]["test"] == 3 and listed["own:bad"]["error"].startswith("bad/task.json: ")


def test_f33_a_published_set_that_is_damaged_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "trec").mkdir()
    for name in ("TREC.train", "TREC.test.part80"):
        (tmp_path / "trec" / name).write_text("nonsense\n")
    write(tmp_path, lines(20))
    listed = {row["task"]: row for row in available_tasks(str(tmp_path))}
    assert "trec/TREC" in listed["trec"]["error"] and listed["own:tickets"]["records"]["test"] == 3


def test_f33_pipes_and_devices_are_no_data(tmp_path: Path) -> None:
    write(tmp_path, lines(20), "good")
    write(tmp_path, lines(20), "piped")
    (tmp_path / "piped/train.jsonl").unlink()
    os.mkfifo(tmp_path / "piped/train.jsonl")
    write(tmp_path, lines(20), "endless")
    (tmp_path / "endless/test.jsonl").unlink()
    (tmp_path / "endless/test.jsonl").symlink_to("/dev/zero")
    listed = {row["task"]: row for row in available_tasks(str(tmp_path))}
    assert (
        "no such file" in listed["own:piped"]["error"]
        and "no such file" in listed["own:endless"]["error"]
        and "records" in listed["own:good"]
    )


def test_f33_a_line_of_a_hundred_megabytes_costs_what_is_kept_of_it(tmp_path: Path) -> None:
    write(tmp_path, lines(20) + json.dumps(ROW | {"context": "word " * 20_000_000}).encode() + b"\n")
    began = time.monotonic()
    stream = load_stream("own:tickets", str(tmp_path))
    longest = max(
        (item for task in stream.tasks for split in (task.train, task.validation) for item in split), key=lambda item: len(item.context)
    )
    assert len(longest.context) == LONGEST_CONTEXT
    assert len(stream.hash) == 16 and time.monotonic() - began < 10
    (warning,) = stream.tasks[0].warnings
    assert "1 contexts are longer than 200,000 characters and lose their ends" in warning
    shown = CliRunner().invoke(app, ["tasks", "--data", str(tmp_path), "--json"])
    assert shown.exit_code == 0 and json.loads(shown.stdout)[-1]["warnings"] == [warning]


def test_f36_a_byte_order_mark_and_blank_lines_are_accepted(tmp_path: Path) -> None:
    plain = load_stream("own:tickets", str(write(tmp_path, lines(20))))
    (tmp_path / "marked").mkdir()
    first, rest = lines(20).split(b"\n", 1)
    marked = write(tmp_path / "marked", b"\xef\xbb\xbf" + first + b"\r\n\n" + rest + b"\n  \n\n", about=b'\xef\xbb\xbf{"metric": "em"}')
    assert load_stream("own:tickets", str(marked)).hash == plain.hash
    with pytest.raises(TaskError, match="record 5: field 'answer' is missing"):
        (tmp_path / "late").mkdir()
        load_stream("own:tickets", str(write(tmp_path / "late", lines(2) + b'\n\n{"context": "c", "question": "q"}\n')))


def test_f28_tasks_without_a_usable_example_are_named() -> None:
    def task(name: str, *lengths: int) -> Task:
        return Task(name, "em", tuple(Example(name, f"{n}", "", "q " * length, ("a",)) for n, length in enumerate(lengths)), (), ())

    tasks = [task("short", 500, 4), task("long", 200, 130, 400), task("none")]
    sentences = unusable(tasks, lambda example: len(example.question.split()), 96)
    assert sentences == [
        "long: none of its 3 training examples fits into backbone.max_length 96 without its context, the shortest takes 130 tokens, "
        "half of them 200 or more; accepted: backbone.max_length of 130 or more",
        "none: none of its 0 training examples fits into backbone.max_length 96 without its context, it has none",
    ]


def own(answer: str) -> Example:
    return Example("t", "1", "", "", (answer,), {"rules": "unicode"})


@pytest.mark.parametrize(
    ("metric", "said", "answer", "score"),
    [
        ("nf1", "", "A", 0.0),
        ("nf1", "the", "A", 0.0),
        ("nf1", "a", "A", 1.0),
        ("nf1", "", "?", 0.0),
        ("nf1", "?", "?", 1.0),
        ("nf1", "", "", 1.0),
        ("nf1", "the cat", "a cat!", 1.0),
        ("nf1", "北京市", "中国北京市", 0.75),
        ("nf1", "“hello”", "hello", 1.0),
        ("nf1", "ΣΊΣΥΦΟΣ", "σίσυφος", 1.0),
        ("em", "“hello”", '"hello"', 1.0),
        ("em", "café", "cafe\u0301", 1.0),
        ("em", "ｂｕｇ", "bug", 1.0),
        ("em", "Bug", "bug", 0.0),
        ("em", "a\u00a0b", "a b", 1.0),
    ],
)
def test_f90_f91_one_s_own_answers_are_compared_in_any_language(metric: str, said: str, answer: str, score: float) -> None:
    assert score_each(metric, [said], [own(answer)]) == [score]


def test_f90_f91_published_rules_stay_and_are_warned_of(tmp_path: Path) -> None:
    assert score_each("nf1", [""], [Example("t", "1", "", "", ("A",))]) == [1.0]
    (tmp_path / "t").mkdir()
    about = {"metric": "nf1", "rules": "published"}
    (tmp_path / "t/task.json").write_text(json.dumps(about))
    (tmp_path / "t/train.jsonl").write_bytes(lines(20))
    (tmp_path / "t/test.jsonl").write_bytes(lines(1, answer="A") + lines(1, answer="北京市") + lines(1, answer="fine"))
    (task,) = load_stream("own:t", str(tmp_path)).tasks
    nothing, foreign = task.warnings
    assert "answers like 'A' have no word under the published nf1" in nothing and "answers like '北京市'" in foreign
    assert not task.test[0].meta
    (tmp_path / "t/task.json").write_text(json.dumps({"metric": "nf1"}))
    (task,) = load_stream("own:t", str(tmp_path)).tasks
    assert not task.warnings and task.test[0].meta == {"rules": "unicode"}
    (tmp_path / "t/task.json").write_text(json.dumps({"metric": "nf1", "rules": "mine"}))
    with pytest.raises(TaskError, match=r"t/task\.json: rules is 'mine'; accepted: unicode, published"):
        load_stream("own:t", str(tmp_path))
    (tmp_path / "t/task.json").write_text(json.dumps({"metric": "em", "labels": ["bug", "ｂｕｇ"]}))
    with pytest.raises(TaskError, match="are scored alike"):
        load_stream("own:t", str(tmp_path))


def test_f92_predictions_that_count_by_a_column_of_another_name_are_told() -> None:
    header = ["Player", "No."]
    gold = Example("sql", "1", "", "", ("SELECT Player FROM table WHERE No. = 3",), {"header": header})
    said = [
        "SELECT Salary FROM table WHERE No. = 3",
        "SELECT player FROM table WHERE No. = 3",
        "SELECT Playr FROM table WHERE No. = 3",
        "SELECT No. FROM x",
    ]
    assert score_each("lfem", said, [gold] * 4) == [1.0, 1.0, 1.0, 0.0]
    assert snapped(said, [gold] * 4) == [True, False, False, False]
