"""Data sets of one's own with any content: a task or one sentence, in bounded time, and a stream that can be hashed and scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.profile import FUZZ
from workbench.tasks import load_stream, own
from workbench.tasks.example import Example, TaskError
from workbench.tasks.scoring import score_each, snapped

Within = Callable[[Callable[[], object]], None]
TEXT = st.text(st.characters(), max_size=20)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**4000),
    st.floats(),
    st.lists(TEXT, max_size=3),
    st.dictionaries(TEXT, TEXT, max_size=2),
)
RECORD = st.fixed_dictionaries(
    {}, optional={"context": TEXT | ODD, "question": TEXT | ODD, "answer": TEXT | ODD | st.just(["a"]), "spare": ODD}
)
GOOD = st.fixed_dictionaries({"context": TEXT, "question": TEXT.filter(lambda text: text.strip() != ""), "answer": TEXT})
LINE = st.one_of(GOOD.map(json.dumps), GOOD.map(lambda row: json.dumps(row, ensure_ascii=False)), RECORD.map(json.dumps), st.sampled_from(["", " ", "[", "{" * 3000, "[" * 30_000, "1" * 5000]))  # fmt: skip
ABOUT = st.one_of(
    st.just('{"metric": "em"}'),
    st.just('{"metric": "nf1"}'),
    st.fixed_dictionaries({"metric": st.sampled_from(["em", "nf1", "dsem"]) | ODD}, optional={"labels": st.lists(TEXT, max_size=3) | ODD, "rules": TEXT | ODD}).map(json.dumps),
)  # fmt: skip


@FUZZ
@given(
    ABOUT,
    st.lists(LINE, min_size=1, max_size=5),
    st.lists(GOOD.map(json.dumps), max_size=2),
    st.sampled_from(["", "\ufeff"]),
    st.booleans(),
)
def test_data_sets_of_any_content(
    tmp_path_factory: pytest.TempPathFactory, within: Within, about: str, train: list[str], test: list[str], mark: str, torn: bool
) -> None:
    data = tmp_path_factory.mktemp("data")
    for name, lines, task in (
        ("any", train, about),
        ("good", [json.dumps({"context": str(n), "question": "q", "answer": "a"}) for n in range(12)], '{"metric": "em"}'),
    ):
        (data / name).mkdir()
        (data / name / "task.json").write_text(mark + task, encoding="utf-8", errors="surrogatepass")
        (data / name / "train.jsonl").write_text(mark + "\n".join(lines) + ("" if torn else "\n"), encoding="utf-8", errors="surrogatepass")
        (data / name / "test.jsonl").write_text("\n".join(test or lines[:1]) + "\n", encoding="utf-8", errors="surrogatepass")

    def look() -> None:
        listed = {row["task"]: row for row in own.available(data)}
        assert "records" in listed["own:good"] or test, listed["own:good"]
        assert "\n" not in listed["own:any"].get("error", "")
        try:
            stream = load_stream("own:any", str(data))
        except TaskError as error:
            assert str(error).startswith("any/") and len(str(error)) < 1200
            return
        (task,) = stream.tasks
        assert len(stream.hash) == 16 and task.train
        for example in (*task.train, *task.test):
            (score,) = score_each(task.metric, [example.answers[0]], [example])
            assert score == 1.0, example

    try:
        within(look)
    finally:
        shutil.rmtree(data)


@FUZZ
@given(TEXT, TEXT, st.sampled_from(["unicode", "published"]))
def test_scores_of_any_texts(within: Within, said: str, answer: str, rules: str) -> None:
    def look() -> None:
        for metric in ("em", "nf1"):
            example = Example("t", "1", "", "", (answer,), {"rules": rules})
            (score,) = score_each(metric, [said], [example])
            assert 0 <= score <= 1 and score_each(metric, [answer], [example]) == [1.0]
            if rules == "unicode" and answer.split() and not said.split():
                assert score == 0.0

    within(look)


SQL = st.lists(st.sampled_from(["SELECT", "FROM", "table", "WHERE", "AND", "Player", "No.", "=", ">", "3", "'x'", "MAX", "(", ")", ";", "Salary", "é", "--"]), max_size=12).map(" ".join)  # fmt: skip


@FUZZ
@given(SQL, SQL)
def test_queries_of_any_form(within: Within, said: str, gold: str) -> None:
    def look() -> None:
        example = Example("t", "1", "", "", (gold,), {"header": ["Player", "No.", "From and to"]})
        (score,) = score_each("lfem", [said], [example])
        assert score in (0.0, 1.0) and snapped([said], [example])[0] <= bool(score)

    within(look)
