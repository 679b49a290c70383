"""The results table: means recomputed from the kept rows, text that LaTeX and Markdown read, versions told apart, tasks lie over each other."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from tests.views.studies.test_compare import run
from workbench.runs import tables
from workbench.runs.reader import Run
from workbench.runs.results import read_results
from workbench.views.studies import compare, results_table

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "data" / "results" / "bundled.json"
SAMPLES = ROOT / "data" / "runs"


def test_f52_means_deviations_and_differences_are_those_of_the_kept_rows():
    rows = [row for row in json.loads(KEPT.read_text()) if row["status"] == "finished"]
    groups = compare.group(results_table.kept_runs(read_results(KEPT)))
    base = next(one for one in groups if one.label == "er")
    table = results_table.table(groups, base.key).set_index("method")
    for method in ("er", "gaussian", "lsebmcl"):
        own = [row for row in rows if row["method"] == method]
        averages = [row["average_score"] for row in own]
        assert table.loc[method, "average"] == pytest.approx(statistics.fmean(averages)) and table.loc[method, "runs"] == len(own)
        assert table.loc[method, "sd"] == pytest.approx(statistics.stdev(averages))
        assert table.loc[method, "dialogue"] == pytest.approx(statistics.fmean(row["scores"]["dialogue"] for row in own))
    er = {row["seed"]: row["average_score"] for row in rows if row["method"] == "er"}
    gaps = [row["average_score"] - er[row["seed"]] for row in rows if row["method"] == "gaussian"]
    found = table.loc["gaussian"]
    half = 4.302652729911275 * statistics.stdev(gaps) / 3**0.5  # Student's t of 2 degrees of freedom, 97.5 %
    assert found["difference"] == pytest.approx(statistics.fmean(gaps)) and found["high"] - found["difference"] == pytest.approx(half)
    assert np.isnan(found["p"]) and np.isnan(table.loc["er", "difference"])  # three pairs are too few to call
    assert table["average"].is_monotonic_decreasing


def test_f52_a_run_of_the_folder_joins_its_kept_group():
    own = Run(SAMPLES / "20261126-191921_lsebmcl_s0")
    kept = [row for row in results_table.kept_runs(read_results(KEPT)) if row.name != own.name]
    table = results_table.table(compare.group([own, *kept])).set_index("method")
    assert table.loc["lsebmcl", "runs"] == 3 and table.loc["lsebmcl", "seeds"] == "0, 1, 2"


def test_f52_rows_of_unfinished_runs_are_left_out():
    row = {"run": "x", "method": "er", "scores": {"a": 1.0}, "status": "crashed"}
    assert results_table.kept_runs([row]) == [] and len(results_table.kept_runs([row | {"status": "finished"}])) == 1


def test_f52_the_table_as_text():
    groups = compare.group([run(f"x{seed}", "g1", seed, average=50.0 + seed, label="a_b & 50 %") for seed in range(2)])
    table = results_table.table(groups)
    lines = tables.as_markdown(results_table.texts(table)).splitlines()
    assert lines[0].startswith("| method | n | seeds | average |") and "difference" not in lines[0]
    assert "| a_b & 50 % | 2 | 0, 1 | 50.5 ± 0.7 |" in lines[2] and {line.count("|") for line in lines} == {lines[0].count("|")}
    latex = tables.as_latex(results_table.texts(table))
    assert r"a\_b \& 50 \% & 2 & 0, 1 & 50.5 $\pm$ 0.7" in latex and latex.count(r"\\") == 2
    assert "\\begin{tabular}{l" in latex and latex.count("{") == latex.count("}")


def test_f52_runs_of_several_versions_of_the_code_are_told_apart():
    runs = [Run(path) for path in sorted(SAMPLES.iterdir()) if path.is_dir()]
    said = results_table.versions(runs)
    assert "3 versions" in said and "5aa7299e (lsebmcl, lamol_task)" in said and results_table.versions(runs[2:]) == ""


def test_f52_tasks_lie_over_each_other_whatever_their_length():
    """Lines were cut at the shortest run, in the middle of a task."""
    short, long = Run(SAMPLES / "20261121-123635_finetune_s0"), Run(SAMPLES / "20261126-191921_lsebmcl_s0")
    found = compare.aligned(compare.group([short, long]))
    assert found.tasks == ("sentiment", "srl", "dialogue", "sql", "reading") and found.cut_at is None
    last = found.rows.groupby("run")["x"].max()
    assert last.tolist() == [5.0, 5.0]
    assert compare.by_share(long, [0, 189, 414, 639, 864, 1089, 301.5]).tolist() == [0, 1, 2, 3, 4, 5, 1.5]
    figure = compare.curves_figure(compare.group([short, long]), found)
    assert list(figure.layout.xaxis.ticktext) == list(found.tasks)
    other = compare.aligned(compare.group([run("x", scores={"a": [10, 20]}), run("y", "g2", scores={"a": [1, 2]}, label="er")]))
    assert other.tasks == ("a", "b") and not other.rows.empty
