"""Tasks of one's own: a folder each, read by name, found by the list and by the app; every fault names file, record and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.tasks import available_tasks, load_stream
from workbench.tasks.example import TaskError
from workbench.views.replay import samples as replay


def write(folder: Path, name: str = "tickets", about: Any = None, **splits: list[Any]) -> Path:
    (folder / name).mkdir()
    (folder / name / "task.json").write_text(json.dumps(about or {"metric": "em", "labels": ["bug", "praise"]}))
    for split, rows in splits.items():
        (folder / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def rows(count: int, answer: Any = "bug") -> list[dict[str, Any]]:
    return [{"context": f"Text {n}", "question": "Which?", "answer": answer, "spare": n} for n in range(count)]


def test_a_folder_a_task_in_the_order_named(tmp_path: Path) -> None:
    write(tmp_path, train=rows(20), test=rows(4, "praise"))
    write(tmp_path, "notes", {"metric": "nf1"}, train=rows(3, ["at ten", "ten"]), validation=rows(2), test=rows(2, ""))
    stream = load_stream("own:notes, tickets", str(tmp_path))
    assert stream.names == ("notes", "tickets")
    notes, tickets = stream.tasks
    assert (notes.records, notes.labels, notes.train[0].answers, notes.test[0].answers) == (
        {"train": 3, "validation": 2, "test": 2}, None, ("at ten", "ten"), ("",),
    )  # fmt: skip
    assert (tickets.metric, tickets.labels, tickets.records) == ("em", ("bug", "praise"), {"train": 18, "validation": 2, "test": 4})
    assert tickets.files == ("tickets/task.json", "tickets/train.jsonl", "tickets/test.jsonl")
    assert stream.hash == load_stream("own:notes,tickets", str(tmp_path)).hash
    listed = {row["task"]: row["records"] for row in available_tasks(str(tmp_path))}
    assert listed["own:tickets"] == tickets.records


def test_a_task_that_cannot_be_used_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, "good", train=rows(20), test=rows(4))
    write(tmp_path, "bad", train=rows(20, "bgu"), test=rows(4))
    listed = {row["task"]: row for row in available_tasks(str(tmp_path))}
    assert listed["own:good"]["records"]["test"] == 4
    assert listed["own:bad"]["error"].startswith("bad/train.jsonl: record 1: field 'answer' is 'bgu'")
    said = CliRunner().invoke(app, ["tasks", "--data", str(tmp_path), "--json"])
    assert said.exit_code == 1
    assert json.loads(said.stdout) == list(listed.values())


def test_the_app_finds_the_real_examples_where_the_data_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, train=rows(20), test=rows(4))
    config = {"stream": "own:tickets", "data": str(tmp_path), "tasks": {"train_limit": 5}}
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    assert not replay.reference(config).examples
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    assert len(replay.reference(config).examples["tickets"]) == 5


@pytest.mark.parametrize(
    ("about", "splits", "sentence"),
    [
        (None, {"test": rows(1)}, r"^tickets/train\.jsonl: no such file in the data folder"),
        (None, {"train": [], "test": rows(1)}, r"^tickets/train\.jsonl: no records; accepted"),
        ({"metric": "dsem"}, {}, r"^tickets/task\.json: metric is 'dsem'; accepted: em, nf1$"),
        ({"metric": "em", "labels": "bug"}, {}, r"^tickets/task\.json: labels is 'bug'; accepted: a list of texts, or null$"),
        (None, {"train": [*rows(1), *rows(1, "bgu")]}, r"^tickets/train\.jsonl: record 2: field 'answer' is 'bgu'; accepted: one of the labels"),
        (None, {"train": [{"context": "x", "question": "y"}]}, r"record 1: field 'answer' is missing; found: context, question$"),
        (None, {"train": rows(1, [])}, r"record 1: field 'answer' is an empty list"),
        (None, {"train": rows(1, 3)}, r"record 1: field 'answer' is a whole number; accepted: text$"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, about: Any, splits: dict[str, list[Any]], sentence: str) -> None:
    write(tmp_path, about=about, **splits)
    with pytest.raises(TaskError, match=sentence):
        load_stream("own:tickets", str(tmp_path))


@pytest.mark.parametrize("name", ["ticket", "../tickets", "/etc", "tickets/..", "."])
def test_a_name_is_no_path(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    write(tmp_path, train=rows(3), test=rows(3))
    with pytest.raises(TaskError, match=r"no .*task\.json in the data folder .*; accepted: a folder that has one \(tickets\)"):
        load_stream(f"own:{name}", str(tmp_path))
    with pytest.raises(TaskError, match="WORKBENCH_DATA is not set"):
        load_stream("own:tickets")
