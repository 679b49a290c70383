"""What an LSEBMCL run leaves behind: everything a page or a reviewer needs to recompute its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pytest

from tests import mini
from workbench.runs.reader import Run
from workbench.runs.results import grouped, markdown, run_row


@pytest.fixture(scope="module")
def run(mini_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from workbench.training.run import start

    config = mini.config(mini_backbone, "lsebmcl", recording={"umap": True}, tasks={"train_limit": 24, "test_limit": 6})
    with pytest.MonkeyPatch.context() as patch:
        # Compiled, UMAP of these few codes takes half a minute, nearly all of it for the compiling; as plain Python it takes a second.
        patch.setattr(numba.config, "DISABLE_JIT", 1)
        return Run(start(config, tmp_path_factory.mktemp("record")))


def test_a_sample_names_its_chain_and_the_chain_its_energy(run: Run) -> None:
    samples = run.table("samples")
    row = samples[(samples.trained_task != "") & (samples.chain < 8)].iloc[0]
    chains = run.arrays("chains", f"{row.iteration:09d}_{row.task}")
    assert chains["z"].shape == (4, chains["energy"].shape[1], 4)
    assert chains["energy"][-1, int(row.chain)] == pytest.approx(row.energy, rel=1e-5)
    about = run.metadata("chains", f"{row.iteration:09d}_{row.task}")
    assert {about["task"], about["kernel"], about["steps"]} == {row.task, "ula", "3"}


def test_the_saved_energy_gives_the_recorded_energies(run: Run) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    from workbench.latent.energy import LatentEnergy

    samples = run.table("samples")
    row = samples[samples.trained_task != ""].iloc[0]
    file = run.path / "weights" / f"energy_{row.iteration:09d}.safetensors"
    with safe_open(file, "pt") as opened:
        energy = LatentEnergy.from_safetensors_dict(load_file(file), opened.metadata())
    chains = run.arrays("chains", f"{row.iteration:09d}_{row.task}")
    import torch

    z = torch.from_numpy(chains["z"][-1].astype(np.float32))
    np.testing.assert_allclose(energy.energy(z, row.task).detach().numpy(), chains["energy"][-1], atol=0.05)


def test_scores_can_be_recomputed_from_predictions(run: Run) -> None:
    scores = run.table("eval")
    generated = scores[scores.kind == "generated"].set_index(["iteration", "eval_task"]).score
    again = run.table("predictions").groupby(["iteration", "eval_task"]).score.mean() * 100
    pd.testing.assert_series_equal(generated.sort_index(), again.sort_index(), check_names=False)
    subsets = json.loads((run.path / "subsets.json").read_text())
    forced = scores[scores.kind == "teacher_forced"]
    assert all(len(row.items) == row.n == len(subsets[row.eval_task]) for row in forced.itertuples())


def test_every_diagnostic_is_there_for_every_past_task(run: Run) -> None:
    found = run.table("diagnostics")
    last = found[found.task == run.info.tasks[-1]]
    for name in ("delta_nll", "active_units", "kl", "energy_gap", "displacement", "task_share"):
        assert set(last[last.name == name].subject) == set(run.info.tasks), name
    stats = run.table("chain_stats")
    assert set(stats.step) == {0, 1, 2, 3}
    fit = run.table("energy_fit")
    assert len(fit) == 5 * len(run.info.tasks)


def test_codes_and_their_map(run: Run) -> None:
    name = run.array_names("latents")[-1]
    codes, about = run.arrays("latents", name), run.metadata("latents", name)
    assert len(codes["z"]) == len(codes["task_index"]) == len(json.loads(about["uids"]))
    assert json.loads(about["tasks"]) == run.info.tasks
    saved = pd.read_parquet(run.path / "projections" / "umap.parquet")
    assert saved.uid.tolist() == json.loads(about["uids"])


def test_a_latent_that_is_used_is_not_called_dead(run: Run) -> None:
    assert not any("is dead" in warning for warning in run.summary.warnings)


def test_seconds_of_the_phases_add_up(run: Run) -> None:
    assert sum(run.summary.phases.values()) == pytest.approx(run.summary.seconds, rel=0.2)
    assert run.summary.phases["fit"] > 0
    assert run.summary.phases["decode"] > 0


def test_rows_of_a_table_group_by_method(run: Run) -> None:
    row = run_row(run.path)
    other = {**row, "run": "other", "seed": 1, "average_score": row["average_score"] + 2}
    (group,) = grouped([row, other])
    assert group["seeds"] == [0, 1]
    assert group["average_score"] == pytest.approx(row["average_score"] + 1)
    assert group["deviation"] == pytest.approx(2**0.5)
    assert row["run"] in markdown([row, other])
    assert grouped([row, other, {**row, "status": "running", "average_score": 0.0}]) == [group]  # no mean over unequal moments
