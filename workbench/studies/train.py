"""A cell as a run: begun with what its study says of it, or gone on with. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.config import RunConfig, to_yaml
from workbench.runs.code import code_hash, method_hash
from workbench.runs.writer import RunWriter
from workbench.training import run as training
from workbench.training.loop import Progress, Training

FRESH = torch.get_rng_state()
"""Torch's own generator as a process begins with it: a cell that comes after another in one process begins as a lone run does."""
CODE = code_hash()
"""Of the code as this process read it, whatever is committed while it works."""


def begin(config: RunConfig, out: Path, progress: Progress, begun: Callable[[Path], None], about: Mapping[str, Any]) -> Path:
    """Train a new run whose run.json also holds `about`. Returns its folder."""
    torch.set_rng_state(FRESH)
    made = Training(config, training.stream_of(config), progress)
    code = {"code": CODE, "method_code": method_hash(config.method)}
    group = {"group_hash": config.model_copy(update={"order": None}).group_hash}  # orders of one group stand together
    writer = RunWriter.create(out, to_yaml(config), training._about(made) | code | group | dict(about))
    made.attach(writer)
    return training._carry_on(made, writer, begun)


def go_on(run: Path, progress: Progress, begun: Callable[[Path], None]) -> Path:
    """Go on with a run from its newest checkpoint. Returns its folder."""
    torch.set_rng_state(FRESH)
    return training.resume(run, progress, begun=begun)
