from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.runs.statistics import estimate, holm
from workbench.views.studies import compare, paired


def run(
    name: str,
    group: str = "g",
    seed: int = 0,
    scores: dict[str, list[float]] | None = None,
    average: float | None = None,
    label: str = "lsebmcl",
    **config: Any,
) -> Any:
    """scores: {task: score at iteration 10, 20, ...}; NaN: not evaluated."""
    rows = [
        {
            "iteration": 10 * (at + 1),
            "trained_task": "a",
            "eval_task": task,
            "kind": "teacher_forced",
            "metric": "em",
            "score": score,
            "loss": 1.0,
            "n": 4,
        }
        for task, values in (scores or {}).items()
        for at, score in enumerate(values)
        if not math.isnan(score)
    ]
    table = pd.DataFrame(rows, columns=["iteration", "trained_task", "eval_task", "kind", "metric", "score", "loss", "n"])
    info = SimpleNamespace(label=label, group_hash=group, seed=seed, stream="bundled", stream_hash="h", tasks=["a", "b"])
    summary = SimpleNamespace(
        average_score=average, forgetting=None, backward_transfer=None, min_acc=None, wc_acc=None, seconds=None, scores={"a": average}
    )
    return SimpleNamespace(
        name=name, info=info, summary=summary, config={"method": label, "seed": seed, "energy": config}, table=lambda _: table
    )


def test_runs_that_differ_by_the_seed_are_one_group_and_labels_say_what_differs() -> None:
    runs = [run("x0", "g1", 0, steps=20), run("x1", "g1", 1, steps=20), run("y0", "g2", 0, steps=40), run("z0", "g3", 0, label="lamol")]
    groups = compare.group(runs)
    assert [one.label for one in groups] == ["lsebmcl steps=20", "lsebmcl steps=40", "lamol"]
    assert [len(one.runs) for one in groups] == [2, 1, 1]
    assert [one.label for one in compare.group(runs, "method")] == ["lsebmcl", "lamol"]
    assert len(compare.group(runs, "run")) == 4


def test_an_ablation_names_each_group_by_what_it_changes() -> None:
    base = {"steps": 20, "delta": 0.4, "gamma": 0.2}
    runs = [
        run(f"r{at}", f"group{at}", **{**base, **change}) for at, change in enumerate([{}, {"steps": 0}, {"delta": 0.1}, {"gamma": 1.0}])
    ]
    groups = compare.group(runs)
    assert [one.label for one in groups] == ["lsebmcl", "lsebmcl steps=0", "lsebmcl delta=0.1", "lsebmcl gamma=1.0"]
    three = [run(f"r{at}", f"key{at}xx", a=1 + at // 4, b=1 + at // 2 % 2, c=1 + at % 2) for at in range(8)]
    labels = [one.label for one in compare.group(three)]
    assert len(set(labels)) == 8 and labels[0] == "lsebmcl a=1, b=1 key0xx"


def test_curves_are_cut_at_the_shortest_unless_full_and_it_is_said() -> None:
    groups = compare.group([run("short", "g1", scores={"a": [10, 20]}), run("long", "g2", scores={"a": [10, 20, 30, 40]}, label="lamol")])
    found = compare.curves(groups, "a")
    assert found.cut_at == 20 and found.rows["iteration"].max() == 20 and "Cut at iteration 20" in found.sentence
    full = compare.curves(groups, "a", full=True)
    assert full.cut_at is None and full.rows["iteration"].max() == 40 and "different lengths" in full.sentence


def test_a_missing_task_is_a_gap_not_a_zero() -> None:
    nan = math.nan
    whole, part = run("whole", "g1", scores={"a": [10, 20], "b": [30, 40]}), run("part", "g2", scores={"a": [10, 20]}, label="lamol")
    found = compare.curves(compare.group([whole, part]), "b")
    assert found.rows["run"].unique().tolist() == ["whole"] and "part has no such measurement" in found.sentence
    assert "None of these runs" in compare.curves(compare.group([part]), "b").sentence
    gap = compare.score_curve(run("gap", scores={"a": [10, nan, 30]}), "a")
    assert gap["iteration"].tolist() == [10, 30] and 0 not in gap["value"].tolist()
    assert compare.score_curve(run("none"), "").empty


def test_the_band_is_from_lowest_to_highest_and_keeps_to_each_range() -> None:
    rows = pd.DataFrame({"run": ["x"] * 3 + ["y"] * 2, "iteration": [10, 20, 30, 10, 30], "value": [1.0, 2, 3, 3, 7]})
    found = compare.band(rows).set_index("iteration")
    assert found.loc[20].tolist() == [3.5, 2, 5, 2] and found.loc[30, "mean"] == 5
    short = compare.band(rows[~((rows["run"] == "y") & (rows["iteration"] == 30))]).set_index("iteration")
    assert short.loc[30, "n"] == 1 and short.loc[30, "mean"] == 3


def test_figures_have_a_line_a_group_and_a_dot_a_run() -> None:
    runs = [run(f"x{seed}", "g1", seed, {"a": [10, 20 + seed]}, 50 + seed) for seed in range(3)] + [
        run("y", "g2", 0, {"a": [5, 6]}, None, "lamol")
    ]
    groups = compare.group(runs)
    names = [trace.name for trace in compare.curves_figure(groups, compare.curves(groups, "a")).data if trace.showlegend is not False]
    assert names == ["lsebmcl (n = 3)", "lamol (n = 1)"]
    bars = compare.bars_figure(groups, ["average_score"])
    assert [trace.y[0] for trace in bars.data if trace.type == "bar"] == [51, None]
    assert [len(trace.x) for trace in bars.data if trace.type == "scatter"] == [3, 1]
    assert compare.bars_figure(compare.group([runs[3]]), ["average_score"]).layout.annotations[0].text


@pytest.mark.parametrize(
    "gaps, words",
    [
        ([], "no pair"),
        ([2.0], "1 pair: too few"),
        ([2.0, 3, 4], "higher in all 3 pairs; too few"),
        ([2.0, -3, 4], "3 pairs: too few"),
        ([2.0, 3, 4, 5, 6], "higher, which is better (5 pairs)"),
        ([-2.0, -3, -4, -5, -6], "lower, which is worse"),
        ([2.0, -3, 4, -5, 1], "no difference beyond the noise"),
    ],
)
def test_no_winner_inside_the_noise(gaps: list[float], words: str) -> None:
    base = [run(f"b{seed}", "g1", seed, average=50.0) for seed in range(len(gaps))]
    other = [run(f"o{seed}", "g2", seed, average=50.0 + gap, label="lamol") for seed, gap in enumerate(gaps)] or [
        run("o9", "g2", 9, average=1.0, label="lamol")
    ]
    groups = compare.group([*base, *other]) if base else compare.group([run("b0", "g1", 0, average=50.0), *other])
    row = paired.paired(groups, groups[0].key, "average_score").iloc[0]
    assert words in row["verdict"] and row["pairs"] == len(gaps)
    paired.paired_figure(groups, groups[0].key, "average_score")


def test_lower_forgetting_is_better() -> None:
    assert "better" in paired.verdict(np.full(6, -2.0), -2, -2, 0.03, "forgetting")
    assert "worse" in paired.verdict(np.full(6, 2.0), 2, 2, 0.03, "forgetting")


def test_f17_a_winner_of_many_comparisons_is_rarely_named_where_there_is_none() -> None:
    rng, named = np.random.default_rng(0), 0
    for _ in range(400):
        gaps = rng.normal(0, 3, (6, 8))
        found = [estimate(own) for own in gaps]
        p = holm([one.p for one in found])
        named += any(
            "noise" not in paired.verdict(own, paired.number(one.low), paired.number(one.high), paired.number(each), "average_score")
            for own, one, each in zip(gaps, found, p, strict=True)
        )
    assert named / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_f17_correction_is_told_apart_from_noise() -> None:
    gaps = [2.0, 3, 1, 4, 0.2]
    runs = [run(f"b{seed}", "g1", seed, average=50.0) for seed in range(5)]
    runs += [run(f"o{seed}", "g2", seed, average=50.0 + gap, label="lamol") for seed, gap in enumerate(gaps)]
    alone = paired.paired(compare.group(runs), "g1", "average_score").iloc[0]
    assert "better" in alone["verdict"] and alone["p"] < 0.05
    for other in range(4):
        runs += [run(f"x{other}{seed}", f"h{other}", seed, average=50.0 + (-1) ** seed, label=f"m{other}") for seed in range(5)]
    among = paired.paired(compare.group(runs), "g1", "average_score").set_index("group").loc["g2"]
    assert "so many comparisons" in among["verdict"] and among["p"] == pytest.approx(5 * alone["p"])


def test_pairs_need_the_same_seed_and_order() -> None:
    one, other = run("x", "g1", 0, average=1.0), run("y", "g2", 1, average=2.0)
    assert paired.pairs(compare.Group("g1", "x", [one]), compare.Group("g2", "y", [other]), "average_score").empty
    twin = run("z", "g2", 0, average=3.0)
    assert paired.pairs(compare.Group("g1", "x", [one]), compare.Group("g2", "y", [other, twin]), "average_score")[
        "difference"
    ].tolist() == [2.0]
    twin.info.tasks = ["b", "a"]
    assert paired.pairs(compare.Group("g1", "x", [one]), compare.Group("g2", "y", [twin]), "average_score").empty


def test_config_differences_with_a_filter() -> None:
    groups = compare.group([run("x", "g1", steps=20, dim=8), run("y", "g2", steps=40, dim=8)])
    table, sentence = compare.differences(groups)
    assert table["key"].tolist() == ["energy.steps"] and not sentence
    assert set(compare.differences(groups, "dim$", only=False)[0]["key"]) == {"energy.dim"}
    table, sentence = compare.differences(groups, "(", only=True)
    assert "no regular expression" in sentence and table["key"].tolist() == ["energy.steps"]


def test_the_mean_is_over_the_tasks_begun_and_a_gap_where_one_is_missing() -> None:
    one = run("x", scores={"a": [10, 20, 30, 40], "b": [0, 0, math.nan, 60]})
    table = one.table("eval")
    table["trained_task"] = np.where(table["iteration"] <= 20, "a", "b")
    # Only task a until iteration 20; then both, with a hole at 30.
    assert compare.score_curve(one).to_dict("list") == {"iteration": [10, 20, 40], "value": [10.0, 20.0, 50.0]}
