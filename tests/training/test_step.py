"""The step: the loss is asked for once, measuring changes nothing, what diverges is stopped with one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import mini
from workbench.runs.reader import Run


@pytest.fixture(scope="module")
def forgetful(mini_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini backbone with dropout, which draws from torch's own generator."""
    folder = tmp_path_factory.mktemp("dropout") / "backbone"
    shutil.copytree(mini_backbone, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.3}))
    return folder


def test_f3_measuring_interference_changes_no_weight(forgetful: Path, tmp_path: Path) -> None:
    from workbench.training.run import start

    runs = [start(mini.config(forgetful, "er", evaluation={"gradients_every": every}), tmp_path) for every in (0, 1)]
    never, always = (load_file(run / "weights" / "last.safetensors") for run in runs)
    assert never.keys() == always.keys()
    for name in never:
        np.testing.assert_array_equal(never[name], always[name], err_msg=name)
    silent, measured = (Run(run).table("metrics") for run in runs)
    assert "grad_cosine" not in silent or silent.grad_cosine.isna().all()
    mixed = measured[(measured.replay_share > 0) & (measured.replay_share < 1)]
    assert len(mixed) and mixed.grad_cosine.between(-1, 1).all()


def test_f80_what_diverges_is_stopped_with_one_sentence(mini_backbone: Path, tmp_path: Path) -> None:
    from workbench.training.run import start
    from workbench.training.step import Diverged

    config = mini.config(mini_backbone, "finetune", training={"lr": 1e30, "clip": 1e30})
    with pytest.raises(Diverged, match=r"training diverged: the gradient of backbone is .* lower training\.lr"):
        start(config, tmp_path)
    (run,) = tmp_path.iterdir()
    assert Run(run).status == "failed"


def test_f2_a_score_within_training_is_that_of_the_model_at_rest(forgetful: Path) -> None:
    import torch

    from workbench.config import EvaluationConfig
    from workbench.lm.load import load_backbone
    from workbench.tasks import load_stream
    from workbench.training.evaluate import ContinualEvaluation

    backbone = load_backbone(mini.config(forgetful, "finetune").backbone, 4, "cpu", torch.Generator().manual_seed(0))
    evaluation = ContinualEvaluation(load_stream("bundled", None).limited(8, 20, 0), backbone, EvaluationConfig.model_validate({}), 64)
    backbone.eval()
    at_rest = evaluation.forced(["srl", "sentiment"])
    backbone.train()
    assert evaluation.forced(["srl", "sentiment"]) == at_rest
    assert backbone.training and all(part.training for part in backbone.modules())
