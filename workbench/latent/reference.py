"""The reference of the latent energy: the Gaussian that F corrects, and the coordinates w in which it is N(0, sigma^2 I)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

VARIANCE_FLOOR = 1e-4
"""No dimension's variance counts as less than this share of the mean variance (a collapsed dimension would make whitening blow up)."""
SHRINKAGE = (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares by which correlations may be shrunk; the smallest keeps exactly dependent dimensions factorisable."""


class Reference(nn.Module):
    """z = mean_j + chol_j w for every symbol j, with w ~ N(0, sigma^2 I). mean: [S, d], chol: [S, d, d] lower triangular."""

    mean: Tensor
    chol: Tensor

    def __init__(self, dim: int, symbols: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(symbols, dim))
        self.register_buffer("chol", torch.eye(dim).repeat(symbols, 1, 1))

    @property
    def log_det(self) -> Tensor:
        """log |det chol_j|, [S]: what turns a density over w into one over z."""
        return self.chol.diagonal(dim1=1, dim2=2).log().sum(1)

    def to_z(self, w: Tensor, symbol: int | Tensor) -> Tensor:
        """w: [n, d], symbol: one index or one a row -> z: [n, d]."""
        if isinstance(symbol, Tensor):
            return self.mean[symbol] + torch.einsum("nij,nj->ni", self.chol[symbol], w)
        return self.mean[symbol] + w @ self.chol[symbol].T

    def to_w(self, z: Tensor, symbol: int | Tensor) -> Tensor:
        """z: [n, d], symbol: one index or one a row -> w: [n, d]."""
        chol = self.chol[symbol]
        if isinstance(symbol, Tensor):
            return torch.linalg.solve_triangular(chol, (z - self.mean[symbol])[..., None], upper=False)[..., 0]
        return torch.linalg.solve_triangular(chol.T, z - self.mean[symbol], upper=True, left=False)

    def to_every_w(self, z: Tensor) -> Tensor:
        """z: [n, d] -> its coordinates under each symbol, [n, S, d]."""
        centred = z[None] - self.mean[:, None]  # [S, n, d]
        return torch.linalg.solve_triangular(self.chol.transpose(1, 2), centred, upper=True, left=False).transpose(0, 1)

    def fit_per_task(self, codes: Mapping[int, Tensor], sigma: float) -> None:
        """Give each symbol in `codes` ({index: [n, d]}) the Gaussian of its own codes, scaled so that w has standard deviation sigma."""
        for index, z in codes.items():
            mean, covariance = shrunk_moments(z)
            self.mean[index] = mean
            self.chol[index] = torch.linalg.cholesky(covariance) / sigma

    def fit_shared(self, codes: Mapping[int, Tensor], sigma: float) -> None:
        """Give every symbol one diagonal standardisation, of the mixture in which every task weighs the same."""
        means = torch.stack([z.mean(0) for z in codes.values()])
        squares = torch.stack([z.square().mean(0) for z in codes.values()])
        variance = _floored((squares.mean(0) - means.mean(0).square()).clamp(min=0.0))
        self.mean[:] = means.mean(0)
        self.chol[:] = torch.diag(variance.sqrt() / sigma)


def shrunk_moments(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and covariance [d, d] of codes z [n, d], safe to factorise for any n >= 1.

    Correlations are shrunk towards zero by the share of SHRINKAGE under which codes held out (in four folds) are likeliest: nothing for
    many codes, all for very few. Variances are kept, except for the floor VARIANCE_FLOOR. Worked out in double precision.
    """
    z = z.double()
    folds = min(4, len(z) // 2)
    chosen = SHRINKAGE[-1]
    if folds > 1:
        # Folds of neighbours: the draws of one sample stand side by side, and must not be held out from each other.
        number = torch.arange(len(z), device=z.device) * folds // len(z)
        parts = [(*_moments(z[number != fold]), z[number == fold]) for fold in range(folds)]
        chosen = min(SHRINKAGE, key=lambda share: sum(_misfit(held, mean, _shrunk(scatter, share)) for mean, scatter, held in parts))
    mean, scatter = _moments(z)
    return mean.float(), _shrunk(scatter, chosen).float()


def _moments(z: Tensor) -> tuple[Tensor, Tensor]:
    mean = z.mean(0)
    centred = z - mean
    return mean, centred.T @ centred / max(len(z) - 1, 1)


def _shrunk(covariance: Tensor, share: float) -> Tensor:
    variance = _floored(covariance.diagonal())
    return (1.0 - share) * (covariance - torch.diag(covariance.diagonal())) + torch.diag(variance)


def _misfit(held: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Negative log likelihood of held-out codes under a Gaussian, up to a constant; infinite where it cannot be factorised."""
    chol, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        return float("inf")
    white = torch.linalg.solve_triangular(chol, (held - mean).T, upper=False)
    return float(0.5 * white.square().sum() + len(held) * chol.diagonal().log().sum())


def _floored(variance: Tensor) -> Tensor:
    """Variances with the floor; where there is no spread at all (one code, or equal codes), 1e-6."""
    return variance.clamp(min=max(VARIANCE_FLOOR * float(variance.mean()), 1e-6))
