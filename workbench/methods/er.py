"""Experience replay of real samples from a reservoir: the ceiling of any generative replay at the same gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.methods.base import Base, Learner, Task
from workbench.replay.sources.reservoir import Reservoir


@dataclass(frozen=True)
class Knobs:
    """capacity: examples the reservoir holds over all tasks."""

    capacity: int = 1000


class Method(Base):
    source: Reservoir

    def __init__(self, learner: Learner, knobs: Knobs) -> None:
        super().__init__(learner, knobs)
        self.source = Reservoir(knobs.capacity)

    def end_task(self, task: Task) -> None:
        # Only the task's own real examples: what was replayed must not enter the reservoir a second time.
        self.source.add(task.train, self.learner.generators["batch"])

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"reservoir": self.source.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.source.load_state_dict(state["reservoir"])
