"""Rows that say what they are rows of, groups that only like rows meet in, and tables made of them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.runs.rows import OWN_ORDER, row
from workbench.runs import ladder, paired, results, tables
from workbench.runs.code import code_hash, method_hash
from workbench.runs.results import group_rows, grouped, markdown, read_results, run_row
from workbench.runs.schema import RunError

OTHER_ORDER = ("srl", "sentiment")
SAMPLE = next(path for path in sorted((Path(__file__).parents[2] / "data" / "runs").iterdir()) if "lsebmcl" in path.name)


def test_a_row_says_which_code_threads_versions_and_order_made_it():
    """F18."""
    found = run_row(SAMPLE)
    assert found["commit"] and found["threads"] and found["versions"]["torch"] and found["stream_hash"] and found["regime"]
    assert found["tasks"] == ["sentiment", "srl", "dialogue", "sql", "reading"]
    assert found["min_acc"] == pytest.approx(25.39, abs=0.01) and found["forward_transfer"] is not None
    assert found["decoded"] > 0 and found["seconds"] > 0
    assert {"study", "cell", "cell_hash", "code"} <= found.keys()
    json.dumps(found)


def test_rows_of_different_code_do_not_meet():
    """F18: a commit, or the hash of what decides scores where it is known, tells groups apart."""
    groups = grouped([row("er", 50), row("er", 60, seed=1, code="other")])
    assert [group["n"] for group in groups] == [1, 1]
    assert {group["code"] for group in groups} == {"c0de", "other"}
    assert "code" in tables.table_of([row("er", 50), row("er", 60, seed=1, code="other")]).head
    both = [row("er", 50, code=None, commit="a"), row("er", 60, seed=1, code=None, commit="b")]
    assert len(group_rows(both)) == 2


def test_a_commit_that_changes_no_deciding_code_parts_nothing():
    assert len(group_rows([row("er", 50, commit="a"), row("er", 60, seed=1, commit="b")])) == 1


def test_orders_of_one_group_stand_together_and_their_spread_apart_from_that_of_seeds():
    """F18: `order` was part of the hash of settings, so no spread over orders could be printed."""
    rows = [row("er", 10), row("er", 30, seed=1), row("er", 50, tasks=OTHER_ORDER), row("er", 70, seed=1, tasks=OTHER_ORDER)]
    (group,) = grouped(rows)
    assert group["n"] == 4 and len(group["orders"]) == 2
    assert group["seed_deviation"] == pytest.approx(20 / 2**0.5)
    assert group["order_deviation"] == pytest.approx(40 / 2**0.5)
    head = tables.table_of(rows).head
    assert "sd seeds" in head and "sd orders" in head


def test_a_stream_that_changed_under_its_name_is_another_group():
    assert len(group_rows([row("er", 50), row("er", 60, seed=1, stream_hash="version 2")])) == 2


def test_a_run_named_twice_counts_once():
    (group,) = grouped([row("er", 50), row("er", 50)])
    assert group["n"] == 1


@pytest.mark.parametrize(
    ("bound", "share"),
    [
        ({}, 50.0),
        ({"stream_hash": "version 2"}, None),
        ({"regime": "three epochs"}, None),
        ({"code": "other"}, None),
        ({"stream": "bundled20"}, None),
    ],
)
def test_of_multitask_is_of_the_bound_of_the_same_stream_settings_and_code_or_nothing(bound: dict, share: float | None):
    """F6: it was of whichever multitask group came last."""
    rows = [row("er", 40), row("multitask", 80, **bound), row("multitask", 20, regime="something else", code="and other code")]
    found = next(group for group in grouped(rows) if group["method"] == "er")
    assert found["of_upper_bound"] == share


def test_two_bounds_that_fit_are_none():
    rows = [row("er", 40), row("multitask", 80), row("multitask", 60, seed=1, group="another")]
    assert next(group for group in grouped(rows) if group["method"] == "er")["of_upper_bound"] is None


def test_rows_that_keep_no_code_have_no_bound():
    bare = {key: None for key in ("code", "commit", "regime")}
    rows = [row("er", 40, **bare), row("multitask", 80, **bare)]
    assert all(group["of_upper_bound"] is None for group in grouped(rows))


def test_the_bound_of_one_order_stands_for_all_orders_of_a_group():
    rows = [row("er", 30), row("er", 50, tasks=OTHER_ORDER), row("multitask", 80)]
    assert next(group for group in grouped(rows) if group["method"] == "er")["of_upper_bound"] == 50.0


def test_pairs_share_seed_order_stream_and_code():
    base = [row("er", 10), row("er", 20, seed=1), row("er", 30, tasks=OTHER_ORDER)]
    other = [row("gaussian", 12), row("gaussian", 27, seed=1), row("gaussian", 36, seed=2, tasks=OTHER_ORDER)]
    found = paired.difference(base, other, "average_score")
    assert [gap for _, _, gap in found.pairs] == [2.0, 7.0]
    assert found.estimate.mean == 4.5
    assert not paired.difference(base, [row("gaussian", 12, code="other")], "average_score").pairs


def test_differences_are_held_against_how_many_are_made():
    rows = [row(method, score + seed, seed) for method, score in (("er", 10), ("gaussian", 12), ("lsebmcl", 20)) for seed in range(3)]
    rows[4]["average_score"] += 0.5
    rows[7]["average_score"] += 0.5
    gaps = dict(
        zip([group[0]["method"] for group in group_rows(rows)], paired.against(group_rows(rows), "er", "average_score"), strict=True)
    )
    assert gaps["er"] is None
    assert gaps["gaussian"] and gaps["lsebmcl"] and gaps["gaussian"].told_apart and gaps["lsebmcl"].told_apart
    assert gaps["lsebmcl"].p_held == pytest.approx(2 * (gaps["lsebmcl"].estimate.p or 0))


def test_a_baseline_of_another_gamma_is_no_counterpart():
    rows = [row("er", 10), row("er", 10, gamma=0.05, group="er 0.05"), row("lsebmcl", 20, gamma=0.05), row("lsebmcl", 30)]
    groups = group_rows(rows)
    gaps = {
        (group[0]["method"], group[0]["gamma"]): gap
        for group, gap in zip(groups, paired.against(groups, "er", "average_score"), strict=True)
    }
    assert gaps["lsebmcl", 0.05].estimate.mean == 10 and gaps["lsebmcl", 0.2].estimate.mean == 20  # pyright: ignore[reportOptionalMemberAccess]


def test_an_unknown_baseline_is_one_sentence():
    with pytest.raises(RunError, match="no finished row of 'ewc'; accepted: er"):
        paired.against(group_rows([row("er", 1)]), "ewc", "average_score")


def test_settings_that_a_study_varied_tell_its_lines_apart():
    rows = [row("lsebmcl", 50 + k, run=f"K{k}", cell={"method": "lsebmcl", "energy.steps": k}, group=f"K {k}") for k in (5, 20)]
    made = tables.table_of(rows)
    assert [dict(zip(made.head, line, strict=True))["settings"] for line in made.lines] == ["steps=20", "steps=5"]


def test_the_same_table_as_markdown_latex_and_csv():
    rows = [row(method, score + seed, seed) for method, score in (("er", 10), ("lamol_task", 12)) for seed in range(3)]
    made = tables.table_of(rows, "er")
    head, rule, *lines = tables.as_markdown(made).splitlines()
    assert "minus er" in head and "p (Holm)" in head and "min-ACC" in head and "texts decoded" in head
    assert set(rule) <= set("|-: ") and len(lines) == 2
    assert "+2.0 [2.0, 2.0]" in lines[0]
    assert f"`{rows[0]['run']}`" in lines[1]
    latex = tables.as_latex(made)
    assert r"lamol\_task" in latex and latex.count(r" \\") == 3 and "toprule" in latex
    records = list(csv.DictReader(io.StringIO(tables.as_csv(made))))
    assert [record["method"] for record in records] == ["lamol_task", "er"]
    assert float(records[0]["average score"]) == 13.0
    assert records[0]["minus er"] == "+2.0 [2.0, 2.0]"


def test_a_cell_that_a_spreadsheet_would_compute_is_text():
    made = tables.table_of([row("er", 10, run="=1+1"), row("er", 11, seed=1, run="-5", tasks=OTHER_ORDER)])
    assert "'=1+1" in tables.as_csv(made)


def test_more_runs_than_fit_are_counted_not_named():
    assert "6 of them" in markdown([row("er", 10 + seed, seed) for seed in range(6)])


def test_older_files_of_rows_are_still_tables():
    kept = read_results(Path(__file__).parents[2] / "data" / "results" / "bundled.json")
    groups = grouped(kept)
    assert {group["method"] for group in groups} >= {"er", "lsebmcl", "multitask"}
    assert all(group["of_upper_bound"] is None for group in groups if not group["code"])
    assert "| er | 0.2 |" in markdown(kept)


def test_ladder_prices_each_step_on_pairs_and_steps_over_a_rung_without_rows():
    scores = {"multitask": 60, "er": 50, "lsebmcl": 44, "gaussian": 43, "lamol_task": 40}
    rows = [
        row(method, score + seed + (0.5 * seed if method == "er" else 0), seed) for method, score in scores.items() for seed in range(3)
    ]
    rows += [row("er", 48, tasks=OTHER_ORDER), row("lsebmcl", 43, tasks=OTHER_ORDER)]
    (found,) = ladder.ladders(rows)
    steps = {(step.upper, step.lower): step for step in found.steps}
    assert list(steps) == [("multitask", "er"), ("er", "lsebmcl"), ("lsebmcl", "gaussian"), ("lsebmcl", "lamol_task")]
    down = steps["er", "lsebmcl"]
    assert down.price == "learning to generate, decoding, the prior"
    assert [gap for _, _, gap in down.difference.pairs] == [-6.0, -6.5, -7.0, -5.0]
    assert steps["multitask", "er"].difference.estimate.n == 4  # the bound knows no order: each order of er has its difference from it
    assert found.without_rows == ["er_generating", "reencoded", "er_relaxed", "mixture", "normal", "stored"]
    assert down.as_row()["p_holm"] >= down.as_row()["p"]


def test_a_ladder_never_joins_two_gammas_or_codes():
    rows = [row("er", 50), row("lsebmcl", 44, gamma=0.05), row("gaussian", 43, code="other")]
    assert ladder.ladders(rows) == []


def test_comments_and_layout_make_no_run_old_but_a_statement_does(tmp_path: Path):
    package = tmp_path / "workbench"
    shutil.copytree(Path(results.__file__).parents[1], package, ignore=shutil.ignore_patterns("__pycache__", "app", "views", "cli"))
    before, er, lamol = code_hash(package), method_hash("er", package), method_hash("lamol", package)
    file = package / "methods" / "er.py"
    file.write_text(file.read_text() + "\n# a remark\n")
    code_hash.cache_clear(), method_hash.cache_clear()
    assert (code_hash(package), method_hash("er", package)) == (before, er)
    file.write_text(file.read_text() + "\nNEW = 1\n")
    code_hash.cache_clear(), method_hash.cache_clear()
    assert code_hash(package) == before and method_hash("er", package) != er and method_hash("lamol", package) == lamol
    loop = package / "training" / "loop.py"
    loop.write_text(loop.read_text() + "\nNEW = 1\n")
    code_hash.cache_clear()
    assert code_hash(package) != before


def test_own_order_is_an_order():
    assert results.order_of(row("er", 1)) == ",".join(OWN_ORDER)
    assert results.order_of({"order": "2,1"}) == "2,1"
