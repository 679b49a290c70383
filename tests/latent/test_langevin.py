from __future__ import annotations

import math

import pytest
import torch

from workbench.latent.langevin import delta_to_s, kernel_named, last_state, mala, run_chain, s_to_delta, ula


def gaussian(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return 0.5 * z.square().sum(1), z


def flipped(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The update printed with minus the gradient of log p: the gradient of U with its sign turned."""
    return 0.5 * z.square().sum(1), -z


def variance_after(steps: int, delta: float, start: float = 1.0, sign: float = 1.0) -> float:
    """Closed form of ULA on N(0, 1): v' = (1 -+ delta^2/2)^2 v + delta^2."""
    a, v = 1 - sign * delta**2 / 2, start
    for _ in range(steps):
        v = a * a * v + delta**2
    return v


def within_three_standard_errors(z: torch.Tensor, variance: float) -> bool:
    return abs(float(z.var()) - variance) < 3 * variance * math.sqrt(2 / z.numel())


def test_variance_after_twenty_steps_is_the_closed_form_and_the_printed_sign_fails_the_same_test() -> None:
    z0 = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    expected = variance_after(20, 0.4)
    right = last_state(ula(0.4), gaussian, z0, 20, torch.Generator().manual_seed(1)).z
    wrong = last_state(ula(0.4), flipped, z0, 20, torch.Generator().manual_seed(1)).z
    assert within_three_standard_errors(right, expected)
    assert not within_three_standard_errors(wrong, expected)
    assert float(wrong.var()) == pytest.approx(41.7, rel=0.05)  # worked out by hand: v' = 1.08^2 v + 0.16, twenty times from 1


def test_the_sign_at_s_of_a_tenth() -> None:
    # s = 0.1 is delta = 0.447: stationary variance 1 / (1 - s/2) = 1.0526; with the printed sign 87.4 after 20 steps (1.1^2 v + 0.2).
    delta = s_to_delta(0.1)
    assert variance_after(20, delta) == pytest.approx(1 / (1 - 0.1 / 2), abs=1e-3)
    assert variance_after(20, delta, sign=-1) == pytest.approx(87.41, rel=1e-3)


@pytest.mark.parametrize("delta", [0.1, 0.4, 0.5])
def test_stationary_variance_of_ula(delta: float) -> None:
    stationary = 1 / (1 - delta**2 / 4)
    assert variance_after(5000, delta) == pytest.approx(stationary, rel=1e-9)
    z0 = math.sqrt(stationary) * torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))
    assert within_three_standard_errors(last_state(ula(delta), gaussian, z0, 20, torch.Generator().manual_seed(4)).z, stationary)


def test_mala_leaves_the_normal_invariant_where_ula_does_not() -> None:
    z0 = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    chain = run_chain(mala(0.8), gaussian, z0, 40, torch.Generator().manual_seed(2))
    assert within_three_standard_errors(chain.z[-1], 1.0)
    assert 0.5 < float(chain.accept.mean()) < 1
    assert float(chain.accept.mean()) == pytest.approx(float(chain.acceptance_rate.mean()), abs=0.01)
    assert not within_three_standard_errors(last_state(ula(0.8), gaussian, z0, 40, torch.Generator().manual_seed(2)).z, 1.0)


def test_mala_acceptance_by_hand() -> None:
    # One chain at z = 1 with delta = 1: the proposal is 1 - 0.5 + eps. For eps = 0.5 it is 1 again: log rate 0, always accepted.
    # For z' = 2 (eps = 1.5): U - U' = 0.5 - 2; forward eps^2/2 = 1.125; backward (1 - (2 - 1))^2/2 = 0; rate exp(-0.375).
    z = torch.tensor([[1.0]])
    kernel = mala(1.0)
    for seed in range(50):
        eps = float(torch.randn(1, 1, generator=torch.Generator().manual_seed(seed)))
        proposal = 0.5 + eps
        rate = min(0.0, 0.5 - proposal**2 / 2 + eps**2 / 2 - (1 - proposal / 2) ** 2 / 2)
        _, info = kernel.step(kernel.init(z, gaussian), gaussian, torch.Generator().manual_seed(seed))
        assert float(info.acceptance_rate) == pytest.approx(math.exp(rate), rel=1e-5)


def test_a_refused_step_keeps_position_energy_and_gradient() -> None:
    def cliff(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.where((z == 0).all(1), 0.0, 1e6), torch.zeros_like(z)

    chain = run_chain(mala(0.4), cliff, torch.zeros(5, 2), 3, torch.Generator().manual_seed(0))
    assert not chain.accept.any() and not chain.z.any() and not chain.energy.any()


@pytest.mark.parametrize("steps", [1, 5, 20, 60])
def test_mean_of_a_linear_tilt(steps: int) -> None:
    b, delta = 2.0, 0.4

    def tilted(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 0.5 * z.square().sum(1) - b * z.sum(1), z - b

    z0 = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    end = last_state(ula(delta), tilted, z0, steps, torch.Generator().manual_seed(steps)).z
    expected = b * (1 - (1 - delta**2 / 2) ** steps)
    assert abs(float(end.mean()) - expected) < 3 * math.sqrt(variance_after(steps, delta) / end.numel())


def test_step_sizes_convert() -> None:
    assert delta_to_s(0.4) == pytest.approx(0.08)
    assert s_to_delta(delta_to_s(0.37)) == pytest.approx(0.37)


def test_one_step_worked_by_hand() -> None:
    # z = 2, delta = 0.4, U = z^2/2: z' = 2 - 0.08 * 2 + 0.4 eps = 1.84 + 0.4 eps
    eps = torch.randn(1, 1, generator=torch.Generator().manual_seed(5))
    chain = run_chain(ula(0.4), gaussian, torch.tensor([[2.0]]), 1, torch.Generator().manual_seed(5))
    assert float(chain.z[1]) == pytest.approx(1.84 + 0.4 * float(eps), rel=1e-6)
    assert float(chain.energy[0]) == 2.0 and float(chain.grad_norm[0]) == 2.0


def test_unknown_kernel_and_bad_step_are_named() -> None:
    with pytest.raises(ValueError, match=r"energy.kernel.*'hmc'.*ula, mala"):
        kernel_named("hmc", 0.1)
    with pytest.raises(ValueError, match=r"energy.delta"):
        kernel_named("ula", 0.0)
