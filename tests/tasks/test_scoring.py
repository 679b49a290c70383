"""Each score on hand-worked examples, and what must hold for any prediction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.tasks.example import Example, TaskError
from workbench.tasks.scoring import informs, joint_goal, logical_form_match, score, score_each
from workbench.tasks.sql import parse_query, snap, value_of

PLAYERS = ["Player", "No.", "Nationality", "Position", "Years in Toronto", "School/Club Team"]


def item(*answers: str, uid: str = "0", **meta: object) -> Example:
    return Example("task", uid, "context", "question?", answers, meta)


def turns(*answers: str, dialogue: str = "d") -> list[Example]:
    return [item(answer, uid=f"{dialogue}{turn}", dialogue=dialogue, turn=turn) for turn, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("metric", "prediction", "answers", "expected"),
    [
        ("em", "positive", ("positive",), 1.0),
        ("em", " positive\n", ("positive",), 1.0),
        ("em", "Positive", ("positive",), 0.0),
        ("em", "neutral", ("positive", "neutral"), 1.0),
        ("em", "positive film", ("positive",), 0.0),
        ("nf1", "The old bicycle.", ("old bicycle",), 1.0),
        # said {in, market}, wanted {in, market, of, oslo}: 2 common, precision 1, recall 1/2
        ("nf1", "in the market", ("in the market of oslo",), 2 / 3),
        # said {red, red, lamp}, wanted {red, lamp}: "red" counts once: precision 2/3, recall 1
        ("nf1", "red red lamp", ("the red lamp",), 0.8),
        ("nf1", "a lamp and an egg", ("the lamp and egg",), 1.0),
        ("nf1", "monday", ("on monday", "monday"), 1.0),
        ("nf1", "", ("",), 1.0),
        ("nf1", "  ", ("",), 1.0),
        ("nf1", "oslo", ("",), 0.0),
        ("nf1", "", ("oslo",), 0.0),
        ("nf1", "tom", ("anna",), 0.0),
    ],
)
def test_worked_examples_of_em_and_nf1(metric: str, prediction: str, answers: tuple[str, ...], expected: float) -> None:
    assert score_each(metric, [prediction], [item(*answers)]) == [pytest.approx(expected)]


GOLD = "SELECT MAX No. FROM table WHERE School/Club Team = Butler CC (KS) AND Years in Toronto = 1996-97"


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (GOLD, 1.0),
        ("select max no. from table where years in toronto = 1996-97 and school/club team = butler cc (ks)", 1.0),
        ("SELECT MAX(No.) FROM table WHERE Years in Toronto = '1996-97' AND School/Club Team = \"Butler CC (KS)\"", 1.0),
        ("SELECT MAX No FROM table WHERE Years Toronto = 1996-97 AND School Club Team = Butler CC (KS)", 1.0),  # snapped
        ("SELECT MIN No. FROM table WHERE School/Club Team = Butler CC (KS) AND Years in Toronto = 1996-97", 0.0),
        ("SELECT MAX Position FROM table WHERE School/Club Team = Butler CC (KS) AND Years in Toronto = 1996-97", 0.0),
        ("SELECT MAX No. FROM table WHERE School/Club Team = Butler CC (KS) AND Years in Toronto > 1996-97", 0.0),
        ("SELECT MAX No. FROM table WHERE School/Club Team = Butler CC AND Years in Toronto = 1996-97", 0.0),
        ("SELECT MAX No. FROM table WHERE School/Club Team = Butler CC (KS)", 0.0),
        ("SELECT MAX No. FROM table", 0.0),
        ("MAX No.", 0.0),
        ("SELECT MAX No.", 0.0),
        ("SELECT MAX No. FROM table WHERE", 0.0),
        ("", 0.0),
    ],
)
def test_worked_examples_of_lfem(prediction: str, expected: float) -> None:
    assert score_each("lfem", [prediction], [item(GOLD, header=PLAYERS)]) == [expected]


def test_columns_may_hold_spaces_quotes_and_words_of_sql() -> None:
    header = ["Date from", 'Max "speed" (km/h)', "Home AND away = total", "Speed", "OP art"]
    text = 'SELECT Date from FROM table WHERE Home AND away = total = 3 AND Max "speed" (km/h) > 10 AND OP art = Rock AND roll'
    query = parse_query(text, header)
    conditions = {("home and away = total", "=", "3"), ('max "speed" (km/h)', ">", "10"), ("op art", "=", "rock and roll")}
    assert (query.aggregate, query.column, query.conditions) == ("", "date from", frozenset(conditions))
    assert parse_query('SELECT Max "speed" (km/h) FROM table WHERE Speed = 3', header).aggregate == ""
    assert parse_query("SELECT MAX Speed FROM table WHERE Speed = 3", header).aggregate == "MAX"


def test_both_readings_of_a_query_agree() -> None:
    header = ["points", "player", "city"]
    pseudo = "SELECT SUM points FROM table WHERE player = anna AND points > -3.50"
    assert parse_query(pseudo, header) == parse_query("SELECT SUM(points) FROM table WHERE points > -3.5 AND player = 'Anna'", header)
    assert parse_query("SELECT city FROM table WHERE player = a -- b", header).conditions == {("player", "=", "a -- b")}
    assert parse_query("SELECT city FROM table WHERE player = 'O''Neil'", header).conditions == {("player", "=", "o'neil")}


def test_values_and_names_are_normalised_but_not_more() -> None:
    assert value_of("'10,000'") == value_of("10000.0") == "10000"
    assert value_of("007") == "007" != value_of("7")
    assert value_of("1,5") == "1,5"
    assert snap("scool/club", PLAYERS) == "school/club team"
    assert snap("anything", []) == "anything"
    with pytest.raises(ValueError, match="like no column"):
        snap("%", PLAYERS)
    assert logical_form_match("SELECT % FROM table WHERE No. = 3", GOLD, PLAYERS) == 0.0


def test_joint_goal_accumulates_over_a_dialogue() -> None:
    gold = turns("food: thai", "area: east; phone", "None", "food: greek")
    assert joint_goal(["food: thai", "area: east", "None", "food: greek"], gold) == [1, 1, 1, 1]  # requests are not scored
    assert joint_goal(["food: thai", "None", "None", "food: greek"], gold) == [1, 0, 0, 0]  # a missed slot costs later turns
    assert joint_goal(["food: greek", "area: east", "; phone", "food: greek"], gold) == [0, 0, 0, 1]  # until it is said again
    assert joint_goal(["food: thai", "area: east, price: cheap", "", "food: greek"], gold) == [1, 0, 0, 0]  # so does an extra one


def test_joint_goal_starts_anew_in_every_dialogue_and_sorts_turns() -> None:
    first, second = turns("food: thai", "area: east", dialogue="a"), turns("food: greek", "None", dialogue="b")
    mixed = [first[1], second[0], first[0], second[1]]
    assert joint_goal(["area: east", "food: thai", "food: thai", "food: greek"], mixed) == [1, 0, 1, 1]


def test_a_turn_is_judged_by_the_turns_before_it_and_not_by_the_rows_before_it() -> None:
    first, second = turns("food: thai", "area: east")
    assert joint_goal(["None", "food: thai"], [second, first]) == [0, 1]


def test_informs_reads_slots_only() -> None:
    assert informs("time: 10:30, area: north  east") == {"time": "10:30", "area": "north east"}
    assert informs("Food: Thai , price  range: cheap; phone, address: x") == {"food": "thai", "price range": "cheap"}
    assert informs("None") == informs("; phone") == informs("food:, : thai") == {}


def test_what_cannot_be_scored_is_refused_in_a_sentence() -> None:
    with pytest.raises(TaskError, match=r"metric 'f1'; accepted: em, nf1, lfem, dsem"):
        score_each("f1", [], [])
    with pytest.raises(TaskError, match="1 predictions for 2 examples"):
        score_each("em", ["a"], [item("a"), item("b")])
    with pytest.raises(TaskError, match="no examples"):
        score("em", [], [])
    with pytest.raises(TaskError, match="meta has no header"):
        score_each("lfem", ["a"], [item("a")])
    with pytest.raises(TaskError, match="no dialogue and no turn"):
        score_each("dsem", ["a"], [item("a")])


words = st.text(alphabet="abcdeé #/'\"().,=<>-", min_size=0, max_size=12)
names = st.sampled_from(PLAYERS)
values = st.from_regex(r"[a-z0-9][a-z0-9 ]{0,8}[a-z0-9]", fullmatch=True).filter(lambda text: not {"and", "op"} & set(text.split()))
conditions = st.lists(st.tuples(names, st.sampled_from("=<>"), values), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=60), words.map(lambda text: f"SELECT {text} FROM table WHERE {text}")), words)
def test_any_prediction_scores_between_0_and_1(prediction: str, answer: str) -> None:
    for metric in ("em", "nf1", "lfem", "dsem"):
        found = score_each(metric, [prediction], [item(answer, GOLD, header=PLAYERS, dialogue="d", turn=0)])
        assert len(found) == 1 and 0.0 <= found[0] <= 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_gold_scores_1_as_answer_and_as_dialogue(pairs: list[tuple[str, str]]) -> None:
    answers = [f"{slot}: {value}" for slot, value in pairs]
    assert score("em", answers, [item(answer) for answer in answers]) == 100.0
    assert score("nf1", answers, [item(answer) for answer in answers]) == 100.0
    assert score("dsem", answers, turns(*answers)) == 100.0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(("", "MAX ", "COUNT ")), names, conditions, st.randoms(use_true_random=False))
def test_gold_sql_scores_1_in_any_order_of_its_conditions(aggregate: str, column: str, parts: list[tuple[str, str, str]], random) -> None:
    def written(rows: list[tuple[str, str, str]]) -> str:
        return f"SELECT {aggregate}{column} FROM table WHERE " + " AND ".join(" ".join(row) for row in rows)

    shuffled = random.sample(parts, len(parts))
    assert score_each("lfem", [written(shuffled)], [item(written(parts), header=PLAYERS)]) == [1.0]
    distinct = {(name, operator, value_of(value)) for name, operator, value in parts}
    assert len(parse_query(written(parts), PLAYERS).conditions) == len(distinct)
