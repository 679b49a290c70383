"""The choice of texts that together cover most of the words that were decoded."""

from __future__ import annotations

import random
from collections.abc import Sequence

from workbench.replay.coverage import covering


def chosen(rows: Sequence[Sequence[int]], n: int, preferred: Sequence[bool] | None = None) -> list[int]:
    return covering(rows, n, preferred or [False] * len(rows), [""] * len(rows), lambda group: n)


def test_what_says_something_new_goes_before_what_says_the_same_again() -> None:
    assert chosen([[1, 2, 3], [1, 2, 3], [4, 5, 6], [1, 2, 9]], 3) == [0, 2, 3]


def test_a_token_counts_for_less_the_oftener_it_was_chosen() -> None:
    # After [1, 2]: [1, 3] gives (1/sqrt 2 + 1) / 2 = 0.854, [1, 1, 3] a third less, [1, 2] 0.707.
    assert chosen([[1, 2], [1, 2], [1, 1, 3], [1, 3]], 2) == [0, 3]


def test_a_group_gets_no_more_than_its_room_while_another_has_some() -> None:
    rows = [[number, number + 1] for number in range(12)]
    groups = ["positive"] * 9 + ["negative"] * 3

    def of(n: int, room: int) -> list[str]:
        places = covering(rows, n, [group == "positive" for group in groups], groups, lambda group: room)
        assert len(set(places)) == len(places)
        return [groups[place] for place in places]

    assert of(4, 2) == ["positive", "positive", "negative", "negative"]
    assert sorted(of(7, 3)) == ["negative"] * 3 + ["positive"] * 4  # both are full: what is left fills up
    assert sorted(of(20, 2)) == sorted(groups)
    assert chosen([], 3) == []


def test_rare_words_survive_better_than_by_chance() -> None:
    rng = random.Random(0)
    rows = [[rng.choice([1, 1, 1, 2, 2, 3, *range(4, 40)]) for _ in range(6)] for _ in range(200)]
    words = [len({token for place in places for token in rows[place]}) for places in (chosen(rows, 10), range(10))]
    assert words[0] >= 39 > words[1] + 5


def test_a_preferred_row_goes_before_a_newer_one() -> None:
    assert chosen([[1, 2], [1, 2], [3, 4], [5, 6]], 3, [True, True, False, False]) == [0, 1, 2]


def grouped(rows: Sequence[Sequence[int]], groups: str, room: dict[str, int], preferred: str = "") -> list[int]:
    return covering(rows, len(rows), [group in preferred for group in groups], list(groups), room.__getitem__)


def test_each_group_has_room_of_its_own_and_one_without_any_comes_last() -> None:
    assert grouped([[1, 2], [3, 4]], "ab", {"a": 0, "b": 1}, preferred="a") == [1, 0]
    assert grouped([[1, 2], [3, 4], [5, 6], [7, 8]], "aabb", {"a": 2, "b": 1}) == [0, 1, 2, 3]
    assert grouped([[1, 2], [3, 4], [5, 6], [7, 8]], "aabb", {"a": 1, "b": 2}) == [0, 2, 3, 1]


def test_a_group_that_is_full_counts_as_one_that_never_had_room() -> None:
    assert grouped([[1, 2], [1, 2], [3, 4]], "aab", {"a": 1, "b": 0}) == [0, 2, 1]  # 0.707 against 1
    assert grouped([[1, 2], [3, 4], [1, 2]], "aab", {"a": 1, "b": 0}) == [0, 1, 2]


def test_preference_outweighs_any_newness() -> None:
    assert chosen([[5, 6], [1, 1, 1, 1]], 1, [False, True]) == [1]  # 1 against 1 + 1/4


def fifth(rows: Sequence[Sequence[int]]) -> int:
    """What is chosen after token 7 has been chosen three times, and 8 and 9 once."""
    before = [[7], [7], [7], [8, 9]]
    return chosen([*before, *rows], 5, [True] * 4 + [False] * len(rows))[4] - 4


def test_a_token_counts_one_over_the_root_of_one_more_than_its_number() -> None:
    assert fifth([[8, 9], [1, 7]]) == 1  # 1/sqrt 2 = 0.707 against (1 + 1/sqrt 4) / 2 = 0.75
    assert fifth([[7], [8]]) == 1  # 0.5 against 0.707
    assert fifth([[1, 2, 3, 4, 4], [5, 8]]) == 1  # 4/5 against (1 + 0.707) / 2 = 0.854
