"""What recording a whole Langevin chain costs: run_chain on the latent energy against bare loops that keep nothing but the last position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workbench.cli.timing import compared
from workbench.latent.energy import LatentEnergy
from workbench.latent.langevin import run_chain, ula

DIM, STEPS, DELTA, TASKS = 32, 20, 0.4, 5
ROUNDS = 15


def rows() -> list[dict[str, Any]]:
    """name, ours, baseline (seconds a chain of 20 steps), ratio (median over interleaved rounds); one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for count in (256, 16) for row in _rows(count)]
    finally:
        torch.set_num_threads(threads)


def _rows(count: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    energy = LatentEnergy(DIM, [f"task{number}" for number in range(TASKS)])
    last = energy.trunk[4]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight, std=0.1)  # a fresh energy's last layer is zero
    start = torch.randn(count, DIM)
    recorded = _recorded(energy, start)
    what, kept = f"{count} chains, {STEPS} steps", "positions, energies, gradient norms and acceptance"
    return [
        compared(f"chain with {kept}, {what}, against a bare loop on the same gradient code", recorded, _bare(energy, start), ROUNDS),
        compared(f"chain with {kept}, {what}, against a bare loop on autograd", recorded, _bare_autograd(energy, start), ROUNDS),
    ]


def _recorded(energy: LatentEnergy, start: Tensor) -> Callable[[], Tensor]:
    generator = torch.Generator()
    return lambda: run_chain(ula(DELTA), energy.value_and_grad("task0"), start, STEPS, generator.manual_seed(0)).z[-1]


def _bare(energy: LatentEnergy, start: Tensor) -> Callable[[], Tensor]:
    generator = torch.Generator()

    @torch.no_grad()
    def loop() -> Tensor:
        generator.manual_seed(0)
        gradient, z = energy.value_and_grad("task0"), start
        for _ in range(STEPS):
            z = z - 0.5 * DELTA**2 * gradient(z)[1] + DELTA * torch.randn(z.shape, generator=generator)
        return z

    return loop


def _bare_autograd(energy: LatentEnergy, start: Tensor) -> Callable[[], Tensor]:
    generator = torch.Generator()

    def loop() -> Tensor:
        generator.manual_seed(0)
        z = start
        for _ in range(STEPS):
            z = z.detach().requires_grad_()
            value = z.square().sum() / (2 * energy.sigma**2) - energy.f(z)[:, 0].sum()
            (grad,) = torch.autograd.grad(value, z)
            z = z - 0.5 * DELTA**2 * grad + DELTA * torch.randn(z.shape, generator=generator)
        return z.detach()

    return loop
