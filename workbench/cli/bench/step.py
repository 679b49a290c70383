"""A training step with replay and logging, against a bare loop of the same passes; and where the seconds of a whole LSEBMCL run go."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from workbench.cli.timing import compared
from workbench.config import build
from workbench.latent.encoder import draw, kl
from workbench.lm.nll import nll
from workbench.lm.sequences import gen_batch, gen_ids, qa_batch, word_dropout
from workbench.methods.base import Item, MixedBatch
from workbench.replay.generate import RELAXED_TOP
from workbench.runs.writer import RunWriter
from workbench.training.loop import Training
from workbench.training.run import start, stream_of
from workbench.training.step import Update

SHARE_OF_A_RUN = {"tasks": {"train_limit": 200, "test_limit": 50}, "training": {"epochs": 2}}


def rows() -> list[dict[str, Any]]:
    result = []
    with tempfile.TemporaryDirectory() as folder:
        for method in ("er", "lsebmcl"):
            result.append(_step(method, Path(folder)))
        result += _shares(Path(folder))
    return result


def _step(method: str, folder: Path) -> dict[str, Any]:
    config = build({"method": method, "evaluation": {"dense": 0, "every": 10_000, "gradients_every": 0}})
    stream = stream_of(config)
    training = Training(config, stream)
    training.attach(RunWriter.create(folder, "", {"label": method}))
    items = [row for name in stream.names[:2] for row in training.rows[name]][: 32 * 8]
    items = [_replayed(item, method == "lsebmcl") if place % 5 == 0 else item for place, item in enumerate(items)]
    batches = [items[start : start + 32] for start in range(0, len(items), 32)]
    optimizer, learner, counter = training._optimizer(), training.learner, [0]
    update = Update(training.method, training.parts, optimizer, lambda step: 1.0, 1.0)
    parameters = [list(part.parameters()) for part in training.parts.values()]
    training._train_mode(True)

    def ours() -> None:
        counter[0] += 1
        batch = MixedBatch(batches[counter[0] % len(batches)], learner, 0.9)
        training._log("bench", training.method.step(batch, update), 1e-3, 10)

    def bare() -> None:
        counter[0] += 1
        chosen, backbone = batches[counter[0] % len(batches)], learner.backbone
        qa = qa_batch([(item.ids, item.prompt) for item in chosen], backbone.tokens.pad_id)
        hidden = backbone.hidden(qa.ids, qa.lengths)
        loss = nll(backbone, hidden, qa).per_token.mean()
        if method == "lsebmcl":
            mu, logvar = training.method.modules()["encoder"](hidden, qa.lengths)
            spoken = gen_batch([gen_ids(backbone.tokens, item.ids) for item in chosen], backbone.tokens.pad_id)
            inputs = word_dropout(spoken.ids, spoken.lengths, 0.3, learner.generators["latent"], backbone.tokens)
            z = draw(mu, logvar, learner.generators["latent"])
            scored = nll(backbone, backbone.hidden_given(inputs, spoken.lengths, z), spoken)
            loss = loss + 0.25 * (scored.per_token.mean() + 0.3 * (kl(mu, logvar)[0] / scored.tokens).mean())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in parameters:
            torch.nn.utils.clip_grad_norm_(group, 1.0)
        optimizer.step()

    return compared(f"step: {method}, replay mixed in, logged", ours, bare, rounds=9, repeats=2)


def _replayed(item: Item, relaxed: bool) -> Item:
    """The item as if it had been replayed, with flat distributions over its answer where answers are relaxed."""
    shape = (len(item.ids) - item.prompt, RELAXED_TOP)
    given = (torch.arange(RELAXED_TOP).expand(shape), torch.full(shape, 1 / RELAXED_TOP)) if relaxed else None
    return replace(item, replayed=True, relaxed=given)


def _shares(folder: Path) -> list[dict[str, Any]]:
    """Seconds of each phase of a short LSEBMCL run on the bundled stream, over its whole time."""
    path = start(build({"method": "lsebmcl", **SHARE_OF_A_RUN}), folder)
    phases = json.loads((path / "summary.json").read_text())["phases"]
    whole = sum(phases.values())
    return [
        {"name": f"share of a run: {phase}", "ours": seconds, "baseline": whole, "ratio": seconds / whole}
        for phase, seconds in phases.items()
    ]
