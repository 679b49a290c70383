"""The latent energy: F_alpha(z) with one output a task symbol, as a correction to a Gaussian reference (fitted by latent/objectives.py).

p_alpha(z | j) is proportional to exp(f_j(w) - |w|^2 / (2 sigma^2)), Eq. 8 with the symbol-vector coupling of Pang and Wu (2021):
F (`neg_energy`) is a negative energy, higher = more probable; U (`energy`) = -F + |w|^2 / (2 sigma^2), lower = more probable.
w are the coordinates in which the reference is N(0, sigma^2 I): chains run in w, codes and the language model live in z.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workbench.config import EnergyConfig
from workbench.latent.langevin import Energy, kernel_named, last_state, standard_normal
from workbench.latent.reference import Reference

Symbol = str | int | Tensor


class LatentEnergy(nn.Module):
    """f: R^d -> R^S, an MLP Linear-GELU-Linear-GELU-Linear on w, and the reference that gives w its meaning.

    dim: d; symbols: task names, in the order of the outputs; hidden: width of both hidden layers; sigma: standard deviation of
    the reference in w; reference: 'per_task' or 'isotropic'. The last layer starts at zero, so a fresh energy is its reference
    exactly. Where a `symbol` is asked for, a name, an index, or a [n] tensor of indices (one a row) will do.
    """

    def __init__(self, dim: int, symbols: list[str], hidden: int = 200, sigma: float = 1.0, reference: str = "per_task"):
        super().__init__()
        if reference not in ("per_task", "isotropic"):
            raise ValueError(f"energy.reference: found {reference!r}; accepted: per_task, isotropic")
        self.symbols, self.sigma, self.kind, self.dim = list(symbols), sigma, reference, dim
        self.reference = Reference(dim, len(symbols))
        self.trunk = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, len(symbols)))
        nn.init.zeros_(self._layers[2].weight)
        nn.init.zeros_(self._layers[2].bias)

    @property
    def _layers(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return cast(tuple[nn.Linear, nn.Linear, nn.Linear], (self.trunk[0], self.trunk[2], self.trunk[4]))

    @property
    def mean(self) -> Tensor:
        return self.reference.mean

    @property
    def chol(self) -> Tensor:
        return self.reference.chol

    def index(self, symbol: Symbol) -> int | Tensor:
        """Position of a symbol among the outputs. Raises KeyError naming the known ones."""
        if not isinstance(symbol, str):
            return symbol
        if symbol not in self.symbols:
            raise KeyError(f"no task symbol {symbol!r} in the latent energy; it knows {', '.join(self.symbols)}")
        return self.symbols.index(symbol)

    def to_z(self, w: Tensor, symbol: Symbol) -> Tensor:
        return self.reference.to_z(w, self.index(symbol))

    def to_w(self, z: Tensor, symbol: Symbol) -> Tensor:
        return self.reference.to_w(z, self.index(symbol))

    def f(self, w: Tensor) -> Tensor:
        """All outputs at w [n, d] -> [n, S]."""
        return self.trunk(w)

    def neg_energy(self, z: Tensor, symbol: Symbol | None) -> Tensor:
        """F(z) [n]: the symbol's own output; None: the log-sum-exp over symbols (isotropic reference only). z: [n, d]."""
        if symbol is None:
            return self.f(self._shared_w(z)).logsumexp(1)
        return self._column(self.f(self.to_w(z, symbol)), symbol)

    def energy(self, z: Tensor, symbol: Symbol | None) -> Tensor:
        """U(z) [n] = -F + |w|^2 / (2 sigma^2). z: [n, d]."""
        w = self._shared_w(z) if symbol is None else self.to_w(z, symbol)
        f = self.f(w)
        value = f.logsumexp(1) if symbol is None else self._column(f, symbol)
        return w.square().sum(1) / (2 * self.sigma**2) - value

    def value_and_grad(self, symbol: Symbol | None) -> Energy:
        """The energy as a chain wants it: w [n, d] -> (U [n], grad_w U [n, d]), one pass, gradient written by hand.

        With one symbol a row, row i moves on its own symbol's energy. None is the unconditional energy (isotropic reference).
        """
        if symbol is None:
            self._shared_w(None)
        first, second, last = self._layers
        w0, b0, w1, b1 = first.weight.detach(), first.bias.detach(), second.weight.detach(), second.bias.detach()
        w2, b2 = last.weight.detach(), last.bias.detach()
        if symbol is not None:
            row, offset = w2[self.index(symbol)], b2[self.index(symbol)]
        precision = 1.0 / self.sigma**2
        gelu, gelu_backward = torch.nn.functional.gelu, torch.ops.aten.gelu_backward

        @torch.no_grad()
        def energy(w: Tensor) -> tuple[Tensor, Tensor]:
            a = torch.addmm(b0, w, w0.T)
            b = torch.addmm(b1, gelu(a), w1.T)
            top = gelu(b)
            if symbol is None:
                outputs = torch.addmm(b2, top, w2.T)
                value, down = outputs.logsumexp(1), outputs.softmax(1) @ w2
            else:
                value, down = (top * row).sum(1) + offset, row.expand_as(top)
            grad_f = gelu_backward(gelu_backward(down, b) @ w1, a) @ w0
            return 0.5 * precision * w.square().sum(1) - value, torch.sub(precision * w, grad_f)

        return energy

    def symbol_logits(self, z: Tensor) -> Tensor:
        """log p(z | j) up to each symbol's constant, for every j: f_j - |w_j|^2 / (2 sigma^2) - log |det chol_j|. z: [n, d] -> [n, S].

        The unknown log Z_j of a column is what its bias learns through the symbol cross-entropy.
        """
        if self.kind == "isotropic":
            w = self._shared_w(z)
            return self.f(w) - w.square().sum(1, keepdim=True) / (2 * self.sigma**2)
        w = self.reference.to_every_w(z)
        last = self._layers[2]
        f = (self.trunk[:4](w) * last.weight).sum(-1) + last.bias
        return f - w.square().sum(-1) / (2 * self.sigma**2) - self.reference.log_det

    def recognise(self, z: Tensor) -> Tensor:
        """p(symbol | z) with equal prior weights, [n, S], symbols in the order of `self.symbols`."""
        with torch.no_grad():
            return self.symbol_logits(z).softmax(1)

    def extended(self, symbols: list[str]) -> LatentEnergy:
        """A new energy with further symbols (zero outputs, identity reference), the known ones unchanged: for the joint schedule."""
        old = len(self.symbols)
        new = LatentEnergy(self.dim, [*self.symbols, *symbols], self._layers[0].out_features, self.sigma, self.kind).to(self.mean.device)
        with torch.no_grad():
            state = self.state_dict()
            for name, value in new.state_dict().items():
                value[:old].copy_(state[name]) if name.startswith(("reference", "trunk.4")) else value.copy_(state[name])
            if self.kind == "isotropic":
                new.mean[:], new.chol[:] = self.mean[0], self.chol[0]
        return new

    def to_safetensors_dict(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """(tensors, metadata) for safetensors.torch.save_file: everything `from_safetensors_dict` needs."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        return tensors, {"symbols": json.dumps(self.symbols), "sigma": repr(self.sigma), "reference": self.kind, "activation": "gelu"}

    @classmethod
    def from_safetensors_dict(cls, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> LatentEnergy:
        """The energy written by `to_safetensors_dict`. Raises ValueError for another activation."""
        if metadata.get("activation", "gelu") != "gelu":
            raise ValueError(f"latent energy: found activation {metadata['activation']!r}; accepted: gelu")
        hidden, dim = tensors["trunk.0.weight"].shape
        energy = cls(dim, json.loads(metadata["symbols"]), hidden, float(metadata["sigma"]), metadata["reference"])
        energy.load_state_dict(dict(tensors))
        return energy

    def _shared_w(self, z: Tensor | None) -> Tensor:
        if self.kind != "isotropic":
            raise ValueError("the unconditional energy needs energy.reference: isotropic; per_task has coordinates of its own a symbol")
        return z if z is None else self.to_w(z, 0)  # type: ignore[return-value]

    def _column(self, f: Tensor, symbol: Symbol) -> Tensor:
        index = self.index(symbol)
        return f.gather(1, index[:, None])[:, 0] if isinstance(index, Tensor) else f[:, index]


def energy_loss(energy: LatentEnergy, z_pos: Tensor, w_neg: Tensor, symbols: Tensor, config: EnergyConfig) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of F to be minimised, and F at the positives and at the negatives.

    mean F(z-) - mean F(z+) + c mean(F+^2 + F-^2) + w_y CE(symbol | z+) - lambda_I I(symbol; z+); the contrast's gradient is that
    of the log likelihood with its sign turned. z_pos, w_neg: [n, d] (codes; ends of chains in w, detached); symbols: [n] of
    both, in random order.
    """
    f_pos = energy._column(energy.f(energy.to_w(z_pos, symbols)), symbols)
    f_neg = energy._column(energy.f(w_neg), symbols)
    loss = f_neg.mean() - f_pos.mean() + config.regulariser * (f_pos.square().mean() + f_neg.square().mean())
    if config.symbol_weight > 0 or config.information_weight > 0:
        # With per_task a code has S coordinates, one a symbol: an S-th of the batch keeps the step's cost that of one batch.
        every = len(energy.symbols) if energy.kind == "per_task" else 1
        logits = energy.symbol_logits(z_pos[::every])
        log_p = logits.log_softmax(1)
        mean_p = log_p.exp().mean(0)
        information = (log_p.exp() * log_p).sum(1).mean() - (mean_p * mean_p.clamp(min=1e-12).log()).sum()
        loss = loss + config.symbol_weight * nn.functional.nll_loss(log_p, symbols[::every]) - config.information_weight * information
    return loss, f_pos, f_neg


def joint_losses(
    energy: LatentEnergy, z_pos: Tensor, symbols: Tensor, config: EnergyConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One step of schedule 'joint': (loss for F with codes detached, term -mean F(z+) for the encoder with F frozen).

    z_pos: [n, d] attached to the encoder's graph; symbols: [n]. The two terms share no graph, so either can go backward alone.
    """
    w0 = config.sigma * standard_normal(z_pos.shape, energy.mean, generator)
    end = last_state(kernel_named(config.kernel, config.delta), energy.value_and_grad(symbols), w0, config.steps, generator)
    loss, _, _ = energy_loss(energy, z_pos.detach(), end.z, symbols, config)
    frozen: dict[str, Any] = {name: value.detach() for name, value in energy.trunk.named_parameters()}
    f = functional_call(energy.trunk, frozen, (energy.to_w(z_pos, symbols),))
    return loss, -f.gather(1, symbols[:, None])[:, 0].mean()
