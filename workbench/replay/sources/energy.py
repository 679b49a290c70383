"""LSEBMCL's source: short-run Langevin chains on the latent energy of the asked task, decoded by the language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.latent.energy import LatentEnergy
from workbench.latent.langevin import Chain, kernel_named, run_chain, standard_normal
from workbench.latent.measure import measure_fit
from workbench.latent.objectives import fit_energy
from workbench.learning.learner import Learner
from workbench.replay.generate import Proposal
from workbench.replay.latent import draw_latents
from workbench.replay.sample import ReplaySample


class EnergyReplay:
    """Chains start from the reference N(0, sigma^2 I), fresh each time, or from codes of the last fit (energy.init)."""

    origin = "energy"

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.energy: LatentEnergy | None = None
        self.codes: dict[str, Tensor] = {}

    def fit(self, codes: dict[str, Tensor]) -> None:
        """Fit a fresh energy to the codes of every task seen so far, {task: [m, d]} (schedule post_task); the run gets a row a step."""
        learner = self.learner
        if learner.config.energy.schedule == "post_task":
            with learner.clock("fit"):
                fitted = fit_energy(codes, learner.config.energy, learner.generators["langevin"])
            self.energy = fitted.energy
            if learner.record is not None:
                with learner.clock("record"):
                    # A generator of its own: what is measured must not change what is drawn.
                    found, sentences = measure_fit(fitted, learner.config.energy, torch.Generator().manual_seed(learner.iteration))
                at = {"iteration": learner.iteration, "task": learner.tasks[-1].name}
                for row in fitted.rows:
                    learner.record.append("energy_fit", {**at, **row})
                for task, values in found.items():
                    for name, value in values.items():
                        learner.record.append("diagnostics", {**at, "name": name, "subject": task, "value": value})
                for sentence in sentences:
                    learner.warn(sentence)
        if learner.config.energy.init == "encoder":
            self.codes = codes

    def grow(self, task: str) -> None:
        """Give the energy a symbol more, before its task is learnt (schedule joint)."""
        self.energy = self._fresh([task]) if self.energy is None else self.energy.extended([task])

    def chains(self, task: str, n: int, generator: torch.Generator, repeats: int = 1) -> Chain:
        """n recorded chains of a task, in the energy's own coordinates w; `repeats` neighbours share a start (superchains)."""
        config, energy = self.learner.config.energy, self.energy
        assert energy is not None
        if config.init == "encoder":
            codes = self.codes[task]
            start = energy.to_w(codes[torch.randint(len(codes), (n // repeats,), generator=generator).to(codes.device)], task)
        else:
            start = config.sigma * standard_normal((n // repeats, config.dim), energy.mean, generator)
        start = start.repeat_interleave(repeats, 0)
        return run_chain(kernel_named(config.kernel, config.delta), energy.value_and_grad(task), start, config.steps, generator)

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]:
        assert task is not None and self.energy is not None
        energy, recorded = self.energy, []

        def propose(count: int) -> Proposal:
            with self.learner.clock("sample"):
                chain = self.chains(task, count, generator)
            recorded.append(chain)
            return Proposal(energy.to_z(chain.z[-1], task), chain.energy[-1])

        samples = draw_latents(self.learner, self.origin, task, n, generator, propose)
        self._record(task, recorded)
        return samples

    def _record(self, task: str, chains: list[Chain]) -> None:
        """Keep whole chains of this draw, numbered as its samples are, in z coordinates."""
        learner, limit = self.learner, self.learner.config.recording.chains
        if learner.record is None or limit == 0 or not chains or self.energy is None:
            return
        w = torch.cat([chain.z for chain in chains], dim=1)[:, :limit]
        steps, n, dim = w.shape
        z = self.energy.to_z(w.reshape(-1, dim), task).reshape(steps, n, dim)
        config = learner.config.energy
        arrays = {
            "z": z.half(),
            "energy": torch.cat([chain.energy for chain in chains], dim=1)[:, :limit],
            "grad_norm": torch.cat([chain.grad_norm for chain in chains], dim=1)[:, :limit],
            "accept": torch.cat([chain.accept for chain in chains], dim=1)[:, :limit],
        }
        about = {"iteration": learner.iteration, "task": task, "kernel": config.kernel, "delta": config.delta, "steps": config.steps}
        with learner.clock("record"):
            learner.record.arrays(
                "chains",
                f"{learner.iteration:09d}_{task}",
                {name: tensor.cpu().numpy() for name, tensor in arrays.items()},
                {name: str(value) for name, value in about.items()},
            )

    def state_dict(self) -> dict[str, Any]:
        energy = None if self.energy is None else {"symbols": self.energy.symbols, "weights": self.energy.state_dict()}
        return {"codes": self.codes, "energy": energy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.codes = {task: z.to(self.learner.device) for task, z in state["codes"].items()}
        self.energy = None
        if state["energy"] is not None:
            self._fresh(state["energy"]["symbols"]).load_state_dict(state["energy"]["weights"])

    def _fresh(self, symbols: list[str]) -> LatentEnergy:
        config = self.learner.config.energy
        self.energy = LatentEnergy(config.dim, symbols, config.hidden, config.sigma, config.reference).to(self.learner.device)
        return self.energy
