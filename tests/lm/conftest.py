"""A tiny model folder, made once: two random layers of width 32 and a small byte-level tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from workbench.config import BackboneConfig
from workbench.lm.load import load_backbone
from workbench.lm.model import Backbone

TEXT = "the red kettle was found in lima . who found the red kettle ? nora found it , and anna said : not bad ."


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # pyright: ignore[reportAttributeAccessIssue]
    bpe.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    bpe.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=330, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", bos_token="<s>").save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        lm = MistralForCausalLM(
            MistralConfig(
                vocab_size=bpe.get_vocab_size(),
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=128,
                sliding_window=None,
                initializer_range=0.2,
            )
        )
    lm.save_pretrained(folder)
    return folder


@pytest.fixture
def make_tiny(tiny_folder: Path) -> Callable[..., Backbone]:
    """A backbone of the tiny model, or of another folder, with the choices given."""

    def make(folder: Path | None = None, dim: int = 4, **choices: object) -> Backbone:
        config = BackboneConfig(name=str(folder or tiny_folder), **choices)  # type: ignore[arg-type]
        return load_backbone(config, dim, "cpu", torch.Generator().manual_seed(3)).eval()

    return make


@pytest.fixture
def tiny(make_tiny: Callable[..., Backbone]) -> Backbone:
    return make_tiny()
