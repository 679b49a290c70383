"""What the sources of latents share: codes of samples by the encoder, and the draw that decodes latents into samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workbench.latent.encoder import draw as draw_posterior
from workbench.latent.langevin import kernel_named, last_state
from workbench.learning.learner import Learner
from workbench.lm.nll import nll
from workbench.lm.sequences import Sample, gen_batch, gen_ids, qa_batch, qa_ids
from workbench.replay.generate import Asked, Proposal, generate
from workbench.replay.sample import ReplaySample

ENCODE_BATCH = 128


@torch.no_grad()
def encode(learner: Learner, samples: Sequence[Sample], generator: torch.Generator | None) -> Tensor:
    """Codes of the samples that fit: energy.code_draws draws a sample from q_phi(z | sample), one sample after the other, [m * draws, d];
    or its means where generator is None, [m, d].
    """
    backbone, encoder, config = learner.backbone, learner.encoder, learner.config
    assert encoder is not None
    rows = [row for row in (qa_ids(backbone.tokens, sample, config.backbone.max_length) for sample in samples) if row is not None]
    codes = []
    for start in range(0, len(rows), ENCODE_BATCH):
        part = rows[start : start + ENCODE_BATCH]
        batch = qa_batch(part, backbone.tokens.pad_id).to(learner.device)
        mu, logvar = encoder(backbone.hidden(batch.ids, batch.lengths), batch.lengths)
        z = mu
        if generator is not None:
            draws = config.energy.code_draws
            z = draw_posterior(mu.repeat_interleave(draws, 0), logvar.repeat_interleave(draws, 0), generator)
            if config.energy.posterior_steps:
                z = _refined(learner, [row for row in part for _ in range(draws)], z, generator)
        codes.append(z)
    return torch.cat(codes) if codes else torch.empty(0, config.energy.dim, device=learner.device)


def _refined(learner: Learner, rows: list[tuple[list[int], int]], z: Tensor, generator: torch.Generator) -> Tensor:
    """Short Langevin chains on p(z | x) from the encoder's draw, U = -log p_beta(x | z) + |z|^2 / (2 sigma^2): the EBM is not yet fitted."""
    backbone, config = learner.backbone, learner.config.energy
    batch = gen_batch([gen_ids(backbone.tokens, ids) for ids, _ in rows], backbone.tokens.pad_id).to(learner.device)

    def posterior(at: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = at.detach().requires_grad_()
            energy = nll(backbone, backbone.hidden_given(batch.ids, batch.lengths, at), batch).nats + at.square().sum(1) / (
                2 * config.sigma**2
            )
            (grad,) = torch.autograd.grad(energy.sum(), at)
        return energy.detach(), grad

    return last_state(kernel_named("ula", config.posterior_delta), posterior, z, config.posterior_steps, generator).z


def draw_latents(
    learner: Learner, origin: str, task: str | None, n: int, generator: torch.Generator, propose: Callable[[int], Proposal]
) -> list[ReplaySample]:
    """Decode what `propose` gives for a past task until n samples are kept and energy.code_samples are well formed."""
    assert task is not None
    known = learner.known(task)
    asked = Asked(known, n, origin, len(learner.tasks) - known.place, generator.initial_seed(), learner.config.energy.code_samples)
    return generate(learner, asked, propose, generator)
