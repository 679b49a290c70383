"""Loading a backbone: the bundled model, a local folder, or a causal model of the hub; full tuning or LoRA."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from workbench.config import BackboneConfig
from workbench.lm.connector import LatentConnector, attention_layers
from workbench.lm.gguf import gguf_file, load_gguf
from workbench.lm.model import Backbone
from workbench.lm.self_test import self_test
from workbench.lm.tokens import BackboneError, Tokens

BUNDLED = Path(__file__).parents[2] / "data" / "backbone"
LATENT_FILE = "latent.safetensors"


def load_backbone(
    config: BackboneConfig, dim: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> Backbone:
    """The backbone that `config` names, with a connector for a latent of `dim` dimensions.

    Every random number (connector, new embeddings, adapters) comes from `generator`. Where the model's folder holds `latent.safetensors`
    for this latent size and conditioning, connector and `encoder_state` start from it. Raises BackboneError.
    """
    generator = generator or torch.Generator().manual_seed(0)
    lm, tokens, folder = _load(config)
    limit = getattr(lm.config, "max_position_embeddings", None)
    if limit and config.max_length > limit:
        raise BackboneError(f"backbone.max_length: found {config.max_length}; accepted: up to {limit} for {config.name}")
    layers = len(attention_layers(lm)) if config.conditioning == "memory" else 0
    embedding = lm.get_input_embeddings().weight
    connector = LatentConnector(dim, embedding.shape[1], layers, config.conditioning, config.prefix_length)
    connector.initialise(float(embedding.detach().float().pow(2).mean().sqrt()), generator)
    if config.tuning == "lora":
        _add_adapters(lm, config.lora_rank, generator)
    backbone = Backbone(lm, tokens, connector, generator, frozen=config.tuning == "lora")
    if folder is not None and (folder / LATENT_FILE).is_file():
        _start_latent(backbone, folder / LATENT_FILE)
    backbone.to(device)
    if config.name != "bundled":
        self_test(backbone, config.max_length, config.name)
    return backbone


def _load(config: BackboneConfig) -> tuple[Any, Tokens, Path | None]:
    folder = BUNDLED if config.name == "bundled" else Path(config.name).expanduser()
    if (file := gguf_file(folder)) is not None:
        lm, tokenizer = load_gguf(file, getattr(torch, config.dtype))
        return lm, Tokens(tokenizer), file.parent
    local = folder if config.name == "bundled" or folder.is_dir() else None
    if local is not None:
        wanted = {
            "config.json": ["config.json"],
            "tokenizer.json": ["tokenizer.json"],
            "weights": ["model.safetensors", "model.safetensors.index.json"],
        }
        missing = [name for name, files in wanted.items() if not any((local / file).is_file() for file in files)]
        if missing:
            raise BackboneError(
                f"backbone.name: folder {local} lacks {', '.join(missing)}; accepted: config.json, tokenizer.json, model.safetensors"
            )
        _check_files(local)
    elif config.name.startswith((".", "/", "~")):
        raise BackboneError(f"backbone.name: no folder {config.name}; accepted: bundled, a folder, or a model id of the hub")
    source = str(local or config.name)
    bars = logging.is_progress_bar_enabled()
    if local is not None:
        logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local is not None)
        choices: dict[str, Any] = {
            "dtype": getattr(torch, config.dtype),
            "use_safetensors": True,
            "local_files_only": local is not None,
            "output_loading_info": True,
        }
        load: Any = AutoModelForCausalLM.from_pretrained
        try:
            lm, found = load(source, attn_implementation="sdpa", **choices)
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            lm, found = load(source, attn_implementation="eager", **choices)
    except Exception as error:  # config, tokenizer and weights are the user's: whatever a library says about them is one sentence
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(
            f"backbone.name: {config.name} cannot be loaded ({reason}); accepted: bundled, a folder, or a hub id with safetensors"
        ) from error
    finally:
        if bars:
            logging.enable_progress_bar()
    for kind in ("missing_keys", "unexpected_keys"):
        if names := sorted(found[kind]):
            fault = "lack" if kind == "missing_keys" else "hold unknown"
            raise BackboneError(
                f"backbone.name: the weights of {config.name} {fault} {names[0]} ({len(names)} such); accepted: the weights of its config.json"
            )
    return lm, Tokens(tokenizer), local


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: those its index names, or model.safetensors. Raises BackboneError for a bad index."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return [folder / "model.safetensors"]
    try:
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackboneError(f"backbone.name: {index} cannot be read ({error}); accepted: an index with weight_map") from error


def _check_files(folder: Path) -> None:
    """Raises BackboneError for what libraries meet with a trace: a Git LFS pointer, a cut file, a quantised model."""
    try:
        quantised = json.loads((folder / "config.json").read_text()).get("quantization_config")
    except (ValueError, AttributeError) as error:
        raise BackboneError(f"backbone.name: {folder / 'config.json'} cannot be read ({error}); accepted: a JSON object") from error
    if quantised:
        raise BackboneError(
            f"backbone.name: {folder} is quantised (quantization_config in config.json); accepted: float32 or bfloat16 weights"
        )
    for file in weight_files(folder):
        if not file.is_file():
            raise BackboneError(
                f"backbone.name: folder {folder} lacks {file.name}, which its index names; accepted: all files of the index"
            )
        with file.open("rb") as stream:
            start, size = stream.read(8), file.stat().st_size
            if start == b"version ":
                raise BackboneError(f"backbone.name: {file} is a Git LFS pointer; accepted: the weights themselves (git lfs pull)")
            length = int.from_bytes(start, "little")
            if size < 8 or length > size - 8:
                raise BackboneError(f"backbone.name: {file} is cut short or no safetensors file ({size} bytes); accepted: a whole file")
            try:
                entries = json.loads(stream.read(length))
                end = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BackboneError(f"backbone.name: {file} has a header that cannot be read; accepted: a safetensors file") from error
        if size != 8 + length + end:
            raise BackboneError(f"backbone.name: {file} has {size} bytes; accepted: {8 + length + end}, as its header says")


def fingerprint(name: str) -> str | None:
    """SHA-256 in hex over config, tokenizer and weights of a backbone by its name, equal where a run can go on with it; None for one of the hub."""
    folder = BUNDLED if name == "bundled" else Path(name).expanduser()
    if not folder.exists():
        return None
    single = gguf_file(folder)
    files = [single] if single else [folder / "config.json", folder / "tokenizer.json", *weight_files(folder)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise BackboneError(f"backbone.name: {folder} lacks {missing[0]}; accepted: a model folder or a .gguf file")
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def absolute_name(name: str) -> str:
    """A backbone's name as a run stores it: a local path made absolute, so that the run goes on from any folder."""
    path = Path(name).expanduser()
    return name if name == "bundled" or not path.exists() else str(path.resolve())


def _add_adapters(lm: Any, rank: int, generator: torch.Generator) -> None:
    """Rank-stabilised LoRA (Kalajdzievski 2023) on every linear layer but the output head; everything else is frozen."""
    from peft import LoraConfig, inject_adapter_in_model  # takes a second to import and only this path needs it
    from transformers.pytorch_utils import Conv1D

    head = lm.get_output_embeddings()
    names = [name for name, module in lm.named_modules() if isinstance(module, (nn.Linear, Conv1D)) and module is not head]
    conv = any(isinstance(module, Conv1D) for module in lm.modules())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator, device=generator.device)))
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=16, use_rslora=True, target_modules=names, fan_in_fan_out=conv), lm)
    for name, parameter in lm.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _start_latent(backbone: Backbone, path: Path) -> None:
    """Take connector and encoder weights of a file whose latent size and conditioning are the backbone's."""
    state = load_file(path)
    weight = state.get("connector.linear.weight")
    if weight is not None and backbone.connector.conditioning == "memory" and weight.shape == backbone.connector.linear.weight.shape:
        backbone.connector.load_state_dict({"linear.weight": weight})
        backbone.encoder_state = {name.removeprefix("encoder."): tensor for name, tensor in state.items() if name.startswith("encoder.")}
