"""The contract of a source: where old examples come from."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.replay.sample import ReplaySample


class Source(Protocol):
    """Where old examples come from. `draw` gives every sample it looked at, with verdicts; what was kept is n at most."""

    origin: str

    def draw(self, task: str | None, n: int, generator: torch.Generator) -> list[ReplaySample]: ...


class LatentSource(Source, Protocol):
    """A source that decodes latents: fitted, after each task, to the codes [n, d] of every task seen."""

    def fit(self, codes: dict[str, Tensor]) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
