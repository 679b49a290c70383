"""Streams: order, limits, hash, and the sentences of their errors."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from workbench.tasks import available_tasks, load_stream
from workbench.tasks.example import Example, Stream, Task, TaskError


def examples(task: str, count: int, dialogue: int = 0) -> tuple[Example, ...]:
    meta = [{"dialogue": number // dialogue, "turn": number % dialogue} if dialogue else {} for number in range(count)]
    return tuple(Example(task, f"{task}-{number}", f"context {number}", "what?", (str(number),), meta[number]) for number in range(count))


def stream() -> Stream:
    plain = [Task(name, "em", examples(name, 20), examples(name, 3), examples(name, 10)) for name in ("sentiment", "reading")]
    spoken = Task("dialogue", "dsem", examples("dialogue", 20, 4), (), examples("dialogue", 12, 4))
    return Stream("s", (*plain, spoken))


def test_order_by_names_or_numbers() -> None:
    assert stream().ordered("3,1,2").names == ("dialogue", "sentiment", "reading")
    assert stream().ordered(" reading, 1 ,dialogue").names == ("reading", "sentiment", "dialogue")
    assert stream().ordered(None).names == stream().names


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (
            "sentment,reading,dialogue",
            r"--order: no task named 'sentment', did you mean 'sentiment'\?; accepted: sentiment, reading, dialogue",
        ),
        ("1,2,4", r"--order: no task number 4; accepted: 1 to 3"),
        ("1,2", r"--order: dialogue left out; accepted: every one of"),
        ("1,2,sentiment", r"--order: sentiment given twice"),
        ("", r"--order: no task named ''"),
    ],
)
def test_a_wrong_order_is_refused_in_a_sentence(order: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        stream().ordered(order)


def test_limits_draw_by_seed_without_replacement() -> None:
    small, again, larger, other = (stream().limited(limit, 4, seed) for limit, seed in ((8, 0), (8, 0), (12, 0), (8, 1)))
    assert [len(task.train) for task in small.tasks] == [8, 8, 8]
    assert [len(task.test) for task in small.tasks] == [4, 4, 4]
    assert small == again and small != other
    for task, wider, whole in zip(small.tasks, larger.tasks, stream().tasks, strict=True):
        assert set(item.uid for item in task.train) <= set(item.uid for item in wider.train)
        assert list(task.train) == [item for item in whole.train if item in task.train]  # their old order
        assert task.validation == whole.validation
    assert stream().limited(None, None, 0) == stream().limited(1000, 1000, 0) == stream()
    # a task's draw does not depend on the tasks beside it
    assert Stream("s", stream().tasks[1:]).limited(8, 4, 0)["reading"] == small["reading"]


def test_dialogues_are_kept_whole() -> None:
    for limit, count in ((8, 8), (10, 8), (1, 4)):
        drawn = stream().limited(limit, None, 0)["dialogue"].train
        assert len(drawn) == count
        assert [item.meta["turn"] for item in drawn] == [0, 1, 2, 3] * (count // 4)


def test_hash_follows_every_part_of_every_example() -> None:
    first = stream()
    assert len(first.hash) == 16 and first.hash == stream().hash
    seen = {first.hash, first.ordered("2,1,3").hash, first.limited(8, None, 0).hash}
    for change in ({"context": "c"}, {"question": "q"}, {"answers": ("a", "b")}, {"uid": "u"}, {"meta": {"turn": 1}}):
        task = first.tasks[0]
        changed = dataclasses.replace(task, test=(dataclasses.replace(task.test[0], **change), *task.test[1:]))
        seen.add(Stream("s", (changed, *first.tasks[1:])).hash)
    assert len(seen) == 8


def test_faulty_tasks_are_refused() -> None:
    with pytest.raises(TaskError, match="answers is empty"):
        Example("task", "0", "c", "q", ())
    with pytest.raises(TaskError, match=r"metric 'f1'; accepted: em, nf1, lfem, dsem"):
        Task("task", "f1", (), (), ())  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="sentiment named twice"):
        Stream("s", (stream().tasks[0], stream().tasks[0]))
    with pytest.raises(TaskError, match="no tasks"):
        Stream("s", ())
    with pytest.raises(TaskError, match=r"no task named 'readin', did you mean 'reading'\?"):
        stream()["readin"]


def test_streams_are_found_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    assert load_stream("bundled", None).names == ("sentiment", "srl", "dialogue", "sql", "reading")
    with pytest.raises(TaskError, match=r"no task named 'bundeld', did you mean 'bundled'\?; accepted: bundled, bundled20, hub:NAMES"):
        load_stream("bundeld", None)
    with pytest.raises(TaskError, match=r"no source 'hup'; accepted: hub:NAMES"):
        load_stream("hup:sst", None)
    assert load_stream("bundled20:hotel, taxi", None).names == ("hotel", "taxi")
    with pytest.raises(TaskError, match=r"bundled20:taxy: no task named 'taxy', did you mean 'taxi'\?; accepted: film_review, "):
        load_stream("bundled20:taxy", None)
    with pytest.raises(TaskError, match="names no task"):
        load_stream(" , ", None)
    with pytest.raises(TaskError, match="WORKBENCH_DATA is not set"):
        load_stream("sst", None)
    with pytest.raises(TaskError, match="no such folder"):
        load_stream("sst", "nowhere/at/all")
    rows = available_tasks(None)
    assert rows[0] == {
        "task": "bundled/sentiment",
        "records": {"train": 1000, "validation": 100, "test": 200},
        "metric": "em",
        "files": ["streams/bundled/sentiment.jsonl"],
    }
    assert len(rows) == 25


def test_tasks_load_neither_torch_nor_sqlglot() -> None:
    heavy = "[name for name in ('torch', 'sqlglot', 'datasets') if name in sys.modules]"
    code = f"import sys, workbench.tasks, workbench.tasks.scoring; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
