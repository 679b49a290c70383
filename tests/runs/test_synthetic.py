from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.synthetic import State, write_run

SMALL = {"tasks": 3, "iterations": 300, "chains": 4, "chain_count": 16, "dim": 6, "hidden": 8, "latents": 4}


@pytest.mark.parametrize(
    ("state", "derived"), [("finished", "finished"), ("running", "running"), ("crashed", "crashed"), ("broken", "finished")]
)
def test_states(tmp_path: Path, state: State, derived: str) -> None:
    run = Run(write_run(tmp_path, status=state, **SMALL))
    assert run.status == derived and run.summary.synthetic and run.info.demo
    assert len(run.table("metrics")) > 100


def test_it_looks_like_forgetting_with_a_gap_after_each_switch(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, **SMALL))
    rows = run.table("eval").query("kind == 'teacher_forced' and eval_task == 'sentiment'").set_index("iteration")["score"]
    assert rows[0] < 15 < 60 < rows[100]
    assert rows.loc[101:105].mean() < rows[100] - 10 and rows.loc[130:150].mean() > rows.loc[101:105].mean() + 5
    assert (run.summary.forgetting or 0) > 5 and set(run.summary.scores) == set(run.info.tasks)


def test_saved_chains_follow_the_saved_energy(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path, seed=2, **SMALL))
    name = run.array_names("chains")[-1]
    chain, task = run.arrays("chains", name), run.metadata("chains", name)["task"]
    energy_name = f"energy_{int(name[:9]):09d}"
    energy = run.arrays("weights", energy_name)
    symbol = json.loads(run.metadata("weights", energy_name)["symbols"]).index(task)
    w = np.linalg.solve(energy["reference.chol"][symbol], (chain["z"].astype(np.float64) - energy["reference.mean"][symbol])[..., None])[
        ..., 0
    ]

    def gelu(x: np.ndarray) -> np.ndarray:
        from scipy.special import erf

        return 0.5 * x * (1 + erf(x / 2**0.5))

    hidden = gelu(w @ energy["trunk.0.weight"].T + energy["trunk.0.bias"])
    f = (
        gelu(hidden @ energy["trunk.2.weight"].T + energy["trunk.2.bias"]) @ energy["trunk.4.weight"][symbol]
        + energy["trunk.4.bias"][symbol]
    )
    assert np.allclose(0.5 * (w**2).sum(-1) - f, chain["energy"], atol=0.05)


def test_the_same_seed_gives_the_same_tables(tmp_path: Path) -> None:
    one, two = (Run(write_run(tmp_path / name, seed=4, **SMALL)) for name in ("a", "b"))
    for name in ("metrics", "eval", "chain_stats", "predictions"):
        pd.testing.assert_frame_equal(one.table(name), two.table(name))
