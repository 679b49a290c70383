"""How F is learnt from codes: noise contrast, short-run contrast, or one after the other, stopped on samples that were held out.

Noise-contrastive estimation (Gutmann and Hyvarinen 2010): the reference of a task is a density that can be drawn from exactly, so F is
the logit of a classifier between codes and draws of the reference. It estimates log p(codes) - log p(reference), so it comes out
normalised (log Z near 0) and no chain is run. The short-run contrast (Eq. 12; Nijkamp et al. 2019) takes the ends of K Langevin steps
for its negatives: it teaches the sampler that is used, and is slower by K evaluations a step.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.config import EnergyConfig
from workbench.latent.energy import LatentEnergy, energy_loss
from workbench.latent.langevin import kernel_named, last_state, standard_normal

FEWEST_SAMPLES = 10
"""A task of fewer samples holds none out: its F cannot be checked and stays zero."""
CHECKS = 25
"""Looks at the held-out codes in one fit."""
PATIENCE = 6
"""Looks without a better gain after which the fit stops."""
AVERAGING = 0.98
"""Decay of the running mean of F's weights, which is what is looked at and kept."""
NOISE = 2
"""Draws of the reference for each code, in a step of noise contrast."""
LOG_Z_DRAWS, LOOKED_AT = 8192, 1000
UNITS, STEEP, POINTED = 4, 1.5, 8000
"""Of the first layer's start: units along one direction, their slope per standard deviation, codes that directions are looked for in."""


class Split(NamedTuple):
    """One task's codes as w, [n, d] each, whole samples held out; `groups` numbers the held-out sample of each held-out code, [n]."""

    train: Tensor
    held: Tensor
    groups: Tensor


class Gain(NamedTuple):
    """Nats that F knows more than the reference on held-out codes (Donsker and Varadhan), its standard error over samples, and log Z."""

    nats: float
    error: float
    log_z: float


class Fit(NamedTuple):
    """A fitted energy; one row a step; per task what was gained on held-out codes; each task's codes as they were split."""

    energy: LatentEnergy
    rows: list[dict[str, float]]
    gains: dict[str, Gain]
    splits: dict[str, Split]
    codes: Mapping[str, Tensor]


def fit_energy(
    codes: Mapping[str, Tensor],
    config: EnergyConfig,
    generator: torch.Generator,
    on_step: Callable[[dict[str, float]], None] | None = None,
    standardise: bool = True,
    splits: Mapping[str, Split] | None = None,
    reference: LatentEnergy | None = None,
) -> Fit:
    """Fit a fresh F to the codes of every task seen so far, {task: z [n, d]}, with as many codes a step from each.

    Codes come as `config.code_draws` neighbours a sample; samples are held out whole. F of a task is multiplied by the number in
    [0, 1] that gains most on its held-out codes, and is zero where that gain is not above its standard error.
    `standardise=False` leaves the isotropic reference N(0, sigma^2 I) in z itself; `splits` and `reference` take the held-out samples and
    coordinates of an earlier fit. Raises ValueError for no codes or another dim.
    """
    symbols = list(codes)
    if not symbols or any(z.ndim != 2 or z.shape[1] != config.dim or not len(z) for z in codes.values()):
        shapes = {name: tuple(z.shape) for name, z in codes.items()}
        raise ValueError(f"codes for the latent energy: found shapes {shapes}; accepted: [at least 1, {config.dim}] a task")
    device = codes[symbols[0]].device
    by_index = {j: codes[name].detach().float() for j, name in enumerate(symbols)}
    # Named generators decide everything drawn: the weights' own initialisation too.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator, device=generator.device)))
        energy = LatentEnergy(config.dim, symbols, config.hidden, config.sigma, config.reference)
    energy = energy.to(device)
    if reference is not None:
        places = [reference.symbols.index(name) for name in symbols]
        energy.reference.mean.copy_(reference.mean[places])
        energy.reference.chol.copy_(reference.chol[places])
    elif config.reference == "per_task":
        energy.reference.fit_per_task(by_index, config.sigma)
    elif standardise:
        energy.reference.fit_shared(by_index, config.sigma)
    if splits is None:
        by_task = {j: _split(energy.to_w(z, j), config, generator) for j, z in by_index.items()}
    else:
        by_task = {j: splits[name] for j, name in enumerate(symbols)}
    _point(energy, by_task, generator)
    rows: list[dict[str, float]] = []
    if config.objective in ("noise_contrast", "both"):
        _train(energy, by_task, config, generator, _noise_contrast, config.fit_steps, config.lr, rows, on_step)
    if config.objective in ("short_run", "both"):
        steps = config.fit_steps if config.objective == "short_run" else config.short_run_steps
        _train(energy, by_task, config, generator, _short_run, steps, config.short_run_lr, rows, on_step)
    gains = _settle(energy, by_task, config, generator)
    return Fit(energy, rows, dict(zip(symbols, gains, strict=True)), dict(zip(symbols, by_task.values(), strict=True)), codes)


def fit_latent_energy(
    codes: Mapping[str, Tensor],
    config: EnergyConfig,
    generator: torch.Generator,
    on_step: Callable[[dict[str, float]], None] | None = None,
    standardise: bool = True,
) -> tuple[LatentEnergy, list[dict[str, float]]]:
    """The energy and the rows of `fit_energy`, for who wants no more."""
    return fit_energy(codes, config, generator, on_step, standardise)[:2]


def balanced_batch(codes: Mapping[int, Tensor], share: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`share` codes of every task drawn with replacement, and their symbols: [tasks * share, d], [tasks * share], task by task."""
    drawn, symbols = [], []
    for j, z in codes.items():
        rows = torch.randint(len(z), (share,), generator=generator, device=generator.device)
        drawn.append(z[rows.to(z.device)])
        symbols.append(torch.full((share,), j, device=z.device))
    return torch.cat(drawn), torch.cat(symbols)


def gain(f_held: Tensor, f_reference: Tensor, groups: Tensor) -> Gain:
    """mean F on held-out codes [n] - log mean exp F over draws of the reference [m]; groups [n]: the sample each code is a draw of."""
    log_z = float(f_reference.double().logsumexp(0)) - math.log(len(f_reference))
    means = sample_means(f_held, groups)
    error = float(means.std()) / math.sqrt(len(means)) if len(means) > 1 else math.inf
    return Gain(float(means.mean()) - log_z, error, log_z)


def sample_means(values: Tensor, groups: Tensor) -> Tensor:
    """Mean over the draws of each sample, [samples]. values, groups: [n]."""
    count = int(groups.max()) + 1 if len(groups) else 0
    total = torch.zeros(count, dtype=torch.float64).index_add_(0, groups.cpu(), values.double().cpu())
    number = torch.bincount(groups.cpu(), minlength=count)
    return total[number > 0] / number[number > 0]


def _split(w: Tensor, config: EnergyConfig, generator: torch.Generator) -> Split:
    sample = torch.arange(len(w), device=w.device) // config.code_draws
    samples = int(sample[-1]) + 1
    order = torch.randperm(samples, generator=generator, device=generator.device).to(w.device)
    place = torch.empty_like(order)
    place[order] = torch.arange(samples, device=w.device)
    count = round(config.held_out * samples) if samples >= FEWEST_SAMPLES else 0
    held = place[sample] < count
    return Split(w[~held], w[held], place[sample][held])


def directions(w: Tensor, generator: torch.Generator) -> Tensor:
    """Unit directions in which whitened codes w [n, d] are least Gaussian, [d, d], by squared excess kurtosis plus squared skewness, largest
    first: symmetric FastICA with the cubic contrast (Hyvarinen 1999).
    """
    from sklearn.decomposition import FastICA

    w = (w - w.mean(0)) / w.std(0).clamp(min=1e-6)
    start = torch.linalg.qr(standard_normal((w.shape[1], w.shape[1]), w, generator))[0]
    ica = FastICA(algorithm="parallel", whiten=False, fun="cube", max_iter=30, w_init=start.double().cpu().numpy())  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thirty rounds find what stands out; that the Gaussian rest does not settle is no fault
        turned = torch.from_numpy(ica.fit(w.double().cpu().numpy()).components_).to(w)
    along = w @ turned.T
    far = (along.pow(4).mean(0) - 3).square() + along.pow(3).mean(0).square()
    return turned[far.argsort(descending=True)]


@torch.no_grad()
def _point(energy: LatentEnergy, splits: Mapping[int, Split], generator: torch.Generator) -> None:
    """Let three quarters of F's first layer look along the least Gaussian directions of the tasks' codes, UNITS bends on each.

    Mean and covariance are the reference's already, so what F has to find shows only in higher moments: from random directions in many
    dimensions its gradient starts close to zero.
    """
    first = energy._layers[0]
    share = first.out_features * 3 // 4 // (len(splits) * UNITS)
    bends = torch.linspace(-1.5, 1.5, UNITS, device=first.weight.device) * energy.sigma
    place = 0
    for split in splits.values():
        if len(split.train) < 4 * split.train.shape[1]:
            continue
        for direction in directions(split.train[:POINTED], generator)[:share]:
            rows = slice(place, place + UNITS)
            first.weight[rows] = STEEP / energy.sigma * direction
            first.bias[rows] = -STEEP / energy.sigma * bends
            place += UNITS


Loss = Callable[[LatentEnergy, Mapping[int, Split], EnergyConfig, torch.Generator], tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]]
"""(loss, F at positives, F at negatives, positives, starts of the negatives, negatives) of one step, points as w."""


def _noise_contrast(
    energy: LatentEnergy, splits: Mapping[int, Split], config: EnergyConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    w_pos, symbol = balanced_batch({j: split.train for j, split in splits.items()}, config.fit_batch, generator)
    w_neg = config.sigma * standard_normal((NOISE * len(w_pos), config.dim), w_pos, generator)
    f = energy._column(energy.f(torch.cat([w_pos, w_neg])), symbol.repeat(1 + NOISE))
    f_pos, f_neg = f[: len(w_pos)], f[len(w_pos) :]
    # The logit is F less log NOISE, the prior odds: that makes F itself the log ratio of the densities.
    odds = math.log(NOISE)
    loss = nn.functional.softplus(odds - f_pos).mean() + NOISE * nn.functional.softplus(f_neg - odds).mean()
    return loss, f_pos, f_neg, w_pos, w_neg, w_neg


def _short_run(
    energy: LatentEnergy, splits: Mapping[int, Split], config: EnergyConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    codes = {j: split.train for j, split in splits.items()}
    w_pos, symbol = balanced_batch(codes, config.fit_batch, generator)
    order = torch.randperm(len(symbol), generator=generator, device=generator.device).to(symbol.device)
    w_pos, symbol = w_pos[order], symbol[order]
    start = config.sigma * standard_normal(w_pos.shape, w_pos, generator)
    if config.init == "encoder":
        again, _ = balanced_batch(codes, config.fit_batch, generator)
        start = again[order]
    kernel = kernel_named(config.kernel, config.delta)
    end = last_state(kernel, energy.value_and_grad(symbol), start, config.steps, generator).z
    loss, f_pos, f_neg = energy_loss(energy, energy.to_z(w_pos, symbol), end, symbol, config)
    return loss, f_pos, f_neg, w_pos, start, end


def _train(
    energy: LatentEnergy,
    splits: Mapping[int, Split],
    config: EnergyConfig,
    generator: torch.Generator,
    loss_of: Loss,
    steps: int,
    lr: float,
    rows: list[dict[str, float]],
    on_step: Callable[[dict[str, float]], None] | None,
) -> None:
    """Up to `steps` steps; the energy is left with the averaged weights that gained most on held-out codes, its start among them."""
    trunk = energy.trunk
    optimiser = torch.optim.AdamW(trunk.parameters(), lr=lr, weight_decay=config.weight_decay)
    average = copy.deepcopy(energy)
    looked_at = {j: Split(split.train, split.held[:: _thin(split)], split.groups[:: _thin(split)]) for j, split in splits.items()}
    reference = config.sigma * standard_normal((2048, config.dim), energy.mean, generator)
    best, best_gain, waited = copy.deepcopy(trunk.state_dict()), _total(energy, looked_at, reference), 0
    every = max(1, steps // CHECKS)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 20) * (1.0 - step / steps)
        loss, f_pos, f_neg, w_pos, start, w_neg = loss_of(energy, splits, config, generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(trunk.parameters(), config.clip)
        optimiser.step()
        with torch.no_grad():
            decay = min(AVERAGING, (step + 1) / (step + 10))
            for mean, now in zip(average.trunk.parameters(), trunk.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        rows.append(_row(len(rows), loss, f_pos, f_neg, norm, start, w_neg, w_pos, config.sigma))
        if on_step is not None:
            on_step(rows[-1])
        if (step + 1) % every == 0 or step + 1 == steps:
            found, waited = _total(average, looked_at, reference), waited + 1
            if found > best_gain:
                best, best_gain, waited = copy.deepcopy(average.trunk.state_dict()), found, 0
            if waited >= PATIENCE:
                break
    trunk.load_state_dict(best)


def _thin(split: Split) -> int:
    """Every how manyth held-out code is looked at while F learns: neighbours tell the same."""
    return max(1, len(split.held) // LOOKED_AT)


@torch.no_grad()
def _total(energy: LatentEnergy, splits: Mapping[int, Split], reference: Tensor) -> float:
    """Mean gain over the tasks that hold samples out, each with the best multiple of its F, so that one task's harm hides no other's good."""
    f_reference = energy.f(reference)
    found = [_best_scale(energy.f(split.held)[:, j], f_reference[:, j], split.groups)[1] for j, split in splits.items() if len(split.held)]
    return sum(one.nats for one in found) / max(len(found), 1)


def _best_scale(f_held: Tensor, f_reference: Tensor, groups: Tensor) -> tuple[float, Gain]:
    """The multiple of F in [0, 1] that gains most on held-out codes, and that gain. It is concave in the multiple."""
    means, f_reference = sample_means(f_held, groups).mean(), f_reference.double()
    low, high = 0.0, 1.0

    def slope(scale: float) -> float:
        return float(means - ((scale * f_reference).softmax(0) * f_reference).sum())

    if slope(1.0) < 0:
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    else:
        low = 1.0
    return low, gain(low * f_held, low * f_reference, groups)


@torch.no_grad()
def _settle(energy: LatentEnergy, splits: Mapping[int, Split], config: EnergyConfig, generator: torch.Generator) -> list[Gain]:
    """Scale each output, or set it to zero where nothing is gained, and take log Z off its bias: F is left normalised."""
    last, gains = energy._layers[2], []
    f_reference = energy.f(config.sigma * standard_normal((LOG_Z_DRAWS, config.dim), energy.mean, generator))
    for j, split in splits.items():
        scale, found = 0.0, Gain(0.0, 0.0, 0.0)
        if len(split.held):
            scale, found = _best_scale(energy.f(split.held)[:, j], f_reference[:, j], split.groups)
        if not found.nats > found.error:
            scale, found = 0.0, Gain(0.0, 0.0, 0.0)
        last.weight[j] *= scale
        last.bias[j] = scale * last.bias[j] - found.log_z
        gains.append(found)
    return gains


def _row(
    step: int, loss: Tensor, f_pos: Tensor, f_neg: Tensor, grad_norm: Tensor, w0: Tensor, w_neg: Tensor, w_pos: Tensor, sigma: float
) -> dict[str, float]:
    with torch.no_grad():
        values = torch.stack([
            loss, f_pos.mean(), f_neg.mean(), f_pos.mean() - f_neg.mean(), grad_norm, (w_neg - w0).norm(dim=1).mean(),
            w_pos.norm(dim=1).mean(), w_neg.norm(dim=1).mean(), (w_neg.abs().amax(1) > 4 * sigma).float().mean(),
        ]).tolist()  # fmt: skip
    names = ("loss", "f_pos", "f_neg", "gap", "grad_norm", "displacement", "pos_norm", "neg_norm", "outside_4sigma")
    return {"step": step, **dict(zip(names, values, strict=True))}
