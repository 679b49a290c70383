"""Continual evaluation: subsets drawn once, exactness as the arg max of every answer token, what a constant model shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import mini
from workbench.config import EvaluationConfig
from workbench.runs import metrics
from workbench.tasks import load_stream
from workbench.training.evaluate import ContinualEvaluation


@pytest.fixture(scope="module")
def backbone(mini_backbone: Path):
    from workbench.lm.load import load_backbone

    return load_backbone(mini.config(mini_backbone, "finetune").backbone, 4, "cpu", torch.Generator().manual_seed(0)).eval()


def evaluation(backbone, **config) -> ContinualEvaluation:
    return ContinualEvaluation(load_stream("bundled", None).limited(8, 40, 0), backbone, EvaluationConfig(**config), 64)


def test_the_subset_is_drawn_once_and_alike_for_every_run(backbone) -> None:
    one, other = evaluation(backbone, subset=10), evaluation(backbone, subset=10)
    assert one.subsets == other.subsets
    assert {len(subset) for subset in one.subsets.values()} == {10}


def test_a_constant_model_forgets_nothing(backbone) -> None:
    fixed = evaluation(backbone, subset=20)
    scores = [fixed.forced(["srl"])["srl"].score for _ in range(6)]
    assert 0 < scores[0] < 100
    assert metrics.windowed_forgetting(range(6), scores, 10) == 0
    assert metrics.windowed_plasticity(range(6), scores, 10) == 0


def test_forced_scores_do_not_depend_on_what_is_scored_beside(backbone) -> None:
    fixed = evaluation(backbone, subset=12)
    alone = {name: fixed.forced([name])[name] for name in ("srl", "sql")}
    together = fixed.forced(["sql", "srl", "sentiment"])
    for name, result in alone.items():
        assert together[name].items == result.items
        assert together[name].loss == pytest.approx(result.loss, rel=1e-4)
        assert result.score == pytest.approx(100 * result.items.count("1") / result.n)


@pytest.mark.parametrize("task", ["sentiment", "srl"])
def test_exact_means_that_greedy_decoding_gives_the_answer(backbone, task: str) -> None:
    """Teacher-forced exactness of an example is its greedy generation being the reference: the same tokens are the arg max."""
    fixed = evaluation(backbone, subset=40)
    items = fixed.forced([task])[task].items
    assert set(items) == {"0", "1"}
    answers = {example.uid: answer for example, answer, _ in fixed.generated(task)[0]}
    tokens = backbone.tokens
    for right, example in zip(items, fixed.subsets[task], strict=True):
        said = answers[example.uid] == tokens.decode(tokens.encode(example.answers[0]))
        assert said == (right == "1")


@pytest.mark.parametrize(("step", "due"), [(1, True), (3, True), (4, False), (10, True), (11, False), (37, True)])
def test_dense_after_the_switch_then_every_few_and_at_the_end(backbone, step: int, due: bool) -> None:
    assert evaluation(backbone, dense=3, every=10).due(step, 37) is due
