"""A language model small enough for tests that can write, and short runs on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from workbench.config import RunConfig, build

BACKBONE = Path(__file__).parent / "data" / "mini_backbone"


def write_backbone(folder: Path) -> Path:
    """The shipped backbone of two layers, 64 wide, that writes and partly answers the three tasks of `config` (tests/mini_backbone.py)."""
    return Path(shutil.copytree(BACKBONE, folder, dirs_exist_ok=True))


def config(backbone: Path, method: str, **changes: Any) -> RunConfig:
    """Three tasks, of labels, spans and queries, a few steps each: everything a run does, in seconds."""
    values: dict[str, Any] = {
        "method": method,
        "stream": "bundled:sentiment,srl,sql",
        "tasks": {"train_limit": 32, "test_limit": 8},
        "backbone": {"name": str(backbone), "max_length": 64},
        "energy": {"dim": 4, "hidden": 16, "steps": 3, "fit_steps": 5, "fit_batch": 16, "code_samples": 4},
        "replay": {"gamma": 0.25, "budget": 2.0, "answers": "generated"},
        "training": {"epochs": 1, "batch_size": 8, "checkpoint_every": 2},
        "evaluation": {"subset": 8, "every": 2, "dense": 1, "gradients_every": 2},
        "recording": {"chains": 8, "latents": 8, "samples": 4, "umap": False},
    }
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) and key in values else value
    return build(values)
