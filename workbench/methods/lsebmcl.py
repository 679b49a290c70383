"""LSEBMCL (arXiv 2501.05495): replay drawn by short-run Langevin chains on a latent energy and decoded by the language model.

Per task: A. draw replay with the models as they are, B. train answers (E_Theta), generation given z ~ q_phi and KL on new and replayed
samples together, C. fit the energy to codes of every task seen. replay.source puts a control in the energy's place.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from workbench.latent.answer import AnswerEnergy, InferenceNetwork
from workbench.latent.encoder import Encoder, draw, kl, kl_weight_at
from workbench.latent.energy import LatentEnergy, joint_losses
from workbench.lm.nll import nll
from workbench.lm.sequences import word_dropout
from workbench.methods.base import Base, Learner, Losses, MixedBatch, ReplaySample, Task, answer_loss
from workbench.replay.latent import encode
from workbench.replay.sources.base import LatentSource
from workbench.replay.sources.energy import EnergyReplay
from workbench.replay.sources.latents import LATENT_SOURCES
from workbench.replay.vitals import measure

FEWEST_CODES = 8


@dataclasses.dataclass(frozen=True)
class Knobs:
    """None: the sections `energy` and `replay` hold them."""


class Method(Base):
    source: LatentSource

    def __init__(self, learner: Learner, knobs: Knobs) -> None:
        super().__init__(learner, knobs)
        config, backbone = learner.config.energy, learner.backbone
        self.encoder = learner.encoder = Encoder(backbone.hidden_size, config.dim).to(backbone.device)
        if backbone.encoder_state is not None:
            self.encoder.load_state_dict(backbone.encoder_state)
        self.source = LATENT_SOURCES[learner.config.replay.source](learner)
        self.codes: dict[str, Tensor] = {}
        self.answers = InferenceNetwork(backbone).to(backbone.device) if config.eta > 0 else None

    @property
    def joint_energy(self) -> LatentEnergy | None:
        """The energy where it is trained beside the language model."""
        return getattr(self.source, "energy", None) if self.learner.config.energy.schedule == "joint" else None

    def modules(self) -> dict[str, nn.Module]:
        parts = {"encoder": self.encoder, "answers": self.answers, "energy": self.joint_energy}
        return {name: part for name, part in parts.items() if part is not None}

    def learning_rate(self, name: str) -> float:
        return self.learner.config.energy.lr if name == "energy" else super().learning_rate(name)

    def begin_task(self, task: Task) -> None:
        super().begin_task(task)
        if self.learner.config.energy.schedule == "joint" and isinstance(self.source, EnergyReplay):
            self.source.grow(task.name)

    def loss(self, batch: MixedBatch) -> Losses:
        learner, config, generation = self.learner, self.learner.config, batch.generation
        answered, hidden = answer_loss(batch)
        mu, logvar = self.encoder(hidden, batch.qa.lengths)
        z = draw(mu, logvar, learner.generators["latent"])
        inputs = word_dropout(
            generation.ids, generation.lengths, config.energy.word_dropout, learner.generators["latent"], learner.backbone.tokens
        )
        spoken = nll(learner.backbone, learner.backbone.hidden_given(inputs, generation.lengths, z), generation)
        divergence = kl(mu, logvar, config.energy.sigma, config.energy.free_bits)[0] / spoken.tokens
        weight = config.training.generation_weight
        terms = {"qa": answered.per_token, "gen": spoken.per_token, "kl": divergence}
        weights = {"gen": weight, "kl": weight * kl_weight_at(config.energy, batch.progress)}
        if (energy := self.joint_energy) is not None:
            symbols = torch.tensor([energy.symbols.index(item.task) for item in batch.items], device=z.device)
            contrast, pull = joint_losses(energy, z, symbols, config.energy, learner.generators["langevin"])
            terms |= {"energy": contrast, "pull": pull / spoken.tokens.float().mean()}
            weights["pull"] = weights["kl"]
        if self.answers is not None:
            terms["answer"] = AnswerEnergy(learner.backbone, config.energy).of(self.answers, batch.qa, learner.generators["latent"])
            weights["answer"] = config.energy.eta
        return Losses(terms, weights)

    def end_task(self, task: Task) -> None:
        learner = self.learner
        # Old tasks are represented by replay encoded anew: after a task the codes of old samples have moved.
        samples: dict[str, list[Any]] = {
            each.name: [s for s in self.drawn if s.task == each.name and s.well_formed] for each in learner.tasks
        }
        samples[task.name] = list(task.train)
        for name, rows in samples.items():
            if len(rows) >= FEWEST_CODES or name not in self.codes:
                self.codes[name] = encode(learner, rows, learner.generators["latent"])
            else:
                learner.warn(f"Only {len(rows)} replayed samples of {name} were well formed: its codes of the task before are used again.")
        self.source.fit(self.codes)
        measure(learner, self.source, self.codes)

    def inspect(self, n: int) -> list[ReplaySample]:
        return [sample for known in self.learner.tasks for sample in self.source.draw(known.name, n, self.learner.generators["decode"])]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"source": self.source.state_dict(), "codes": self.codes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.source.load_state_dict(state["source"])
        self.codes = {name: z.to(self.learner.device) for name, z in state["codes"].items()}
