"""RunConfig: the one source of the YAML file, the command-line flags, the saved run and the help texts.

Every choice that the LSEBMCL paper leaves open is a named field with a documented default. Unknown keys are refused
with the nearest known name. This module needs pydantic and PyYAML only: the half that shows reads it without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from workbench.config.errors import nearest


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class TasksConfig(Section):
    """Which examples of a task are used."""

    train_limit: int | None = Field(None, ge=1, description="at most this many training examples a task, drawn once by seed; null: all")
    test_limit: int | None = Field(None, ge=1, description="at most this many test examples a task, drawn once by seed; null: all")


class BackboneConfig(Section):
    """The language model p_beta / p_Theta and how it is trained and conditioned."""

    name: str = Field(
        "bundled", description="'bundled', a local folder, or a causal model id of the hub (the paper's is mistralai/Mistral-7B-v0.1)"
    )
    tuning: Literal["full", "lora"] = Field("full", description="full fine-tuning, or LoRA adapters through peft")
    lora_rank: int = Field(64, ge=1, description="rank of the LoRA adapters (rank-stabilised, on every linear layer)")
    conditioning: Literal["memory", "prefix"] = Field(
        "memory", description="how z enters: one key/value slot a layer plus a bias on every embedding, or soft prefix tokens"
    )
    prefix_length: int = Field(4, ge=1, description="soft prefix tokens, for conditioning: prefix")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="number format of the language model")
    max_length: int = Field(96, ge=16, description="tokens a sequence at most; the context loses its tail to fit")


class EnergyConfig(Section):
    """The latent z, its encoder q_phi, the latent energy F_alpha and its chains, the answer energy E_Theta."""

    dim: int = Field(32, ge=1, le=1024, description="dimensions of z")
    sigma: float = Field(1.0, gt=0, description="standard deviation of the reference N(0, sigma^2 I) of Eq. 8")
    reference: Literal["per_task", "isotropic"] = Field(
        "per_task", description="F corrects a Gaussian fitted per task (whitened coordinates), or one isotropic Gaussian (Eq. 8)"
    )
    schedule: Literal["post_task", "joint"] = Field(
        "post_task", description="fit F after each task on standing codes, or a step beside every language-model step"
    )
    hidden: int = Field(200, ge=1, description="width of the two hidden layers of F")
    kernel: Literal["ula", "mala"] = Field("ula", description="Langevin kernel")
    steps: int = Field(20, ge=0, description="K, Langevin steps of one short-run chain")
    delta: float = Field(
        0.2,
        gt=0,
        description="step size as Pang et al.: z' = z - delta^2/2 grad U + delta eps; a mode narrower than about delta / 2 in whitened "
        "coordinates is smeared",
    )
    init: Literal["reference", "encoder"] = Field(
        "reference", description="chains start from the reference, or from stored codes of the last task end"
    )
    objective: Literal["noise_contrast", "short_run", "both"] = Field(
        "noise_contrast",
        description="F learns codes against draws of the reference (Gutmann and Hyvarinen 2010), against ends of its own short-run chains, "
        "or one after the other",
    )
    fit_steps: int = Field(400, ge=0, description="optimiser steps of one post-task fit at most; held-out codes stop it earlier")
    fit_batch: int = Field(64, ge=2, description="codes of every task in one fit step")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of a task's samples, with all their codes, that F is stopped on")
    fit_report: Literal["gain", "full"] = Field(
        "gain",
        description="measured after each fit: gain on held-out codes beside a mixture's; or also what a free classifier gains and how well the "
        "sampler's draws, the Gaussian's and the mixture's can be told from held-out codes (some 10 s a task)",
    )
    lr: float = Field(1e-2, gt=0, description="AdamW learning rate of F")
    short_run_steps: int = Field(100, ge=0, description="steps of short-run contrast after the noise contrast, for objective: both")
    short_run_lr: float = Field(1e-3, gt=0, description="AdamW learning rate of the short-run contrast")
    weight_decay: float = Field(
        1.0, ge=0, description="weight decay of F: it keeps units that look along noise from growing while the few that matter are found"
    )
    clip: float = Field(1.0, gt=0, description="gradient norm limit of F")
    regulariser: float = Field(0.01, ge=0, description="c of c * mean(F+^2 + F-^2)")
    symbol_weight: float = Field(0.1, ge=0, description="w_y, weight of the symbol (task) cross-entropy")
    information_weight: float = Field(0.0, ge=0, description="lambda_I, weight of I(symbol; z)")
    kl_weight: float = Field(
        0.1, ge=0, description="largest weight of KL(q(z|x) || N(0, sigma^2 I)), NLL summed over tokens and KL over dimensions"
    )
    kl_zero: float = Field(0.25, ge=0, le=1, description="share of each KL cycle at weight zero (a plain autoencoder)")
    kl_ramp: float = Field(0.25, ge=0, le=1, description="share of each KL cycle in which the weight rises")
    kl_cycles: int = Field(1, ge=1, description="KL cycles a task")
    free_bits: float = Field(0.25, ge=0, description="nats a dimension below which KL is not counted")
    word_dropout: float = Field(
        0.3, ge=0, lt=1, description="share of decoder input tokens hidden in the generation pass, never special ones"
    )
    code_samples: int = Field(
        200, ge=0, description="pseudo-samples a past task, decoded and encoded again, that F and the reference are fitted on"
    )
    code_draws: int = Field(
        16, ge=1, description="codes a sample, drawn from q(z|x), that F and the reference are fitted on: of one alone F learns the draw"
    )
    posterior_steps: int = Field(
        0, ge=0, le=50, description="Langevin refinement steps on p(z|x) after q_phi, when codes are taken for the fit"
    )
    posterior_delta: float = Field(0.1, gt=0, description="step size of those refinement steps")
    o1: Literal["softmax", "straight_through", "gumbel"] = Field(
        "softmax", description="operator on logits that are fed back as context (Eq. 4)"
    )
    o2: Literal["softmax", "straight_through", "gumbel"] = Field("softmax", description="operator on logits that are scored (Eq. 4)")
    eta: float = Field(0.0, ge=0, description="weight of E_Theta(x, A_Psi(x)), Theta frozen; 0 leaves the answer inference network out")

    @model_validator(mode="after")
    def _stable(self) -> EnergyConfig:
        if self.delta**2 / 2 >= 2 * self.sigma**2:
            raise ValueError(
                f"energy.delta: {self.delta} diverges on the reference; accepted: delta^2/2 < 2 sigma^2, here delta < {2 * self.sigma:g}"
            )
        if self.schedule == "joint" and self.reference == "per_task":
            raise ValueError(
                "energy.schedule: joint needs energy.reference: isotropic (while codes move there is no Gaussian per task to correct)"
            )
        return self


class ReplayConfig(Section):
    """What is replayed while a new task is learnt."""

    gamma: float = Field(
        0.2,
        ge=0,
        le=10,
        description="replay ratio as LAMOL counts it: ceil(gamma * |D_t|) samples before task t, less the remainder modulo t-1, split equally",
    )
    source: Literal["energy", "normal", "gaussian", "stored"] = Field(
        "energy", description="where latents of lsebmcl come from: chains on the energy, or a control on the same decoder"
    )
    answers: Literal["generated", "relabelled", "agreed", "relaxed"] = Field(
        "relaxed",
        description="answer as decoded; by the model's own question-answering pass; kept only where both agree; or, relaxed, that pass's "
        "distributions (o2 of Eq. 4) instead of its likeliest tokens",
    )
    choice: Literal["first", "coverage"] = Field(
        "coverage",
        description="which samples that pass are kept: the first; or those that together cover most words, answers given twice first",
    )
    shaped: bool = Field(True, description="let nothing be decoded but context, __sep__, question, __ans__, answer, end")
    balanced: bool = Field(
        True,
        description="keep equally many replayed samples of each label of a task that has labels, and of any other answer no larger share "
        "than training had, or 5 % where that is more, as far as the budget goes",
    )
    tokens: Literal["gen", "task"] = Field("gen", description="one shared generation token (GEN) or one a task (TASK)")
    top_k: int = Field(20, ge=1, description="top-k of replay decoding")
    temperature: float = Field(1.0, gt=0, description="temperature of replay decoding")
    budget: float = Field(4.0, ge=1, description="samples decoded at most, as a multiple of those asked for")


class TrainingConfig(Section):
    """The loop."""

    epochs: int = Field(3, ge=1, description="epochs a task")
    batch_size: int = Field(16, ge=1, description="sequences a step")
    lr: float = Field(1e-3, gt=0, description="AdamW learning rate of the language model, linear decay a task")
    latent_lr: float = Field(2e-3, gt=0, description="learning rate of encoder and connector")
    warmup: float = Field(0.05, ge=0, le=1, description="share of a task's steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="weight decay, none on norms and biases")
    clip: float = Field(1.0, gt=0, description="gradient norm limit")
    generation_weight: float = Field(0.25, ge=0, description="lambda, weight of the generation loss")
    max_steps: int | None = Field(None, ge=1, description="cap on the steps a task, for trying things")
    checkpoint_every: int = Field(100, ge=1, description="iterations between checkpoints")


class EvaluationConfig(Section):
    """Continual evaluation on subsets drawn once."""

    subset: int = Field(64, ge=1, description="test examples a task for the per-iteration score")
    every: int = Field(20, ge=1, description="iterations between evaluations")
    dense: int = Field(10, ge=0, description="iterations after a switch that are all evaluated")
    gradients_every: int = Field(
        25, ge=0, description="iterations between measurements of the cosine of new-task and replay gradients; 0: never"
    )


class RecordingConfig(Section):
    """What the run folder keeps."""

    chains: int = Field(256, ge=0, description="chains a task kept whole at each switch; 0: none")
    latents: int = Field(200, ge=0, description="codes a task of the fixed probe set; 0: none")
    samples: int = Field(100, ge=0, description="pseudo-samples a task drawn once more after the last task, for reading; 0: none")
    umap: bool = Field(False, description="also save a UMAP of the probe codes at the end of the run")
    weights: Literal["none", "last", "tasks"] = Field(
        "last", description="language-model weights kept after the run; the energy's are always kept"
    )


class RunConfig(Section):
    """Everything that determines a run."""

    stream: str = Field(
        "bundled",
        description="'bundled', 'bundled20', some of their tasks (bundled20:taxi,hotel), published task names joined by commas (sst,qasrl,woz), hub:NAMES, or own:NAMES",
    )
    method: str = Field(
        "lsebmcl", description="a file of workbench/methods; normal, gaussian and stored are lsebmcl with that replay.source"
    )
    data: str | None = Field(
        None, description="folder of the published files, or of your own tasks; default: the environment variable WORKBENCH_DATA"
    )
    order: str | None = Field(None, description="task order: names or 1-based numbers joined by commas; default: the stream's own")
    seed: int = Field(0, ge=0, description="the one seed all named generators are made from")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    name: str = Field("", description="short name that ends the run's folder name")
    knobs: dict[str, bool | int | float | str] = Field({}, description="the method's own knobs: the fields of Knobs in its file")
    tasks: TasksConfig = Field(default_factory=lambda: TasksConfig.model_validate({}))
    backbone: BackboneConfig = Field(default_factory=lambda: BackboneConfig.model_validate({}))
    energy: EnergyConfig = Field(default_factory=lambda: EnergyConfig.model_validate({}))
    replay: ReplayConfig = Field(default_factory=lambda: ReplayConfig.model_validate({}))
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig.model_validate({}))
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig.model_validate({}))
    recording: RecordingConfig = Field(default_factory=lambda: RecordingConfig.model_validate({}))

    @model_validator(mode="before")
    @classmethod
    def _control_is_a_source(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("method") in ("normal", "gaussian", "stored"):
            replay = values.get("replay") or {}
            replay = replay if isinstance(replay, dict) else replay.model_dump(exclude_unset=True)
            return {**values, "method": "lsebmcl", "replay": {**replay, "source": values["method"]}}
        return values

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in method_names():
            raise ValueError(
                f"no method named {value!r}{nearest(value, method_names())}; accepted: {', '.join([*method_names(), *CONTROLS])}"
            )
        return value

    @property
    def label(self) -> str:
        """The name a table shows: the method, or the control that stands in for the energy; `lamol_task` for LAMOL with a token a task."""
        if self.method == "lsebmcl" and self.replay.source != "energy":
            return self.replay.source
        return "lamol_task" if self.method == "lamol" and self.replay.tokens == "task" else self.method

    @property
    def group_hash(self) -> str:
        """Hash of what decides a run's scores but seed and order, over which a table takes its spread.

        Left out beside them: device, data folder, name, recording, how often a checkpoint is written and gradients are measured.
        """
        content = self.model_dump(
            exclude={
                "seed": True, "order": True, "device": True, "data": True, "name": True, "recording": True,
                "training": {"checkpoint_every"}, "evaluation": {"gradients_every"},
            }
        )  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


CONTROLS = ("normal", "gaussian", "stored")


def method_names() -> list[str]:
    """The files of workbench/methods, found without importing them (they need torch)."""
    folder = Path(__file__).parents[1] / "methods"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "base"))


def fields(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf field of a config model as (dotted name, pydantic FieldInfo)."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info
