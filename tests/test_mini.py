"""The mini backbone can do what the mini runs need of it: without these the tests that use it see nothing (F1)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import mini, mini_backbone
from workbench.lm.load import load_backbone
from workbench.lm.nll import nll
from workbench.lm.sequences import gen_batch, gen_ids, parse, qa_batch, qa_ids
from workbench.runs.reader import Run
from workbench.tasks import load_stream

QUESTION = {"sentiment": "Is this review negative or positive?", "sql": "What is the translation from English to SQL?"}


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(mini.config(mini.BACKBONE, "lsebmcl").backbone, mini_backbone.DIM).eval()


@pytest.fixture(scope="module")
def held_out() -> list:
    """20 test examples a task, none of which the backbone was trained on."""
    return [example for task in load_stream("bundled", None).tasks if task.name in mini_backbone.TASKS for example in task.test[:20]]


@pytest.mark.parametrize("token", ["shared", "new"])
def test_it_writes_samples_of_every_task_after_the_shared_token_and_after_one_it_never_saw(token: str) -> None:
    fresh = load_backbone(mini.config(mini.BACKBONE, "lamol").backbone, mini_backbone.DIM)
    if token == "new":
        fresh.add_task_tokens(["task"], torch.Generator().manual_seed(1))
    first = fresh.tokens.gen_for("task" if token == "new" else None)
    rows = fresh.generate([[first]] * 60, max_new_tokens=64, top_k=20, temperature=1.0, generator=torch.Generator().manual_seed(0))
    written = [parts for parts, _ in (parse(fresh.tokens, row) for row in rows if len(row) < 64) if parts is not None]
    assert len(written) >= 50
    asked = [question for _, question, _ in written]
    counts = {name: asked.count(question) for name, question in QUESTION.items()}
    assert min(counts.values()) >= 8 and len(asked) - sum(counts.values()) >= 8, counts
    answers = [answer for _, question, answer in written if question == QUESTION["sentiment"]]
    assert min(answers.count("negative"), answers.count("positive")) >= 2


def test_codes_move_the_decoder(backbone, held_out: list) -> None:
    """A text's own code makes it cheaper than another text's code of the same task does."""
    from workbench.latent.encoder import Encoder

    encoder = Encoder(backbone.hidden_size, mini_backbone.DIM)
    encoder.load_state_dict(backbone.encoder_state)
    rows = [qa_ids(backbone.tokens, example, mini_backbone.LENGTH) for example in held_out]
    asked = qa_batch(rows, backbone.tokens.pad_id)
    written = gen_batch([gen_ids(backbone.tokens, ids) for ids, _ in rows], backbone.tokens.pad_id)
    with torch.no_grad():
        mu, _ = encoder(backbone.hidden(asked.ids, asked.lengths), asked.lengths)
        other = mu.view(3, 20, -1).roll(1, 1).flatten(0, 1)
        own, swapped, far = (
            nll(backbone, backbone.hidden_given(written.ids, written.lengths, z), written).nats for z in (mu, other, mu.roll(20, 0))
        )
    assert (swapped - own).mean() > 1.0
    assert (far - own).mean() > 5.0
    assert (swapped > own).float().mean() > 0.7


def test_it_is_right_on_some_held_out_items_of_every_task_and_not_on_all(backbone, held_out: list) -> None:
    batch = qa_batch([qa_ids(backbone.tokens, example, mini_backbone.LENGTH) for example in held_out], backbone.tokens.pad_id)
    with torch.no_grad():
        exact = nll(backbone, backbone.hidden(batch.ids, batch.lengths), batch).exact.view(3, 20).sum(1).tolist()
    assert all(1 <= right <= 18 for right in exact) and sum(exact) >= 15, exact


def test_it_is_small_and_without_a_pickle() -> None:
    files = {path.name: path.stat().st_size for path in mini.BACKBONE.iterdir()}
    assert sum(files.values()) < 1_000_000
    assert {name.rpartition(".")[2] for name in files} == {"json", "safetensors"}


def test_making_it_again_gives_the_same_files(tmp_path: Path) -> None:
    """The tokenizer is the shipped one to the byte; a short training twice gives the same weights (whole, it takes minutes)."""
    for name in ("one", "two"):
        mini_backbone.make(tmp_path / name, steps=3)
    one, two, shipped = (sorted(folder.iterdir()) for folder in (tmp_path / "one", tmp_path / "two", mini.BACKBONE))
    assert [path.name for path in one] == [path.name for path in two] == [path.name for path in shipped]
    for a, b, c in zip(one, two, shipped, strict=True):
        assert _sha(a) == _sha(b), a.name
        if a.suffix == ".safetensors":
            made, kept = load_file(a), load_file(c)
            assert {name: tensor.shape for name, tensor in made.items()} == {name: tensor.shape for name, tensor in kept.items()}
        else:
            assert _sha(a) == _sha(c), a.name


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("method", "tokens", "seed"),
    [("er", "gen", 0), ("lamol", "gen", 0), ("lamol", "task", 0), *(("lsebmcl", "gen", seed) for seed in range(3)), ("lsebmcl", "task", 0),
     ("normal", "gen", 0), ("gaussian", "gen", 0), ("stored", "gen", 0)],
)  # fmt: skip
def test_every_mini_run_of_a_replaying_method_replays(method: str, tokens: str, seed: int, tmp_path: Path) -> None:
    """F1: replayed items are in at least a fifth of the steps."""
    from workbench.training.run import start

    run = Run(start(mini.config(mini.BACKBONE, method, seed=seed, replay={"tokens": tokens}), tmp_path))
    assert (run.table("metrics").replay_share > 0).mean() >= 0.2
