"""Forgetting curves, numbers and their rows, on a run small enough to work out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.runs.writer import RunWriter
from workbench.views import timeline
from workbench.views.scores import curves, forgetting, forgetting_numbers, matrix

# (iteration, trained, {task: score}); "a" is learnt to 80, falls to 40 right after the switch, comes back to 78.
EVALUATIONS = [
    (0, "", {"a": 10, "b": 20}),
    (5, "a", {"a": 60, "b": 20}),
    (10, "a", {"a": 80, "b": 25}),
    (12, "b", {"a": 40, "b": 50}),
    (15, "b", {"a": 70, "b": 70}),
    (20, "b", {"a": 78, "b": 90}),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    writer = RunWriter.create(tmp_path, "stream: bundled\n", {"label": "er", "tasks": ["a", "b"], "seed": 0})
    for iteration, trained, scores in EVALUATIONS:
        for task, score in scores.items():
            row = {"iteration": iteration, "trained_task": trained, "eval_task": task, "metric": "em", "score": float(score), "n": 10}
            writer.append("eval", {**row, "kind": "teacher_forced"})
            if iteration in (0, 10, 20):
                writer.append("eval", {**row, "kind": "generated"})
    for step in range(1, 21):
        task = "a" if step <= 10 else "b"
        inside = (step - 1) % 10 + 1
        row = {
            "iteration": step,
            "task": task,
            "step": inside,
            "epoch": inside / 5,
            "loss": 1.0,
            "lr": 1e-3,
            "replay_share": 0.2,
            "seconds": step * 60.0,
        }
        writer.append("metrics", row)
    writer.finish()
    return Run(writer.path)


def test_best_and_drop_begin_with_the_task(run: Run):
    frame = forgetting.curves(run)
    a, b = (frame[frame["eval_task"] == task].set_index("iteration") for task in ("a", "b"))
    assert np.isnan(a.loc[0, "best"]) and a.loc[12, "best"] == 80 and a.loc[12, "forgetting"] == 40
    assert b.loc[:10, "best"].isna().all() and b.loc[12, "forgetting"] == 0


def test_numbers_by_hand(run: Run):
    values = forgetting_numbers.overall(run)
    assert values["ACC"] == 84 and values["BWT"] == -2 and values["Forgetting"] == 2
    assert values["FWT"] == 25 - 20
    assert values["min-ACC"] == 40 and values["WC-ACC"] == pytest.approx(90 / 2 + 40 / 2)
    assert values["WF10"] == pytest.approx((40 + 0) / 2)


def test_the_gap_by_hand(run: Run):
    row = forgetting_numbers.stability_gaps(run).iloc[0]
    assert (row["switch"], row["old task"], row["depth"], row["to minimum"], row["to 95 %"]) == (10, "a", 40, 2, "10")


@pytest.mark.parametrize("name", ["ACC", "Forgetting", "BWT", "FWT", "min-ACC", "WC-ACC", "WF10", "WP100"])
def test_the_rows_shown_give_the_number(run: Run, name: str):
    rows, value = forgetting_numbers.rows_used(run, name), forgetting_numbers.overall(run)[name]
    again = {
        "ACC": lambda: rows["R[k, j]"].mean(),
        "Forgetting": lambda: (rows["best before the last"] - rows["R[k, j]"]).mean(),
        "BWT": lambda: (rows["R[k, j]"] - rows["R[j, j]"]).mean(),
        "FWT": lambda: (rows["R[j-1, j]"] - rows["b[j]"]).mean(),
        "min-ACC": lambda: rows["score"].mean(),
        "WC-ACC": lambda: rows["score"].iloc[-1] / 2 + rows["score"].iloc[:-1].mean() / 2,
        "WF10": lambda: rows["change"].mean(),
        "WP100": lambda: rows["change"].mean(),
    }[name]()
    assert again == pytest.approx(value)


def test_every_clickable_point_names_its_iteration_and_task(run: Run):
    figure = forgetting.figure(run)
    points = [
        tuple(point[:2]) for trace in figure.data if trace.mode == "markers" and trace.customdata is not None for point in trace.customdata
    ]
    assert (12, "a") in points and (20, "b") in points


def test_axes_by_epoch_and_time(run: Run):
    at = np.array([5, 10, 15, 20])
    assert curves.axis_values(run, at, "epoch").tolist() == [1, 2, 3, 4]
    assert curves.axis_values(run, at, "time").tolist() == [5, 10, 15, 20]


def test_aligned_panels_start_at_zero(run: Run):
    figure = forgetting.figure(run, align=True, lines="raw")
    b = next(trace for trace in figure.data if trace.customdata is not None and trace.customdata[0][1] == "b")
    assert list(b.x) == [-10, -5, 0, 2, 5, 10]


def test_seed_band_keeps_iterations_all_seeds_have(run: Run):
    class Shifted:
        name, info, config, path = "shifted", run.info, run.config, run.path

        def table(self, name: str) -> pd.DataFrame:
            frame = run.table(name)
            return frame[frame["iteration"] != 15].assign(score=frame["score"] + 2) if name == "eval" else frame

    band = forgetting.seed_band([run, Shifted()])
    a = band[band["eval_task"] == "a"].set_index("iteration")
    assert 15 not in a.index and (a.loc[12, "low"], a.loc[12, "mean"], a.loc[12, "high"]) == (40, 41, 42)


@pytest.mark.parametrize("metric", ["score", "loss", "forgetting"])
@pytest.mark.parametrize("lines", ["raw", "smoothed", "both"])
def test_all_views_of_a_crashed_run_draw(tmp_path: Path, metric: Any, lines: Any):
    path = write_run(tmp_path, tasks=3, iterations=60, chains=0, latents=4, hidden=8, dim=4, status="crashed")
    for span in ("iteration", "epoch", "time"):
        assert forgetting.figure(Run(path), metric=metric, lines=lines, span=span, window=(10, 30), task="roles", dark=True).data


def test_task_ends_and_saved_iterations(run: Run):
    assert timeline.task_ends(run.table("eval"), ["a", "b"]) == {"a": 10, "b": 20}
    assert timeline.saved_iterations(run) == [0, 10, 20]
    assert timeline.last_iteration(run) == 20


def test_matrix_cells_carry_where_to_go(run: Run):
    figure = matrix.figure(run)
    cells = {tuple(cell): text.split("<br>")[0] for cell, text in zip(figure.data[1].customdata, figure.data[1].text, strict=True)}
    assert cells[(20, "a")] == "78" and cells[(10, "b")] == "25"


def test_mean_score_counts_tasks_as_they_begin(run: Run):
    frame = curves.mean_score(run).set_index("iteration")
    assert frame.loc[10, "score"] == 80 and frame.loc[12, "score"] == 45 and frame.loc[12, "tasks"] == 2


def test_names_are_escaped_for_plotly():
    assert curves.shorten("<b>x</b>", 30) == "&lt;b&gt;x&lt;/b&gt;"


def test_f9_the_best_of_many_noisy_scores_is_no_drop():
    """A model that never changes, scored 20 times on 64 items: its best so far is high by luck alone."""
    rng, called = np.random.default_rng(0), 0
    for _ in range(300):
        score = 100 * rng.binomial(64, 0.6, 20) / 64
        best = np.maximum.accumulate(score)
        called += bool((best - score > forgetting.drop_of_noise(best, score, np.full(20, 64), np.arange(1, 21)))[-1])
    assert called / 300 <= 0.05
    lost = forgetting.drop_of_noise([80.0], [20.0], [64], [20])
    assert 0 < lost[0] < 60


def test_f9_the_hover_says_when_a_drop_is_no_more_than_noise(run: Run):
    figure = forgetting.figure(run, lines="raw")
    points = [point for trace in figure.data if trace.customdata is not None and trace.mode == "markers" for point in trace.customdata]
    words = {str(point[3]) for point in points if np.size(point) == 4}
    assert any(word.endswith("(no more than noise may give)") for word in words)  # 80 to 78 of ten items
