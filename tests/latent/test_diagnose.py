from __future__ import annotations

import math

import numpy as np
import pytest
from arviz_stats.base import array_stats

from workbench.latent import diagnose


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_delta_nll_counts_tokens_not_samples() -> None:
    assert diagnose.delta_nll(np.array([10.0, 2.0]), np.array([16.0, 3.0]), np.array([20, 8])) == pytest.approx(7 / 28)
    assert diagnose.delta_nll(np.array([5.0]), np.array([5.0]), np.array([3])) == 0


def test_active_units_and_kl_per_dimension() -> None:
    mu = np.zeros((1000, 4))
    mu[:, 0], mu[:, 1] = rng().normal(size=1000), 0.05 * rng(1).normal(size=1000)  # variances 1 and 0.0025
    assert diagnose.active_units(mu) == 0.25
    logvar = np.zeros((1000, 4))
    assert diagnose.kl_per_dim(np.ones((5, 1)), np.zeros((5, 1))) == pytest.approx(0.5)
    assert diagnose.kl_per_dim(mu, logvar)[2:] == pytest.approx([0, 0])
    assert diagnose.kl_per_dim(np.zeros((5, 1)), np.full((5, 1), 2 * math.log(3)), sigma=3.0) == pytest.approx(0)


def test_gap_gradient_and_displacement_by_hand() -> None:
    assert diagnose.energy_gap(np.array([3.0, 5.0]), np.array([1.0])) == 3
    assert diagnose.gradient_norms(np.array([[1.0, 3.0], [0.0, 1.0]])).tolist() == [2.0, 0.5]
    w = np.array([[[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]]])
    assert diagnose.displacement(w).ravel().tolist() == [0, 5, 1]


def test_noise_displacement_is_what_a_chain_from_the_middle_of_the_reference_does() -> None:
    z = np.zeros((4000, 8))
    generator = rng()
    for _ in range(20):
        z = z - 0.08 * z + 0.4 * generator.normal(size=z.shape)
    assert math.sqrt((z**2).sum(1).mean()) == pytest.approx(diagnose.noise_displacement(20, 0.4, 8), rel=0.02)
    assert diagnose.noise_displacement(1, 0.4, 4) == pytest.approx(0.8)
    assert diagnose.share_of_the_way(20, 0.4) == pytest.approx(0.811, abs=1e-3)
    assert diagnose.share_of_the_way(20, 0.1) == pytest.approx(0.095, abs=1e-3)


def test_moments_and_shares_of_a_normal_sample() -> None:
    z = 2 + rng().normal(size=(50_000, 4))
    found = diagnose.moments(z)
    assert found["mean_norm"] == pytest.approx(4, abs=0.03) and found["variance"] == pytest.approx(1, abs=0.02)
    assert found["kurtosis"] == pytest.approx(0, abs=0.1)
    two = np.sign(rng(1).normal(size=(1000, 1)))
    assert diagnose.moments(two)["kurtosis"] == pytest.approx(-2, abs=0.02)
    w = np.zeros((4, 2))
    w[0, 1], w[1, 0] = -4.5, np.nan
    assert diagnose.share_outside(w) == 0.5 and diagnose.share_outside(w, sigma=2.0) == 0.25


def test_nested_rhat_is_arviz_own_and_one_where_the_start_is_forgotten() -> None:
    draws = rng().normal(size=(128, 6, 3)) + 2 * np.repeat(rng(1).normal(size=(16, 1, 3)), 8, axis=0)
    ours = diagnose.rhat_nested(draws, 16)
    theirs = array_stats.rhat_nested(draws, superchain_ids=np.repeat(np.arange(16), 8), method="identity", chain_axis=0, draw_axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert (ours > 1.2).all()
    forgotten = rng(2).normal(size=(1024, 1, 50))
    assert diagnose.rhat_nested(forgotten, 128).mean() == pytest.approx(math.sqrt(1 + 1 / 8), abs=0.02)


def test_effective_sample_size_of_independent_and_of_ar1_draws() -> None:
    independent = rng().normal(size=(16, 500))
    assert diagnose.effective_sample_size(independent) == pytest.approx(8000, rel=0.15)
    phi, x = 0.8, np.zeros((16, 2000))
    x[:, 0] = rng(1).normal(size=16) / math.sqrt(1 - phi**2)
    noise = rng(2).normal(size=x.shape)
    for t in range(1, 2000):
        x[:, t] = phi * x[:, t - 1] + noise[:, t]
    assert diagnose.effective_sample_size(x) == pytest.approx(x.size * (1 - phi) / (1 + phi), rel=0.15)
    assert math.isnan(diagnose.effective_sample_size(x[:, :3]))


def healthy(steps: int = 20, chains: int = 128, dim: int = 8, delta: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Superchains of ULA on N(0, I), 16 starts: positions and energies."""
    generator = rng()
    z = np.repeat(generator.normal(size=(16, dim)), chains // 16, axis=0)
    path = [z]
    for _ in range(steps):
        z = z - delta**2 / 2 * z + delta * generator.normal(size=z.shape)
        path.append(z)
    w = np.stack(path)
    return w, 0.5 * (w**2).sum(2)


def test_chain_rows_tell_a_chain_that_arrives() -> None:
    w, u = healthy()
    rows = diagnose.chain_rows(w, u, np.linalg.norm(w, axis=2), 16)
    assert [row["step"] for row in rows] == list(range(21))
    assert rows[0]["moved_mean"] == rows[0]["stuck"] == 0 and rows[-1]["moved_mean"] > rows[1]["moved_mean"] > 0
    assert math.isnan(rows[0]["rhat_nested"]) and rows[-1]["rhat_nested"] < 1.15 < rows[2]["rhat_nested"]
    assert rows[-1]["energy_q50"] == pytest.approx(np.median(u[-1])) and math.isnan(rows[2]["ess"]) and rows[-1]["ess"] > 100


def test_a_healthy_run_earns_no_warning() -> None:
    w, u = healthy()
    data = 0.5 * (rng(3).normal(size=(500, 8)) ** 2).sum(1)
    values = diagnose.chain_summary(w, u, data, np.ones((20, 128)))
    assert abs(values["energy_gap"]) < 0.5 and values["acceptance"] == 1 and values["nonfinite"] == 0
    assert diagnose.warnings_of("sst", {"delta_nll": 0.4, "active_units": 0.8}, values) == []


def test_a_dead_latent_a_runaway_energy_and_an_unmoved_chain_are_said_in_words() -> None:
    def only(found: list[str]) -> str:
        assert len(found) == 1, found
        return found[0]

    dead = only(diagnose.latent_warnings("sst", 0.01, 0.9))
    assert "sst is dead" in dead and "0.010 nats" in dead and "energy.kl_weight" in dead
    assert len(diagnose.latent_warnings("sst", math.nan, 0.9)) == 1
    assert "Only 6%" in only(diagnose.latent_warnings("sst", 0.5, 0.06)) and "20%" in only(diagnose.latent_warnings("sst", 0.5, 0.2))
    w, u = healthy()
    values = diagnose.chain_summary(w, u, u[0], np.ones((20, 128)))
    assert "ran away" in only(diagnose.chain_warnings("woz", values | {"energy_gap": -60.0}, 0.4, 20))
    assert "7.0 standard deviations" in only(diagnose.chain_warnings("woz", values | {"largest_coordinate": 7.0}, 0.4, 20))
    assert "not finite" in only(diagnose.chain_warnings("woz", values | {"energy_gap": math.nan}, 0.4, 20))
    assert "81%" not in str(diagnose.chain_warnings("woz", values, 0.4, 20))
    stuck = np.repeat(w[:1], 21, axis=0)
    still = diagnose.chain_summary(stuck, u, u[0], np.zeros((20, 128)))
    sentence = only(diagnose.chain_warnings("woz", still, 0.4, 20))
    assert "hardly moved (100% of the steps were refused)" in sentence and "energy.delta" in sentence
    assert diagnose.chain_rows(stuck, u, u, 16)[-1]["stuck"] == 1
    short_w, short_u = healthy(delta=0.1)
    short = diagnose.chain_summary(short_w, short_u, short_u[0], np.ones((20, 128)))
    assert "only 10% of the way" in only(diagnose.chain_warnings("woz", short, 0.1, 20))
