"""Scores of answers: EM, nF1, lfEM (SQL compared as logical forms) and dsEM (joint goal), each the best over the references.

The rules are those of the published sets. An example whose meta has {"rules": "unicode"}, as those of one's own tasks have, is compared
by `wording` instead.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence

from workbench.tasks.example import METRICS, Example, TaskError
from workbench.tasks.sql import parse_query
from workbench.tasks.wording import UNICODE, em_words, nf1_words


def score(metric: str, predictions: Sequence[str], examples: Sequence[Example]) -> float:
    """Mean of `score_each`, 0..100. Raises TaskError where there is nothing to score."""
    if not examples:
        raise TaskError(f"{metric}: no examples to score; accepted: at least one")
    return 100.0 * sum(score_each(metric, predictions, examples)) / len(examples)


def score_each(metric: str, predictions: Sequence[str], examples: Sequence[Example]) -> list[float]:
    """One score 0..1 for each prediction. dsem looks at all turns of a dialogue together, the others at one example at a time."""
    if metric not in METRICS:
        raise TaskError(f"metric {metric!r}; accepted: {', '.join(METRICS)}")
    if len(predictions) != len(examples):
        raise TaskError(f"{metric}: {len(predictions)} predictions for {len(examples)} examples; accepted: one each")
    if metric == "dsem":
        return joint_goal(predictions, examples)
    one: Callable[[str, str, Example], float] = {"em": _em, "nf1": _nf1, "lfem": _lfem}[metric]
    return [max(one(said, answer, item) for answer in item.answers) for said, item in zip(predictions, examples, strict=True)]


def exact_match(prediction: str, answer: str) -> float:
    """1 where the strings are the same but for white space; case and punctuation count."""
    return float(prediction.split() == answer.split())


def normalised(text: str) -> list[str]:
    """The words of a text as SQuAD compares them: lower case, without punctuation and the articles a, an, the."""
    plain = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def token_f1(prediction: str, answer: str) -> float:
    """F1 of the normalised words; 1 where neither has a word (unanswerable, and said so), 0 where only one has none."""
    return _overlap(normalised(prediction), normalised(answer))


def _overlap(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def logical_form_match(prediction: str, answer: str, header: Sequence[str]) -> float:
    """1 where both parse to the same (aggregate, column, set of conditions); whatever does not parse is wrong."""
    try:
        return float(parse_query(prediction, header) == parse_query(answer, header))
    except ValueError:
        return 0.0


def snapped(predictions: Sequence[str], examples: Sequence[Example]) -> list[bool]:
    """For each prediction of an lfem task: does it score 1 only because a column was taken for one of another name?

    lfEM takes the nearest column of the table, as the published rule does; below `SAME_COLUMN` the names are not variants of one spelling.
    """
    scores = score_each("lfem", predictions, examples)
    return [score == 1 and _far(said, item.meta["header"]) for score, said, item in zip(scores, predictions, examples, strict=True)]


def _far(prediction: str, header: Sequence[str]) -> bool:
    return any(likeness < SAME_COLUMN for _, _, likeness in parse_query(prediction, header).snaps)


SAME_COLUMN = 0.8
"""Likeness of two names (shared subsequence relative to the longer one) from which on they are one column, misspelt."""


def informs(answer: str) -> dict[str, str]:
    """The informed slots of `food: thai, area: east; phone`: {"food": "thai", "area": "east"}; `None` informs nothing.

    What follows the semicolon is requested, not informed; a part without a colon is dropped.
    """
    pairs = (part.partition(":") for part in answer.partition(";")[0].lower().split(","))
    found = {" ".join(slot.split()): " ".join(value.split()) for slot, _, value in pairs}
    return {slot: value for slot, value in found.items() if slot and value}


def joint_goal(predictions: Sequence[str], examples: Sequence[Example]) -> list[float]:
    """Joint goal of every turn: 1 where the slots informed up to and including it are all those of the gold, and no others.

    Turns are taken by `meta["dialogue"]`, in the order of `meta["turn"]`, from an empty state for each dialogue; a later value
    of a slot replaces the earlier one. Requests are not part of the joint goal. So one wrong turn costs the later ones too,
    until the slot is said again. Where a turn has several references the state so far is that of the first ones.
    """
    turns: dict[object, list[int]] = {}
    for position, item in enumerate(examples):
        missing = [key for key in ("dialogue", "turn") if key not in item.meta]
        if missing:
            raise TaskError(f"{item.task} {item.uid}: meta has no {' and no '.join(missing)}; accepted: a dialogue id and a turn")
        turns.setdefault(item.meta["dialogue"], []).append(position)
    scores = [0.0] * len(examples)
    for positions in turns.values():
        said: dict[str, str] = {}
        gold: dict[str, str] = {}
        for position in sorted(positions, key=lambda place: examples[place].meta["turn"]):
            said |= informs(predictions[position])
            answers = examples[position].answers
            scores[position] = float(any(said == gold | informs(answer) for answer in answers))
            gold |= informs(answers[0])
    return scores


def _em(prediction: str, answer: str, item: Example) -> float:
    if item.meta.get("rules") == UNICODE:
        return float(em_words(prediction) == em_words(answer))
    return exact_match(prediction, answer)


def _nf1(prediction: str, answer: str, item: Example) -> float:
    if item.meta.get("rules") == UNICODE:
        return _overlap(nf1_words(prediction), nf1_words(answer))
    return token_f1(prediction, answer)


def _lfem(prediction: str, answer: str, item: Example) -> float:
    if "header" not in item.meta:
        raise TaskError(f"{item.task} {item.uid}: meta has no header; accepted: the list of column names, which lfem needs")
    return logical_form_match(prediction, answer, item.meta["header"])
