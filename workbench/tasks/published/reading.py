"""Questions about a text, answered by a span of it or by a few words: SQuAD 2.0, TweetQA and QA-SRL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from workbench.tasks.example import TaskError
from workbench.tasks.published.drafts import Draft
from workbench.tasks.published.records import Record

UNANSWERABLE = ""


def squad(article: Record) -> Iterator[Draft]:
    """One draft a question; the references are all distinct answer texts, or "" where the question is impossible."""
    for paragraph in article.children("paragraphs"):
        context = paragraph.text("context")
        for item in paragraph.children("qas"):
            impossible = item.get("is_impossible", bool)
            answers = [answer.text("text") for answer in item.children("answers")]
            if not impossible and not answers:
                raise item.error("answers", "is empty; accepted: at least one answer, or is_impossible true")
            yield Draft(context, item.text("question"), _distinct(answers) if not impossible else (UNANSWERABLE,))


def squad_row(row: Record) -> Iterator[Draft]:
    """The flat layout of the hub: `answers` is {"text": [...]}, empty where the question is impossible."""
    answers = Record(row.source, row.number, row.get("answers", dict), "answers.").texts("text")
    yield Draft(row.text("context"), row.text("question"), _distinct(answers) or (UNANSWERABLE,))


def tweetqa(record: Record) -> Iterator[Draft]:
    """The tweet is the context."""
    answers = _distinct(answer.strip() for answer in record.texts("Answer"))
    if not answers or not all(answers):
        raise record.error("Answer", "holds no answer or an empty one; accepted: a list of answers")
    yield Draft(record.text("Tweet"), record.text("Question"), answers)


def qasrl(sentence: Record) -> Iterator[Draft]:
    """One draft a question on which most annotators agree that it can be answered.

    References are the distinct spans of the judgements that call the question valid, the one that most of them mark first
    (the earlier mark among equals): that one is the training target. A question that two verbs share becomes one draft.
    """
    tokens = sentence.texts("sentenceTokens")
    if not tokens:
        raise sentence.error("sentenceTokens", "is empty; accepted: the words of a sentence")
    context, starts, ends = detokenised(tokens)
    questions: dict[str, list[tuple[int, int]]] = {}
    for verb in sentence.children("verbEntries"):
        for label in verb.children("questionLabels"):
            agreed = _agreed_spans(label, len(tokens))
            if agreed:
                questions.setdefault(role_question(label.text("questionString")), []).extend(agreed)
    for question, spans in questions.items():
        yield Draft(context, question, _by_votes([context[starts[first] : ends[last - 1]] for first, last in spans]))


def _agreed_spans(label: Record, length: int) -> list[tuple[int, int]]:
    """The spans of the valid judgements, repeated as often as they are marked; none where most judgements are not valid."""
    judgements = label.get("answerJudgments", list)
    spans: list[tuple[int, int]] = []
    valid = 0
    try:
        for judgement in judgements:
            if judgement["isValid"] is True:
                valid += 1
                for first, last in judgement["spans"]:
                    if not 0 <= first < last <= length:
                        raise ValueError
                    spans.append((first, last))
            elif judgement["isValid"] is not False:
                raise ValueError
    except (KeyError, TypeError, ValueError):
        raise _fault(label, length) from None
    return spans if 2 * valid > len(judgements) else []


def _fault(label: Record, length: int) -> TaskError:
    """What is wrong in a question's judgements, named: the loop above only notices, because it runs 200,000 times."""
    for judgement in label.children("answerJudgments"):
        if judgement.get("isValid", bool):
            for position, span in enumerate(judgement.get("spans", list)):
                pair = type(span) is list and len(span) == 2 and all(type(end) is int for end in span)
                if not pair or not 0 <= span[0] < span[1] <= length:
                    return judgement.error(f"spans[{position}]", f"is {span!r}; accepted: [start, end) within {length} words")
    return label.error("answerJudgments", "cannot be used; accepted: a list of {isValid, spans}")


def qasrl_row(row: Record) -> Iterator[Draft]:
    """The layout of the hub: words joined by spaces, the question as slots with "_" for an empty one, the answers as texts."""
    tokens = row.text("sentence").split()
    context, starts, ends = detokenised(tokens)
    marked: list[str] = []
    for position, answer in enumerate(row.texts("answers")):
        words = answer.split()
        first = next((n for n in range(len(tokens)) if words and tokens[n : n + len(words)] == words), None)
        if first is None:
            raise row.error(f"answers[{position}]", f"is {answer!r}, which the sentence does not hold; accepted: words of the sentence")
        marked.append(context[starts[first] : ends[first + len(words) - 1]])
    if marked:
        yield Draft(context, role_question(" ".join(row.texts("question"))), _by_votes(marked))


def role_question(slots: str) -> str:
    """The question of its slots joined by spaces: empty ones ("_") left out, one question mark at the end."""
    if "_" in slots:
        slots = " ".join(slot for slot in slots.split() if slot != "_")
    return slots.rstrip("? ") + "?"


def _by_votes(texts: list[str]) -> tuple[str, ...]:
    """Distinct texts, the one that stands in the list most often first."""
    return tuple(sorted(dict.fromkeys(texts), key=texts.count, reverse=True))


# How the tokens of the Penn Treebank that are no plain words are written, and whether a space stands before and after.
_CLOSING = {"-RRB-": ")", "-RSB-": "]", "-RCB-": "}", "''": '"'}
_OPENING = {"-LRB-": "(", "-LSB-": "[", "-LCB-": "{", "``": '"', "`": "'"}
_GLUE: dict[str, tuple[str, bool, bool]] = {
    **{mark: (mark, False, True) for mark in [*".,;:?!%)]}'°", "...", "n't", "'s", "'S", "'ve", "'m", "'re", "'ll", "'d"]},
    **{mark: (mark, True, False) for mark in "([{$#"},
    **{token: (mark, False, True) for token, mark in _CLOSING.items()},
    **{token: (mark, True, False) for token, mark in _OPENING.items()},
}


def detokenised(tokens: Sequence[str]) -> tuple[str, list[int], list[int]]:
    """(text, first character of each token, character after each token) of Penn Treebank tokens written as a sentence."""
    pieces: list[str] = []
    starts, ends = [], []
    position = 0
    spaced = False
    for token in tokens:
        written, before, after = _GLUE.get(token) or (token, True, True)
        if spaced and before:
            pieces.append(" ")
            position += 1
        starts.append(position)
        pieces.append(written)
        position += len(written)
        ends.append(position)
        spaced = after
    return "".join(pieces), starts, ends


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
