from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from workbench.views.replay import agreement


def answers(values: dict[str, list[float]], **fields: object) -> pd.DataFrame:
    """values: {rater: answers by item, NaN for none}."""
    rows = [
        {
            "run": "r",
            "sample_id": f"s{at}",
            "rater": rater,
            "scale": "fluency",
            "kind": "rate",
            "value": value,
            "repeat": False,
            "control": False,
            "t": at,
            **fields,
        }
        for rater, given in values.items()
        for at, value in enumerate(given)
        if not math.isnan(value)
    ]
    return pd.DataFrame(rows)


def test_kappa_by_hand() -> None:
    # Four items, answers 1 1 5 5 and 1 5 5 5. Disagreement: one pair at distance 4, 16. By chance (rows 2 2, columns 1 3):
    # 2*3/4 and 2*1/4 pairs at distance 4, (1.5 + 0.5) * 16 = 32. Kappa = 1 - 16/32.
    assert agreement.quadratic_kappa(np.array([1, 1, 5, 5]), np.array([1, 5, 5, 5])) == pytest.approx(0.5)
    assert agreement.quadratic_kappa(np.array([1, 5]), np.array([5, 1])) == pytest.approx(-1.0)
    assert math.isnan(agreement.quadratic_kappa(np.array([3, 3]), np.array([3, 3])))


def test_kappa_as_scikit_learn_has_it() -> None:
    from sklearn.metrics import cohen_kappa_score

    generator = np.random.default_rng(0)
    for _ in range(20):
        first = generator.integers(1, 6, 40)
        second = np.clip(first + generator.integers(-2, 3, 40), 1, 5)
        expected = cohen_kappa_score(first, second, weights="quadratic", labels=[1, 2, 3, 4, 5])
        assert agreement.quadratic_kappa(first, second) == pytest.approx(expected)


def test_alpha_of_krippendorffs_own_example() -> None:
    no = math.nan
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, no, no, no],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, no, 3],
        [no, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, no],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, no],
    ]
    assert agreement.ordinal_alpha(np.array(rows).T) == pytest.approx(0.815, abs=0.001)
    assert math.isnan(agreement.ordinal_alpha(np.full((5, 2), 4.0)))


def test_percent_agreement_by_hand() -> None:
    # Pairs: item 1 has three (one alike), item 2 one (alike), item 3 none: 2 of 4.
    values = np.array([[1, 1, 2], [4, 4, math.nan], [5, math.nan, math.nan]])
    assert agreement.percent_agreement(values) == pytest.approx(50.0)


def test_under_twenty_shared_items_nothing_is_reported() -> None:
    few = answers({"ana": [1.0, 5] * 9 + [3], "ben": [1.0, 5] * 9 + [3]})
    found = agreement.agreement(few, "fluency")
    assert found.items == 19 and math.isnan(found.value) and math.isnan(found.percent) and "too few to report" in found.sentence
    enough = agreement.agreement(answers({"ana": [1.0, 5] * 10, "ben": [1.0, 5] * 10}), "fluency")
    assert (enough.value, enough.percent, enough.low) == (1.0, 100.0, 1.0)
    assert enough.sentence.startswith("Almost perfect agreement on 20 shared texts")


def test_words_name_both_ends_of_the_interval() -> None:
    # 16 of 20 alike: kappa 0.6 ("moderate") with an interval of half its range to either side.
    flipped = [5.0 if place < 2 else 1.0 if place in (10, 11) else value for place, value in enumerate([1.0] * 10 + [5.0] * 10)]
    found = agreement.agreement(answers({"ana": [1.0] * 10 + [5.0] * 10, "ben": flipped}), "fluency")
    assert found.value == pytest.approx(0.6) and found.low < 0.4 and found.high > 0.8
    assert found.sentence.startswith(("Fair to almost perfect", "Slight to almost perfect"))


def test_two_raters_get_kappa_three_get_alpha_with_intervals_around_them() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(1, 6, 60)
    noisy = {name: np.clip(truth + generator.integers(-1, 2, 60), 1, 5).astype(float).tolist() for name in ("ana", "ben", "li")}
    two, three = agreement.agreement(answers(noisy), "fluency", ("ana", "ben")), agreement.agreement(answers(noisy), "fluency")
    assert "kappa" in two.statistic and "alpha" in three.statistic
    for found in (two, three):
        assert found.low < found.value < found.high and found.percent_low < found.percent < found.percent_high


def test_all_alike_is_said_not_computed() -> None:
    found = agreement.agreement(answers({"ana": [4.0] * 25, "ben": [4.0] * 25}), "fluency")
    assert math.isnan(found.value) and found.percent == 100 and "not defined" in found.sentence


def test_repeats_and_controls_stay_out_of_the_agreement() -> None:
    rows = pd.concat(
        [
            answers({"ana": [1.0] * 5, "ben": [1.0] * 5}),
            answers({"ana": [5.0] * 5}, repeat=True),
            answers({"ana": [4.0, 5.0], "ben": [5.0, 5.0]}, control=True),
        ],
        ignore_index=True,
    )
    assert agreement.table(rows, "fluency").to_numpy().tolist() == [[1, 1]] * 5
    own = agreement.self_agreement(rows, "fluency").iloc[0]
    assert (own["rater"], own["repeats"], own["same %"]) == ("ana", 5, 0)
    controls = agreement.controls(rows, "fluency").set_index("rater")
    assert controls.loc["ana", "real"] == 4.5 and controls.loc["ana", "generated"] == 1
    coverage = agreement.coverage(rows, "fluency").set_index("rater")
    assert coverage.loc["ana", ["rated", "shared", "repeats", "controls"]].tolist() == [5, 5, 5, 2]


def test_confusion_and_disagreements() -> None:
    rows = answers({"ana": [1.0, 2, 5, 3], "ben": [1.0, 4, 1, math.nan]})
    counts = agreement.confusion(rows, "fluency", "ana", "ben")
    assert counts.loc[1, 1] == 1 and counts.loc[2, 4] == 1 and counts.loc[5, 1] == 1 and counts.to_numpy().sum() == 3
    worst = agreement.disagreements(rows, "fluency")
    assert worst["sample_id"].tolist() == ["s2", "s1"] and worst["spread"].tolist() == [4, 2]
    assert agreement.pairs_of_raters(rows, "fluency") == [("ana", "ben")]


def test_does_energy_predict_the_rating() -> None:
    generator = np.random.default_rng(0)
    energy = generator.normal(size=60)
    given = np.clip(np.round(3 - energy), 1, 5)
    samples = pd.DataFrame(
        {
            "run": "r",
            "sample_id": [f"s{at}" for at in range(60)],
            "task": "a",
            "energy": energy,
            "noise": generator.normal(size=60),
            "text": "t",
        }
    )
    means = agreement.sample_means(answers({"ana": given.tolist()}), "fluency", samples)
    found = agreement.correlation(means, "energy")
    assert found.rho < -0.9 and found.high < 0 and "lower ratings" in found.sentence
    assert "No relation" in agreement.correlation(means, "noise").sentence
    assert "too few" in agreement.correlation(means.head(19), "energy").sentence
    assert "too few" in agreement.correlation(means, "similarity").sentence
    assert len(agreement.against_figure(means, "energy", ["a"]).data) == 1


def test_spearman_has_ties_at_mean_ranks() -> None:
    # Ranks 1.5 1.5 3 and 1 2 3: Pearson of the ranks is sqrt(3)/2.
    assert agreement.spearman(np.array([1.0, 1, 2]), np.array([1.0, 2, 3])) == pytest.approx(math.sqrt(3) / 2)
    assert math.isnan(agreement.spearman(np.ones(3), np.arange(3.0)))


def test_mean_ratings_have_intervals_over_samples() -> None:
    means = pd.DataFrame({"task": ["a"] * 30 + ["b"], "rating": [2.0, 4.0] * 15 + [5.0], "iteration": 1})
    rows = agreement.mean_rating(means, ["task"]).set_index("task")
    assert rows.loc["a", "mean"] == 3 and rows.loc["a", "low"] < 3 < rows.loc["a", "high"]
    assert rows.loc["b", "mean"] == 5 and math.isnan(rows.loc["b", "low"])
    agreement.means_figure(rows.reset_index(), "task", ["a", "b"])
    agreement.means_figure(agreement.mean_rating(means, ["iteration", "task"]), "iteration", ["a", "b"])


def test_nothing_rated_is_no_error() -> None:
    none = answers({"ana": [1.0]}).iloc[:0]
    assert agreement.agreement(none, "fluency").items == 0
    for table in (agreement.coverage, agreement.self_agreement, agreement.controls, agreement.disagreements):
        assert table(none, "fluency").empty


def test_one_row_a_rater_has_coverage_repeats_and_controls() -> None:
    rows = pd.concat(
        [answers({"ana": [1.0] * 3, "ben": [2.0] * 3}), answers({"ana": [5.0]}, repeat=True), answers({"ben": [4.0]}, control=True)],
        ignore_index=True,
    )
    table = agreement.raters(rows, "fluency").set_index("rater")
    assert table.loc["ana", ["rated", "repeats", "same again %"]].tolist() == [3, 1, 0] and table.loc["ben", "mean on real"] == 4
    assert math.isnan(table.loc["ana", "mean on real"])
