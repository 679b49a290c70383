"""Langevin kernels and recorded chains.

Convention of Pang et al. 2020: z' = z - delta^2/2 grad U(z) + delta eps, eps ~ N(0, I), with U the energy (lower = more
probable). In the notation with drift s and noise sqrt(2 s), s = delta^2/2. Note the sign: against the gradient of U, which
is along the gradient of log p.

A kernel is a pair of pure functions, as in BlackJAX: `init(z, energy) -> State` and `step(state, energy, generator) ->
(State, Info)`. An energy is any callable z [n, d] -> (U [n], grad U [n, d]), one evaluation; the State keeps both, so a step
costs one evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Energy = Callable[[Tensor], tuple[Tensor, Tensor]]


class State(NamedTuple):
    """z: [n, d], energy: U(z) [n], grad: grad U(z) [n, d]."""

    z: Tensor
    energy: Tensor
    grad: Tensor


class Info(NamedTuple):
    """One transition of each chain, all [n]: whether it was accepted, its acceptance probability, whether what was evaluated is finite.

    None from a kernel that accepts whatever it proposes: there is nothing to tell that the new State does not.
    """

    is_accepted: Tensor | None = None
    acceptance_rate: Tensor | None = None
    is_finite: Tensor | None = None


ACCEPTED = Info()


class Kernel(NamedTuple):
    name: str
    delta: float
    init: Callable[[Tensor, Energy], State]
    step: Callable[[State, Energy, torch.Generator | None], tuple[State, Info]]


class Chain(NamedTuple):
    """A whole recorded run of n chains; index 0 is the start.

    z: [steps+1, n, d], energy: [steps+1, n], grad_norm: [steps+1, n], accept: [steps, n] (0 or 1), acceptance_rate:
    [steps, n], nonfinite: transitions whose energy was NaN or infinite, over all chains.
    """

    z: Tensor
    energy: Tensor
    grad_norm: Tensor
    accept: Tensor
    acceptance_rate: Tensor
    nonfinite: int


def delta_to_s(delta: float) -> float:
    """Step size s (drift s, noise sqrt(2 s)) of Pang's delta (drift delta^2/2, noise delta)."""
    return 0.5 * delta**2


def s_to_delta(s: float) -> float:
    """Pang's delta of a step size s."""
    return math.sqrt(2.0 * s)


def standard_normal(shape: torch.Size | tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Normal draws like `like`, made where the generator lives: a CPU generator gives the same noise on any device."""
    device = generator.device if generator is not None else like.device
    noise = torch.randn(shape, generator=generator, device=device, dtype=like.dtype)
    return noise if noise.device == like.device else noise.to(like.device)


def _init(z: Tensor, energy: Energy) -> State:
    return State(z, *energy(z))


def ula(delta: float) -> Kernel:
    """Unadjusted Langevin. On N(0, sigma^2 I) its stationary variance is sigma^2 / (1 - delta^2 / (4 sigma^2)), not sigma^2."""
    drift = -delta_to_s(delta)

    def step(state: State, energy: Energy, generator: torch.Generator | None = None) -> tuple[State, Info]:
        z = torch.add(state.z, state.grad, alpha=drift).add_(standard_normal(state.z.shape, state.z, generator), alpha=delta)
        return State(z, *energy(z)), ACCEPTED

    return Kernel("ula", delta, _init, step)


def mala(delta: float) -> Kernel:
    """Metropolis-adjusted Langevin: ULA's proposal, accepted so that exp(-U) is left invariant. A non-finite proposal is refused."""
    drift = -delta_to_s(delta)

    def step(state: State, energy: Energy, generator: torch.Generator | None = None) -> tuple[State, Info]:
        noise = standard_normal(state.z.shape, state.z, generator)
        z = torch.add(state.z, state.grad, alpha=drift).add_(noise, alpha=delta)
        value, grad = energy(z)
        back = torch.add(z, grad, alpha=drift).sub_(state.z)  # mean of the reverse proposal less where it would have to land
        log_rate = state.energy - value + 0.5 * noise.square().sum(1) - back.square().sum(1) / (2.0 * delta**2)
        finite = log_rate.abs() < torch.inf
        rate = torch.where(finite, log_rate, -torch.inf).clamp(max=0.0).exp()
        accepted = _uniform(rate, generator) < rate
        kept = accepted[:, None]
        new = State(torch.where(kept, z, state.z), torch.where(accepted, value, state.energy), torch.where(kept, grad, state.grad))
        return new, Info(accepted.to(rate.dtype), rate, finite)

    return Kernel("mala", delta, _init, step)


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = generator.device if generator is not None else like.device
    return torch.rand(like.shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


KERNELS: dict[str, Callable[[float], Kernel]] = {"ula": ula, "mala": mala}


def kernel_named(name: str, delta: float) -> Kernel:
    """The kernel of a config. Raises ValueError for an unknown name or a step size that is not positive."""
    if name not in KERNELS:
        raise ValueError(f"energy.kernel: no kernel named {name!r}; accepted: {', '.join(KERNELS)}")
    if not delta > 0:
        raise ValueError(f"energy.delta: found {delta}; accepted: a number above 0")
    return KERNELS[name](delta)


@torch.no_grad()
def last_state(kernel: Kernel, energy: Energy, z0: Tensor, steps: int, generator: torch.Generator | None = None) -> State:
    """The state after `steps` transitions from z0 [n, d], nothing recorded: the same draws and numbers as `run_chain`."""
    state = kernel.init(z0, energy)
    for _ in range(steps):
        state, _ = kernel.step(state, energy, generator)
    return state


@torch.no_grad()
def run_chain(kernel: Kernel, energy: Energy, z0: Tensor, steps: int, generator: torch.Generator | None = None) -> Chain:
    """Run n chains from z0 [n, d] and keep everything: positions, energies, gradient norms, acceptance. No energy is evaluated twice."""
    n, dim = z0.shape
    state = kernel.init(z0, energy)
    z = z0.new_empty(steps + 1, n, dim)
    value = state.energy.new_empty(steps + 1, n)
    grad_norm = torch.empty_like(value)
    accept, rate = value.new_ones(2, steps, n)
    finite = torch.ones(steps, n, dtype=torch.bool, device=z0.device)
    # Rows are cut once: indexing a tensor inside the loop costs more than copying into it.
    to_z, to_value, to_norm = z.unbind(0), value.unbind(0), grad_norm.unbind(0)
    for k in range(steps + 1):
        if k > 0:
            state, info = kernel.step(state, energy, generator)
            for kept, seen in zip((accept, rate, finite), info, strict=True):
                if seen is not None:
                    kept[k - 1] = seen
        to_z[k].copy_(state.z)
        to_value[k].copy_(state.energy)
        torch.linalg.vector_norm(state.grad, dim=1, out=to_norm[k])
    # A refused proposal shows in `finite` alone, an accepted one in the energy it left.
    bad = ~finite | ~value[1:].isfinite()
    return Chain(z, value, grad_norm, accept, rate, int(bad.sum()))
