"""A sweep of 24 small runs on local processes: stopped by hand, a worker killed, gone on with; nothing runs twice and the rows are equal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.studies.small import COMPARED, write_study
from workbench.cli import app
from workbench.runs.reader import Run, list_runs
from workbench.runs.results import run_row
from workbench.studies.engines import engine, local
from workbench.studies.engines.local import run as run_local
from workbench.studies.jobs import News, job_of
from workbench.studies.study import read_study
from workbench.studies.sweep import sweep


def rows(runs: Path) -> dict[str, dict]:
    found = {}
    for one in list_runs(runs):
        row = run_row(one.path)
        assert row["status"] == "finished"
        assert row["cell_hash"] not in found, "a cell was trained twice"
        found[row["cell_hash"]] = {key: row[key] for key in COMPARED}
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def study_file(home: Path, mini_backbone: Path) -> Path:
    return write_study(home, mini_backbone)


@pytest.fixture(scope="module")
def undisturbed(home: Path, study_file: Path) -> Path:
    """All 24 runs by one start that nothing disturbs."""
    runs, study = home / "undisturbed", read_study(study_file)
    outcome = sweep(study, study.cells, runs, engine("local"), 2, lambda news: None)
    assert outcome.all_finished and len(outcome.standings) == 24
    return runs


def command(study_file: Path, runs: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "workbench", "sweep", str(study_file), "--runs", str(runs), "--workers", "2", *words],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")},
    )  # fmt: skip


def test_a_cell_says_its_study_and_is_named_in_the_table(undisturbed: Path):
    infos = [Run(one.path).info.model_extra or {} for one in list_runs(undisturbed)]
    assert all(info["study"] == "small" and info["cell"]["method"] in ("er", "finetune") and info["code"] for info in infos)
    done = CliRunner().invoke(app, ["table", "--runs", str(undisturbed), "--study", "small", "--baseline", "finetune", "--json"])
    groups = json.loads(done.stdout)
    assert sorted((group["method"], group["gamma"], group["n"]) for group in groups if group["gamma"]) == [("er", 0.25, 8), ("er", 0.5, 8)]
    assert all(group["difference"]["n"] == 8 for group in groups if group["method"] == "er")
    assert all(group["seed_deviation"] is not None and group["order_deviation"] is not None for group in groups)
    kept = undisturbed.parent / "kept.json"
    kept.write_text(CliRunner().invoke(app, ["table", "--runs", str(undisturbed), "--json"]).stdout)
    assert CliRunner().invoke(app, ["table", str(kept), "--study", "small", "--markdown"]).stdout.count("\n") == 5
    assert CliRunner().invoke(app, ["table", str(kept), "--study", "other", "--markdown"]).stdout.count("\n") < 3


def test_stopped_by_hand_and_a_worker_killed_it_goes_on_to_equal_rows_and_runs_nothing_twice(
    home: Path, study_file: Path, undisturbed: Path
):
    runs = home / "disturbed"
    first = command(study_file, runs)
    while sum(one.status == "finished" for one in list_runs(runs)) < 5:
        assert first.poll() is None, first.communicate()
        time.sleep(0.2)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=90)
    assert first.returncode == 130
    assert "go on with the same command" in said and "Traceback" not in said
    assert {one.status for one in list_runs(runs)} <= {"finished", "interrupted"}
    before = {one.name for one in list_runs(runs) if one.status == "finished"}
    assert 5 <= len(before) < 24

    study, killed, heard, pids = read_study(study_file), [], [], {}

    def tell(news: News) -> None:
        """One worker is killed as its run begins, one once its run has a checkpoint to go on from."""
        heard.append(news)
        if news.kind == "begun" and news.pid:
            pids[news.cell_hash] = news.pid, runs / str(news.run)
        if news.kind not in ("begun", "progress") or news.cell_hash in killed or news.cell_hash not in pids:
            return
        pid, run = pids[news.cell_hash]
        if len(killed) == 0 or (len(killed) == 1 and news.kind == "progress" and any((run / "state").glob("*.pt"))):
            killed.append(news.cell_hash)
            os.kill(pid, signal.SIGKILL)

    outcome = sweep(study, study.cells, runs, engine("local"), 2, tell)
    assert outcome.all_finished
    assert len(killed) == 2 and Counter(news.cell_hash for news in heard if news.kind == "lost") == dict.fromkeys(killed, 1)
    assert {news.run for news in heard if news.kind == "finished"}.isdisjoint(before)
    assert rows(runs) == rows(undisturbed)
    resumed = [one for one in list_runs(runs) if any(event["kind"] == "resumed" for event in Run(one.path).events())]
    assert resumed

    again = CliRunner().invoke(app, ["sweep", str(study_file), "--runs", str(runs)])
    assert again.exit_code == 0 and "24 finished" in again.stdout
    assert len(list_runs(runs)) == 24


def test_on_ray_with_a_worker_killed_the_same_rows_come_out_and_nothing_runs_twice(home: Path, study_file: Path, undisturbed: Path):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # a busy machine starts a Ray slowly
    runs, study, killed, heard = home / "ray", read_study(study_file), [], []

    def tell(news: News) -> None:
        heard.append(news)
        running = news.kind == "progress" and news.done and not killed
        begun = {one.cell_hash: one.pid for one in heard if one.kind == "begun"}
        if running and (pid := begun.get(news.cell_hash)):
            killed.append(news.cell_hash)
            os.kill(pid, signal.SIGKILL)

    outcome = sweep(study, study.cells, runs, engine("ray"), 2, tell)
    assert outcome.all_finished
    assert rows(runs) == rows(undisturbed)
    assert killed, "no worker was killed while it trained"


def test_dry_run_tells_cells_updates_and_hours_and_runs_nothing(tmp_path: Path, study_file: Path, undisturbed: Path):
    done = CliRunner().invoke(app, ["sweep", str(study_file), "--runs", str(undisturbed), "--dry-run", "--json"])
    told = json.loads(done.stdout)
    assert (told["cells"], told["finished"], told["to_run"]) == (24, 24, 0)
    took = {run_row(one.path)["cell_hash"]: run_row(one.path)["iterations"] for one in list_runs(undisturbed)}
    assert {row["hash"]: row["updates"] for row in told["plan"]} == took
    assert all(row["from"] == "8 runs of the same settings" or "of the same settings" in row["from"] for row in told["plan"])
    fresh = CliRunner().invoke(app, ["sweep", str(study_file), "--runs", str(tmp_path / "none"), "--dry-run"])
    assert "24 cells; 0 finished, 24 to run" in fresh.stdout and "not known for 24 cells" in fresh.stdout
    assert not (tmp_path / "none").exists()


def test_failed_cells_are_listed_with_their_sentence_left_alone_and_taken_up_when_asked(tmp_path: Path, mini_backbone: Path):
    axes = {"list": [{"method": "finetune"}, {"method": "finetune", "backbone.name": str(tmp_path / "nowhere")}]}
    path = write_study(tmp_path, mini_backbone, study="failing", axes=axes, seeds=1, orders=[None])
    runs = tmp_path / "runs"
    done = command(path, runs, "--json")
    out, _ = done.communicate(timeout=120)
    assert done.returncode == 1
    cells = json.loads(out)["cells"]
    assert [cell["status"] for cell in cells] == ["finished", "failed"]
    assert "backbone.name" in cells[1]["sentence"]
    assert len(list_runs(runs)) == 1


def test_a_cell_that_kills_every_worker_ends_as_failed(tmp_path: Path, mini_backbone: Path):
    study = read_study(write_study(tmp_path, mini_backbone, axes={"list": [{"method": "finetune"}]}, seeds=1, orders=[None]))
    heard: list[News] = []

    def tell(news: News) -> None:
        heard.append(news)
        if news.kind == "begun" and news.pid:
            os.kill(news.pid, signal.SIGKILL)

    run_local([job_of(study.cells[0], tmp_path / "runs", None)], tell, 1, retries=1)
    assert [news.kind for news in heard if news.kind != "progress"] == ["begun", "lost", "begun", "failed"]
    assert "SIGKILL" in heard[-1].sentence


def test_later_rows_are_refused_unless_the_pilot_passed(tmp_path: Path, mini_backbone: Path):
    bars = [{"of": {"method": "finetune"}, "at_least": 101}]
    path = write_study(
        tmp_path,
        mini_backbone,
        axes={"list": [{"method": "finetune"}]},
        seeds=3,
        orders=[None],
        gate={"pilot": {"seeds": [0]}, "bars": bars},
    )
    study = read_study(path)
    outcome = sweep(study, study.cells, tmp_path / "runs", engine("local"), 1, lambda news: None)
    assert [one.status for one in outcome.standings] == ["finished", "waiting", "waiting"]
    assert "must be at least 101" in outcome.refused[0]


def test_two_sweeps_of_one_folder_train_no_cell_twice(tmp_path: Path, mini_backbone: Path):
    path = write_study(tmp_path, mini_backbone, axes={"list": [{"method": "finetune"}]}, seeds=3, orders=[None])
    both = [command(path, tmp_path / "runs") for _ in range(2)]
    for one in both:
        one.communicate(timeout=180)
    assert len(rows(tmp_path / "runs")) == 3


def test_workers_keep_to_the_cores_that_may_be_used():
    assert local.workers_here(1) == len(os.sched_getaffinity(0))
    assert local.workers_here(10_000) == 1


def test_an_unknown_engine_is_one_sentence():
    with pytest.raises(ValueError, match="no engine named 'slurm'; accepted: local, ray"):
        engine("slurm")
