"""Is the latent alive, did the chains arrive, did the energy run away: pure functions of NumPy arrays, and the plain sentences they earn.

Chains are w [steps+1, chains, dim] in the coordinates whose reference is N(0, sigma^2 I), u [steps+1, chains] their energies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DEAD_DELTA_NLL = 0.05
"""Nats a token below which another sample's z is as good as one's own."""
FEW_ACTIVE, TOO_FEW_ACTIVE = 0.3, 0.1
LARGEST_GAP, LARGEST_COORDINATE = 50.0, 6.0
UNMOVED = 0.9
"""An unmoved chain went less than this share of what the noise alone would carry it (the tenth is for the mean over few chains)."""
SHORT_OF_THE_WAY = 0.25
"""Of the way along the reference's own scale; modes of F are narrower than it, and chains reach them sooner."""


def delta_nll(own: Array, shuffled: Array, tokens: Array) -> float:
    """Nats a token that a shuffled z costs more than one's own: (sum shuffled - sum own) / sum tokens.

    own, shuffled: [n], negative log likelihood summed over a sample's tokens; tokens: [n].
    """
    return float((np.sum(shuffled, dtype=np.float64) - np.sum(own, dtype=np.float64)) / np.sum(tokens))


def active_units(mu: Array, threshold: float = 0.01) -> float:
    """Share of dimensions whose posterior mean varies over samples, Var_x mu_d > threshold (Burda et al. 2016). mu: [n, d]."""
    return float((np.var(mu, axis=0) > threshold).mean())


def kl_per_dim(mu: Array, logvar: Array, sigma: float = 1.0) -> Array:
    """Mean KL(q(z|x) || N(0, sigma^2 I)) of each dimension in nats, [d]. mu, logvar: [n, d]."""
    return np.mean(0.5 * ((mu**2 + np.exp(logvar)) / sigma**2 - 1.0 - logvar) + math.log(sigma), axis=0)


def energy_gap(chains: Array, data: Array) -> float:
    """mean U at the ends of chains - mean U at codes of data: 0 where the chains are as probable as the data. Both [n] of any lengths."""
    return float(np.mean(chains) - np.mean(data))


def gradient_norms(grad_norm: Array) -> Array:
    """Mean gradient norm a step, [steps+1]. grad_norm: [steps+1, chains]."""
    return np.mean(grad_norm, axis=1)


def displacement(w: Array) -> Array:
    """Distance of each chain from its start after every step, [steps+1, chains]."""
    return np.linalg.norm(w - w[0], axis=2)


def noise_displacement(steps: int, delta: float, dim: int, sigma: float = 1.0) -> float:
    """Root mean square distance that ULA's noise alone carries a chain on N(0, sigma^2 I).

    sqrt(d delta^2 (1 - a^2K) / (1 - a^2)) with a = 1 - delta^2 / (2 sigma^2).
    """
    a = 1.0 - delta**2 / (2.0 * sigma**2)
    return math.sqrt(dim * delta**2 * (1.0 - a ** (2 * steps)) / (1.0 - a**2))


def share_of_the_way(steps: int, delta: float, sigma: float = 1.0) -> float:
    """How far K steps bring a chain's mean towards where a slope would have it: 1 - (1 - delta^2 / (2 sigma^2))^K."""
    return 1.0 - (1.0 - delta**2 / (2.0 * sigma**2)) ** steps


def moments(z: Array) -> dict[str, float]:
    """Of z [n, d]: norm of the mean vector, mean variance a dimension, mean norm, mean excess kurtosis a dimension (0 for a Gaussian)."""
    centred = z - z.mean(axis=0)
    variance = np.mean(centred**2, axis=0)
    kurtosis = np.mean(centred**4, axis=0) / np.maximum(variance, 1e-12) ** 2 - 3.0
    return {
        "mean_norm": float(np.linalg.norm(z.mean(axis=0))),
        "variance": float(variance.mean()),
        "norm": float(np.linalg.norm(z, axis=1).mean()),
        "kurtosis": float(kurtosis.mean()),
    }


def share_outside(w: Array, sigma: float = 1.0, limit: float = 4.0) -> float:
    """Share of points w [n, d] with any coordinate beyond limit * sigma (or not a number)."""
    return float(np.mean(~(np.abs(w) <= limit * sigma).all(axis=1)))


def rhat_nested(draws: Array, superchains: int) -> Array:
    """Nested R-hat (Margossian et al. 2024) of draws [chains, draws, ...], [...]: has the start been forgotten?

    The chains are `superchains` equal blocks in order, each block from one start. One draw a chain is enough, which suits many short
    chains. With M chains a block it is about sqrt(1 + 1/M) where the start is forgotten; NaN where a block's chains have not parted.
    The numbers of arviz_stats' rhat_nested(method="identity"), for every dimension at once.
    """
    chains, count = draws.shape[:2]
    blocks = draws.astype(np.float64).reshape(superchains, chains // superchains, *draws.shape[1:])
    means = blocks.mean(axis=2)
    within = means.var(axis=1, ddof=1) if blocks.shape[1] > 1 else np.zeros(means[:, 0].shape)
    if count > 1:
        within = within + blocks.var(axis=2, ddof=1).mean(axis=1)
    between = means.mean(axis=1).var(axis=0, ddof=1)
    within = within.mean(axis=0)
    parted = within > 1e-9 * between
    return np.where(parted, np.sqrt(1.0 + between / np.where(parted, within, 1.0)), np.nan)


def effective_sample_size(draws: Array) -> float:
    """Bulk effective sample size of one quantity by arviz_stats, draws [chains, draws]; NaN for under four draws or a non-finite one."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]

    if draws.shape[1] < 4 or not np.isfinite(draws).all():
        return math.nan
    with np.errstate(all="ignore"):
        return np.asarray(array_stats.ess(draws.astype(np.float64), chain_axis=0, draw_axis=1)).item()


def chain_rows(w: Array, u: Array, grad_norm: Array, superchains: int) -> list[dict[str, float]]:
    """A row a step for the table chain_stats.

    Energy quantiles, mean gradient norm, mean distance from the start (moved_mean), share of chains still at their start (stuck), nested
    R-hat of that step's positions (mean over dimensions) and ESS of the energy over the steps so far (NaN before the fourth).
    The chains are `superchains` equal blocks, each from one start.
    """
    moved = displacement(w)
    rows = []
    for step in range(len(w)):
        finite = u[step][np.isfinite(u[step])]
        rows.append({
            "step": step,
            **{f"energy_q{q:02d}": float(np.quantile(finite, q / 100)) if len(finite) else math.nan for q in (5, 25, 50, 75, 95)},
            "grad_norm_mean": float(grad_norm[step].mean()),
            "moved_mean": float(moved[step].mean()),
            "rhat_nested": float(np.mean(rhat_nested(w[step][:, None], superchains))),
            "ess": effective_sample_size(u[1 : step + 1].T),
            "stuck": float(np.mean(moved[step] < 1e-6)) if step else 0.0,
        })  # fmt: skip
    return rows


def chain_summary(w: Array, u: Array, data_energy: Array, accept: Array, sigma: float = 1.0) -> dict[str, float]:
    """What the run keeps of a task's chains. data_energy: U at its codes [m]; accept: [steps, chains]."""
    ends = w[-1]
    last = moments(ends)
    return {
        "energy_gap": energy_gap(u[-1], data_energy),
        "displacement": float(displacement(w)[-1].mean()),
        "acceptance": float(np.mean(accept)) if accept.size else 1.0,
        "outside_4sigma": share_outside(ends, sigma),
        "largest_coordinate": float(np.max(np.abs(ends))) / sigma,
        "nonfinite": float(np.mean(~np.isfinite(u))),
        "dim": float(w.shape[2]),
        "end_variance": last["variance"] / sigma**2,
        "end_kurtosis": last["kurtosis"],
    }


def latent_warnings(task: str, delta_nll: float, active_units: float) -> list[str]:
    """Sentences for a dead or dying latent of a task; none for a healthy one."""
    sentences = []
    if not delta_nll >= DEAD_DELTA_NLL:
        sentences.append(
            f"The latent of {task} is dead: another sample's z costs only {delta_nll:.3f} nats a token more than its own "
            f"(below {DEAD_DELTA_NLL:g}), so replay ignores z and is plain language-model sampling; "
            "lower energy.kl_weight, or raise energy.word_dropout or energy.kl_zero."
        )
    if not active_units >= TOO_FEW_ACTIVE:
        sentences.append(
            f"Only {active_units:.0%} of the latent dimensions of {task} are in use (below {TOO_FEW_ACTIVE:.0%}): "
            "the energy is being fitted to noise; lower energy.kl_weight or energy.dim."
        )
    elif active_units < FEW_ACTIVE:
        sentences.append(
            f"{active_units:.0%} of the latent dimensions of {task} are in use (below {FEW_ACTIVE:.0%}): "
            "energy.dim is larger than needed, or energy.kl_weight too high."
        )
    return sentences


def chain_warnings(task: str, values: Mapping[str, float], delta: float, steps: int, sigma: float = 1.0) -> list[str]:
    """Sentences for a runaway energy or an unmoved chain, from the values of `chain_summary`; none for healthy chains."""
    sentences = []
    mend = "raise energy.regulariser, or lower energy.lr or energy.fit_steps"
    finite = all(math.isfinite(values[name]) for name in ("energy_gap", "largest_coordinate", "displacement"))
    if values.get("nonfinite", 0.0) > 0 or not finite:
        sentences.append(f"Chains of {task} met energies that are not finite numbers: the energy ran away; {mend}.")
    elif abs(values["energy_gap"]) > LARGEST_GAP:
        apart = f"{abs(values['energy_gap']):.0f} nats apart (above {LARGEST_GAP:g})"
        sentences.append(f"The energy of {task} ran away: chains and codes are {apart}; {mend}.")
    elif values["largest_coordinate"] > LARGEST_COORDINATE:
        sentences.append(
            f"A chain of {task} ended {values['largest_coordinate']:.1f} standard deviations out (above {LARGEST_COORDINATE:g}): "
            f"the energy is low where no code is; {mend}."
        )
    if steps == 0:
        return sentences
    expected = noise_displacement(steps, delta, int(values["dim"]), sigma)
    if values["displacement"] < UNMOVED * expected:
        refused = f" ({1 - values['acceptance']:.0%} of the steps were refused)" if values.get("acceptance", 1.0) < 1 else ""
        sentences.append(
            f"Chains of {task} hardly moved{refused}: {values['displacement']:.2f} from their start, where the noise alone gives "
            f"{expected:.2f}; lower energy.delta, or use energy.kernel ula."
        )
    elif share_of_the_way(steps, delta, sigma) < SHORT_OF_THE_WAY:
        sentences.append(
            f"{steps} steps of delta {delta:g} bring chains of {task} only {share_of_the_way(steps, delta, sigma):.0%} of the way from "
            "the reference to the energy's modes, so replay is close to the reference; raise energy.steps or energy.delta "
            "(20 steps of 0.4 go 81 %)."
        )
    return sentences


def warnings_of(
    task: str,
    latent: Mapping[str, float] | None = None,
    chains: Mapping[str, float] | None = None,
    delta: float = 0.4,
    steps: int = 20,
    sigma: float = 1.0,
) -> list[str]:
    """Every sentence about one task. latent: delta_nll and active_units; chains: the values of `chain_summary`."""
    found = latent_warnings(task, latent["delta_nll"], latent["active_units"]) if latent else []
    return found + (chain_warnings(task, chains, delta, steps, sigma) if chains else [])
