"""From a study file to cells; what a bad file says; the plan; the bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from workbench.config import build
from workbench.runs.writer import RunWriter
from workbench.studies import book, gate, plan
from workbench.studies.errors import StudyError
from workbench.studies.study import read_study

SHIPPED = sorted((Path(__file__).parents[2] / "data" / "studies").glob("*.yaml"))


def written(folder: Path, **content: object) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def finished(runs: Path, cell, score: float) -> Path:
    """A finished run of a cell, of which only the summary matters."""
    about = {"label": cell.config.label, "seed": cell.config.seed, "stream": "bundled", "tasks": ["sentiment"], **cell.about}
    writer = RunWriter.create(runs, "method: er\n", about)
    writer.summary({"average_score": score, "scores": {"sentiment": score}, "iterations": 10, "seconds": 20.0})
    writer.finish()
    return writer.path


def test_grid_zip_and_list_multiply_within_a_block_and_blocks_add(tmp_path: Path):
    study = read_study(
        written(
            tmp_path,
            axes=[
                {
                    "grid": {"replay.gamma": [0.05, 0.2]},
                    "zip": {"energy.steps": [5, 10], "energy.delta": [0.8, 0.4]},
                    "list": [{"method": "lsebmcl"}, {"method": "gaussian"}],
                },
                {"list": [{"method": "multitask"}], "seeds": 1},
            ],
            seeds=[0, 7],
        )
    )
    cells = study.cells
    assert len(cells) == 2 * 2 * 2 * 2 + 1
    assert {(cell.config.energy.steps, cell.config.energy.delta) for cell in cells if cell.config.label == "lsebmcl"} == {
        (5, 0.8),
        (10, 0.4),
    }
    assert [cell.config.seed for cell in cells if cell.config.label == "multitask"] == [0]
    assert len({cell.hash for cell in cells}) == len(cells) == len({cell.name for cell in cells})


def test_equal_settings_are_one_cell_however_they_are_written(tmp_path: Path):
    study = read_study(
        written(
            tmp_path,
            axes=[
                {"grid": {"method": ["gaussian"]}},
                {"list": [{"method": "lsebmcl", "replay.source": "gaussian"}, {"method": "gaussian", "name": "x"}]},
            ],
            orders=[None, "1,2,3,4,5", "sentiment,srl,dialogue,sql,reading", "2,1,3,4,5", "srl,sentiment,dialogue,sql,reading"],
        )
    )
    assert [cell.config.order for cell in study.cells] == [None, "srl,sentiment,dialogue,sql,reading"]


def test_random_orders_begin_with_the_streams_own_and_repeat_none(tmp_path: Path):
    orders = [cell.config.order for cell in read_study(written(tmp_path, orders={"random": 24, "seed": 3})).cells]
    assert orders[0] is None and len(set(orders)) == 24
    assert orders == [cell.config.order for cell in read_study(written(tmp_path, orders={"random": 24, "seed": 3})).cells]
    assert len(read_study(written(tmp_path, orders="all")).cells) == 120


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"axis": {}}, "axis: unknown key"),
        ({"axes": {"zip": {"seed": [1], "energy.steps": [1, 2]}}}, "lists of unlike length (energy.steps 2, seed 1)"),
        ({"axes": {"grid": {"energy.delt": [1]}}}, "did you mean 'energy.delta'"),
        ({"axes": {"grid": {"energy.steps": []}}}, "found no value"),
        ({"base": {"stream": "bundled"}, "axes": {"grid": {"stream.x": [1]}}}, "stream is 'bundled'; accepted: a mapping"),
        ({"seeds": 0}, "seeds: found 0"),
        ({"seeds": "three"}, "seeds"),
        ({"orders": ["1,2"]}, "left out"),
        ({"orders": {"random": 121}}, "121 of 5 tasks; accepted: at most 120"),
        ({"orders": "some"}, "orders"),
        ({"gate": {"pilot": {}, "bars": [{"of": {}}]}}, "neither at_least nor at_most"),
        ({"axes": {"grid": {"energy.steps": list(range(200)), "energy.fit_steps": list(range(200))}}}, "more than 10000 cells"),
    ],
)
def test_a_bad_study_file_is_one_sentence(tmp_path: Path, content: dict, sentence: str):
    with pytest.raises(ValueError) as caught:
        _ = read_study(written(tmp_path, **content)).cells
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_of_an_array_are_every_cell_once(tmp_path: Path):
    cells = read_study(written(tmp_path, seeds=10)).cells
    parts = [book.only_part(cells, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(cell.config.seed for part in parts for cell in part) == list(range(10))
    for bad in ("0/3", "4/3", "3", "a/b", "1/"):
        with pytest.raises(StudyError, match="--part"):
            book.only_part(cells, bad)


def test_the_plan_counts_the_updates_of_the_sample_runs():
    """1,089 updates with replay at gamma 0.2, 945 without: what the sample runs took."""
    for method in ("er", "lamol_task", "finetune"):
        (run,) = [path for path in (Path(__file__).parents[2] / "data" / "runs").iterdir() if path.name.endswith(f"_{method}_s0")]
        counted = plan.count_updates(build({"method": method.removesuffix("_task")}))
        took = json.loads((run / "summary.json").read_text())["iterations"]
        assert counted == pytest.approx(took, rel=0.01)


def test_hours_come_from_the_runs_most_like_a_cell_and_are_unknown_without_any(tmp_path: Path):
    (cell,) = read_study(written(tmp_path, base={"method": "er"})).cells
    assert plan.estimate(cell, []).seconds is None
    other = plan.Pace("lsebmcl", "bundled", "", None, 10, 100.0)
    same = plan.Pace("er", "bundled", "", None, 10, 20.0)
    found = plan.estimate(cell, [other, same])
    assert found.seconds == pytest.approx(found.updates * 2.0) and found.source == "1 run of the same method and stream"


def test_a_finished_run_of_equal_settings_counts_for_every_study(tmp_path: Path):
    (cell,) = read_study(written(tmp_path, study="one", base={"method": "er"})).cells
    path = finished(tmp_path / "runs", cell, 50)
    (other,) = read_study(written(tmp_path, study="two", base={"method": "er"})).cells
    (standing,) = book.survey([other], tmp_path / "runs")
    assert (standing.status, standing.run) == ("finished", path.name)


GATE = {
    "pilot": {"seeds": [0]},
    "bars": [
        {"of": {"method": "er"}, "at_least": 40},
        {"of": {"method": "er"}, "minus": {"method": "finetune"}, "measure": "sentiment", "at_least": 20},
    ],
}


@pytest.mark.parametrize(
    ("er", "finetune", "sentence"),
    [
        (50, 10, None),
        (39, 10, "average_score of er must be at least 40: the pilot has 39.00"),
        (50, 45, "sentiment of er minus finetune must be at least 20: the pilot has 5.00"),
        (50, None, "1 of 2 cells of the pilot did not finish"),
    ],
)
def test_bars_are_held_to_the_pilot(tmp_path: Path, er: float, finetune: float | None, sentence: str | None):
    study = read_study(written(tmp_path, axes={"grid": {"method": ["er", "finetune"]}}, seeds=2, gate=GATE))
    runs = tmp_path / "runs"
    for cell in study.cells:
        score = {"er": er, "finetune": finetune}[cell.config.label]
        if cell.config.seed == 0 and score is not None:
            finished(runs, cell, score)
    found = gate.verdicts(study, book.survey(study.cells, runs), runs)
    assert len(found) == (sentence is not None)
    assert sentence is None or sentence in found[0]


def test_a_gate_cannot_be_moved_after_its_pilot_was_run(tmp_path: Path):
    runs = tmp_path / "runs"
    study = read_study(written(tmp_path, seeds=2, gate=GATE))
    book.write(study, runs)
    changed = {**GATE, "bars": [{"of": {"method": "er"}, "at_least": 30}]}
    moved = read_study(written(tmp_path, seeds=2, gate=changed))
    book.write(moved, runs)  # nothing has run: bars may still be thought about
    book.note_pilot(moved, runs)
    book.write(moved, runs)
    with pytest.raises(StudyError, match="not the one that stood before its pilot"):
        book.write(study, runs)


def test_a_gate_on_a_measure_that_is_none_is_one_sentence(tmp_path: Path):
    bars = {"pilot": {"seeds": [0]}, "bars": [{"of": {}, "measure": "average_scor", "at_least": 1}]}
    study = read_study(written(tmp_path, base={"method": "er"}, gate=bars))
    finished(tmp_path / "runs", study.cells[0], 50)
    with pytest.raises(StudyError, match="no measure named 'average_scor'"):
        gate.verdicts(study, book.survey(study.cells, tmp_path / "runs"), tmp_path / "runs")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_can_be_planned(path: Path):
    study = read_study(path)
    assert study.study == path.stem and study.about
    assert all(plan.count_updates(cell.config) > 0 for cell in study.cells[:: max(1, len(study.cells) // 5)])
    assert study.gate is None or any(study.is_pilot(cell) for cell in study.cells)


def test_the_studies_of_the_seed_are_there():
    assert {path.stem for path in SHIPPED} >= {
        "gamma",
        "chain_length",
        "gamma_by_chain_length",
        "orders",
        "ladder",
        "twenty_tasks",
        "capacity",
    }
