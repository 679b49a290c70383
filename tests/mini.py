"""A language model small enough for tests: 2 layers, 64 wide, its own byte-level tokenizer, random weights. And short runs on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.config import RunConfig, build
from workbench.tasks import load_stream


def write_backbone(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    stream = load_stream("bundled", None)
    texts = [f"{example.context} {example.question} {example.answers[0]}" for task in stream.tasks for example in task.train[:200]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=["<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(fast), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
        max_position_embeddings=256, tie_word_embeddings=True, sliding_window=None,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(folder)
    return folder


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
