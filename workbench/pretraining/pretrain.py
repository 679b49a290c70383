"""Pretraining of the bundled model: a small causal language model with a latent autoencoder, from nothing, in half an hour on two cores.

Three stages. Language: rows of text alone. Repeats: copying alone, which forms in a model that has met language and hardly in one that has
not. Then everything: rows, records, a few repeats, and a batch of short texts through encoder, latent and decoder, so that both have met
before the first task (autoencoder pretraining as in Optimus, Li et al. 2020, and HMI-LAMOL). The autoencoder's loss is NLL summed over
tokens plus the weighted KL summed over dimensions with free bits; the decoder's words are dropped.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import MistralConfig, MistralForCausalLM

from workbench.lm.connector import LatentConnector
from workbench.lm.load import LATENT_FILE
from workbench.lm.model import Backbone
from workbench.lm.nll import nll
from workbench.lm.sequences import gen_batch, pad_ids, word_dropout
from workbench.lm.tokens import Tokens
from workbench.pretraining.corpus import SHARES, Prose, Rows, encode_records, read_prose, records, short_texts, train_tokenizer
from workbench.pretraining.practice import Repeats, drafts, record_loss
from workbench.tasks.bundled import narration

FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", LATENT_FILE)


@dataclass(frozen=True)
class Recipe:
    """Sizes and rates of the pretraining. language, repeats: steps of the first two stages (the second at most)."""

    vocabulary: int = 4096
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    ffn: int = 512
    positions: int = 512
    dim: int = 32
    row: int = 128
    language: int = 800
    language_rows: int = 16
    repeats: int = 1200
    repeat_rows: int = 24
    rows: int = 8
    records: int = 16
    salad: float = 0.5
    kept_repeats: int = 4
    texts: int = 32
    text_tokens: int = 64
    lr: float = 2e-3
    warmup: int = 100
    kl_weight: float = 0.015
    free_bits: float = 0.25
    word_dropout: float = 0.3
    narration: int = 100_000
    evaluated: int = 600


def pretrain(
    data: Path,
    out: Path,
    encoder: Callable[[int, int], nn.Module],
    *,
    steps: int = 1300,
    minutes: float | None = None,
    seed: int = 0,
    recipe: Recipe | None = None,
    save_every: float = 180.0,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train tokenizer, model, encoder and connector and write them to `out` with a card; returns the card.

    data: folder with lm/novels and lm/speeches, read in place. encoder: class of q_phi, called as encoder(hidden_size, dim), whose forward
    takes (hidden, lengths) to (mu, logvar). steps: of the last stage; minutes: choose them from the speed of the first ones instead. A
    usable model is written every `save_every` seconds, each file replaced at once. Raises BackboneError where the texts are missing.
    """
    recipe = recipe or Recipe()
    started, rng, generator = time.monotonic(), random.Random(seed), torch.Generator().manual_seed(seed)
    prose = read_prose(data)
    told = [text for text in narration(recipe.narration, seed + 1) if text]
    held = {"novels": prose.held_out, "narration": list(narration(recipe.evaluated, seed + 2))}
    tokens = train_tokenizer(prose, told[:40_000], recipe.vocabulary)
    backbone, q = build(recipe, tokens, encoder, generator, seed)
    rows, texts = Rows(tokens, prose.train, told, recipe.row, rng), _texts(tokens, prose, told, recipe, rng)
    drawn = drafts(tokens, prose.train, told, recipe.salad, rng)
    repeats = Repeats(sorted({token for ids in tokens.encode_many(told[:4000]) for token in ids}), rng)
    parameters = [*backbone.parameters(), *q.parameters()]
    curve: list[dict[str, Any]] = []

    def take(optimiser: torch.optim.Optimizer, rate: float, loss: Tensor) -> None:
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * rate
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()

    def note(stage: str, step: int, **terms: Any) -> None:
        seconds = round(time.monotonic() - started, 1)
        curve.append({"stage": stage, "step": step, **{name: round(float(value), 4) for name, value in terms.items()}, "seconds": seconds})
        if on_step is not None:
            on_step(curve[-1])

    optimiser = _optimiser(backbone, q, recipe.lr)
    for step in range(1, recipe.language + 1):
        loss = row_loss(backbone, torch.tensor([rows.row() for _ in range(recipe.language_rows)]))
        take(optimiser, min(step / recipe.warmup, 1.0), loss)
        if step % 25 == 0 or step == recipe.language:
            note("language", step, loss=loss.detach())
    save(backbone, None, out)

    optimiser, step = _optimiser(backbone, q, recipe.lr), 0
    while step < recipe.repeats and not repeats.learnt:
        loss, accuracy = repeats.loss(backbone, recipe.repeat_rows)
        step += 1
        take(optimiser, min(step / recipe.warmup, 1.0), loss)
        if step % 25 == 0:
            note("repeats", step, loss=loss.detach(), accuracy=accuracy, different=repeats.different, longest=repeats.longest)
    save(backbone, None, out)

    optimiser, step = _optimiser(backbone, q, recipe.lr), 0
    saved = opened = time.monotonic()
    while step < steps:
        lm_loss = row_loss(backbone, torch.tensor([rows.row() for _ in range(recipe.rows)]))
        record, exact = record_loss(backbone, drawn, recipe.records)
        repeat, accuracy = repeats.loss(backbone, recipe.kept_repeats)
        found = autoencoder_terms(backbone, q, [next(texts) for _ in range(recipe.texts)], recipe, generator)
        weight = recipe.kl_weight * min(max(4 * step / steps - 1, 0), 1)
        loss = lm_loss + record + 0.25 * repeat + (found["nll"] + weight * found["kl_counted"]) / found["tokens"]
        take(optimiser, min((step + 1) / recipe.warmup, 0.05 + 0.475 * (1 + math.cos(math.pi * step / steps))), loss)
        step += 1
        if minutes is not None and step == 20:
            steps = max(int((60 * minutes - (opened - started)) / (time.monotonic() - opened) * step), step)
        if step % 25 == 0 or step == steps:
            copied = {"records": record.detach(), "exact": exact, "accuracy": accuracy, "different": repeats.different}
            coded = {"nll_token": found["nll"].detach() / found["tokens"], "kl": found["kl"].detach()}
            note("all", step, loss=lm_loss.detach(), **copied, **coded)
        if time.monotonic() - saved > save_every:
            save(backbone, q, out)
            saved = time.monotonic()

    save(backbone, q, out)
    scores = {name: round(perplexity(backbone, texts), 2) for name, texts in held.items()}
    pairs = _pairs(tokens, held, recipe, random.Random(seed))
    latent = latent_life(backbone, q, pairs, recipe)
    copied = {name: copying(backbone, rows) for name, rows in pairs.items()}
    card = {
        "what": "a small causal language model with a latent autoencoder, trained from nothing by `workbench pretrain`",
        "command": f"workbench pretrain --data DATA --out data/backbone --steps {steps} --seed {seed}",
        "parameters": sum(each.numel() for each in backbone.lm.parameters()),
        "recipe": asdict(recipe),
        "corpus": {
            "texts": prose.titles,
            "prose_characters": sum(map(len, prose.train)),
            "narration": f"{len(told)} texts of workbench.tasks.bundled.narration",
            "row_shares": SHARES,
            "row_tokens_seen": rows.counts,
            "autoencoder_texts_seen": recipe.texts * steps,
            "licence": "novels of 1852-1912 and presidential addresses: public domain; narration: generated by this project",
        },
        "steps": step,
        "seconds": round(time.monotonic() - started, 1),
        "held_out_perplexity": scores,
        "latent": latent,
        "copying": copied,
        "curve": curve,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__},
        "threads": torch.get_num_threads(),
        "files": {
            name: {"bytes": (out / name).stat().st_size, "sha256": hashlib.sha256((out / name).read_bytes()).hexdigest()} for name in FILES
        },
    }
    _replace(out / "card.json", lambda path: path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8"))
    return card


def build(
    recipe: Recipe, tokens: Tokens, encoder: Callable[[int, int], nn.Module], generator: torch.Generator, seed: int
) -> tuple[Backbone, nn.Module]:
    """A backbone and an encoder with fresh weights."""
    config = MistralConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.ffn,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.positions,
        sliding_window=None,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokens.eos_id,
        pad_token_id=tokens.pad_id,
    )
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm, q = MistralForCausalLM(config), encoder(recipe.hidden, recipe.dim)
    connector = LatentConnector(recipe.dim, recipe.hidden, recipe.layers)
    connector.initialise(0.02, generator)
    return Backbone(lm, tokens, connector, generator), q


def _optimiser(backbone: Backbone, q: nn.Module, rate: float) -> torch.optim.Optimizer:
    parameters = [*backbone.parameters(), *q.parameters()]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 0.1},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)


def _texts(tokens: Tokens, prose: Prose, told: list[str], recipe: Recipe, rng: random.Random) -> Iterator[list[int]]:
    """Endless short texts for the autoencoder, half of them as records; batches of `recipe.texts` in a row have like lengths, to pad little."""
    while True:
        rows = sorted(_as_rows(tokens, short_texts(prose.train, told, 0.55, rng, 16 * recipe.texts), recipe, rng), key=len)
        batches = [rows[first : first + recipe.texts] for first in range(0, len(rows) - recipe.texts + 1, recipe.texts)]
        rng.shuffle(batches)
        for batch in batches:
            yield from batch


def _as_rows(tokens: Tokens, texts: list[str], recipe: Recipe, rng: random.Random) -> list[list[int]]:
    half = len(texts) // 2
    plain = [[*ids, tokens.eos_id] for ids in tokens.encode_many(texts[:half])]
    return [ids for ids in plain + encode_records(tokens, records(texts[half:], rng)) if 8 <= len(ids) <= recipe.text_tokens]


def _pairs(tokens: Tokens, held: dict[str, list[str]], recipe: Recipe, rng: random.Random) -> dict[str, list[list[int]]]:
    """Short held-out texts, prose and narration apart."""
    return {
        "novels": _as_rows(tokens, short_texts(held["novels"], [""], 0.0, rng, min(256, recipe.evaluated)), recipe, rng),
        "narration": _as_rows(tokens, held["narration"][: min(256, recipe.evaluated)], recipe, rng),
    }


def row_loss(backbone: Backbone, ids: Tensor) -> Tensor:
    """Mean NLL in nats a token of full rows ids [b, n]."""
    hidden = backbone.hidden(ids, torch.full((len(ids),), ids.shape[1]))[:, :-1]
    return nn.functional.cross_entropy(backbone.logits(hidden).flatten(0, 1), ids[:, 1:].flatten())


def autoencoder_terms(
    backbone: Backbone, q: nn.Module, rows: list[list[int]], recipe: Recipe, generator: torch.Generator
) -> dict[str, Any]:
    """Batch means of NLL summed over tokens (`nll`), KL summed over dimensions (`kl`; `kl_counted`: above the free bits), tokens."""
    ids, lengths = pad_ids(rows, backbone.tokens.pad_id)
    mu, logvar = q(backbone.hidden(ids, lengths), lengths)
    z = mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=generator)
    batch = gen_batch([[backbone.tokens.gen_id, *row] for row in rows], backbone.tokens.pad_id)
    shown = word_dropout(batch.ids, batch.lengths, recipe.word_dropout, generator, backbone.tokens)
    spoken = nll(backbone, backbone.hidden_given(shown, batch.lengths, z), batch)
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar)
    return {
        "nll": spoken.nats.mean(),
        "kl": kl.sum(1).mean(),
        "kl_counted": (kl * (kl > recipe.free_bits)).sum(1).mean(),
        "tokens": float(lengths.float().mean()),
    }


@torch.no_grad()
def perplexity(backbone: Backbone, texts: list[str]) -> float:
    """exp of the mean NLL a token over texts, each alone, cut at 128 tokens, its first token given."""
    total = count = 0.0
    encoded = [[*ids[:127], backbone.tokens.eos_id] for ids in backbone.tokens.encode_many(texts) if ids]
    for first in range(0, len(encoded), 32):
        batch = gen_batch(encoded[first : first + 32], backbone.tokens.pad_id)
        spoken = nll(backbone, backbone.hidden(batch.ids, batch.lengths), batch)
        total, count = total + float(spoken.nats.sum()), count + float(spoken.tokens.sum())
    return math.exp(total / count)


@torch.no_grad()
def latent_life(backbone: Backbone, q: nn.Module, held: dict[str, list[list[int]]], recipe: Recipe) -> dict[str, dict[str, float]]:
    """Held-out NLL a token with a text's own z, another text's and none; KL, active units, and the tokens recalled from z alone."""
    found: dict[str, dict[str, float]] = {}
    for name, rows in held.items():
        ids, lengths = pad_ids(rows, backbone.tokens.pad_id)
        mu, logvar = q(backbone.hidden(ids, lengths), lengths)
        batch = gen_batch([[backbone.tokens.gen_id, *row] for row in rows], backbone.tokens.pad_id)
        spoken = {
            kind: float(nll(backbone, backbone.hidden_given(batch.ids, batch.lengths, z), batch).nats.sum() / batch.answer_mask.sum())
            for kind, z in (("own", mu), ("other", mu.roll(1, 0)), ("none", None))
        }
        decoded = backbone.generate([[backbone.tokens.gen_id]] * len(rows), z=mu, max_new_tokens=recipe.text_tokens)
        recall = sum(len(set(row) & set(out)) / len(set(row)) for row, out in zip(rows, decoded, strict=True)) / len(rows)
        kl = float((0.5 * (mu.square() + logvar.exp() - 1 - logvar)).sum(1).mean())
        active = float((mu.var(0) > 0.01).sum())
        values = {
            **{f"nll_{kind}": value for kind, value in spoken.items()},
            "delta_nll": spoken["other"] - spoken["own"],
            "kl": kl,
            "token_recall": recall,
            "active_units": active,
        }
        found[name] = {key: round(value, 4) for key, value in values.items()}
    return found


def copying(backbone: Backbone, rows: list[list[int]]) -> float:
    """Share of held-out records whose generated rest is right as far as it goes, and not empty."""
    ans, eos = backbone.tokens.ans_id, backbone.tokens.eos_id
    asked = [row for row in rows if ans in row and row[-2:] != [ans, eos]]
    decoded = backbone.generate([row[: row.index(ans) + 1] for row in asked], max_new_tokens=24)
    right = [row[row.index(ans) + 1 : -1][: len(out)] == out and len(out) > 0 for row, out in zip(asked, decoded, strict=True)]
    return round(sum(right) / max(len(right), 1), 4)


def save(backbone: Backbone, q: nn.Module | None, out: Path) -> None:
    """Write model, tokenizer and, once trained, the latent's weights; each file appears whole or not at all."""
    partial = out / f".partial-{os.getpid()}"
    partial.mkdir(parents=True, exist_ok=True)
    backbone.lm.save_pretrained(partial)
    backbone.tokens.tokenizer.save_pretrained(partial)
    if q is not None:
        weights = {f"connector.{name}": tensor for name, tensor in backbone.connector.state_dict().items()}
        save_file(weights | {f"encoder.{name}": tensor for name, tensor in q.state_dict().items()}, partial / LATENT_FILE)
    for path in sorted(partial.iterdir()):
        if path.name in FILES:
            path.chmod(0o644)
            path.replace(out / path.name)
        else:
            path.unlink()
    partial.rmdir()


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)
