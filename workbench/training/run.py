"""Starting a run, going on with one, and opening a finished one to draw from it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from workbench import __version__
from workbench.config import RunConfig, build, fields, to_yaml
from workbench.lm.load import absolute_name, fingerprint
from workbench.runs.check import hold_to_manifest
from workbench.runs.code import code_hash, method_hash
from workbench.runs.reader import Run, RunError
from workbench.runs.writer import RunWriter
from workbench.tasks import load_stream
from workbench.tasks.example import Stream
from workbench.training import checkpoint
from workbench.training.loop import Progress, Training, pick_device

SUBSET_SEED = 0
"""Limits of a task's examples are drawn alike for every seed, so that runs differ by what they learn, not by what they are asked."""
Begun = Callable[[Path], None]
"""Called with the run's folder when its first step is near."""
CODE = code_hash()
"""Of the code as this process read it, whatever is committed while it works."""
LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "safetensors", "numpy", "pyarrow")


class Interrupted(KeyboardInterrupt):
    """A run was stopped by hand at this iteration; it can be resumed."""

    def __init__(self, run: Path, iteration: int) -> None:
        super().__init__(f"stopped at iteration {iteration}")
        self.run, self.iteration = run, iteration


def stream_of(config: RunConfig) -> Stream:
    """The stream a configuration names, limited and ordered."""
    stream = load_stream(config.stream, config.data)
    return stream.limited(config.tasks.train_limit, config.tasks.test_limit, SUBSET_SEED).ordered(config.order)


def start(
    config: RunConfig,
    out: Path,
    progress: Progress | None = None,
    parent: str | None = None,
    begun: Begun | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Train a new run under `out` to its end and return its folder; `about` is added to its run.json. Raises Interrupted where it is
    stopped by hand, TaskError where no example of a task fits into backbone.max_length.
    """
    pick_device(config.device)
    backbone = config.backbone.model_copy(update={"name": absolute_name(config.backbone.name)})
    data = None if config.data is None else str(Path(config.data).expanduser().resolve())
    config = config.model_copy(update={"backbone": backbone, "data": data})  # so that it goes on from any folder
    stream = stream_of(config)
    torch.manual_seed(zlib.crc32(f"{config.seed}/torch".encode()))  # what a library draws from torch's own generator: dropout
    training = Training(config, stream, progress)
    writer = RunWriter.create(out, to_yaml(config), _about(training) | {"parent": parent} | dict(about or {}))
    training.attach(writer)
    with _threads(None):
        return _carry_on(training, writer, begun)


def resume(
    run: Path, progress: Progress | None = None, device: str | None = None, begun: Begun | None = None, allow_changed: bool = False
) -> Path:
    """Go on with a run from its newest checkpoint, with the number of threads it began with. Raises RunError for a finished run, one
    without a checkpoint, one begun when there were fewer settings, and one whose settings, data, backbone or code are others now, unless
    `allow_changed`, which is written down as an event; Interrupted where it is stopped by hand.
    """
    known = Run(run)
    if known.info.status == "finished":
        raise RunError(f"{run.name}: finished; accepted: a run that was stopped, killed or failed")
    if lacking := [name for name, _ in fields() if not _holds(known.config, name)]:
        raise RunError(
            f"{run.name}/config.yaml: no {lacking[0]}, which came later than this run, so it would not go on as it began; "
            "accepted: a run of this version"
        )
    config = build(dict(known.config))
    if device is not None:
        config = config.model_copy(update={"device": device})
    weights, state = checkpoint.load(run)
    stream = stream_of(config)
    changed = _changed(run, known, config, stream)
    if changed and not allow_changed:
        raise RunError(
            f"{run.name}: changed since this run began: {', '.join(changed)}; it would not go on as it began; accepted: what it began with, or --allow-changed"
        )
    with _threads(known.info.threads):
        training = Training(config, stream, progress)
        writer = RunWriter.reopen(run, state["rows"])
        training.attach(writer)
        if changed:
            writer.event("resumed_changed", changed=changed)
        training.restore(weights, state)
        return _carry_on(training, writer, begun)


def reopen(run: Path, device: str = "auto") -> Training:
    """A finished run's models, to draw samples from. Nothing is written. Raises RunError where weights were not kept or are damaged."""
    known = Run(run)
    config = build(dict(known.config)).model_copy(update={"device": device})
    path, state_path = run / "weights" / "last.safetensors", run / "state" / "final.pt"
    if path.is_file() and state_path.is_file():
        hold_to_manifest(run, "weights/last.safetensors", "state/final.pt")
        weights, state = load_file(path), torch.load(state_path, map_location="cpu", weights_only=True)
    else:
        try:
            weights, state = checkpoint.load(run)
        except RunError:
            raise RunError(
                f"{run.name}: its language-model weights were not kept; accepted: a run with recording.weights: last or tasks"
            ) from None
    training = Training(config, stream_of(config))
    training.restore_models(weights, state)
    return training


def _changed(run: Path, known: Run, config: RunConfig, stream: Stream) -> list[str]:
    """What is not as it was when the run began, in words."""
    about = known.info.model_extra or {}
    then_and_now = {
        "config.yaml": (known.info.config_hash, hashlib.sha256((run / "config.yaml").read_bytes()).hexdigest()),
        f"the stream {config.stream}": (known.info.stream_hash, stream.hash),
        f"the backbone {config.backbone.name}": (about.get("backbone_hash"), fingerprint(config.backbone.name)),
        "the code": (about.get("code"), CODE),
    }
    return [name for name, (then, now) in then_and_now.items() if then and then != now]


def _holds(config: Mapping[str, Any], name: str) -> bool:
    """Whether a run's configuration has this setting (`section.key`): a run writes all of them down."""
    section, _, key = name.rpartition(".")
    return key in (config.get(section) or {}) if section else key in config


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Torch's number of threads inside the block (None: as it is), and as before after it: the last bits of a sum depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _carry_on(training: Training, writer: RunWriter, begun: Begun | None) -> Path:
    try:
        if begun is not None:
            begun(writer.path)
        training.run()
    except KeyboardInterrupt:
        writer.event("interrupted", iteration=training.learner.iteration)
        writer.close()
        raise Interrupted(writer.path, training.learner.iteration) from None
    except BaseException as error:
        _failed(writer, error)
        raise
    return writer.path


def _failed(writer: RunWriter, error: BaseException) -> None:
    writer.event("error", message=f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
    writer.finish("failed")


def _about(training: Training) -> dict[str, Any]:
    config, stream, device = training.config, training.stream, training.device
    return {
        "label": config.label,
        "name": config.name,
        "stream": stream.name,
        "stream_hash": stream.hash,
        "tasks": list(stream.names),
        "order": config.order,
        "seed": config.seed,
        "gamma": config.replay.gamma if training.method.source is not None else None,
        "group_hash": config.group_hash,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {
            "workbench": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        "git_commit": _commit(),
        "backbone_hash": fingerprint(config.backbone.name),
        "code": CODE,
        "method_code": method_hash(config.method),
    }


def _commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
