"""What a method and its sources share: the models, the named generators, the tasks known, where to record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.config import RunConfig
from workbench.latent.encoder import Encoder
from workbench.learning.known_task import KnownTask
from workbench.lm.model import Backbone
from workbench.runs.clock import Clock
from workbench.tasks.example import Example


@dataclass
class Learner:
    """What a method and its sources share: the models, the named generators, what is known, where to record.

    probe: held-out examples a task, for measurement only; a method that trains on them is wrong.
    record: the run's writer (append(table, row), arrays(...), event(...)), or None in tests.
    """

    config: RunConfig
    backbone: Backbone
    generators: dict[str, torch.Generator]
    clock: Clock = field(default_factory=Clock)
    encoder: Encoder | None = None
    tasks: list[KnownTask] = field(default_factory=list)
    probe: dict[str, tuple[Example, ...]] = field(default_factory=dict)
    record: Any = None
    iteration: int = 0
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        """A plain sentence a person can act on, kept with the run."""
        self.warnings.append(message)
        if self.record is not None:
            self.record.event("warning", message=message, iteration=self.iteration)

    def known(self, name: str) -> KnownTask:
        return next(task for task in self.tasks if task.name == name)

    @property
    def device(self) -> torch.device:
        return self.backbone.device
