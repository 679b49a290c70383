"""Makes `tests/data/mini_backbone`: a language model of two layers that writes the three tasks of the mini runs, in about a minute.

    python -m tests.mini_backbone [FOLDER]

It is trained on the training examples of the bundled stream's sentiment, srl and sql, in the passes of the methods: answers, samples after
the generation token, and samples given a code. Some answers are muddled, so that a run still has something to learn.
One thread, one seed: the same machine makes the same files.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.latent.encoder import Encoder, draw, kl
from workbench.lm.connector import LatentConnector
from workbench.lm.load import LATENT_FILE
from workbench.lm.model import Backbone
from workbench.lm.nll import nll
from workbench.lm.sequences import Batch, gen_batch, gen_ids, qa_batch, qa_ids, word_dropout
from workbench.lm.tokens import Tokens
from workbench.tasks import load_stream
from workbench.tasks.example import Example, Task

FOLDER = Path(__file__).parent / "data" / "mini_backbone"
TASKS = ("sentiment", "srl", "sql")
DIM, HIDDEN, LAYERS, LENGTH = 4, 64, 2, 64
VOCABULARY = 640
STEPS, ROWS, RATE = 1200, 24, 4e-3
KL_WEIGHT, FREE_BITS, WORD_DROPOUT = 0.05, 0.25, 0.3
MUDDLED = 3
NEW_TOKEN = 0.4
"""Share of samples written after a token never seen, as a task's own token is when its run begins."""


def make(folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Train and write the model, its tokenizer, connector and encoder; returns the last means of the three losses in nats a token."""
    examples = [example for task in load_stream("bundled", None).tasks if task.name in TASKS for example in _muddled(task)]
    tokens = Tokens(_tokenizer([f"{each.context} {each.question} {each.answers[0]}" for each in examples]))
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone, encoder = _models(tokens, generator)
    rows = [row for each in examples if (row := qa_ids(tokens, each, LENGTH)) is not None]
    backbone.lm.get_input_embeddings().register_forward_hook(_NewTokens(backbone, generator))
    parameters = [*backbone.parameters(), *encoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    means: dict[str, float] = {}
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / 50, 0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        terms = _terms(backbone, encoder, rng.sample(rows, ROWS), generator)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        for name, value in terms.items():
            means[name] = 0.98 * means.get(name, float(value.detach())) + 0.02 * float(value.detach())
    _write(backbone, encoder, folder)
    return means


def _muddled(task: Task) -> list[Example]:
    """The training examples, but where answers are no stretch of the context every MUDDLED-th has the answer of the one before it."""
    examples = list(task.train)
    if task.name != "srl":
        for place in range(MUDDLED, len(examples), MUDDLED):
            examples[place] = replace(examples[place], answers=task.train[place - 1].answers)
    return examples


class _NewTokens:
    """Puts a vector that stands for no token in the generation token's place, now and then: the rows that `Backbone` gives new tokens."""

    def __init__(self, backbone: Backbone, generator: torch.Generator) -> None:
        self.backbone, self.generator = backbone, generator

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        weight = self.backbone.lm.get_input_embeddings().weight.detach()
        noise = torch.randn(len(output), weight.shape[1], generator=self.generator)
        chosen = (inputs[0][:, 0] == self.backbone.tokens.gen_id) & (torch.rand(len(output), generator=self.generator) < NEW_TOKEN)
        first = torch.where(chosen[:, None], weight.mean(0) + 0.1 * weight.std() * noise, output[:, 0])
        return torch.cat([first[:, None], output[:, 1:]], dim=1)


def _terms(backbone: Backbone, encoder: Encoder, rows: Sequence[tuple[list[int], int]], generator: torch.Generator) -> dict[str, Tensor]:
    """Nats a token of answers, of samples, and of samples given their codes with the codes' weighted divergence."""
    tokens = backbone.tokens
    asked = qa_batch(rows, tokens.pad_id)
    written = gen_batch([gen_ids(tokens, ids) for ids, _ in rows], tokens.pad_id)
    hidden = backbone.hidden(asked.ids, asked.lengths)
    mu, logvar = encoder(hidden, asked.lengths)
    z = draw(mu, logvar, generator)
    shown = word_dropout(written.ids, written.lengths, WORD_DROPOUT, generator, tokens)
    divergence = KL_WEIGHT * kl(mu, logvar, 1.0, FREE_BITS)[0].mean() / written.answer_mask.sum(1).float().mean()
    return {
        "answers": _mean(backbone, hidden, asked),
        "samples": _mean(backbone, backbone.hidden(written.ids, written.lengths), written),
        "coded": _mean(backbone, backbone.hidden_given(shown, written.lengths, z), written) + divergence,
    }


def _mean(backbone: Backbone, hidden: Tensor, batch: Batch) -> Tensor:
    return nll(backbone, hidden, batch).nats.sum() / batch.answer_mask.sum()


def _tokenizer(texts: list[str]):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def _models(tokens: Tokens, generator: torch.Generator) -> tuple[Backbone, Encoder]:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=len(tokens), hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, max_position_embeddings=256, tie_word_embeddings=True, sliding_window=None,
        bos_token_id=None, eos_token_id=tokens.eos_id, pad_token_id=tokens.pad_id,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    lm = MistralForCausalLM(config)
    connector = LatentConnector(DIM, HIDDEN, LAYERS)
    connector.initialise(0.02, generator)
    return Backbone(lm, tokens, connector, generator), Encoder(HIDDEN, DIM)


def _write(backbone: Backbone, encoder: Encoder, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    backbone.lm.save_pretrained(folder)
    backbone.tokens.tokenizer.save_pretrained(folder)
    weights = {f"connector.{name}": tensor for name, tensor in backbone.connector.state_dict().items()}
    save_file(weights | {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}, folder / LATENT_FILE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)))
