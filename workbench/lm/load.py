"""Loading a backbone: the bundled model, a local folder, or a causal model of the hub; full tuning or LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from workbench.config import BackboneConfig
from workbench.lm.connector import LatentConnector, attention_layers
from workbench.lm.model import Backbone
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
    return backbone.to(device)


def _load(config: BackboneConfig) -> tuple[Any, Tokens, Path | None]:
    folder = BUNDLED if config.name == "bundled" else Path(config.name).expanduser()
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
    elif config.name.startswith((".", "/", "~")):
        raise BackboneError(f"backbone.name: no folder {config.name}; accepted: bundled, a folder, or a model id of the hub")
    source = str(local or config.name)
    bars = logging.is_progress_bar_enabled()
    if local is not None:
        logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local is not None)
        lm = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, config.dtype), use_safetensors=True, attn_implementation="sdpa", local_files_only=local is not None
        )
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(
            f"backbone.name: {config.name} cannot be loaded ({reason}); accepted: bundled, a folder, or a hub id with safetensors"
        ) from None
    finally:
        if bars:
            logging.enable_progress_bar()
    return lm, Tokens(tokenizer), local


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
