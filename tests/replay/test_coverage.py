"""The choice of texts that together cover most of the words that were decoded."""

from __future__ import annotations

import random

from workbench.replay.coverage import covering


def test_what_says_something_new_goes_before_what_says_the_same_again() -> None:
    rows = [[1, 2, 3], [1, 2, 3], [4, 5, 6], [1, 2, 9]]
    assert covering(rows, [""] * 4, {"": 3}, [False] * 4) == [0, 2, 3]


def test_a_token_counts_for_less_the_oftener_it_was_chosen() -> None:
    # After [1, 2]: [1, 3] gives (1/sqrt 2 + 1) / 2 = 0.854, [1, 1, 3] a third less, [1, 2] 0.707.
    assert covering([[1, 2], [1, 2], [1, 1, 3], [1, 3]], [""] * 4, {"": 2}, [True] * 4) == [0, 3]


def test_each_group_gets_its_quota_and_no_more() -> None:
    rows = [[number, number + 1] for number in range(12)]
    groups = ["positive"] * 9 + ["negative"] * 3
    chosen = covering(rows, groups, {"positive": 2, "negative": 2}, [False] * 12)
    assert sorted(groups[place] for place in chosen) == ["negative", "negative", "positive", "positive"]
    assert len(set(chosen)) == 4
    assert covering(rows, groups, {}, [True] * 12) == []
    assert covering([], [], {"": 3}, []) == []


def test_rare_words_survive_better_than_by_chance() -> None:
    rng = random.Random(0)
    rows = [[rng.choice([1, 1, 1, 2, 2, 3, *range(4, 40)]) for _ in range(6)] for _ in range(200)]
    words = [
        len({token for place in places for token in rows[place]})
        for places in (covering(rows, [""] * 200, {"": 10}, [False] * 200), range(10))
    ]
    assert words[0] >= 39 > words[1] + 5


def test_a_preferred_row_goes_before_a_newer_one() -> None:
    rows = [[1, 2], [1, 2], [3, 4], [5, 6]]
    assert covering(rows, [""] * 4, {"": 3}, [True, True, False, False]) == [0, 1, 2]
