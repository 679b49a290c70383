"""A cell as a run: begun with what its study says of it, or gone on with. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.config import RunConfig
from workbench.training import run as training
from workbench.training.loop import Progress

FRESH = torch.get_rng_state()
"""Torch's own generator as a process begins with it: a cell that comes after another in one process begins as a lone run does."""


def begin(config: RunConfig, out: Path, progress: Progress, begun: Callable[[Path], None], about: Mapping[str, Any]) -> Path:
    """Train a new run whose run.json also holds `about`. Returns its folder."""
    torch.set_rng_state(FRESH)
    return training.start(config, out, progress, begun=begun, about=about)


def go_on(run: Path, progress: Progress, begun: Callable[[Path], None]) -> Path:
    """Go on with a run from its newest checkpoint. Returns its folder."""
    torch.set_rng_state(FRESH)
    return training.resume(run, progress, begun=begun)
