"""Codes of samples: how many, in which order, and what the stored control keeps of them."""

from __future__ import annotations

from pathlib import Path

import torch

from tests import mini
from workbench.latent.encoder import Encoder
from workbench.learning.learner import Learner
from workbench.lm.load import load_backbone
from workbench.replay.latent import encode
from workbench.replay.sources.stored import StoredReplay
from workbench.tasks import load_stream
from workbench.training.loop import named_generators


def learner_with(mini_backbone: Path, draws: int) -> Learner:
    config = mini.config(mini_backbone, "lsebmcl", energy={"code_draws": draws})
    generators = named_generators(0)
    learner = Learner(config, load_backbone(config.backbone, config.energy.dim, "cpu", generators["init"]), generators)
    torch.manual_seed(0)
    learner.encoder = Encoder(learner.backbone.hidden_size, config.energy.dim)
    return learner


def test_every_sample_is_drawn_as_often_as_asked_side_by_side(mini_backbone: Path) -> None:
    learner = learner_with(mini_backbone, 200)
    samples = load_stream("bundled", None).tasks[0].train[:3]
    means = encode(learner, samples, None)
    codes = encode(learner, samples, torch.Generator().manual_seed(1))
    assert means.shape == (3, 4) and codes.shape == (600, 4)
    # 200 draws with a standard deviation of about exp(-1): their mean lies within 0.15 of that of q.
    assert torch.allclose(codes.reshape(3, 200, 4).mean(1), means, atol=0.15)
    assert codes.reshape(3, 200, 4).std(1).mean().item() > 0.3


def test_the_stored_control_keeps_one_code_a_sample(mini_backbone: Path) -> None:
    learner = learner_with(mini_backbone, 4)
    codes = torch.arange(12.0)[:, None].expand(12, 4)
    stored = StoredReplay(learner)
    stored.fit({"a": codes})
    assert stored.codes["a"][:, 0].tolist() == [0.0, 4.0, 8.0]
