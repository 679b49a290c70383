"""What every method must do, one row a file of workbench/methods."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch

from tests import mini
from workbench.config import ConfigError, build, method_names
from workbench.runs.reader import Run

METHODS = Path(__file__).parents[2] / "workbench" / "methods"


@pytest.fixture(scope="module")
def finished(mini_backbone: Path, tmp_path_factory: pytest.TempPathFactory):
    from workbench.training.run import start

    made: dict[str, Path] = {}

    def run(method: str, again: bool = False, **changes) -> Path:
        config = mini.config(mini_backbone, method, **changes)
        key = config.model_dump_json()
        if again or key not in made:
            made[key] = start(config, tmp_path_factory.mktemp(method))
        return made[key]

    return run


@pytest.mark.parametrize("method", method_names())
def test_a_method_is_one_short_file(method: str) -> None:
    tree = ast.parse((METHODS / f"{method}.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {"Method", "Knobs"} <= names
    code = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not _is_docstring(node)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    assert len(code) <= 120, f"{method}: {len(code)} lines"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@pytest.mark.parametrize("method", method_names())
def test_a_run_of_it_is_complete(method: str, finished) -> None:
    run = Run(finished(method))
    assert run.status == "finished"
    scores = run.table("eval")
    generated = scores[scores.kind == "generated"]
    assert set(generated.eval_task) == set(run.info.tasks)
    assert generated.score.between(0, 100).all()
    metrics = run.table("metrics")
    assert metrics.iteration.tolist() == list(range(1, len(metrics) + 1))
    assert metrics.loss.notna().all()
    assert run.summary.average_score is not None
    last = generated[generated.iteration == generated.iteration.max()].set_index("eval_task").score
    assert run.summary.average_score == pytest.approx(last.mean())
    predictions = run.table("predictions")
    final = predictions[predictions.iteration == predictions.iteration.max()]
    for task, rows in final.groupby("eval_task"):
        assert 100 * rows.score.mean() == pytest.approx(last[task])


@pytest.mark.parametrize("method", [name for name in method_names() if name not in ("finetune", "multitask")])
def test_replay_comes_before_the_task_and_only_of_past_tasks(method: str, finished) -> None:
    run = Run(finished(method))
    samples = run.table("samples")
    order = run.info.tasks
    drawn = samples[samples.trained_task != ""]
    assert not (drawn.trained_task == order[0]).any()
    for row in drawn.itertuples():
        assert row.task == "any" or order.index(row.task) < order.index(row.trained_task)
    metrics = run.table("metrics")
    assert (metrics[metrics.task == order[0]].replay_share == 0).all()


def test_er_replays_gamma_real_samples_at_every_switch(finished, mini_backbone: Path) -> None:
    from workbench.training.run import stream_of

    run = Run(finished("er"))
    stream = stream_of(mini.config(mini_backbone, "er"))
    counts = run.table("samples").groupby("trained_task").kept.sum()
    for past, task in enumerate(run.info.tasks[1:], start=1):
        assert counts[task] == math.ceil(0.25 * len(stream[task].train)) // past * past
    assert (run.table("samples").generation == 0).all()
    train = {example.uid for task in _stream_tasks() for example in task.train}
    assert set(run.table("samples").text) <= train


def _stream_tasks():
    from workbench.tasks import load_stream

    return load_stream("bundled", None).tasks


@pytest.mark.parametrize("method", method_names())
def test_a_run_has_no_gamma_where_nothing_is_replayed_and_only_there(method: str, finished) -> None:
    run = Run(finished(method))
    silent = run.table("samples").empty and bool((run.table("metrics").replay_share == 0).all())
    assert (run.info.gamma is None) == (run.info.replay_ratio is None) == silent


def test_multitask_learns_all_at_once_with_as_many_updates(finished) -> None:
    joint, single = (Run(finished(name)).table("metrics") for name in ("multitask", "finetune"))
    assert set(joint.task) == {"all"}
    assert len(joint) == len(single)


@pytest.mark.parametrize("source", ["energy", "normal", "gaussian", "stored"])
def test_each_control_stands_in_for_the_energy(source: str, finished) -> None:
    run = Run(finished("lsebmcl" if source == "energy" else source))
    assert run.info.label == ("lsebmcl" if source == "energy" else source)
    samples = run.table("samples")
    assert set(samples.origin) == {source}
    assert samples.energy.notna().all() == (source == "energy")
    assert samples.chain.notna().all()


def test_task_tokens_ask_lamol_for_a_task(finished) -> None:
    samples = Run(finished("lamol", replay={"tokens": "task"})).table("samples")
    assert set(samples.task) <= {"sentiment", "srl", "sql"}
    assert "any" not in set(samples.task)
    assert set(Run(finished("lamol")).table("samples").task) == {"any"}


@pytest.mark.parametrize("answers", ["generated", "relabelled", "agreed", "relaxed"])
def test_answers_are_where_they_should_come_from(answers: str, finished) -> None:
    samples = Run(finished("lamol", replay={"answers": answers})).table("samples")
    kept = samples[samples.kept]
    wanted = kept.answer_relabelled if answers in ("relabelled", "relaxed") else kept.answer_generated
    assert (kept.answer == wanted).all()
    if answers == "agreed":
        assert (kept.answer_generated == kept.answer_relabelled).all()


def test_joint_schedule_trains_the_energy_beside_the_model(finished) -> None:
    run = Run(finished("lsebmcl", energy={"schedule": "joint", "reference": "isotropic"}))
    metrics = run.table("metrics")
    assert metrics.loss_energy.notna().all()
    assert len(run.table("energy_fit")) == 0


def test_eta_trains_the_inference_network(finished) -> None:
    metrics = Run(finished("lsebmcl", energy={"eta": 0.1})).table("metrics")
    assert metrics.loss_answer.notna().all()
    assert Run(finished("lsebmcl")).table("metrics").loss_answer.isna().all()


def test_unknown_knob_is_refused_with_the_accepted_ones(mini_backbone: Path) -> None:
    from workbench.learning.learner import Learner
    from workbench.lm.load import load_backbone
    from workbench.methods.base import make_method

    config = mini.config(mini_backbone, "er", knobs={"capcity": 3})
    learner = Learner(config, load_backbone(config.backbone, 4, "cpu", torch.Generator()), {})
    with pytest.raises(ConfigError, match=r"did you mean 'capacity'"):
        make_method(learner)


def test_same_seed_same_run_other_seed_other_run(finished) -> None:
    runs = (finished("lsebmcl"), finished("lsebmcl", again=True), finished("lsebmcl", seed=1))
    one, same, other = (Run(run).table("metrics").loss.tolist() for run in runs)
    assert one == same
    assert one != other


def test_controls_are_shorthands() -> None:
    assert build({"method": "normal"}).replay.source == "normal"
    assert build({"method": "normal"}).label == "normal"
