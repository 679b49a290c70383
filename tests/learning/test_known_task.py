"""What is kept of a task, worked by hand: room for an answer, and what no training example of the task looks like."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from workbench.learning.known_task import KnownTask, stands_in


@dataclass(frozen=True)
class Text:
    answer: str
    context: str = "the old man sold a lamp"
    question: str = "who sold it?"

    @property
    def answers(self) -> tuple[str, ...]:
        return (self.answer, "another reference")


@pytest.mark.parametrize(
    ("labels", "common", "answer", "n", "room"),
    [
        (("negative", "positive"), {"negative": 0.9}, "negative", 8, 4),  # labels share equally, whatever training had
        (("negative", "positive"), None, "positive", 7, 4),
        (("a", "b", "c"), None, "a", 10, 4),
        (None, None, "anything", 10, 10),
        (None, {"monday": 0.3}, "monday", 20, 6),
        (None, {"monday": 0.3}, "tuesday", 40, 2),  # an answer of its own: 5 %
        (None, {"monday": 0.02}, "monday", 100, 5),
        (None, {"monday": 0.07}, "monday", 100, 7),  # 0.07 * 100 is 7.000000000000001 in floats
        (None, {}, "monday", 21, 2),
    ],
)
def test_room_for_an_answer(labels, common, answer: str, n: int, room: int) -> None:
    assert KnownTask("task", labels, 0, common=common).room(answer, n) == room


@pytest.mark.parametrize(
    ("known", "text", "fault"),
    [
        ({}, Text("anything"), ""),
        ({}, Text(""), ""),
        ({"unanswerable": False}, Text(" "), "empty answer"),
        ({"unanswerable": True, "extractive": True}, Text(""), ""),
        ({"extractive": True}, Text("Old  MAN"), ""),
        ({"extractive": True}, Text("young man"), "answer not in the context"),
        ({"labels": ("yes", "no")}, Text("yes"), ""),
        ({"labels": ("yes", "no")}, Text("Yes"), "answer not in the label set"),
        ({"labels": ("yes", "no")}, Text("another reference"), "answer not in the label set"),
        ({"labels": ("yes", "no"), "unanswerable": False}, Text(""), "answer not in the label set"),
        ({"labels": ("yes", "no"), "extractive": True}, Text("yes"), ""),
        ({"labels": ("", "no"), "unanswerable": False}, Text(""), ""),
        ({"questions": ("who sold it?",)}, Text("the old man"), ""),
        ({"questions": ("when?",)}, Text("the old man"), "question not of the task"),
        ({"questions": ("when?",), "labels": ("yes",)}, Text("no"), "question not of the task"),
    ],
)
def test_what_no_training_example_looks_like(known: dict, text: Text, fault: str) -> None:
    assert KnownTask(**{"name": "task", "labels": None, "place": 0, **known}).fault(text) == fault


def test_a_task_of_which_nothing_else_is_known_accepts_an_empty_answer_and_any_question() -> None:
    known = KnownTask("task", None, 3)
    assert (known.unanswerable, known.extractive, known.questions, known.common) == (True, False, None, None)


@pytest.mark.parametrize(
    ("answer", "context", "found"),
    [
        ("Old Man", "the old man", True),
        ("OLD\n man", "The  old\tMAN sat", True),
        ("man old", "the old man", False),
        ("oldman", "the old man", False),
        ("old man", "the oldman", False),
        ("", "", True),
        ("STRASSE", "strasse", True),
    ],
)
def test_an_answer_stands_in_a_context_letter_case_and_spacing_aside(answer: str, context: str, found: bool) -> None:
    assert stands_in(answer, context) is found
