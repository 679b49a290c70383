"""Configuration against the defaults, progress and warnings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.views.scores import curves
from workbench.views.studies import health

TINY = {"tasks": 2, "iterations": 40, "latents": 4, "hidden": 8, "dim": 4, "chains": 2, "chain_count": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_run(tmp_path_factory.mktemp("runs"), **TINY))


def test_settings_that_differ_come_first(run: Run):
    table = health.config_frame(run)
    changed = table[table["differs"]]
    assert {"energy.dim", "energy.hidden"} <= set(changed["key"])
    assert table["differs"].iloc[: len(changed)].all()
    row = changed.set_index("key").loc["energy.dim"]
    assert (row["value"], row["default"], row["meaning"]) == ("4", "32", "dimensions of z")


def test_progress_of_a_finished_run(run: Run):
    now = health.progress(run)
    assert (now.iteration, now.task_number, now.tasks) == (40, 2, 2)
    assert now.rate is not None and now.rate > 0 and 0 < now.share <= 1


def test_the_score_of_progress_is_the_end_of_the_curve(run: Run):
    assert health.progress(run).score == pytest.approx(curves.mean_score(run)["score"].iloc[-1])


class Measured:
    """A run of which only its gaps are asked."""

    def __init__(self, *rows: tuple[int, str, float]) -> None:
        self.rows = pd.DataFrame(rows, columns=["iteration", "subject", "value"]).assign(name="energy_gap")

    def table(self, name: str) -> pd.DataFrame:
        return self.rows


def test_the_widest_gap_is_of_one_task_and_signs_do_not_cancel():
    run = Measured((10, "a", 0.5), (20, "a", -2.0), (20, "b", 1.9))
    assert health.widest_gap(run) == health.Gap("a", -2.0, 0.5)
    assert health.widest_gap(Measured((10, "a", 0.5), (20, "a", 0.1), (20, "b", 1.9))) == health.Gap("b", 1.9, None)
    assert health.widest_gap(Measured((10, "a", float("nan")))) is None


def test_files_and_events_and_environment(run: Run):
    files = health.files_frame(run)
    assert files["ok"].all() and "eval" in " ".join(files["file"])
    assert health.events_frame(run)["kind"].iloc[0] == "started"
    assert "seed" in set(health.environment_frame(run)["what"])


def test_timings_or_a_sentence(run: Run):
    assert health.timings_figure(run).to_dict()["layout"]


def test_a_broken_file_has_a_verdict(tmp_path: Path):
    run = Run(write_run(tmp_path, status="broken", **TINY))
    assert not health.files_frame(run)["ok"].all()
