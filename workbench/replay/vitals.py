"""Is the latent alive, do the chains move, has the energy run away: what each run measures after each task, and says in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.latent import diagnose
from workbench.latent.encoder import kl
from workbench.latent.energy import LatentEnergy
from workbench.learning.learner import Learner
from workbench.lm.nll import nll
from workbench.lm.sequences import gen_batch, gen_ids, qa_batch, qa_ids
from workbench.replay.sources.energy import EnergyReplay

STARTS, CHAINS_A_START = 16, 8
PROBES = 64


def measure(learner: Learner, source: Any, codes: Mapping[str, Tensor]) -> None:
    """Write diagnostics, chain statistics, probe codes and the energy of this moment; warn of what is wrong. codes: {task: [m, d]}."""
    if learner.record is None:
        return
    with learner.clock("record"):
        generator = torch.Generator().manual_seed(learner.iteration)
        for name, values in _latent_life(learner, generator).items():
            for what, value in values.items():
                _note(learner, what, name, value)
            for sentence in diagnose.latent_warnings(name, values["delta_nll"], values["active_units"]):
                learner.warn(sentence)
        _probe_codes(learner)
        if isinstance(source, EnergyReplay) and source.energy is not None:
            tensors, about = source.energy.to_safetensors_dict()
            arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
            learner.record.arrays("weights", f"energy_{learner.iteration:09d}", arrays, about)
            for known in learner.tasks:
                if known.name in codes and len(codes[known.name]):
                    _chains(learner, source, source.energy, known.name, codes[known.name], generator)


def _note(learner: Learner, name: str, subject: str, value: float) -> None:
    row = {"iteration": learner.iteration, "task": learner.tasks[-1].name, "name": name, "subject": subject, "value": float(value)}
    learner.record.append("diagnostics", row)


@torch.no_grad()
def _latent_life(learner: Learner, generator: torch.Generator) -> dict[str, dict[str, float]]:
    """Of each past task's held-out probe: Delta NLL (nats a token that another sample's z costs more than one's own), KL, active units."""
    backbone, encoder, config = learner.backbone, learner.encoder, learner.config
    assert encoder is not None
    result = {}
    for known in learner.tasks:
        rows = [
            row for sample in learner.probe[known.name][:PROBES] if (row := qa_ids(backbone.tokens, sample, config.backbone.max_length))
        ]
        if len(rows) < 2:
            continue
        qa = qa_batch(rows, backbone.tokens.pad_id).to(learner.device)
        token = known.name if config.replay.tokens == "task" else None
        batch = gen_batch([gen_ids(backbone.tokens, ids, token) for ids, _ in rows], backbone.tokens.pad_id).to(learner.device)
        mu, logvar = encoder(backbone.hidden(qa.ids, qa.lengths), qa.lengths)
        others = (torch.arange(len(rows)) + 1 + int(torch.randint(len(rows) - 1, (1,), generator=generator))) % len(rows)
        own, other = (nll(backbone, backbone.hidden_given(batch.ids, batch.lengths, z), batch) for z in (mu, mu[others]))
        each, by_dim = kl(mu, logvar, config.energy.sigma)
        result[known.name] = {
            "delta_nll": diagnose.delta_nll(own.nats.cpu().numpy(), other.nats.cpu().numpy(), own.tokens.cpu().numpy()),
            "nll_own": float(own.nats.sum() / own.tokens.sum()),
            "kl": float(each.mean()),
            "active_units": diagnose.active_units(mu.cpu().numpy()),
            "kl_largest_dim": float(by_dim.max()),
        }
    return result


@torch.no_grad()
def _probe_codes(learner: Learner) -> None:
    """Codes of a fixed, held-out probe of every past task, as means and log variances of q: latents/ITERATION.safetensors."""
    backbone, encoder = learner.backbone, learner.encoder
    assert encoder is not None
    codes, places, uids = [], [], []
    for index, known in enumerate(learner.tasks):
        for sample in learner.probe[known.name]:
            row = qa_ids(backbone.tokens, sample, learner.config.backbone.max_length)
            if row is not None:
                codes.append(row)
                places.append(index)
                uids.append(sample.uid)
    if not codes:
        return
    means, logvars = [], []
    for start in range(0, len(codes), 128):
        batch = qa_batch(codes[start : start + 128], backbone.tokens.pad_id).to(learner.device)
        mu, logvar = encoder(backbone.hidden(batch.ids, batch.lengths), batch.lengths)
        means.append(mu.cpu())
        logvars.append(logvar.cpu())
    about = {"tasks": json.dumps([known.name for known in learner.tasks]), "uids": json.dumps(uids), "iteration": str(learner.iteration)}
    arrays = {
        "z": torch.cat(means).float().numpy(),
        "logvar": torch.cat(logvars).float().numpy(),
        "task_index": np.array(places, dtype=np.int64),
    }
    learner.record.arrays("latents", f"{learner.iteration:09d}", arrays, about)


def _chains(learner: Learner, source: EnergyReplay, energy: LatentEnergy, task: str, codes: Tensor, generator: torch.Generator) -> None:
    """Statistics by Langevin step of superchains: STARTS starts, CHAINS_A_START chains from each, which nested R-hat needs."""
    chain = source.chains(task, STARTS * CHAINS_A_START, generator, repeats=CHAINS_A_START)
    w, u = chain.z.cpu().numpy(), chain.energy.cpu().numpy()
    with torch.no_grad():
        data = energy.energy(codes, task).cpu().numpy()
    for row in diagnose.chain_rows(w, u, chain.grad_norm.cpu().numpy(), STARTS):
        learner.record.append("chain_stats", {"iteration": learner.iteration, "task": task, **row})
    values = diagnose.chain_summary(w, u, data, chain.accept.cpu().numpy(), learner.config.energy.sigma)
    for name, value in values.items():
        _note(learner, name, task, value)
    for sentence in diagnose.chain_warnings(task, values, learner.config.energy.delta, learner.config.energy.steps):
        learner.warn(sentence)
