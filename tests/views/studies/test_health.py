"""Configuration against the defaults, progress and warnings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.runs.writer import RunWriter
from workbench.views.scores import curves
from workbench.views.studies import compare, health

ROOT = Path(__file__).resolve().parents[3]

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


SAMPLE = ROOT / "data" / "runs" / "20261126-191921_lsebmcl_s0"


def test_f4_the_seconds_of_all_bars_are_the_run():
    """The table says how much it has been since the run began: its rows added up made 1,391 s of a run of 397."""
    run = Run(SAMPLE)
    figure = health.timings_figure(run)
    assert sum(float(sum(bar.x)) for bar in figure.data) == pytest.approx(run.summary.seconds, rel=1e-3)
    rows = pd.read_parquet(SAMPLE / "timings.parquet")
    train = rows[rows["phase"] == "train"].drop_duplicates("task", keep="last")["seconds"].tolist()
    bar = next(bar for bar in figure.data if bar.name == "train")
    assert list(bar.x) == pytest.approx([train[0], *np.diff(train)])
    assert {"answer", "record"} <= {bar.name for bar in figure.data} and len({bar.marker.color for bar in figure.data}) == len(figure.data)


def test_f4_a_clock_that_began_anew_loses_nothing(tmp_path: Path):
    writer = RunWriter.create(tmp_path, "stream: bundled\n", {"label": "er", "tasks": ["a", "b"], "seed": 0})
    for iteration, task, seconds in ((5, "a", 10.0), (10, "b", 4.0)):
        writer.append("timings", {"iteration": iteration, "task": task, "phase": "train", "seconds": seconds})
    writer.finish()
    assert health.seconds_by_task(Run(writer.path))["seconds"].tolist() == [10.0, 4.0]


def test_f7_progress_list_compare_and_overview_say_one_mean():
    run = Run(SAMPLE)
    curve = curves.mean_score(run)
    assert health.progress(run).score == curve["score"].iloc[-1]
    assert compare.score_curve(run)["value"].tolist() == curve["score"].tolist()
    rows = pd.read_parquet(SAMPLE / "eval.parquet")
    forced = rows[(rows["kind"] == "teacher_forced") & (rows["iteration"] == 189) & (rows["eval_task"] == "sentiment")]
    assert curve.set_index("iteration").loc[189, "score"] == forced["score"].iloc[-1] == 64.0625


def test_f9_a_gap_has_its_error_where_the_chains_energies_were_recorded():
    gap = health.widest_gap(Run(SAMPLE))
    rows = pd.read_parquet(SAMPLE / "chain_stats.parquet")
    own = rows[(rows["task"] == gap.task) & (rows["iteration"] == rows["iteration"].max())].sort_values("step").iloc[-1]
    assert gap.error == pytest.approx((own["energy_q75"] - own["energy_q25"]) / 1.349 / 4)
    assert health.Gap("a", 1.0, None, 0.6).within_noise and not health.Gap("a", 1.0, None, None).within_noise
