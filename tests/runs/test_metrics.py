"""Golden values worked by hand, and the properties the published code gets wrong."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.runs import metrics

# After task 1: 80 . . | after 2: 60 90 . | after 3: 70 75 85; zero-shot 10 20 30; R[1, 2] = 25, R[2, 3] = 33 before being learnt.
MATRIX = np.array([[80.0, 25.0, np.nan], [60.0, 90.0, 33.0], [70.0, 75.0, 85.0]])


def test_matrix_worked_by_hand():
    assert metrics.average_score(MATRIX) == pytest.approx((70 + 75 + 85) / 3)
    assert metrics.backward_transfer(MATRIX) == pytest.approx(((70 - 80) + (75 - 90)) / 2)
    assert metrics.forgetting(MATRIX) == pytest.approx(((80 - 70) + (90 - 75)) / 2)
    assert metrics.forward_transfer(MATRIX, [10, 20, 30]) == pytest.approx(((25 - 20) + (33 - 30)) / 2)


def test_forgetting_is_from_the_best_and_not_from_the_first():
    matrix = np.array([[50.0, np.nan, np.nan], [70.0, 90.0, np.nan], [40.0, 90.0, 80.0]])
    assert metrics.forgetting(matrix) == pytest.approx((30 + 0) / 2)
    assert metrics.backward_transfer(matrix) == pytest.approx((-10 + 0) / 2)


def test_forgetting_is_negative_where_an_old_task_got_better():
    assert metrics.forgetting(np.array([[50.0, np.nan], [60.0, 90.0]])) == pytest.approx(-10)


def test_one_task_has_no_transfer_and_no_minimum():
    one = np.array([[80.0]])
    assert metrics.average_score(one) == 80
    assert metrics.backward_transfer(one) is None and metrics.forgetting(one) is None and metrics.forward_transfer(one, [1.0]) is None
    curve = {"a": ([1, 2], [50, 80])}
    assert metrics.min_acc(curve, {"a": 2}) is None
    assert metrics.wc_acc(curve, {"a": 2}) == 80


def test_a_run_stopped_in_the_middle_counts_the_tasks_done():
    matrix = np.full((3, 3), np.nan)
    matrix[0, 0], matrix[1, 0], matrix[1, 1] = 80, 60, 90
    assert metrics.done(matrix) == 2
    assert metrics.average_score(matrix) == 75 and metrics.forgetting(matrix) == 20


def test_nothing_learnt_is_none():
    assert metrics.average_score(np.zeros((0, 0))) is None
    assert metrics.wc_acc({}, {}) is None and metrics.windowed_forgetting([], [], 10) is None


def test_a_missing_score_is_none_and_not_a_mean_of_the_rest():
    matrix = MATRIX.copy()
    matrix[2, 0] = np.nan
    assert metrics.average_score(matrix) is None


def test_score_matrix_takes_the_last_row_of_each_cell():
    rows = [
        {"iteration": 0, "trained_task": "", "eval_task": "a", "kind": "generated", "score": 5.0},
        {"iteration": 5, "trained_task": "a", "eval_task": "a", "kind": "generated", "score": 70.0},
        {"iteration": 10, "trained_task": "a", "eval_task": "a", "kind": "generated", "score": 80.0},
        {"iteration": 10, "trained_task": "a", "eval_task": "a", "kind": "teacher_forced", "score": 1.0},
        {"iteration": 20, "trained_task": "b", "eval_task": "a", "kind": "generated", "score": 60.0},
        {"iteration": 20, "trained_task": "b", "eval_task": "b", "kind": "generated", "score": 90.0},
    ]
    tasks, matrix = metrics.score_matrix(rows, "generated")
    assert tasks == ["a", "b"]
    np.testing.assert_array_equal(matrix, [[80, np.nan], [60, 90]])
    assert metrics.score_matrix(pd.DataFrame(rows), "generated")[1][1, 0] == 60
    np.testing.assert_array_equal(metrics.zero_shot(rows, tasks), [5, np.nan])
    assert metrics.score_matrix([], "generated")[0] == []


CURVES = {
    "a": ([0, 10, 12, 15, 20, 25, 30], [10, 80, 30, 60, 70, 50, 65]),
    "b": ([10, 20, 22, 30], [20, 90, 60, 75]),
    "c": ([20, 30], [30, 85]),
}
ENDS = {"a": 10, "b": 20, "c": 30}


def test_minimum_and_worst_case():
    assert metrics.min_acc_each(CURVES, ENDS) == {"a": 30, "b": 60}
    assert metrics.min_acc(CURVES, ENDS) == 45
    assert metrics.wc_acc(CURVES, ENDS) == pytest.approx(85 / 3 + 2 / 3 * 45)


def test_the_minimum_starts_after_the_task_end():
    low_at_end = {"a": ([10, 11], [5, 50]), "b": ([11], [60])}
    assert metrics.min_acc(low_at_end, {"a": 10, "b": 11}) == 50


def test_windowed_plasticity_uses_a_running_minimum():
    assert metrics.windowed_plasticity([1, 2, 3], [0.5, 0.1, 0.9], 3) == pytest.approx(0.8)
    assert metrics.windowed_forgetting([1, 2, 3], [0.5, 0.1, 0.9], 3) == pytest.approx(0.4)


def test_windows_are_iterations_and_not_evaluations():
    iterations, scores = [0, 50, 100], [80, 80, 20]
    assert metrics.windowed_forgetting(iterations, scores, 10) == 0
    assert metrics.windowed_forgetting(iterations, scores, 50) == 0
    assert metrics.windowed_forgetting(iterations, scores, 51) == 60


@given(st.floats(0, 100), st.integers(1, 50), st.integers(1, 20))
def test_a_constant_model_forgets_exactly_nothing(score: float, count: int, window: int):
    iterations = np.arange(count) * 3
    assert metrics.windowed_forgetting(iterations, np.full(count, score), window) == 0
    assert metrics.windowed_plasticity(iterations, np.full(count, score), window) == 0


@given(
    st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), min_size=1, max_size=25, unique_by=lambda pair: pair[0]), st.integers(1, 45)
)
@settings(deadline=None)  # the first call imports much
def test_windows_agree_with_every_pair(pairs: list[tuple[int, float]], window: int):
    pairs.sort()
    iterations, scores = zip(*pairs, strict=True)
    changes = [scores[b] - scores[a] for a in range(len(pairs)) for b in range(a, len(pairs)) if iterations[b] - iterations[a] < window]
    assert metrics.windowed_plasticity(iterations, scores, window) == pytest.approx(max(changes))
    assert metrics.windowed_forgetting(iterations, scores, window) == pytest.approx(max(-change for change in changes))


def test_stability_gap_measured():
    gap = metrics.stability_gap([10, 12, 15, 20], [80, 30, 60, 78], switch=10)
    assert gap is not None
    assert (gap.before, gap.minimum, gap.depth, gap.to_minimum, gap.to_recovery) == (80, 30, 50, 2, 10)
    assert gap.area == pytest.approx(2 * (0 + 50) / 2 + 3 * (50 + 20) / 2 + 5 * (20 + 2) / 2)


def test_stability_gap_never_recovers():
    gap = metrics.stability_gap([10, 12, 20], [80, 30, 60], switch=10)
    assert gap is not None and gap.to_recovery is None and gap.evaluations == 2


def test_stability_gap_without_a_drop():
    gap = metrics.stability_gap([10, 12, 20], [80, 85, 90], switch=10)
    assert gap is not None and (gap.depth, gap.area, gap.to_recovery) == (0, 0, 2)


def test_stability_gap_needs_both_sides():
    assert metrics.stability_gap([12, 20], [30, 60], switch=10) is None
    assert metrics.stability_gap([5, 10], [30, 60], switch=10) is None


def test_faults_are_said():
    with pytest.raises(ValueError, match="differ in length"):
        metrics.stability_gap([1, 2], [1], 1)
    with pytest.raises(ValueError, match="window: 0"):
        metrics.windowed_forgetting([1], [1], 0)


def cell(iteration: int, trained: str, on: str, score: float) -> dict[str, object]:
    return {"iteration": iteration, "trained_task": trained, "eval_task": on, "kind": "generated", "score": score}


def test_rows_of_the_first_iteration_on_belong_to_a_trained_task():
    tasks, matrix = metrics.score_matrix([cell(0, "", "a", 5), cell(1, "a", "a", 70)])
    assert tasks == ["a"] and matrix.tolist() == [[70]]


def test_of_rows_written_in_one_iteration_the_last_counts():
    rows = [cell(2 - place % 2, "a", "a", place) for place in range(400)]
    assert metrics.score_matrix(rows)[1].tolist() == [[398]]
    assert metrics.zero_shot([cell(0, "", "a", 5), cell(0, "", "b", 7), cell(0, "", "a", 6)], ["a", "b", "c"]).tolist()[:2] == [6, 7]


@pytest.mark.parametrize("rows", [[], pd.DataFrame(), [cell(0, "", "a", 5)]])
def test_without_a_trained_task_there_is_no_matrix(rows):
    tasks, matrix = metrics.score_matrix(rows)
    assert tasks == [] and matrix.shape == (0, 0)


def test_without_rows_no_task_was_scored_before():
    assert np.isnan(metrics.zero_shot([], ["a", "b"])).all()
    assert np.isnan(metrics.zero_shot(pd.DataFrame(), ["a"])).all()


def test_two_tasks_are_enough_for_transfer():
    matrix = np.array([[50.0, 30.0], [60.0, 90.0]])
    assert metrics.backward_transfer(matrix) == 10
    assert metrics.forward_transfer(matrix, [10, 20]) == 10


def test_a_score_that_is_none_makes_no_number_of_what_needs_it():
    assert metrics.forward_transfer(MATRIX, [10, None, 30]) is None
    assert metrics.windowed_forgetting([1, 2, 3], [80, None, 30], 10) == 50
    assert metrics.windowed_plasticity([1, 2, 3], [30, None, 80], 10) == 50
    assert metrics.learning_curve_area([50, None]) is None


def test_what_is_not_defined_is_none_without_a_warning():
    one, gone = np.array([[80.0]]), np.array([[np.nan, np.nan], [60.0, 90.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.backward_transfer(one) is None and metrics.forgetting(one) is None
        assert metrics.forgetting(gone) is None
        assert metrics.min_acc({"a": ([1], [50])}, {"a": 1}) is None and metrics.min_acc({}, {}) is None
        assert metrics.learning_curve_area([]) is None


LATER = {"a": ([10, 15, 25], [80, 60, 20]), "b": ([12, 18, 25], [30, 90, 40])}
BOTH = {"a": 10, "b": 20}


def test_the_worst_case_is_that_of_its_iteration():
    assert metrics.min_acc(LATER, BOTH) == 60
    assert metrics.min_acc(LATER, BOTH, 25) == 20
    assert metrics.wc_acc(LATER, BOTH) == (90 + 60) / 2
    assert metrics.wc_acc(LATER, BOTH, 25) == (40 + 20) / 2
    assert metrics.wc_acc(LATER, BOTH, 17) == (30 + 60) / 2
    assert metrics.wc_acc({"a": ([1, 2, 3], [10, 20, 30])}, {"a": 3}) == 30
    assert metrics.wc_acc({"a": ([10, 15], [80, 60]), "b": ([12, 15, 18], [30, 50, 90])}, BOTH) == (90 + 60) / 2


def test_a_task_that_was_not_evaluated_has_no_minimum():
    lowest = metrics.min_acc_each({"b": ([20], [90])}, BOTH)
    assert list(lowest) == ["a"] and math.isnan(lowest["a"])
    assert metrics.min_acc({}, BOTH) is None
    assert metrics.wc_acc({"a": ([15], [60])}, BOTH) is None
    assert metrics.wc_acc({"b": ([20], [90])}, BOTH) is None


def test_a_gap_is_measured_up_to_the_iteration_asked_for():
    gap = metrics.stability_gap([10, 12, 15, 20], [80, 60, 30, 10], switch=10, until=15)
    assert gap is not None
    row = {
        "switch": 10, "before": 80, "minimum": 30, "depth": 50, "to_minimum": 5, "to_recovery": None,
        "area": 2 * 20 / 2 + 3 * (20 + 50) / 2, "evaluations": 2,
    }  # fmt: skip
    assert gap.as_row() == row


def test_95_per_cent_of_the_score_before_is_recovered():
    back = metrics.stability_gap([10, 12, 15, 20], [80, 30, 76, 80], switch=10)
    never_left = metrics.stability_gap([10, 12, 15], [80, 78, 76], switch=10)
    assert back is not None and back.to_recovery == 5
    assert never_left is not None and never_left.to_recovery == 2


def test_the_learning_curve_area_is_the_mean_of_the_first_scores():
    assert metrics.learning_curve_area([10, 20, 60], first=2) == 15
    assert metrics.learning_curve_area([*range(10), 1000]) == 4.5


def test_a_curve_may_lack_scores_and_hold_several_of_one_iteration():
    gap = metrics.stability_gap([10, 12, 14], [80, None, 30], switch=10)
    assert gap is not None and (gap.minimum, gap.evaluations) == (30, 1)
    assert metrics.wc_acc({"a": ([2 - place % 2 for place in range(400)], list(range(400)))}, {"a": 2}) == 398


def evaluations(*rows: tuple[int, str, str, float]) -> list[dict[str, object]]:
    return [
        {"iteration": at, "trained_task": after, "eval_task": on, "kind": "teacher_forced", "score": score} for at, after, on, score in rows
    ]


def test_f7_a_switch_where_nothing_dipped_is_no_dip():
    """At iteration 10 the loop evaluates twice: after task a, and once more with b in it, before b's first update."""
    rows = evaluations(
        (0, "a", "a", 0), (10, "a", "a", 64), (10, "b", "a", 64), (10, "b", "b", 0), (11, "b", "a", 64), (11, "b", "b", 2), (20, "b", "a", 50),
        (20, "b", "b", 90),
    )  # fmt: skip
    curve = metrics.mean_curve(rows)
    assert curve.to_dict("list") == {"iteration": [0, 10, 11, 20], "score": [0, 64, 33, 70], "tasks": [1, 1, 2, 2]}
    assert metrics.mean_curve(pd.DataFrame(rows)).equals(curve)


def test_f7_at_a_switch_the_later_evaluation_of_a_task_stands():
    rows = evaluations((10, "a", "a", 64), (10, "b", "a", 30), (10, "b", "b", 0), (20, "b", "a", 50), (20, "b", "b", 90))
    assert metrics.mean_curve(rows)["score"].tolist() == [30, 70]


def test_f7_tasks_learnt_at_once_count_together():
    rows = evaluations((0, "all", "a", 0), (0, "all", "b", 10), (5, "all", "a", 20), (5, "all", "b", 40))
    assert metrics.mean_curve(rows)["score"].tolist() == [5, 30]


def test_f7_a_mean_lacks_no_task_that_counts():
    rows = evaluations((10, "a", "a", 60), (15, "b", "b", 10), (20, "b", "a", 40), (20, "b", "b", 80))
    assert metrics.mean_curve(rows).to_dict("list") == {"iteration": [10, 20], "score": [60, 60], "tasks": [1, 2]}
    assert metrics.mean_curve([]).empty
