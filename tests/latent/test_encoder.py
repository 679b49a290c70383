from __future__ import annotations

import math

import pytest
import torch

from workbench.config import EnergyConfig
from workbench.latent.encoder import Encoder, draw, kl, kl_weight_at


def test_padding_does_not_reach_the_code() -> None:
    torch.manual_seed(0)
    encoder = Encoder(8, 3)
    hidden, lengths = torch.randn(2, 5, 8), torch.tensor([3, 5])
    mu, logvar = encoder(hidden, lengths)
    assert mu.shape == logvar.shape == (2, 3)
    spoiled = hidden.clone()
    spoiled[0, 3:] = 100.0
    torch.testing.assert_close(encoder(spoiled, lengths)[0], mu)
    torch.testing.assert_close(encoder(hidden[:1, :3], torch.tensor([3]))[0], mu[:1])
    assert not torch.allclose(encoder(hidden + torch.eye(5, 8), lengths)[0], mu)


def test_the_posterior_starts_narrow_and_stays_in_range() -> None:
    torch.manual_seed(0)
    encoder = Encoder(8, 3)
    logvar = encoder(torch.randn(4, 5, 8), torch.full((4,), 5))[1]
    torch.testing.assert_close(logvar, torch.full((4, 3), -2.0), atol=0.2, rtol=0)
    with torch.no_grad():
        encoder.logvar.bias.fill_(1e4)
    assert encoder(torch.randn(4, 5, 8), torch.full((4,), 5))[1].max() == 10


def test_kl_worked_by_hand_and_against_torch() -> None:
    # mu = 1, variance 1, sigma 1: KL = 1/2. mu = 0, variance e: (e - 1 - 1) / 2 = 0.359.
    total, by_dim = kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert by_dim.tolist() == pytest.approx([0.5, (math.e - 2) / 2]) and float(total) == pytest.approx(0.5 + (math.e - 2) / 2)
    mu, logvar = torch.randn(6, 4), torch.randn(6, 4)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mu, (logvar / 2).exp()), normal(0.0, 2.0))
    torch.testing.assert_close(kl(mu, logvar, sigma=2.0)[0], expected.sum(1))
    torch.testing.assert_close(kl(mu, logvar, sigma=2.0)[1], expected.mean(0))


def test_free_bits_are_not_counted_and_get_no_gradient() -> None:
    mu = torch.tensor([[1.0, 0.1]], requires_grad=True)  # KL 0.5 and 0.005
    total, by_dim = kl(mu, torch.zeros(1, 2), free_bits=0.25)
    assert float(total.detach()) == pytest.approx(0.5) and by_dim.tolist() == pytest.approx([0.5, 0.005])
    total.sum().backward()
    assert mu.grad is not None and mu.grad.tolist() == [[1.0, 0.0]]


def test_draws_have_the_posteriors_moments_and_their_own_generator() -> None:
    mu, logvar = torch.full((20_000, 1), 3.0), torch.full((20_000, 1), math.log(0.25))
    z = draw(mu, logvar, torch.Generator().manual_seed(0))
    assert float(z.mean()) == pytest.approx(3.0, abs=0.02) and float(z.std()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(z, draw(mu, logvar, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("cycles", "progress", "share"),
    [
        (1, 0.0, 0.0),
        (1, 0.2, 0.0),
        (1, 0.375, 0.5),
        (1, 0.5, 1.0),
        (1, 0.9, 1.0),
        (1, 1.0, 1.0),
        (2, 0.5, 0.0),
        (2, 0.6875, 0.5),
        (2, 1.0, 1.0),
    ],
)
def test_kl_weight_is_zero_then_rises_then_holds(cycles: int, progress: float, share: float) -> None:
    config = EnergyConfig(kl_weight=0.02, kl_zero=0.25, kl_ramp=0.25, kl_cycles=cycles)  # pyright: ignore[reportCallIssue]
    assert kl_weight_at(config, progress) == pytest.approx(0.02 * share)


def test_kl_weight_without_ramp_jumps() -> None:
    config = EnergyConfig(kl_weight=0.02, kl_zero=0.5, kl_ramp=0.0)  # pyright: ignore[reportCallIssue]
    assert kl_weight_at(config, 0.49) == 0.0 and kl_weight_at(config, 0.5) == 0.02
