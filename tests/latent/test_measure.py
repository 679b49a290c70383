"""What a fit is said to be worth: numbers by hand, and known answers."""

from __future__ import annotations

import pytest
import torch

from workbench.config import EnergyConfig
from workbench.latent.measure import COLUMNS, effective_steps, interval, measure_fit, two_sample_auc, unused
from workbench.latent.objectives import fit_energy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split_in_two(n: int, seed: int) -> torch.Tensor:
    z = torch.randn(n, 2, generator=seeded(seed))
    z[:, 0] = 0.3 * z[:, 0] + 2 * (torch.randint(2, (n,), generator=seeded(seed + 1)) * 2 - 1)
    return z


@pytest.mark.parametrize("report", ["gain", "full"])
def test_a_good_fit_is_measured_as_good(report: str) -> None:
    settings = EnergyConfig(dim=2, hidden=64, code_draws=1, fit_steps=100, fit_report=report)  # type: ignore[call-arg, arg-type]
    rows, sentences = measure_fit(fit_energy({"a": split_in_two(1000, 1)}, settings, seeded()), settings, seeded(3))
    row = rows["a"]
    assert sentences == [] and set(row) == {
        name for name in COLUMNS if report == "full" or not name.startswith(("fit_auc", "fit_gain_reachable"))
    }
    assert row["fit_gain_low"] < row["fit_gain"] < row["fit_gain_high"] and row["fit_gain"] > 0.9 and row["fit_samples"] == 200
    assert row["fit_gain_mixture"] == pytest.approx(1.21, abs=0.15)  # two parts are the truth
    assert 0 < row["fit_effective_k"] <= 80
    if report == "full":
        assert row["fit_auc_mixture"] < 0.6 < row["fit_auc_energy"] + 0.05 < row["fit_auc_gaussian"], (
            row
        )  # ULA smears narrow modes a little
        assert row["fit_gain_reachable"] == pytest.approx(1.21, abs=0.15)


def test_a_fit_that_learnt_nothing_is_warned_of_in_one_sentence() -> None:
    settings = EnergyConfig(dim=2, hidden=64, code_draws=1, fit_steps=0)  # type: ignore[call-arg]
    _, sentences = measure_fit(fit_energy({"a": split_in_two(1000, 1)}, settings, seeded()), settings, seeded(3))
    assert len(sentences) == 1 and sentences[0].startswith("The energy of a leaves most of what it could know unused: it gains 0.00 nats")
    assert unused("a", {"fit_gain": 0.6, "fit_gain_mixture": 1.0}) == unused("a", {"fit_gain": 0.0, "fit_gain_mixture": 0.05}) == []


def test_two_samples_of_one_law_cannot_be_told_apart_and_shifted_ones_can() -> None:
    x, y = torch.randn(600, 4, generator=seeded(1)), torch.randn(600, 4, generator=seeded(2))
    groups = torch.arange(600) // 4
    assert abs(two_sample_auc(x, y, groups, seeded(3)) - 0.5) < 0.08
    assert two_sample_auc(x, y + 1.5, groups, seeded(3)) > 0.9


def test_the_interval_is_that_of_samples_not_of_their_draws() -> None:
    means = torch.randn(50, generator=seeded(4)).repeat_interleave(16)
    low, high = interval(means, torch.arange(50).repeat_interleave(16), 0.0, seeded(5))
    assert high - low == pytest.approx(2 * 1.96 / 50**0.5, rel=0.35)


def test_effective_steps_by_hand() -> None:
    assert effective_steps(torch.tensor([0.0, 5.0, 9.1, 10.0, 10.0, 10.0, 10.0, 10.0])) == 2.0
    assert effective_steps(torch.zeros(8)) == 0.0
