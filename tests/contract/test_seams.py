"""What a method can hold on to, shown by small methods that need it: losses a row, gradients before the update, weights around it, a step of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests import mini
from workbench.methods.base import Base, Losses, MixedBatch, Step, answer_loss
from workbench.training import loop
from workbench.training.run import stream_of


class ReplayWeighted(Base):
    """A loss of its own a row, as LwF and GSS need."""

    def loss(self, batch: MixedBatch) -> Losses:
        rows = answer_loss(batch)[0].per_token
        return Losses({"qa": rows * torch.tensor([2.0 if item.replayed else 1.0 for item in batch.items])})


class PathIntegral(Base):
    """What each step took off the loss along its way, as SI keeps it: the gradient times the way."""

    def __init__(self, learner, knobs) -> None:
        super().__init__(learner, knobs)
        self.before: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.taken: list[float] = []

    def after_backward(self, step: Step) -> None:
        own = list(self.learner.backbone.parameters())
        self.before = [parameter.detach().clone() for parameter in own]
        self.gradients = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone() for parameter in own]

    def after_step(self, step: Step) -> None:
        ways = [now.detach() - was for now, was in zip(self.learner.backbone.parameters(), self.before, strict=True)]
        self.taken.append(-sum(float((way * gradient).sum()) for way, gradient in zip(ways, self.gradients, strict=True)))


class HalfWay(Base):
    """Two updates of one batch, then half the way back, as MER and Reptile do."""

    def step(self, batch: MixedBatch, update) -> Step:
        before = [parameter.detach().clone() for parameter in self.learner.backbone.parameters()]
        update(batch)
        step = update(batch)
        with torch.no_grad():
            for parameter, was in zip(self.learner.backbone.parameters(), before, strict=True):
                parameter.lerp_(was, 0.5)
        return step


def trained(method: type[Base], backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes) -> loop.Training:
    from workbench.runs.writer import RunWriter

    config = mini.config(backbone, "finetune", stream="bundled:sentiment", **changes)
    monkeypatch.setattr(loop, "make_method", lambda learner: method(learner, None))
    training = loop.Training(config, stream_of(config))
    training.attach(RunWriter.create(tmp_path, "", {"label": "double"}))
    training.run()
    return training


def weights(training: loop.Training) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in training.learner.backbone.parameters()])


def test_a_loss_a_row_is_reduced_once() -> None:
    losses = Losses({"qa": torch.tensor([1.0, 3.0]), "whole": torch.tensor(5.0)}, {"whole": 0.1})
    assert float(losses.total) == pytest.approx(2.0 + 0.5)
    assert float(losses.of_rows(torch.tensor([False, True]))) == pytest.approx(3.0)


def test_a_method_may_weigh_rows(mini_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replayed on one task: the weights of rows are all one, and the run is that of fine-tuning."""
    plain = trained(Base, mini_backbone, tmp_path / "plain", monkeypatch)
    weighted = trained(ReplayWeighted, mini_backbone, tmp_path / "weighted", monkeypatch)
    assert torch.equal(weights(plain), weights(weighted))


def test_every_step_is_seen_before_and_after_its_update(mini_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = trained(PathIntegral, mini_backbone, tmp_path, monkeypatch)
    method = training.method
    assert isinstance(method, PathIntegral)
    assert len(method.taken) == training.learner.iteration > 2
    assert all(taken > 0 for taken in method.taken), "a step of Adam goes against its gradient"


def test_a_method_may_take_over_the_step(mini_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(Base, mini_backbone, tmp_path / "plain", monkeypatch)
    half = trained(HalfWay, mini_backbone, tmp_path / "half", monkeypatch)
    assert half.learner.iteration == plain.learner.iteration
    assert not torch.equal(weights(plain), weights(half))
