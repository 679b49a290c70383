"""What a fit of F is worth: gain on held-out codes beside what a mixture and a free classifier gain, and whether draws can be told from codes.

Pure: rows and sentences are returned, nothing is written. One row a task, columns as in COLUMNS.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.config import EnergyConfig
from workbench.latent.langevin import kernel_named, run_chain, standard_normal
from workbench.latent.objectives import Fit, Split, fit_energy, gain, sample_means

PARTS = (2, 4, 8)
DRAWS, RESAMPLES, CHAINS = 8192, 400, 128
MIXTURE_CODES = {"gain": 2000, "full": 8000}
"""Codes a mixture is fitted to, by energy.fit_report."""
UNUSED = 0.5
WORTH_ASKING = 0.1
"""Nats below which nothing was there to gain."""

COLUMNS = {
    "fit_gain": "nats that F knows more than the Gaussian on codes of samples held out from the fit",
    "fit_gain_low": "lower end of its 95 % interval (bootstrap over held-out samples)",
    "fit_gain_high": "upper end",
    "fit_log_z": "log Z of F over draws of the Gaussian: 0 where F is normalised",
    "fit_samples": "samples held out",
    "fit_gain_mixture": "the same gain of a Gaussian mixture, its parts chosen on the held-out codes",
    "fit_parts": "parts of that mixture",
    "fit_effective_k": "Langevin steps after which 90 % of what F at the chains' ends rises has risen",
    "fit_gain_reachable": "the same gain of a classifier of the task's own, trained four times as long",
    "fit_auc_energy": "how well a classifier tells the sampler's ends at K from held-out codes; 0.5: not at all",
    "fit_auc_gaussian": "the same for draws of the Gaussian",
    "fit_auc_mixture": "the same for draws of the mixture",
}


def measure_fit(fit: Fit, config: EnergyConfig, generator: torch.Generator) -> tuple[dict[str, dict[str, float]], list[str]]:
    """({task: {column: value}}, warnings). energy.fit_report decides which columns; a task that held nothing out has no row."""
    rows, sentences = {}, []
    for task, split in fit.splits.items():
        if len(split.held):
            rows[task] = _task_row(fit, task, split, config, generator)
            sentences += unused(task, rows[task])
    return rows, sentences


def unused(task: str, row: Mapping[str, float]) -> list[str]:
    """The sentence that a fit earns which leaves more than half of a reachable gain unused; none for a good one."""
    reachable = max(row.get("fit_gain_reachable", 0.0), row.get("fit_gain_mixture", 0.0))
    if reachable < WORTH_ASKING or row["fit_gain"] >= UNUSED * reachable:
        return []
    return [
        f"The energy of {task} leaves most of what it could know unused: it gains {row['fit_gain']:.2f} nats on held-out codes where "
        f"{reachable:.2f} can be reached; raise energy.fit_steps or energy.lr, or use energy.objective noise_contrast."
    ]


@torch.no_grad()
def _task_row(fit: Fit, task: str, split: Split, config: EnergyConfig, generator: torch.Generator) -> dict[str, float]:
    energy = fit.energy
    j = energy.symbols.index(task)
    normal = config.sigma * standard_normal((DRAWS, config.dim), split.held, generator)
    f_held, f_normal = energy.f(split.held)[:, j], energy.f(normal)[:, j]
    found = gain(f_held, f_normal, split.groups)
    low, high = interval(f_held, split.groups, found.log_z, generator)
    # Chains four times as long show the plateau.
    start = config.sigma * standard_normal((CHAINS, config.dim), split.held, generator)
    chain = run_chain(kernel_named(config.kernel, config.delta), energy.value_and_grad(task), start, 4 * max(config.steps, 1), generator)
    along = torch.stack([energy.f(w)[:, j].mean() for w in chain.z])
    mixture, parts = _mixture(split, config)
    row = {
        "fit_gain": found.nats, "fit_gain_low": low, "fit_gain_high": high, "fit_log_z": found.log_z,
        "fit_samples": float(len(split.groups.unique())), "fit_effective_k": effective_steps(along),
        "fit_gain_mixture": mixture.gain if mixture else 0.0, "fit_parts": float(parts),
    }  # fmt: skip
    if config.fit_report == "full":
        row["fit_gain_reachable"] = reachable_gain(fit, task, config, generator)
        n = len(split.held)
        ends = chain.z[config.steps]
        if len(ends) < n:
            start = config.sigma * standard_normal((n, config.dim), split.held, generator)
            kernel = kernel_named(config.kernel, config.delta)
            ends = run_chain(kernel, energy.value_and_grad(task), start, config.steps, generator).z[-1]
        codes = energy.to_z(split.held, task)
        draws = {"energy": ends[:n], "gaussian": normal[:n], "mixture": mixture.draws(n) if mixture else normal[:n]}
        for name, w in draws.items():
            row[f"fit_auc_{name}"] = two_sample_auc(energy.to_z(w.to(codes.device), task), codes, split.groups, generator)
    return row


def interval(f_held: Tensor, groups: Tensor, log_z: float, generator: torch.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of a gain over the held-out samples; log Z counts as known."""
    means = sample_means(f_held, groups)
    again = torch.randint(len(means), (RESAMPLES, len(means)), generator=generator, device=generator.device).cpu()
    low, high = means[again].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low - log_z, high - log_z


def effective_steps(along: Tensor) -> float:
    """The first step at which 90 % of the rise of `along` [steps+1] to its plateau (mean of the last quarter) is done; 0 for no rise."""
    plateau, start = along[-max(1, len(along) // 4) :].mean(), along[0]
    if not float(plateau - start) > 1e-3:
        return 0.0
    return float((along >= start + 0.9 * (plateau - start)).int().argmax())


def reachable_gain(fit: Fit, task: str, config: EnergyConfig, generator: torch.Generator) -> float:
    """Held-out gain of a network of this task alone, on the same split, trained four times as long, by noise contrast."""
    alone = config.model_copy(update={"objective": "noise_contrast", "fit_steps": 4 * config.fit_steps})
    with torch.enable_grad():
        found = fit_energy({task: fit.codes[task]}, alone, generator, splits={task: fit.splits[task]}, reference=fit.energy)
    return found.gains[task].nats


def two_sample_auc(draws: Tensor, codes: Tensor, groups: Tensor, generator: torch.Generator, steps: int = 300) -> float:
    """Area under the curve of a small classifier of draws [n, d] against held-out codes [n, d], trained on half the samples, judged on the
    other half, and the other way round. Two halves, so that it cannot know a sample by heart."""
    from sklearn.metrics import roc_auc_score

    # In the axes of z, each scaled: there a small classifier finds more than in whitened ones.
    centre, spread = codes.mean(0), codes.std(0).clamp(min=1e-6)
    draws, codes = (draws - centre) / spread, (codes - centre) / spread
    values = []
    for half in (0, 1):
        seen_codes, seen_draws = groups % 2 != half, torch.arange(len(draws), device=draws.device) % 2 != half
        x = torch.cat([draws[seen_draws], codes[seen_codes]])
        y = torch.cat([torch.zeros(int(seen_draws.sum())), torch.ones(int(seen_codes.sum()))]).to(x.device)
        if not 0 < float(y.sum()) < len(y) or bool(seen_codes.all()):
            return math.nan
        weight = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator, device=generator.device)))
            net = nn.Sequential(nn.Linear(x.shape[1], 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1)).to(x.device)
            optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.1)
            for _ in range(steps):
                rows = torch.randint(len(x), (256,), generator=generator, device=generator.device).to(x.device)
                loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows])[:, 0], y[rows], weight[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            scores = [net(draws[~seen_draws])[:, 0].cpu(), net(codes[~seen_codes])[:, 0].cpu()]
            labels = torch.cat([torch.full_like(part, float(place)) for place, part in enumerate(scores)])
            values.append(float(roc_auc_score(labels.numpy(), torch.cat(scores).numpy())))
    return sum(values) / 2


class _Mixture:
    def __init__(self, model: object, gain: float) -> None:
        self.model, self.gain = model, gain

    def draws(self, n: int) -> Tensor:
        return torch.from_numpy(self.model.sample(n)[0]).float()  # type: ignore[attr-defined]


def _mixture(split: Split, config: EnergyConfig) -> tuple[_Mixture | None, int]:
    """The Gaussian mixture in w that gains most on held-out codes over the reference, and its parts; (None, 1) where none gains."""
    from sklearn.mixture import GaussianMixture

    step = max(1, len(split.train) // MIXTURE_CODES[config.fit_report])
    train, held = split.train[::step].cpu().numpy(), split.held.cpu()
    base = -0.5 * held.square().sum(1) / config.sigma**2 - 0.5 * config.dim * math.log(2 * math.pi * config.sigma**2)
    best, chosen = None, 1
    for parts in PARTS:
        if len(train) < 4 * parts * config.dim:
            break
        model = GaussianMixture(parts, reg_covar=1e-2, max_iter=30, n_init=1, init_params="k-means++", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # thirty rounds are enough to compare with, converged or not
            model.fit(train)
        nats = float((torch.from_numpy(model.score_samples(held.numpy())) - base).mean())
        if nats > (best.gain if best else 0.0):
            best, chosen = _Mixture(model, nats), parts
    return best, chosen
