"""What every Langevin kernel must do, one row a kernel: a new one is added to KERNELS and is tested by that."""

from __future__ import annotations

import pytest
import torch

from workbench.latent.langevin import KERNELS, Info, State, kernel_named, last_state, run_chain

EVALUATIONS_A_STEP = {"ula": 1, "mala": 1}


def gaussian(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return 0.5 * z.square().sum(1), z


def start(n: int = 8, d: int = 3) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", KERNELS)
def test_a_step_returns_state_and_info_and_changes_nothing_it_was_given(name: str) -> None:
    kernel = kernel_named(name, 0.4)
    assert kernel.name == name and kernel.delta == 0.4
    z = start()
    state = kernel.init(z, gaussian)
    kept = [tensor.clone() for tensor in state]
    new, info = kernel.step(state, gaussian, torch.Generator().manual_seed(0))
    assert isinstance(new, State) and isinstance(info, Info)
    assert all(torch.equal(before, after) for before, after in zip(kept, state, strict=True))
    assert new.z.shape == new.grad.shape == z.shape and new.energy.shape == (8,)
    assert all(tensor is None or tensor.shape == (8,) for tensor in info)
    assert torch.equal(new.energy, gaussian(new.z)[0]) and torch.equal(new.grad, gaussian(new.z)[1])


@pytest.mark.parametrize("name", KERNELS)
def test_the_same_seed_gives_the_same_chain_and_the_global_generator_is_left_alone(name: str) -> None:
    kernel = kernel_named(name, 0.4)
    torch.manual_seed(3)
    untouched = torch.rand(2)
    torch.manual_seed(3)
    chains = [run_chain(kernel, gaussian, start(), 5, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(chains[0].z, chains[1].z)
    assert not torch.equal(chains[0].z, run_chain(kernel, gaussian, start(), 5, torch.Generator().manual_seed(8)).z)
    assert torch.equal(torch.rand(2), untouched)


@pytest.mark.parametrize("name", KERNELS)
def test_the_recorded_chain_is_the_bare_loop_bit_for_bit_at_one_evaluation_a_step(name: str) -> None:
    kernel, count = kernel_named(name, 0.4), [0]

    def counted(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count[0] += 1
        return gaussian(z)

    chain = run_chain(kernel, counted, start(), 6, torch.Generator().manual_seed(2))
    assert count[0] == 1 + 6 * EVALUATIONS_A_STEP[name]
    generator = torch.Generator().manual_seed(2)
    state, path = kernel.init(start(), gaussian), [start()]
    for _ in range(6):
        state, _ = kernel.step(state, gaussian, generator)
        path.append(state.z)
    assert torch.equal(chain.z, torch.stack(path))
    assert torch.equal(chain.energy, torch.stack([gaussian(z)[0] for z in path]))
    torch.testing.assert_close(chain.grad_norm, torch.stack([z.norm(dim=1) for z in path]))
    assert chain.accept.shape == chain.acceptance_rate.shape == (6, 8) and chain.nonfinite == 0
    assert torch.equal(last_state(kernel, gaussian, start(), 6, torch.Generator().manual_seed(2)).z, chain.z[-1])


@pytest.mark.parametrize("name", KERNELS)
def test_no_steps_is_the_start(name: str) -> None:
    chain = run_chain(kernel_named(name, 0.4), gaussian, start(), 0, torch.Generator())
    assert torch.equal(chain.z[0], start()) and chain.z.shape == (1, 8, 3) and chain.accept.shape == (0, 8)


@pytest.mark.parametrize("name", KERNELS)
def test_energies_that_are_not_finite_are_counted(name: str) -> None:
    def wall(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = z[:, 0] < 0.5
        return torch.where(inside, 0.5 * z.square().sum(1), torch.nan), z

    chain = run_chain(kernel_named(name, 1.0), wall, torch.zeros(64, 2), 10, torch.Generator().manual_seed(0))
    assert chain.nonfinite > 0


@pytest.mark.parametrize("name", KERNELS)
def test_chains_reach_both_modes_of_a_mixture_in_the_right_proportion(name: str) -> None:
    # p = 0.5 N(-1.5, 1) + 0.5 N(1.5, 1) has mean 0 and variance 1 + 1.5^2; from one mode alone long chains must find the other.
    def mixture(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = z[:, 0]
        log_p = torch.logaddexp(-0.5 * (x - 1.5) ** 2, -0.5 * (x + 1.5) ** 2)
        return -log_p, (x - 1.5 * torch.tanh(1.5 * x))[:, None]

    end = run_chain(kernel_named(name, 0.4), mixture, torch.full((3000, 1), 1.5), 300, torch.Generator().manual_seed(0)).z[-1, :, 0]
    assert abs(float((end > 0).float().mean()) - 0.5) < 3 * 0.5 / 3000**0.5
    assert abs(float(end.var()) / (1 + 1.5**2) - 1) < 0.08
