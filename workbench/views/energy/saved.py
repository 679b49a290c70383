"""The saved latent energy, evaluated with numpy: F, U and their gradients from the weights in a run folder.

Signs, the same on every figure. F_j(z) is the negative energy of task j, higher = more probable. U_j(z) is the energy, lower =
more probable: U_j = -F_j + |w|^2 / (2 sigma^2) with w = chol_j^-1 (z - mean_j), the whitened coordinates of the task's reference
Gaussian (mean 0 and chol = identity for the isotropic reference). All are in nats and known up to a constant (log Z).

Where each task has a reference of its own, all tasks together are the mixture U(z) = -log sum_j exp(-U_j(z) - log|det chol_j|).

Gradients are written by hand (the network is Linear-GELU-Linear-GELU-Linear). Pictures are evaluated in float32 with a GELU good
to 2e-6; chains, gradients and single points in float64. Neither torch nor scikit-learn is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, logsumexp

from workbench.runs.schema import RunError

Array = NDArray[Any]

MIXTURE = "all tasks"
"""The symbol name of the mixture over tasks."""

_BLOCK = 512
"""Points evaluated at a time: two hidden layers of them stay in the cache."""


class EnergyFileError(RunError):
    """Saved energy weights that cannot be read as an energy: one sentence with what is missing or misshapen."""


@dataclass(frozen=True)
class SavedEnergy:
    """One saved latent energy. Shapes: mean [S, d], chol [S, d, d] (lower triangular), weights of the three layers as saved.

    `symbols` names the S outputs (the tasks). Raises ValueError where a symbol is not among them.
    """

    weight0: Array
    bias0: Array
    weight2: Array
    bias2: Array
    weight4: Array
    bias4: Array
    mean: Array
    chol: Array
    symbols: tuple[str, ...]
    sigma: float
    reference: str

    @property
    def dim(self) -> int:
        """Dimensions of z."""
        return int(self.mean.shape[1])

    @cached_property
    def _inverse(self) -> Array:
        """chol^-1, [S, d, d]."""
        return np.linalg.inv(self.chol)

    @cached_property
    def log_det(self) -> Array:
        """log|det chol_j|, [S]."""
        return np.log(np.abs(np.diagonal(self.chol, axis1=1, axis2=2))).sum(axis=1)

    @cached_property
    def _single(self) -> tuple[Array, ...]:
        """The layers in float32, for pictures."""
        return tuple(np.ascontiguousarray(a, np.float32) for a in (self.bias0, self.weight2.T, self.bias2, self.weight4.T, self.bias4))

    def index(self, symbol: str) -> int:
        """The output of a symbol."""
        if symbol not in self.symbols:
            raise ValueError(f"symbol: found {symbol!r}; accepted: {', '.join(self.symbols)}")
        return self.symbols.index(symbol)

    def to_w(self, z: Array, symbol: str) -> Array:
        """Whitened coordinates of the task's reference, [n, d] to [n, d]."""
        j = self.index(symbol)
        return (np.asarray(z, np.float64) - self.mean[j]) @ self._inverse[j].T

    def to_z(self, w: Array, symbol: str) -> Array:
        """The inverse of to_w."""
        j = self.index(symbol)
        return np.asarray(w, np.float64) @ self.chol[j].T + self.mean[j]

    def outputs(self, w: Array) -> Array:
        """Every output of the network at whitened coordinates w [n, d], in float64: [n, S]."""
        hidden = _gelu(np.asarray(w, np.float64) @ self.weight0.T + self.bias0)
        hidden = _gelu(hidden @ self.weight2.T + self.bias2)
        return hidden @ self.weight4.T + self.bias4

    def neg_energy(self, z: Array, symbol: str) -> Array:
        """F_j(z) [n] in nats, higher = more probable. For MIXTURE: reference_energy - energy."""
        if symbol == MIXTURE:
            return self.reference_energy(z, MIXTURE) - self.energy(z, MIXTURE)
        return self.outputs(self.to_w(z, symbol))[:, self.index(symbol)]

    def reference_energy(self, z: Array, symbol: str) -> Array:
        """|w|^2 / (2 sigma^2) [n] in nats. For MIXTURE: -log mean_j exp(-|w_j|^2 / (2 sigma^2) - log|det chol_j|)."""
        if symbol == MIXTURE:
            each = np.stack([self.reference_energy(z, name) for name in self.symbols]) + self.log_det[:, None]
            return -logsumexp(-each, axis=0) + np.log(len(self.symbols))
        return (self.to_w(z, symbol) ** 2).sum(axis=1) / (2 * self.sigma**2)

    def energy(self, z: Array, symbol: str) -> Array:
        """U_j(z) [n] in nats, lower = more probable; with MIXTURE, of all tasks together."""
        return self.energy_and_grad(z, symbol)[0] if symbol == MIXTURE else self.energy_and_grad_w(self.to_w(z, symbol), symbol)[0]

    def energy_and_grad_w(self, w: Array, symbol: str) -> tuple[Array, Array]:
        """U_j [n] and dU_j/dw [n, d] at whitened coordinates: what a chain of task j runs on."""
        j = self.index(symbol)
        first, slope_first = _gelu_and_slope(w @ self.weight0.T + self.bias0)
        second, slope_second = _gelu_and_slope(first @ self.weight2.T + self.bias2)
        f = second @ self.weight4[j] + self.bias4[j]
        grad_f = ((slope_second * self.weight4[j]) @ self.weight2 * slope_first) @ self.weight0
        return -f + (w**2).sum(axis=1) / (2 * self.sigma**2), -grad_f + w / self.sigma**2

    def energy_and_grad(self, z: Array, symbol: str) -> tuple[Array, Array]:
        """U [n] and dU/dz [n, d] at z [n, d]; with MIXTURE, of all tasks together."""
        if symbol == MIXTURE:
            return self.energy_grad_owner(z, MIXTURE)[:2]
        energy, grad = self.energy_and_grad_w(self.to_w(z, symbol), symbol)
        return energy, grad @ self._inverse[self.index(symbol)]

    def owner(self, z: Array) -> Array:
        """Index of the task with the largest share of the mixture at z [n, d]: [n]."""
        return np.argmin(np.stack([self.energy(z, name) for name in self.symbols]) + self.log_det[:, None], axis=0)

    def energy_grad_owner(self, z: Array, symbol: str) -> tuple[Array, Array, Array]:
        """energy_and_grad, and the index of the task whose region each point is in [n] (with one task: that one)."""
        if symbol != MIXTURE:
            return *self.energy_and_grad(z, symbol), np.full(len(z), self.index(symbol))
        parts = [self.energy_and_grad(z, name) for name in self.symbols]
        logs = -np.stack([energy for energy, _ in parts]) - self.log_det[:, None]
        total: Array = logsumexp(logs, axis=0)  # pyright: ignore[reportAssignmentType]
        grad = np.einsum("sn,snd->nd", np.exp(logs - total), np.stack([part for _, part in parts]))
        return -total, grad, logs.argmax(axis=0)

    def on_plane(self, centre: Array, axes: Array, xs: Array, ys: Array, symbols: Sequence[str] | None = None) -> tuple[Array, Array]:
        """F_j and the reference |w_j|^2 / (2 sigma^2) of the symbols (default: all) on centre + x axes[0] + y axes[1].

        Two float32 arrays [len(symbols), len(ys), len(xs)]. Whitened coordinates and first layer are affine on a plane, so their
        products are made once a direction; with the isotropic reference one pass gives every task.
        """
        names = list(self.symbols if symbols is None else symbols)
        columns = [self.index(name) for name in names]
        if self.reference == "isotropic":
            f, reference = self._plane_of(centre, axes, xs, ys, names[0], columns)
            return f, np.broadcast_to(reference, f.shape)
        parts = [self._plane_of(centre, axes, xs, ys, name, [column]) for name, column in zip(names, columns, strict=True)]
        return np.concatenate([f for f, _ in parts]), np.stack([reference for _, reference in parts])

    def _plane_of(self, centre: Array, axes: Array, xs: Array, ys: Array, symbol: str, columns: list[int]) -> tuple[Array, Array]:
        """Outputs `columns` in the coordinates of one symbol [len(columns), len(ys), len(xs)], and its reference [len(ys), len(xs)]."""
        origin = self.to_w(np.asarray(centre)[None], symbol)[0]
        frame = np.stack([origin, *(np.asarray(axes, np.float64) @ self._inverse[self.index(symbol)].T)])
        square = frame @ frame.T
        x, y = xs[None, :], ys[:, None]
        reference = (
            square[0, 0] + 2 * (square[0, 1] * x + square[0, 2] * y + square[1, 2] * x * y) + square[1, 1] * x**2 + square[2, 2] * y**2
        )
        bias0, weight2, bias2, weight4, bias4 = self._single
        start, along_x, along_y = frame @ self.weight0.T
        by_column = np.outer(xs, along_x).astype(np.float32)
        by_row = (np.outer(ys, along_y) + start).astype(np.float32) + bias0
        weight4, bias4 = weight4[:, columns], bias4[columns]
        f = np.empty((len(ys), len(xs), len(columns)), np.float32)
        for row in range(0, len(ys), rows := max(1, _BLOCK // len(xs))):
            hidden = (by_row[row : row + rows, None, :] + by_column).reshape(-1, len(start))
            hidden = _gelu_single(hidden) @ weight2
            hidden += bias2
            f[row : row + rows] = (_gelu_single(hidden) @ weight4 + bias4).reshape(-1, len(xs), len(columns))
        return np.moveaxis(f, -1, 0), (reference / (2 * self.sigma**2)).astype(np.float32)


def from_arrays(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> SavedEnergy:
    """A SavedEnergy from the tensors and header of weights/energy_*.safetensors. Raises EnergyFileError."""
    needed = [f"trunk.{layer}.{part}" for layer in (0, 2, 4) for part in ("weight", "bias")] + ["reference.mean", "reference.chol"]
    if missing := [name for name in needed if name not in arrays]:
        raise EnergyFileError(f"energy weights: {', '.join(missing)} not in the file; found {', '.join(sorted(arrays)) or 'nothing'}")
    values = {name: np.asarray(arrays[name], np.float64) for name in needed}
    mean = values["reference.mean"]
    symbols = _symbols(metadata, len(mean))
    dim = mean.shape[1]
    if (
        values["trunk.0.weight"].shape[1] != dim
        or values["trunk.4.weight"].shape[0] != len(symbols)
        or values["reference.chol"].shape != (len(symbols), dim, dim)
    ):
        raise EnergyFileError(f"energy weights: the shapes do not fit {len(symbols)} symbols in {dim} dimensions")
    if not all(np.isfinite(value).all() for value in values.values()):
        raise EnergyFileError("energy weights: the file holds values that are not finite")
    return SavedEnergy(
        *(values[name] for name in needed),
        symbols=symbols,
        sigma=float(metadata.get("sigma", 1.0)),
        reference=metadata.get("reference", "per_task"),
    )


def _symbols(metadata: Mapping[str, str], count: int) -> tuple[str, ...]:
    try:
        symbols = tuple(str(name) for name in json.loads(metadata.get("symbols", "[]")))
    except ValueError:
        symbols = ()
    if len(symbols) != count:
        raise EnergyFileError(f"energy weights: the header names {len(symbols)} symbols, the tensors hold {count}")
    return symbols


def combine(values: Array, log_det: Array) -> Array:
    """Energies of each task [S, ...] into that of the mixture [...]: -log sum_j exp(-U_j - log|det chol_j|)."""
    total = values + log_det.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    lowest = total.min(axis=0)
    return lowest - np.log(np.exp(lowest - total).sum(axis=0))


def _gelu(x: Array) -> Array:
    return x * (0.5 * (1 + erf(x * np.sqrt(0.5))))


def _gelu_and_slope(x: Array) -> tuple[Array, Array]:
    below = 0.5 * (1 + erf(x * np.sqrt(0.5)))
    return x * below, below + x * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


_TANH_FIT = (0.79786708, 0.036378561, -6.6294406e-05, -4.5148884e-05, 2.5834819e-06, -4.9306608e-08)
"""Phi(x) = (1 + tanh(x p(x^2))) / 2 with these coefficients of p, lowest first: fitted to the normal distribution, x Phi(x) within 1e-6."""


def _gelu_single(x: Array) -> Array:
    """GELU in float32 within 2e-6, in some ten passes over the array: scipy's erf takes four times as long."""
    square = x * x
    np.minimum(square, np.float32(25), out=square)
    inner = square * np.float32(_TANH_FIT[-1])
    for coefficient in _TANH_FIT[-2:0:-1]:
        inner += np.float32(coefficient)
        inner *= square
    inner += np.float32(_TANH_FIT[0])
    inner *= x
    np.tanh(inner, out=inner)
    inner += np.float32(1)
    inner *= x
    inner *= np.float32(0.5)
    return inner
