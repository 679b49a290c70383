"""Golden values worked out by hand, and what the tests promise held against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.runs.statistics import estimate, holm, sign_flip, spread, within


def test_t_interval_of_three_pairs():
    # mean 2, standard deviation 1, error 1 / sqrt(3), t(0.975, 2 degrees) = 4.3027
    found = estimate([1.0, 2.0, 3.0])
    assert (found.n, found.mean) == (3, 2.0)
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / 3**0.5, abs=1e-5)
    # For 2 degrees of freedom P(T > t) = (1 - t / sqrt(t^2 + 2)) / 2, here t = 2 sqrt(3)
    assert found.p == pytest.approx(1 - 12**0.5 / 14**0.5, abs=1e-9)
    assert found.p == pytest.approx(stats.ttest_1samp([1.0, 2.0, 3.0], 0).pvalue)
    assert found.p_flip == 2 / 8


def test_nothing_is_claimed_of_one_pair_or_none():
    assert estimate([]).mean is None
    one = estimate([3.0])
    assert one.mean == 3.0 and one.low is None and one.p is None and one.p_flip is None


def test_differences_that_are_all_equal_have_no_width():
    found = estimate([2.0, 2.0])
    assert (found.low, found.high, found.p) == (2.0, 2.0, 0.5), "two pairs alike are no certainty: their signs agree in one case of two"
    assert estimate([2.0] * 6).p == 2**-5


def test_interval_and_p_are_those_of_scipy():
    from scipy import stats

    gaps = [2.0, -1.0, 3.5, 0.5, 4.0]
    test, found = stats.ttest_1samp(gaps, 0), estimate(gaps)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_no_difference_at_all_is_no_finding():
    assert estimate([0.0, 0.0, 0.0]).p == 1.0


def test_a_difference_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        estimate([1.0, float("nan")])


def test_sign_flip_counts_assignments():
    assert sign_flip([1, 2, 3, 4, 5]) == 2 / 32
    assert sign_flip([1, -2]) == 1.0  # |1 - 2| = 1: every assignment is at least as far
    assert sign_flip([1, 1, 1, -1]) == 10 / 16  # |sum| >= 2: all but the six of sum 0
    assert sign_flip([]) == 1.0


def test_sign_flip_of_many_pairs_is_near_the_t_test():
    gaps = np.random.default_rng(1).normal(0.4, 1.0, 30)
    assert sign_flip(gaps) == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue, abs=0.01)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_spread_over_seeds_and_over_orders_apart():
    scores = {("a", 0): 1.0, ("a", 1): 3.0, ("b", 0): 5.0, ("b", 1): 7.0}
    found = spread(scores)
    assert found.seeds == pytest.approx(2**0.5)  # variance 2 within either order
    assert found.orders == pytest.approx(8**0.5)  # variance 8 within either seed
    assert found.order_part == pytest.approx(6**0.5)
    assert within({("a", 0): 1.0, ("b", 1): 2.0}, 0) is None
    assert spread({("a", 0): 1.0, ("a", 1): 3.0}).orders is None


@pytest.mark.parametrize("pairs", [3, 5])
def test_95_percent_intervals_cover_95_percent(pairs: int):
    """F17: the bootstrap interval over pairs covered 76 % at 3 pairs."""
    gaps = np.random.default_rng(pairs).normal(1.5, 3.0, (4000, pairs))
    found = [estimate(row) for row in gaps]
    covered = np.mean([one.low <= 1.5 <= one.high for one in found])  # pyright: ignore[reportOptionalOperand]
    assert 0.94 < covered < 0.96


@pytest.mark.parametrize("pairs", [5, 10])
def test_a_winner_is_named_in_5_percent_of_trials_without_a_difference_however_many_are_compared(pairs: int):
    """F17: it was 15.9 % at 5 pairs, for one comparison."""
    gaps = np.random.default_rng(pairs).normal(0.0, 3.0, (1500, 4, pairs))
    named = [min(p for p in holm([estimate(group).p for group in trial]) if p is not None) <= 0.05 for trial in gaps]
    assert np.mean(named) < 0.065
