"""The one training loop. It knows no method by name: it draws batches, steps, evaluates, records and saves, and can go on from any checkpoint.

For each phase (a task; all tasks at once for a joint method): the method draws replay (begin), the loop trains on new and replayed
samples shuffled together (train), the method consolidates and everything is scored (end).
"""

from __future__ import annotations

import dataclasses
import math
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.config import ConfigError, RunConfig
from workbench.learning.known_task import KnownTask
from workbench.learning.learner import Learner
from workbench.lm.load import load_backbone
from workbench.lm.sequences import qa_ids
from workbench.methods.base import Item, MixedBatch, Step, learn, make_method
from workbench.replay.generate import refusals
from workbench.replay.sample import kept
from workbench.runs.clock import Clock
from workbench.runs.writer import RunWriter
from workbench.tasks.example import Example, Stream, Task, TaskError
from workbench.tasks.lengths import unusable
from workbench.training import checkpoint
from workbench.training.evaluate import ContinualEvaluation
from workbench.training.projection import save_umap
from workbench.training.recognise import Recogniser
from workbench.training.record import Recorder
from workbench.training.step import Update

GENERATORS = ("init", "order", "batch", "latent", "langevin", "decode")
STAGES = ("start", "begin", "train")
Progress = Callable[[int, int, str], None]
"""Called with (iterations done, iterations of the run, what is going on)."""


def named_generators(seed: int) -> dict[str, torch.Generator]:
    """The run's generators, each with a seed of its own made from the one seed. They live on the CPU, so that a seed means the same on any device."""
    return {name: torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode())) for name in GENERATORS}


def pick_device(name: str) -> torch.device:
    """auto: CUDA where there is one. Raises ConfigError for a device this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device: found {name!r}, but this machine has no CUDA device; accepted: auto, cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: found {name!r}; accepted: auto, cpu, cuda, cuda:N") from None


class Training:
    """One run: made ready, given a writer by `attach`, put where a checkpoint was by `restore`, and carried on by `run`."""

    writer: RunWriter

    def __init__(self, config: RunConfig, stream: Stream, progress: Progress | None = None) -> None:
        self.config, self.stream = config, stream
        self.progress = progress or (lambda done, total, what: None)
        self.device = pick_device(config.device)
        generators = named_generators(config.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            backbone = load_backbone(config.backbone, config.energy.dim, self.device, generators["init"])
        if config.replay.tokens == "task":
            backbone.add_task_tokens(stream.names, generators["init"])
        self.clock = Clock()
        self.learner = Learner(config, backbone, generators, self.clock)
        self.learner.probe = {task.name: (task.validation or task.test)[: config.recording.latents] for task in stream.tasks}
        # Modules of a method are drawn from the run's seed too.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (1,), generator=generators["init"])))
            self.method = make_method(self.learner)
        self.phases: list[tuple[Task, ...]] = [stream.tasks] if self.method.joint else [(task,) for task in stream.tasks]
        for task in stream.tasks:
            self.learner.warnings += task.warnings
        self._every_task_fits()
        self.evaluation = ContinualEvaluation(stream, backbone, config.evaluation, config.backbone.max_length)
        self.rows = {task.name: self._rows(task.train, task.name, replayed=False) for task in stream.tasks}
        self.totals = [self._steps(sum(len(self.rows[task.name]) for task in phase), len(phase)) for phase in self.phases]
        self.phase, self.step, self.stage = 0, 0, "start"
        self.order: list[int] = []
        self.optimizer_state: dict[str, Any] | None = None

    def _every_task_fits(self) -> None:
        """Raises TaskError for tasks of which no training example fits into backbone.max_length."""
        encode = self.learner.backbone.tokens.encode

        def needs(example: Example) -> int:
            # Beside question and answer: __sep__, __ans__, the end token, and the generation token of the other pass.
            return len(encode(example.question)) + len(encode(example.answers[0])) + 4

        if sentences := unusable(self.stream.tasks, needs, self.config.backbone.max_length):
            raise TaskError("; ".join(sentences))

    def attach(self, writer: RunWriter) -> None:
        """Record into this run from now on."""
        self.writer = self.learner.record = writer
        self.record = Recorder(self.config, self.stream, writer, self.learner, self.evaluation, Recogniser(self.stream))
        for message in self.learner.warnings:
            writer.event("warning", message=message)

    # -- a run from where it stands ----------------------------------------------------------------------------------

    def run(self) -> None:
        """From the current phase, stage and step to the end."""
        if self.stage == "start":
            self._save()
            self.record.subsets()
            self.record.zero_shot()
            self.stage = "begin"
        while self.phase < len(self.phases):
            phase = self.phases[self.phase]
            if self.stage == "begin":
                self._save()
                self._begin(phase)
            self._train(phase)
            self._end(phase)
            self.phase, self.step, self.stage, self.order = self.phase + 1, 0, "begin", []
        self.record.inspection(self.method)
        self._finish()

    def _finish(self) -> None:
        """Keep what draws and answers need, drop what only a resume needs, compact the tables."""
        if self.config.recording.weights != "none":
            self.record.weights("last", self._weights())
            self.writer.save(f"{checkpoint.FOLDER}/final.pt", lambda path: torch.save(self._models_state(), path))
        if self.config.recording.umap:
            with self.clock("record"):
                save_umap(self.writer)
        self.record.finish()
        checkpoint.clear(self.writer, keep="final")

    def _begin(self, phase: tuple[Task, ...]) -> None:
        name = self._phase_name(phase)
        self.writer.event("task_started", task=name, iteration=self.learner.iteration)
        self.progress(self.learner.iteration, self._total(), f"replay for {name}")
        for task in phase:
            self.method.begin_task(task)
        self.record.samples(name, self.method.drawn)
        if self.method.drawn:
            counts = refusals(self.method.drawn)
            self.writer.event("replay_drawn", task=name, iteration=self.learner.iteration, verdicts=counts)
        self.record.forced([known.name for known in self.learner.tasks] + [task.name for task in phase], name)

    def _train(self, phase: tuple[Task, ...]) -> None:
        name, config = self._phase_name(phase), self.config.training
        new = [item for task in phase for item in self.rows[task.name]]
        items = new + self._rows(kept(self.method.drawn), None, replayed=True)
        steps = self._steps(len(items), len(phase))
        self.totals[self.phase] = steps
        per_epoch = math.ceil(len(items) / config.batch_size)
        optimizer = self._optimizer()
        schedule = _warm_then_linear(round(config.warmup * steps), steps)
        update = Update(self.method, self.parts, optimizer, schedule, config.clip, self.config.evaluation.gradients_every)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        self.stage = "train"
        self._train_mode(True)
        seen = [known.name for known in self.learner.tasks] + [task.name for task in phase]
        while self.step < steps:
            with self.clock("train"):
                if self.step % per_epoch == 0 or not self.order:
                    self.order = torch.randperm(len(items), generator=self.learner.generators["order"]).tolist()
                start = self.step % per_epoch * config.batch_size
                batch = MixedBatch(
                    [items[place] for place in self.order[start : start + config.batch_size]], self.learner, self.step / steps
                )
                update.place = self.step
                step = self.method.step(batch, update)
                self.step += 1
                self.learner.iteration += 1
            self._log(name, step, optimizer.param_groups[0]["lr"], per_epoch)
            if self.evaluation.due(self.step, steps):
                self.record.forced(seen, name)
            self.progress(self.learner.iteration, self._total(), f"{name}: step {self.step} of {steps}")
            if self.learner.iteration % config.checkpoint_every == 0 and self.step < steps:
                self._save(optimizer)
        self._train_mode(False)

    def _end(self, phase: tuple[Task, ...]) -> None:
        name = self._phase_name(phase)
        self.progress(self.learner.iteration, self._total(), f"consolidating {name}")
        self._train_mode(False)
        for task in phase:
            learn(self.learner, task)
            self.method.end_task(task)
        self.progress(self.learner.iteration, self._total(), f"scoring after {name}")
        self.record.generated(name)
        self.record.timings(name)
        if self.config.recording.weights == "tasks":
            self.record.weights(f"task{len(self.learner.tasks)}", self._weights())
        self.record.summary()
        self.writer.event("task_finished", task=name, iteration=self.learner.iteration)

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        """Everything that is trained, by name."""
        return {"backbone": self.learner.backbone, **self.method.modules()}

    # -- pieces ------------------------------------------------------------------------------------------------------

    def _rows(self, samples: Sequence[Any], task: str | None, replayed: bool) -> list[Item]:
        """Training sequences of samples; one whose question and answer alone are too long is left out."""
        tokens, length = self.learner.backbone.tokens, self.config.backbone.max_length
        rows = [(sample, qa_ids(tokens, sample, length)) for sample in samples]
        left_out = sum(row is None for _, row in rows)
        if left_out:
            self.learner.warn(f"{left_out} of {len(rows)} samples of {task or 'replay'} are longer than backbone.max_length and left out.")
        return [Item(*row, task or sample.task, replayed, sample.relaxed if replayed else None) for sample, row in rows if row is not None]

    def _steps(self, items: int, tasks: int) -> int:
        config = self.config.training
        steps = config.epochs * math.ceil(items / config.batch_size)
        return steps if config.max_steps is None else min(steps, config.max_steps * tasks)

    def _total(self) -> int:
        return sum(self.totals)

    def _phase_name(self, phase: tuple[Task, ...]) -> str:
        return phase[0].name if len(phase) == 1 else "all"

    def _optimizer(self) -> torch.optim.Optimizer:
        config, groups = self.config.training, []
        for name, part in self.parts.items():
            for latent in (False, True):
                for decays in (False, True):
                    chosen = [
                        parameter
                        for key, parameter in part.named_parameters()
                        if parameter.requires_grad
                        and (parameter.ndim > 1) == decays
                        and (name != "backbone" or key.startswith("connector")) == latent
                    ]
                    if chosen:
                        rate = config.lr if not latent else self.method.learning_rate(name)
                        groups.append(
                            {"params": chosen, "lr": rate, "initial_lr": rate, "weight_decay": config.weight_decay if decays else 0.0}
                        )
        return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)

    def _train_mode(self, on: bool) -> None:
        for part in self.parts.values():
            part.train(on)

    def _log(self, name: str, step: Step, rate: float, per_epoch: int) -> None:
        losses, items = step.losses, step.batch.items
        self.writer.append(
            "metrics",
            {
                "iteration": self.learner.iteration,
                "task": name,
                "step": self.step,
                "epoch": self.step / per_epoch,
                "loss": float(losses.total.detach()),
                **{f"loss_{term}": float(value.detach().mean()) for term, value in losses.terms.items()},
                "lr": rate,
                "grad_norm": step.norm,
                "replay_share": sum(item.replayed for item in items) / len(items),
                "kl_weight": losses.weights.get("kl"),
                "seconds": self.clock.total,
                **step.interference,
            },
        )

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, Tensor]:
        state = {f"backbone.{key}": tensor for key, tensor in self.learner.backbone.trainable_state().items()}
        for name, part in self.method.modules().items():
            state |= {f"{name}.{key}": tensor for key, tensor in part.state_dict().items()}
        return state

    def _save(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        with self.clock("record"):
            state = self._models_state() | {
                "phase": self.phase,
                "step": self.step,
                "stage": self.stage,
                "order": self.order,
                "totals": self.totals,
                "generators": {name: generator.get_state() for name, generator in self.learner.generators.items()},
                "torch": torch.get_rng_state(),
                "optimizer": optimizer.state_dict() if optimizer is not None else None,
                "seconds": dict(self.clock.seconds),
                "rows": self.writer.checkpoint(iteration=self.learner.iteration, stage=self.stage),
            }
            checkpoint.save(self.writer, f"{self.learner.iteration:09d}-{STAGES.index(self.stage)}-{self.stage}", self._weights(), state)

    def _models_state(self) -> dict[str, Any]:
        return {
            "iteration": self.learner.iteration,
            "warnings": list(self.learner.warnings),
            "tasks": [dataclasses.asdict(task) for task in self.learner.tasks],
            "method": self.method.state_dict(),
        }

    def restore(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take over a checkpoint's content, to go on."""
        self.phase, self.step, self.stage, self.order, self.totals = (state[key] for key in ("phase", "step", "stage", "order", "totals"))
        self.restore_models(weights, state)
        self.record.take_up()
        self.optimizer_state = state["optimizer"]
        self.clock.seconds.update(state["seconds"])
        for name, generator in state["generators"].items():
            self.learner.generators[name].set_state(generator)
        torch.set_rng_state(state["torch"])

    def restore_models(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take over what is needed to draw and answer: weights, tasks learnt, the method's own state."""
        self.learner.iteration = state["iteration"]
        self.learner.warnings[:] = state["warnings"]
        self.learner.tasks[:] = [KnownTask(**task) for task in state["tasks"]]
        self.method.load_state_dict(state["method"])
        self._load_weights(weights)

    def _load_weights(self, weights: dict[str, Tensor]) -> None:
        """Put back what `_weights` gave."""
        parts = self.method.modules()
        split: dict[str, dict[str, Tensor]] = {name: {} for name in ("backbone", *parts)}
        for key, tensor in weights.items():
            name, _, rest = key.partition(".")
            split[name][rest] = tensor
        self.learner.backbone.load_trainable_state(split["backbone"])
        for name, part in parts.items():
            part.load_state_dict(split[name])


def _warm_then_linear(warmup: int, steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at a step: a linear rise, then a linear fall to zero."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (steps - step) / max(steps - warmup, 1)

    return factor
