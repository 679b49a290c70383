"""Chains in numpy: closed forms where F = 0, the wrong sign shown to run away, and the picture with its frames."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.views.energy.latent_cases import energy, gaussians
from workbench.views.energy import landscape, sampler, slices

COUNT = 20_000


def standard(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """U of N(0, I) and its gradient."""
    return (w**2).sum(axis=1) / 2, w


def test_ula_on_a_gaussian_has_the_variance_of_the_closed_form():
    rng = np.random.default_rng(0)
    path = sampler.run_chains(standard, rng.standard_normal((COUNT, 1)), 20, 0.4, "ula", rng)[0]
    assert path[-1].var() == pytest.approx(sampler.expected_variance(0.4, 20), rel=0.03)
    assert sampler.expected_variance(0.4) == pytest.approx(1 / (1 - 0.08 / 2))
    assert sampler.expected_variance(0.4, 500) == pytest.approx(sampler.expected_variance(0.4))


def test_mala_on_a_gaussian_has_variance_one_and_refuses_some():
    rng = np.random.default_rng(1)
    path, _, _, accept = sampler.run_chains(standard, rng.standard_normal((COUNT, 1)), 20, 1.0, "mala", rng)
    assert path[-1].var() == pytest.approx(1.0, rel=0.03)
    assert 0.5 < accept.mean() < 0.99
    stayed = accept[0] == 0
    assert np.array_equal(path[1][stayed], path[0][stayed])


def test_the_sign_as_printed_runs_away():
    rng = np.random.default_rng(2)
    path = sampler.run_chains(standard, rng.standard_normal((COUNT, 1)), 20, 0.4, "wrong sign", rng)[0]
    s, expected = 0.08, 1.0
    for _ in range(20):
        expected = (1 + s) ** 2 * expected + 2 * s
    assert expected > 40
    assert path[-1].var() == pytest.approx(expected, rel=0.04)


def test_a_linear_tilt_moves_the_mean_by_the_closed_form():
    tilt = np.array([0.7, -1.2])
    rng = np.random.default_rng(3)
    path = sampler.run_chains(lambda w: ((w**2).sum(1) / 2 - w @ tilt, w - tilt), rng.standard_normal((COUNT, 2)), 20, 0.4, "ula", rng)[0]
    assert np.allclose(path[-1].mean(axis=0), tilt * sampler.way_to_mode(0.4, 20), atol=0.03)


def test_chains_of_a_task_end_in_its_region_in_code_coordinates():
    found = gaussians([[-4.0, 0.0], [4.0, 0.0]], spread=0.5)
    walk = sampler.walk(found, "task1", sampler.reference_starts(found, "task1", 500, 0), 20, 0.4, "ula", 0)
    assert walk.z[-1].mean(axis=0) == pytest.approx([4.0, 0.0], abs=0.1)
    assert walk.z[-1].std(axis=0) == pytest.approx([0.5, 0.5], rel=0.1)
    assert np.allclose(walk.energy[-1], found.energy(walk.z[-1], "task1"))
    assert walk.accept.shape == (20, 500)


def test_the_seed_decides_everything():
    found = energy()
    start = sampler.reference_starts(found, "task0", 8, 5)
    one, again, other = (sampler.walk(found, "task0", start, 10, 0.4, "mala", seed) for seed in (5, 5, 6))
    assert np.array_equal(one.z, again.z)
    assert not np.array_equal(one.z, other.z)


def test_a_chain_that_explodes_stays_a_number():
    rng = np.random.default_rng(4)
    path, value, _, _ = sampler.run_chains(standard, np.ones((3, 2)), 400, 1.5, "wrong sign", rng)
    assert np.isfinite(path).all()
    assert np.isfinite(value).all()


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="accepted: ula, mala, wrong sign"):
        sampler.run_chains(standard, np.ones((1, 1)), 1, 0.4, "hmc", np.random.default_rng(0))
    with pytest.raises(ValueError, match="delta: found 0"):
        sampler.run_chains(standard, np.ones((1, 1)), 1, 0.0, "ula", np.random.default_rng(0))


@pytest.mark.parametrize("steps", [1, 20, 150])
def test_the_bench_has_a_frame_a_step_and_moves_both_panels(steps: int):
    found = energy()
    codes = np.random.default_rng(6).standard_normal((20, 6))
    plane = slices.principal_plane(codes)
    where = slices.extent(plane, codes)
    values = slices.field(found, plane, *where.axes(41), "U", "task0")
    background = landscape.heatmap(values, where, plane, "U", slices.color_range([values]))
    walk = sampler.walk(found, "task0", sampler.reference_starts(found, "task0", 8, 0), steps, 0.4, "ula", 0)
    figure = sampler.bench(background, walk, plane, where, found.energy(codes, "task0"))
    assert len(figure.frames) == min(steps + 1, sampler.MAX_FRAMES)
    first, last = figure.frames[0], figure.frames[-1]
    assert np.allclose(first.data[2].y, walk.energy[0], atol=1e-4)
    assert np.allclose(last.data[2].y, walk.energy[-1], atol=1e-4)
    assert np.allclose(np.stack([last.data[1].x, last.data[1].y], 1), plane.project(walk.z[-1]), atol=1e-4)
    assert last.traces == first.traces
    assert "gap" in sampler.verdict(found, walk, found.energy(codes, "task0"), 0.4, "ula")
    assert "climb" in sampler.verdict(found, walk, np.empty(0), 0.4, "wrong sign")


@pytest.mark.parametrize(
    ("kernel", "delta", "steps", "count", "says"),
    [
        ("ula", 1.5, 200, 64, "too large for ULA"),
        ("ula", 2.1, 20, 64, "diverges"),
        ("mala", 1.5, 60, 64, "steps are refused"),
        ("mala", 0.02, 20, 64, "57 %"),
        ("ula", 0.1, 20, 64, "stay near where they began"),
        ("ula", 0.4, 1, 1, "One chain"),
        ("ula", 0.4, 20, 64, ""),
        ("mala", 0.4, 40, 64, ""),
    ],
)
def test_f54_the_bench_says_what_is_wrong_with_a_step(kernel: str, delta: float, steps: int, count: int, says: str):
    """Delta 1.5 was passed over in silence: 2 % acceptance of MALA, and a gap of +22 nats of ULA."""
    energy = gaussians([[0.0] * 32])
    walk = sampler.walk(energy, "task0", sampler.reference_starts(energy, "task0", count, 0), steps, delta, kernel, 0)
    found = sampler.step_words(walk, delta, kernel)
    assert says in " ".join(found) if says else found == []


def test_f54_the_wrong_sign_is_told_in_a_few_digits():
    energy = gaussians([[0.0] * 4])
    walk = sampler.walk(energy, "task0", sampler.reference_starts(energy, "task0", 8, 0), 40, 1.5, "wrong sign", 0)
    said = sampler.verdict(energy, walk, np.empty(0), 1.5, "wrong sign")
    assert "stay where they were, the first at step" in said and max(map(len, re.findall(r"[0-9,.]+", said))) < 12
    one = sampler.walk(energy, "task0", sampler.reference_starts(energy, "task0", 8, 0), 1, 0.4, "ula", 0)
    assert "in 1 step;" in sampler.verdict(energy, one, np.empty(0), 0.4, "ula")


def test_f9_a_gap_within_its_own_noise_is_called_so():
    energy, rng = gaussians([[0.0] * 8]), np.random.default_rng(0)
    starts = sampler.reference_starts(energy, "task0", 64, 0)
    walk = sampler.walk(energy, "task0", starts, 20, 0.4, "ula", 0)
    data = energy.energy(rng.standard_normal((64, 8)), "task0")
    assert "within its noise" in sampler.verdict(energy, walk, data, 0.4, "ula")
    assert "within its noise" not in sampler.verdict(energy, walk, data - 5, 0.4, "ula")
