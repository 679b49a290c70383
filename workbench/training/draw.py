"""Drawing from a finished run: fresh replay samples of a task, or the texts that given latents decode to. Nothing in the run is changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from workbench.replay.generate import decode
from workbench.runs.reader import RunError
from workbench.training.loop import Training
from workbench.training.run import reopen

SHOWN = ("task", "context", "question", "answer", "verdict", "energy", "chain", "origin", "text")


def draw_samples(run: Path, task: str | None, n: int, seed: int, device: str) -> list[dict[str, Any]]:
    """n kept samples (within the budget) of a task, or of every task learnt, with what was refused. Raises RunError."""
    training = reopen(run, device)
    method, known = training.method, [each.name for each in training.learner.tasks]
    if method.source is None or method.source.origin == "real":
        raise RunError(f"{run.name}: its method generates nothing; accepted: a run of lamol or lsebmcl")
    _known_task(run, task, known)
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for name in [task] if task is not None else known:
        rows += [dataclasses.asdict(sample) for sample in method.source.draw(name, n, generator)]
    return [{key: row[key] for key in SHOWN} for row in rows if row["verdict"] != "spare"]


def decode_latents(run: Path, file: Path, task: str | None, seed: int, device: str) -> list[dict[str, Any]]:
    """The text each latent z [n, d] of a safetensors file decodes to. Raises RunError."""
    training = reopen(run, device)
    try:
        z = load_file(file)["z"].float()
    except (OSError, SafetensorError, KeyError) as error:
        raise RunError(
            f"{file.name}: cannot be read as latents ({error}); accepted: a safetensors file with z [n, {_dim(training)}]"
        ) from None
    if z.ndim != 2 or z.shape[1] != _dim(training):
        raise RunError(f"{file.name}: z has shape {list(z.shape)}; accepted: [n, {_dim(training)}]")
    _known_task(run, task, [each.name for each in training.learner.tasks])
    learner = training.learner
    asked = learner.known(task) if task is not None else None
    rows = decode(learner, asked, z.to(learner.device), len(z), torch.Generator().manual_seed(seed))
    return [{"index": index, "text": learner.backbone.tokens.decode(row)} for index, row in enumerate(rows)]


def _dim(training: Training) -> int:
    return training.config.energy.dim


def _known_task(run: Path, task: str | None, known: list[str]) -> None:
    if task is not None and task not in known:
        raise RunError(f"{run.name}: it has not learnt a task {task!r}; accepted: {', '.join(known)}")
