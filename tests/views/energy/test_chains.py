"""Saved chains: bands, diagnostics that tell mixed from stuck, short run against long run, a row a chain."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from tests.views.energy.latent_cases import gaussians
from workbench.views.energy import chains as views
from workbench.views.energy import mixing, sampler
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.snapshots import Chains


def saved(energy: SavedEnergy, steps: int = 20, count: int = 32, delta: float = 0.4, kernel: str = "ula") -> Chains:
    walk = sampler.walk(energy, "task0", sampler.reference_starts(energy, "task0", count, 0), steps, delta, kernel, 0)
    z, value, norms = (part.astype(np.float32) for part in (walk.z, walk.energy, walk.grad_norm))
    return Chains(z, value, norms, walk.accept.astype(np.float32), "task0", 90, kernel, delta)


@pytest.fixture
def normal() -> SavedEnergy:
    return gaussians([[0.0] * 4, [3.0] * 4])


def test_bands_are_the_quantiles_over_chains(normal: SavedEnergy):
    walk = saved(normal)
    bands = views.energy_bands(walk)
    assert list(bands["step"]) == list(range(21))
    assert bands["q50"].iloc[7] == pytest.approx(np.median(walk.energy[7]))
    assert (bands["q05"] <= bands["q95"]).all()


def test_the_median_of_the_data_is_named_in_the_legend_and_not_over_the_lines(normal: SavedEnergy):
    figure = views.energy_figure(views.energy_bands(saved(normal)), np.array([1.0, 2.0, 4.0]))
    line = next(trace for trace in figure.data if trace.name == "data codes: median 2.00")
    assert list(line.y) == [2.0, 2.0] and not figure.layout.annotations


def test_nested_r_hat_tells_mixed_from_not_mixed(normal: SavedEnergy):
    enough = mixing.nested(normal, "task0", 150, 0.5)
    short = mixing.nested(normal, "task0", 20, 0.1)
    assert np.nanmax(enough.rhat) < mixing.NESTED_LIMIT
    assert np.nanmin(short.rhat) > 2
    assert np.nanmin(enough.ess) > np.nanmax(short.ess)
    assert len(enough.worst) == 4
    rows = mixing.rhat_by_step(enough)
    assert rows["largest"].iloc[0] > rows["largest"].iloc[-1]


def test_too_few_steps_say_so_instead_of_a_number(normal: SavedEnergy):
    assert np.isnan(mixing.nested(normal, "task0", 2, 0.4).rhat).all()
    assert views.enough_steps(views.energy_bands(saved(normal, steps=2)), np.empty(0)) == "Too few steps to tell."


def test_rank_counts_are_even_where_starts_are_forgotten(normal: SavedEnergy):
    mixed = mixing.rank_counts(mixing.nested(normal, "task0", 150, 0.5), 0)
    held = mixing.rank_counts(mixing.nested(normal, "task0", 20, 0.02), 0)
    assert mixed.shape == (mixing.GROUPS, 8)
    assert np.allclose(mixed.sum(axis=1), 8)
    assert np.abs(mixed - 1).mean() < 0.4 < np.abs(held - 1).mean()


def test_short_and_long_run_agree_on_a_gaussian_and_differ_far_from_it(normal: SavedEnergy):
    walk = saved(normal, count=200)
    run = mixing.continue_chains(normal, walk, 120)
    assert run.energy.shape == (121, 200)
    assert np.allclose(run.energy[: walk.steps + 1], walk.energy, atol=1e-2)
    assert "stands for the long one" in mixing.drift_words(run)
    far = Chains(walk.z + 6, walk.energy, walk.grad_norm, walk.accept, "task0", 90, "ula", 0.1)
    assert "NOT samples" in mixing.drift_words(mixing.continue_chains(normal, far, 120))


def test_stuck_chains_and_distance(normal: SavedEnergy):
    walk = saved(normal)
    assert views.stuck_share(walk) == 0
    held = Chains(np.repeat(walk.z[:1], 21, axis=0), walk.energy, walk.grad_norm, walk.accept, "task0", 90, "ula", 0.4)
    assert views.stuck_share(held) == 1
    assert not dict((name, fine) for name, _, fine in views.verdict(None, held, normal))["Stuck chains"]
    wide = gaussians([[0.0] * 4], spread=2.0)
    assert views.distance_moved(walk, wide) == pytest.approx(np.linalg.norm(walk.z[-1] - walk.z[0], axis=1) / 2, rel=1e-4)


def test_a_row_a_chain_with_the_text_decoded_from_it(normal: SavedEnergy):
    walk = saved(normal, count=4)
    samples = pd.DataFrame({
        "iteration": [90, 90, 10], "task": ["task0"] * 3, "chain": [2, 3, 1], "text": ["said\u202e this", "x" * 500, "earlier"],
        "verdict": ["kept", "duplicate", "kept"], "kept": [True, False, True], "energy": [1.0, 2.0, 3.0],
    })  # fmt: skip
    rows = views.table(walk, normal, samples).set_index("chain")
    assert list(rows["ends in region of"]) == ["task0"] * 4
    assert rows.loc[2, "text"] == "said⟨U+202E⟩ this"
    assert len(rows.loc[3, "text"]) <= 160
    assert rows.loc[1, "text"] == ""
    assert rows.loc[0, "U end"] == pytest.approx(walk.energy[-1, 0])


def test_diagnostics_over_time_draw_only_what_was_recorded():
    stats = pd.DataFrame({
        "iteration": [10, 10, 20, 20], "task": ["task0"] * 4, "step": [0, 20, 0, 20], "rhat_nested": [3.0, 1.2, 3.0, 1.05],
        "ess": [1.0, 90.0, 1.0, 200.0], "stuck": [0.0] * 4, "moved_mean": [0.0, 2.0, 0.0, 2.1],
    })  # fmt: skip
    diagnostics = pd.DataFrame({"iteration": [10], "name": ["acceptance"], "subject": ["task0"], "value": [0.9]})
    figure, rows = views.over_time(stats, diagnostics, "task0")
    assert list(rows["rhat_nested"]) == [1.2, 1.05]
    assert rows["acceptance"].iloc[0] == 0.9
    assert len(figure.data) == 5
    nothing, _ = views.over_time(stats, diagnostics, "task9")
    assert "No chain diagnostics" in nothing.layout.annotations[0].text


def test_the_statistics_bring_no_heavy_modules():
    code = "import workbench.views.energy.mixing as m; m._statistics(); import sys; print([n for n in ('torch', 'sklearn', 'umap', 'numba') if n in sys.modules])"
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
