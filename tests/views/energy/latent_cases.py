"""Small energies whose values are known, for the tests of the views of the latent space."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from workbench.views.energy.saved import SavedEnergy, from_arrays


def arrays(symbols: int = 3, dim: int = 6, hidden: int = 12, seed: int = 0, scale: float = 1.0, shared: bool = False) -> dict[str, Any]:
    """Random tensors as a run saves them; scale 0: F is zero everywhere. shared: one reference for every symbol."""
    rng = np.random.default_rng(seed)
    shape = (1 if shared else symbols, dim, dim)
    chol = np.tril(0.2 * rng.standard_normal(shape), -1) + (0.5 + rng.random((shape[0], dim)))[:, :, None] * np.eye(dim)
    mean = 2 * rng.standard_normal((shape[0], dim))
    return {
        "trunk.0.weight": rng.standard_normal((hidden, dim)) / dim**0.5,
        "trunk.0.bias": 0.3 * rng.standard_normal(hidden),
        "trunk.2.weight": rng.standard_normal((hidden, hidden)) / hidden**0.5,
        "trunk.2.bias": 0.3 * rng.standard_normal(hidden),
        "trunk.4.weight": scale * rng.standard_normal((symbols, hidden)),
        "trunk.4.bias": scale * rng.standard_normal(symbols),
        "reference.mean": np.repeat(mean, symbols // len(mean), axis=0),
        "reference.chol": np.repeat(chol, symbols // len(chol), axis=0),
    }


def header(symbols: int = 3, sigma: float = 1.0, reference: str = "per_task") -> dict[str, str]:
    return {"symbols": json.dumps([f"task{k}" for k in range(symbols)]), "sigma": repr(sigma), "reference": reference, "activation": "gelu"}


def energy(symbols: int = 3, sigma: float = 1.0, shared: bool = False, **options: Any) -> SavedEnergy:
    kind = "isotropic" if shared else "per_task"
    return from_arrays(arrays(symbols, shared=shared, **options), header(symbols, sigma, kind))


def gaussians(means: list[list[float]], spread: float = 1.0) -> SavedEnergy:
    """F = 0 and a reference N(mean_j, spread^2 I) a symbol: every value has a closed form."""
    dim = len(means[0])
    found = arrays(len(means), dim, 4, scale=0.0)
    found["reference.mean"] = np.array(means, float)
    found["reference.chol"] = np.repeat(spread * np.eye(dim)[None], len(means), axis=0)
    return from_arrays(found, header(len(means)))
