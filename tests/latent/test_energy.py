from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from workbench.config import EnergyConfig
from workbench.latent.energy import LatentEnergy, energy_loss, joint_losses
from workbench.latent.langevin import last_state, run_chain, ula
from workbench.latent.objectives import balanced_batch, fit_latent_energy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(**values: Any) -> EnergyConfig:
    return EnergyConfig(**{"dim": 2, "hidden": 32, **values})


def random_energy(reference: str = "per_task", dim: int = 5, sigma: float = 1.3, dtype: torch.dtype = torch.float64) -> LatentEnergy:
    """An energy with weights and references that are nothing special."""
    torch.manual_seed(0)
    energy = LatentEnergy(dim, ["a", "b", "c"], hidden=16, sigma=sigma, reference=reference).to(dtype)
    with torch.no_grad():
        energy.trunk[4].weight.normal_()  # type: ignore[union-attr, operator]
        energy.trunk[4].bias.normal_()  # type: ignore[union-attr, operator]
        shift, root = torch.randn(3, dim, dtype=dtype), torch.randn(3, dim, dim, dtype=dtype).tril(-1) + 2 * torch.eye(dim, dtype=dtype)
        energy.mean[:] = shift if reference == "per_task" else shift[0]
        energy.chol[:] = root if reference == "per_task" else torch.diag(root.diagonal(dim1=1, dim2=2)[0])
    return energy


@pytest.mark.parametrize(("reference", "symbol"), [("per_task", "b"), ("isotropic", 2), ("isotropic", None), ("per_task", "rows")])
def test_hand_written_gradient_is_autograds(reference: str, symbol: Any) -> None:
    energy = random_energy(reference)
    w = torch.randn(6, 5, dtype=torch.float64)
    chosen = torch.tensor([0, 1, 2, 2, 1, 0]) if symbol == "rows" else symbol
    value, grad = energy.value_and_grad(chosen)(w)
    w = w.requires_grad_()
    z = energy.to_z(w, 0 if chosen is None else chosen)
    expected = energy.energy(z, chosen)
    torch.testing.assert_close(value, expected.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), w)[0], rtol=0, atol=1e-6)


def test_energy_worked_by_hand() -> None:
    # One dimension, one hidden unit a layer, all weights 1, all biases 0: F(w) = gelu(gelu(w)), gelu(1) = 0.841345, gelu(0.841345) = 0.673018.
    energy = LatentEnergy(1, ["t"], hidden=1, sigma=2.0).double()
    with torch.no_grad():
        for parameter in energy.trunk.parameters():
            parameter.fill_(1.0) if parameter.ndim == 2 else parameter.zero_()
        energy.mean[:], energy.chol[:] = 3.0, 0.5
    z = torch.tensor([[3.5]], dtype=torch.float64)  # w = (3.5 - 3) / 0.5 = 1
    assert energy.neg_energy(z, "t").item() == pytest.approx(0.673018, abs=1e-5)
    assert energy.energy(z, "t").item() == pytest.approx(1 / 8 - 0.673018, abs=1e-5)
    assert energy.symbol_logits(z).item() == pytest.approx(0.673018 - 1 / 8 - math.log(0.5), abs=1e-5)


def test_a_fresh_energy_is_its_reference_exactly() -> None:
    generator = seeded()
    codes = {
        "a": torch.randn(400, 3, generator=generator) @ torch.randn(3, 3, generator=generator) + 5,
        "b": torch.randn(300, 3, generator=generator),
    }
    energy, _ = fit_latent_energy(codes, config(dim=3, fit_steps=0, sigma=1.5), generator)
    for name, z in codes.items():
        w = energy.to_w(z, name)
        assert torch.equal(energy.neg_energy(z, name), torch.zeros(len(z)))
        torch.testing.assert_close(energy.energy(z, name), w.square().sum(1) / (2 * 1.5**2))
        torch.testing.assert_close(w.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(w.var(0).mean(), torch.tensor(1.5**2), atol=0.1, rtol=0)
        torch.testing.assert_close(energy.to_z(w, name), z, atol=1e-4, rtol=1e-4)
        # The chain on F = 0 is the chain on the reference, bit for bit.
        start = torch.randn(50, 3, generator=seeded(1))
        ours = last_state(ula(0.4), energy.value_and_grad(name), start, 20, seeded(2)).z
        plain = last_state(ula(0.4), lambda x: (x.square().sum(1) / 4.5, x / 1.5**2), start, 20, seeded(2)).z
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-6)


def test_the_isotropic_reference_of_f_zero_is_the_normal_and_can_stay_unstandardised() -> None:
    codes = {"a": 3 + torch.randn(100, 2, generator=seeded()), "b": torch.randn(300, 2, generator=seeded(1))}
    plain, _ = fit_latent_energy(codes, config(reference="isotropic", fit_steps=0), seeded(), standardise=False)
    z = torch.randn(7, 2)
    torch.testing.assert_close(plain.energy(z, None) + math.log(2), z.square().sum(1) / 2)  # log-sum-exp of two zeros
    shared, _ = fit_latent_energy(codes, config(reference="isotropic", fit_steps=0), seeded())
    assert torch.equal(shared.mean[0], shared.mean[1]) and torch.equal(shared.chol[0], shared.chol[1])
    w = [shared.to_w(z, name) for name, z in codes.items()]
    torch.testing.assert_close((w[0].mean(0) + w[1].mean(0)) / 2, torch.zeros(2), atol=1e-4, rtol=0)  # balanced over tasks, not over codes


def test_per_task_reference_has_no_unconditional_energy_and_unknown_symbols_are_named() -> None:
    energy = random_energy(dtype=torch.float32)
    with pytest.raises(ValueError, match=r"^the unconditional energy needs energy.reference: isotropic; .* a symbol$"):
        energy.value_and_grad(None)
    with pytest.raises(KeyError, match=r"'x'.*a, b, c"):
        energy.energy(torch.zeros(1, 5), "x")
    with pytest.raises(ValueError, match=r"energy.reference.*per_task, isotropic"):
        LatentEnergy(2, ["a"], reference="shared")


def test_symbol_posterior_is_bayes_rule_of_the_references() -> None:
    # Two Gaussians N(0, 1) and N(2, 0.5^2), F = 0: p(a | z) = N(z; 0, 1) / (N(z; 0, 1) + N(z; 2, 0.25)).
    energy = LatentEnergy(1, ["a", "b"])
    with torch.no_grad():
        energy.mean[:] = torch.tensor([[0.0], [2.0]])
        energy.chol[:] = torch.tensor([[[1.0]], [[0.5]]])
    z = torch.linspace(-3, 4, 15)[:, None]
    a, b = (torch.distributions.Normal(mean, scale).log_prob(z)[:, 0].exp() for mean, scale in ((0.0, 1.0), (2.0, 0.5)))
    torch.testing.assert_close(energy.recognise(z)[:, 0], a / (a + b))
    isotropic = random_energy("isotropic")
    z = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(isotropic.recognise(z), isotropic.f(isotropic.to_w(z, 0)).softmax(1))


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_codes_of_any_number_or_rank_have_a_reference(n: int) -> None:
    thin = torch.randn(n, 1, generator=seeded()) * torch.ones(1, 6)  # rank one
    thin[:, 3] = 0.7  # and a dimension that never varies
    energy, _ = fit_latent_energy({"a": thin}, config(dim=6, fit_steps=0), seeded())
    w = torch.randn(200, 6, generator=seeded(1))
    z = energy.to_z(w, "a")
    assert torch.isfinite(energy.to_w(thin, "a")).all() and torch.isfinite(z).all()
    torch.testing.assert_close(energy.to_w(z, "a"), w, atol=1e-2, rtol=1e-2)


def test_shrinkage_fades_as_codes_grow_in_number() -> None:
    root = torch.tensor([[2.0, 0.0], [1.5, 0.5]])
    z = torch.randn(20_000, 2, generator=seeded()) @ root.T
    energy, _ = fit_latent_energy({"a": z}, config(fit_steps=0), seeded())
    torch.testing.assert_close(energy.chol[0] @ energy.chol[0].T, root @ root.T, rtol=0.03, atol=0.03)
    torch.testing.assert_close((energy.chol[0] @ energy.chol[0].T).diagonal(), z.var(0), rtol=1e-3, atol=0)  # variances are kept


def test_batches_are_balanced_over_tasks_whatever_their_sizes() -> None:
    codes = {0: torch.zeros(1000, 1), 1: torch.ones(3, 1), 2: torch.full((50, 1), 2.0)}
    z, symbols = balanced_batch(codes, 11, seeded())
    assert torch.equal(z[:, 0], symbols.float()) and symbols.bincount().tolist() == [11, 11, 11]


def test_loss_worked_by_hand() -> None:
    # F = w summed (identity network is not to be had with GELU), so take F = bias: f_j = (0.5, -1): F+ = F- = f_symbol.
    energy = LatentEnergy(1, ["a", "b"])
    with torch.no_grad():
        energy.trunk[4].bias[:] = torch.tensor([0.5, -1.0])  # type: ignore[index]
    symbols = torch.tensor([0, 1])
    z = torch.zeros(2, 1)
    loss, f_pos, f_neg = energy_loss(energy, z, z, symbols, config(dim=1, regulariser=0.1, symbol_weight=0.0))
    assert f_pos.tolist() == f_neg.tolist() == [0.5, -1.0]
    assert float(loss) == pytest.approx(0.1 * 2 * (0.25 + 1.0) / 2)
    isotropic = LatentEnergy(1, ["a", "b"], reference="isotropic")
    isotropic.load_state_dict(energy.state_dict())
    loss, _, _ = energy_loss(isotropic, z, z, symbols, config(dim=1, regulariser=0.0, symbol_weight=2.0))
    p = torch.tensor([0.5, -1.0]).softmax(0)
    assert float(loss) == pytest.approx(2.0 * float(-p.log().mean()), rel=1e-5)
    # Both codes have the same posterior, so the symbol tells nothing about z: I = 0 and its weight changes nothing.
    loss, _, _ = energy_loss(isotropic, z, z, symbols, config(dim=1, regulariser=0.0, symbol_weight=0.0, information_weight=5.0))
    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def bimodal(n: int, generator: torch.Generator) -> Tensor:
    """Modes at (-2, 0) and (2, 0), 0.9 wide in x, 1 in y: a Gaussian puts most of its mass between them."""
    z = torch.randn(n, 2, generator=generator)
    z[:, 0] = 0.9 * z[:, 0] + 2 * (torch.randint(2, (n,), generator=generator) * 2 - 1)
    return z


def test_codes_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a': \(4, 3\).*at least 1, 2"):
        fit_latent_energy({"a": torch.zeros(4, 3)}, config(), seeded())
    with pytest.raises(ValueError, match="at least 1"):
        fit_latent_energy({}, config(), seeded())


def test_written_and_read_again_it_is_the_same_energy() -> None:
    energy = random_energy(dtype=torch.float32)
    tensors, metadata = energy.to_safetensors_dict()
    assert set(tensors) == {f"trunk.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias")} | {"reference.mean", "reference.chol"}
    assert metadata == {"symbols": '["a", "b", "c"]', "sigma": "1.3", "reference": "per_task", "activation": "gelu"}
    again = LatentEnergy.from_safetensors_dict(load(save(tensors, metadata)), metadata)
    z = torch.randn(5, 5)
    assert torch.equal(again.energy(z, "b"), energy.energy(z, "b")) and again.symbols == energy.symbols
    with pytest.raises(ValueError, match="gelu"):
        LatentEnergy.from_safetensors_dict(tensors, {**metadata, "activation": "relu"})


def test_an_extended_energy_keeps_what_it_knew() -> None:
    energy = random_energy(dtype=torch.float32)
    longer = energy.extended(["d"])
    z = torch.randn(4, 5)
    torch.testing.assert_close(longer.energy(z, "b"), energy.energy(z, "b"), rtol=1e-6, atol=1e-6)
    assert longer.symbols == ["a", "b", "c", "d"] and torch.equal(longer.neg_energy(z, "d"), torch.zeros(4))


def test_joint_losses_keep_encoder_and_energy_apart() -> None:
    energy = random_energy(dtype=torch.float32)
    mu = torch.randn(6, 5, requires_grad=True)
    symbols = torch.tensor([0, 1, 2, 0, 1, 2])
    loss, pull = joint_losses(energy, mu * 1.0, symbols, config(dim=5, steps=3), seeded())
    pull.backward()
    assert mu.grad is not None and mu.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in energy.parameters())
    expected = torch.autograd.grad(-energy.neg_energy(leaf := mu.detach().requires_grad_(), symbols).mean(), leaf)[0]
    torch.testing.assert_close(mu.grad, expected)
    mu.grad = None
    loss.backward()
    assert mu.grad is None and energy.trunk[0].weight.grad is not None  # type: ignore[union-attr]


def four_modes(n: int, generator: torch.Generator) -> Tensor:
    return torch.tensor([[1.5, 1.5], [1.5, -1.5], [-1.5, 1.5], [-1.5, -1.5]])[
        torch.randint(4, (n,), generator=generator)
    ] + 0.3 * torch.randn(n, 2, generator=generator)


def fit_features(lr: float, penalty: float, updates: int = 200) -> tuple[float, float]:
    """F linear in fixed random cosine features, plain gradient steps on the contrast: (range of F on data, largest |w| of the last chains)."""
    generator, m = seeded(), 128
    direction, phase = 1.5 * torch.randn(2, m, generator=generator), 2 * math.pi * torch.rand(m, generator=generator)
    weight, scale = torch.zeros(m), math.sqrt(2 / m)

    def features(z: Tensor) -> Tensor:
        return scale * (z @ direction + phase).cos()

    def energy(z: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 * z.square().sum(1) - features(z) @ weight, z + scale * ((z @ direction + phase).sin() * weight) @ direction.T

    end = torch.zeros(1)
    for _ in range(updates):
        pos = features(four_modes(128, generator))
        end = last_state(ula(0.4), energy, torch.randn(128, 2, generator=generator), 20, generator).z
        neg = features(end)
        slope = pos.mean(0) - neg.mean(0) - 2 * penalty * (pos.T @ (pos @ weight) + neg.T @ (neg @ weight)) / 128
        weight = weight + lr * slope
    f = features(four_modes(500, generator)) @ weight
    return float(f.max() - f.min()), float(end.abs().max())


def test_a_large_learning_rate_explodes_and_the_penalty_repairs_it() -> None:
    sane, _ = fit_features(lr=0.5, penalty=0.0)
    wild, far = fit_features(lr=5.0, penalty=0.0)
    repaired, near = fit_features(lr=5.0, penalty=0.1)
    assert sane < 15
    assert wild > 5 * sane and far > 6
    assert repaired < 15 and near < 6


def test_chains_of_the_fitted_energy_have_no_non_finite_step() -> None:
    energy, _ = fit_latent_energy({"a": bimodal(50, seeded())}, config(fit_steps=10), seeded())
    assert run_chain(ula(0.4), energy.value_and_grad("a"), torch.randn(20, 2), 20, seeded()).nonfinite == 0


def test_a_code_that_tells_its_task_carries_log_2_nats() -> None:
    energy = LatentEnergy(1, ["a", "b"])
    with torch.no_grad():
        energy.mean[:] = torch.tensor([[-50.0], [50.0]])
    z, symbols = torch.tensor([[-50.0], [50.0], [50.0], [-50.0]]), torch.tensor([0, 0, 1, 1])  # every second row is looked at
    weights = {"regulariser": 0.0, "symbol_weight": 0.0, "information_weight": 0.0}
    for name, value, expected in (("information_weight", 3.0, -3 * math.log(2)), ("symbol_weight", 2.0, 0.0), ("regulariser", 1.0, 0.0)):
        loss, _, _ = energy_loss(energy, z, torch.zeros(4, 1), symbols, config(dim=1, **{**weights, name: value}))
        assert float(loss.detach()) == pytest.approx(expected, abs=1e-5), name
    loss, _, _ = energy_loss(energy, z, torch.zeros(4, 1), 1 - symbols, config(dim=1, **{**weights, "symbol_weight": 1.0}))
    assert float(loss.detach()) == pytest.approx(100**2 / 2)


def test_joint_losses_worked_by_hand() -> None:
    energy = LatentEnergy(1, ["a", "b"], reference="isotropic")
    with torch.no_grad():
        energy.trunk[4].bias[:] = torch.tensor([0.5, -1.0])  # type: ignore[index]
    symbols = torch.tensor([0, 0, 0, 1])
    settings = config(dim=1, reference="isotropic", regulariser=0.1, symbol_weight=0.0)
    loss, pull = joint_losses(energy, torch.zeros(4, 1), symbols, settings, seeded())
    assert float(loss.detach()) == pytest.approx(0.1 * 2 * (3 * 0.25 + 1) / 4)
    assert float(pull.detach()) == pytest.approx(-(3 * 0.5 - 1) / 4)


def test_the_chains_of_the_joint_schedule_start_from_the_reference_and_take_the_steps_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.latent import energy as module

    seen: list[tuple[Tensor, int]] = []

    def watched(kernel: Any, target: Any, start: Tensor, steps: int, generator: torch.Generator) -> Any:
        seen.append((start, steps))
        return last_state(kernel, target, start, steps, generator)

    monkeypatch.setattr(module, "last_state", watched)
    energy = random_energy("isotropic", dtype=torch.float32)
    joint_losses(energy, torch.randn(2000, 5), torch.zeros(2000, dtype=torch.long), config(dim=5, sigma=1.3, steps=7), seeded())
    ((start, steps),) = seen
    assert steps == 7 and start.shape == (2000, 5) and float(start.std()) == pytest.approx(1.3, rel=0.05)


@pytest.mark.parametrize("reference", ["per_task", "isotropic"])
def test_a_further_symbol_starts_at_its_reference(reference: str) -> None:
    energy = random_energy(reference, dtype=torch.float32)
    longer = energy.extended(["d", "e"])
    z = torch.randn(4, 5)
    w = energy.to_w(z, "a") if reference == "isotropic" else z
    assert (longer.symbols, longer.sigma, longer.kind, longer.dim) == (["a", "b", "c", "d", "e"], 1.3, reference, 5)
    for symbol in ("d", "e"):
        torch.testing.assert_close(longer.energy(z, symbol), w.square().sum(1) / (2 * 1.3**2))
    for symbol in ("a", "c"):
        torch.testing.assert_close(longer.energy(z, symbol), energy.energy(z, symbol))


def test_a_file_that_names_no_activation_is_read_as_gelu() -> None:
    energy = random_energy("isotropic", dtype=torch.float32)
    tensors, metadata = energy.to_safetensors_dict()
    again = LatentEnergy.from_safetensors_dict(tensors, {key: value for key, value in metadata.items() if key != "activation"})
    z = torch.randn(3, 5)
    assert again.kind == "isotropic" and torch.equal(again.energy(z, None), energy.energy(z, None))
    assert all(not tensor.requires_grad and tensor.is_contiguous() for tensor in tensors.values())


@pytest.mark.parametrize("seed", [1, 2])
def test_the_joint_losses_draw_from_their_generator_alone(seed: int) -> None:
    energy, settings = random_energy("isotropic", dtype=torch.float32), config(dim=5, steps=3)
    z, symbols = torch.randn(6, 5, generator=seeded()), torch.tensor([0, 1, 2, 0, 1, 2])
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(float(joint_losses(energy, z, symbols, settings, seeded(seed))[0].detach()))
    assert found[0] == found[1]


@pytest.mark.parametrize("reference", ["per_task", "isotropic"])
def test_the_symbol_logits_are_the_energies_and_the_volumes_of_the_references(reference: str) -> None:
    energy = random_energy(reference)
    z = torch.randn(4, 5, dtype=torch.float64)
    volume = energy.chol.diagonal(dim1=1, dim2=2).log().sum(1) if reference == "per_task" else torch.zeros(3)
    expected = torch.stack([-energy.energy(z, symbol) - volume[place] for place, symbol in enumerate("abc")], dim=1)
    torch.testing.assert_close(energy.symbol_logits(z), expected)


@pytest.mark.parametrize("symbol", ["b", None])
def test_the_energy_is_the_reference_less_f(symbol: str | None) -> None:
    energy = random_energy("isotropic")
    z = torch.randn(4, 5, dtype=torch.float64)
    reference = energy.to_w(z, "a").square().sum(1) / (2 * 1.3**2)
    torch.testing.assert_close(energy.neg_energy(z, symbol), reference - energy.energy(z, symbol))
