"""The list of runs: its filter words, its groups, its broken rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from workbench.runs import results
from workbench.runs.reader import list_runs
from workbench.runs.synthetic import write_run
from workbench.views.studies import runs_table

TINY = {"tasks": 2, "iterations": 20, "chains": 0, "latents": 4, "hidden": 8, "dim": 4}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("runs")
    for seed, method in ((0, "lsebmcl"), (1, "lsebmcl"), (7, "er")):
        write_run(root, seed=seed, method=method, **TINY)
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{}")
    return runs_table.table(list_runs(root))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 4),
        ("method:er", 1),
        ("method:lsebmcl", 2),
        ("seed:<3", 2),
        ("seed:>=1 method:lsebmcl", 1),
        ("seed:!=7", 2),
        ("status:broken", 1),
        ("LSEBMCL", 2),
        ("'", 0),
    ],
)
def test_filter(table: pd.DataFrame, query: str, count: int):
    rows, faults = runs_table.filtered(table, query)
    assert len(rows) == count and faults == []


def test_filter_faults_are_sentences(table: pd.DataFrame):
    _, faults = runs_table.filtered(table, "sede:1 acc:much")
    assert faults == ["sede:1: no column 'sede' (did you mean 'seed'?)", "acc:much: 'much' is no number"]


def test_groups(table: pd.DataFrame):
    groups = runs_table.grouped(table[table["status"] != "broken"], "method").set_index("method")
    assert groups.loc["lsebmcl", "runs"] == 2
    same = table[table["method"] == "lsebmcl"]["acc"]
    assert groups.loc["lsebmcl", "acc_mean"] == pytest.approx(same.mean())


def test_ratings_are_counted_without_following_links(tmp_path: Path):
    (tmp_path / "ratings").mkdir()
    (tmp_path / "ratings" / "ana.jsonl").write_text("{}\n{}\n")
    (tmp_path / "ratings" / "link.jsonl").symlink_to("/etc/hostname")
    assert runs_table.rating_count(tmp_path) == 2


def test_a_method_that_replays_nothing_shows_no_gamma(tmp_path: Path):
    for method in ("multitask", "er"):
        write_run(tmp_path, method=method, **TINY)
    rows = runs_table.table(list_runs(tmp_path)).set_index("method")["gamma"]
    assert pd.isna(rows["multitask"]) and rows["er"] > 0
    written = results.markdown(results.run_row(info.path) for info in list_runs(tmp_path)).splitlines()[2:]
    assert {line.split("|")[1].strip(): line.split("|")[2].strip() == "" for line in written} == {"multitask": True, "er": False}
