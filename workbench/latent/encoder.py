"""The encoder q_phi(z | x): a diagonal Gaussian over the latent of one whole sample, read from the language model's hidden states."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from workbench.config import EnergyConfig

LOGVAR_RANGE = (-10.0, 10.0)


class Encoder(nn.Module):
    """Attention pooling with learned queries, then two linear heads.

    hidden_size: width of the language model's hidden states; dim: d, dimensions of z; heads: learned queries, whose pooled
    vectors are concatenated before the heads.
    """

    def __init__(self, hidden_size: int, dim: int, heads: int = 4):
        super().__init__()
        self.query = nn.Parameter(torch.randn(heads, hidden_size) / math.sqrt(hidden_size))
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.mu = nn.Linear(heads * hidden_size, dim)
        self.logvar = nn.Linear(heads * hidden_size, dim)
        nn.init.normal_(self.logvar.weight, std=1e-3)
        # A narrow posterior at first: while z is noise the decoder learns to ignore it, and does not come back.
        nn.init.constant_(self.logvar.bias, -2.0)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """hidden: [b, n, h], lengths: [b] positions that count -> mu: [b, d], logvar: [b, d], clamped to [-10, 10]."""
        hidden = hidden.to(self.mu.weight.dtype)
        scores = self.key(hidden) @ self.query.T / math.sqrt(hidden.shape[-1])  # [b, n, heads]
        padded = torch.arange(hidden.shape[1], device=hidden.device) >= lengths.to(hidden.device)[:, None]
        attention = scores.masked_fill(padded[..., None], float("-inf")).softmax(dim=1)
        pooled = (attention.transpose(1, 2) @ hidden).flatten(1)
        return self.mu(pooled), self.logvar(pooled).clamp(*LOGVAR_RANGE)


def draw(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One reparameterised sample a row, z = mu + exp(logvar / 2) eps. mu, logvar, result: [b, d]."""
    device = generator.device if generator is not None else mu.device
    noise = torch.randn(mu.shape, generator=generator, device=device, dtype=mu.dtype).to(mu.device)
    return mu + (0.5 * logvar).exp() * noise


def kl(mu: Tensor, logvar: Tensor, sigma: float = 1.0, free_bits: float = 0.0) -> tuple[Tensor, Tensor]:
    """KL(q_phi || N(0, sigma^2 I)) in nats -> (sum over dimensions [b], batch mean a dimension [d]).

    A dimension of a sample whose KL is below free_bits does not count in the sum (and gets no gradient); the mean a
    dimension is the plain KL, detached, for the run's diagnostics. mu, logvar: [b, d].
    """
    each = 0.5 * ((mu.square() + logvar.exp()) / sigma**2 - 1.0 - logvar + 2.0 * math.log(sigma))
    counted = torch.where(each > free_bits, each, torch.zeros_like(each))
    return counted.sum(dim=1), each.detach().mean(dim=0)


def kl_weight_at(config: EnergyConfig, progress: float) -> float:
    """Weight of the KL term at `progress` (0..1) of a task's training: each cycle is zero, then a linear rise, then the full weight."""
    position = 1.0 if progress >= 1 else max(progress, 0.0) * config.kl_cycles % 1.0
    if position < config.kl_zero:
        return 0.0
    risen = (position - config.kl_zero) / config.kl_ramp if config.kl_ramp > 0 else 1.0
    return config.kl_weight * min(risen, 1.0)
