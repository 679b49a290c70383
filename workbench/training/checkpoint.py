"""Checkpoints: everything a run needs to go on bit for bit, in two files of which the second makes the first count.

state/NAME.safetensors holds weights; state/NAME.pt the optimiser, the named generators, the method, the counters and the number of
rows of each table, loaded with weights_only=True. A checkpoint is there once its .pt is; older ones are removed after that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.runs.check import hold_to_manifest
from workbench.runs.reader import RunError
from workbench.runs.writer import RunWriter

FOLDER = "state"


def save(writer: RunWriter, name: str, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write a checkpoint, then remove the others. Where the disk refuses, the older one stays and the run goes on."""
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
    if not writer.save(f"{FOLDER}/{name}.safetensors", lambda path: save_file(tensors, path)):
        return
    if not writer.save(f"{FOLDER}/{name}.pt", lambda path: torch.save(state, path)):
        writer.remove(f"{FOLDER}/{name}.safetensors")
        return
    clear(writer, keep=name)


def clear(writer: RunWriter, keep: str) -> None:
    """Remove every checkpoint but one."""
    for path in sorted((writer.path / FOLDER).glob("*")):
        if path.stem != keep and path.suffix in (".pt", ".safetensors"):
            writer.remove(f"{FOLDER}/{path.name}")


def load(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(weights, state) of the newest whole checkpoint. Raises RunError where there is none, or it is damaged or cannot be read."""
    whole = sorted(path for path in (run / FOLDER).glob("*.pt") if path.with_suffix(".safetensors").is_file())
    if not whole:
        raise RunError(f"{run.name}/{FOLDER}: no checkpoint; a run can be resumed once its first checkpoint is written")
    hold_to_manifest(run, *(f"{FOLDER}/{path.name}" for path in (whole[-1], whole[-1].with_suffix(".safetensors"))))
    try:
        state = torch.load(whole[-1], map_location="cpu", weights_only=True)
        return load_file(whole[-1].with_suffix(".safetensors")), state
    except Exception as error:
        raise RunError(f"{run.name}/{FOLDER}/{whole[-1].name}: cannot be read ({' '.join(str(error).split())[:200]})") from None
