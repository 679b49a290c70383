from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

from workbench.config import BackboneConfig
from workbench.latent.encoder import Encoder
from workbench.lm.load import load_backbone
from workbench.lm.nll import nll
from workbench.lm.sequences import gen_batch, pad_ids
from workbench.pretraining.pretrain import Recipe, pretrain

SMALL = Recipe(
    420, 32, 2, 4, 2, 48, dim=4, row=32, language=3, language_rows=2, repeats=3, repeat_rows=3, rows=1, records=2, kept_repeats=1,
    texts=4, warmup=2, narration=60, evaluated=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "lm" / "novels").mkdir(parents=True)
    with gzip.open(folder / "lm" / "novels" / "Writer_Ship_1900.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n\n".join(f"On day {day} the ship was seen. The captain said that it was far from the land." for day in range(120)))
    return folder


def test_pretraining_ships_a_loadable_model_and_repeats(data: Path, tmp_path: Path) -> None:
    rows: list[dict] = []
    cards = [pretrain(data, tmp_path / name, Encoder, steps=6, seed=3, recipe=SMALL, save_every=0, on_step=rows.append) for name in "ab"]
    assert cards[0]["files"] == cards[1]["files"] and cards[0]["held_out_perplexity"] == cards[1]["held_out_perplexity"]
    assert (rows[0]["stage"], rows[0]["step"]) == ("language", 3)
    assert (rows[1]["stage"], rows[1]["step"]) == ("all", 6) and rows[1]["kl"] > 0
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*cards[0]["files"], "card.json"}
    text = (tmp_path / "a" / "card.json").read_text(encoding="utf-8")
    assert json.loads(text) == cards[0] and str(tmp_path) not in text and str(data) not in text
    backbone = load_backbone(BackboneConfig.model_validate({"name": str(tmp_path / "a")}), 4)
    Encoder(32, 4).load_state_dict(backbone.encoder_state or {})
    assert not torch.equal(
        backbone.connector.linear.weight,
        load_backbone(BackboneConfig.model_validate({"name": str(tmp_path / "a")}), 5).connector.linear.weight,
    )


def test_minutes_choose_the_steps(data: Path, tmp_path: Path) -> None:
    card = pretrain(data, tmp_path / "a", Encoder, minutes=0.0, seed=3, recipe=SMALL)
    assert card["steps"] == 20 and "--steps 20" in card["command"]


BUNDLED = Path(__file__).parents[2] / "data" / "backbone"


def test_the_bundled_model_is_small_and_is_what_its_card_says() -> None:
    card = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 16e6
    for name, file in card["files"].items():
        assert hashlib.sha256((BUNDLED / name).read_bytes()).hexdigest() == file["sha256"], name
    first = [row for row in card["curve"] if row["stage"] == "all"]
    assert card["steps"] == first[-1]["step"] and first[-1]["loss"] < first[0]["loss"] / 2
    assert min(each["delta_nll"] for each in card["latent"].values()) > 0.2


def test_the_bundled_model_listens_to_z() -> None:
    """A held-out sentence costs less under its own code than under another's: what the card's delta_nll says, seen here."""
    backbone = load_backbone(BackboneConfig.model_validate({}), 32).eval()
    tokens = backbone.tokens
    encoder = Encoder(backbone.hidden_size, 32)
    encoder.load_state_dict(backbone.encoder_state or {})
    texts = ["the doctor packed the candle with a cloth .", "we found the dessert rather elegant ."]
    rows = [[*tokens.encode(text), tokens.eos_id] for text in texts]
    ids, lengths = pad_ids(rows, tokens.pad_id)
    spoken = gen_batch([[tokens.gen_id, *row] for row in rows], tokens.pad_id)
    with torch.no_grad():
        mu, _ = encoder(backbone.hidden(ids, lengths), lengths)
        own, other = (nll(backbone, backbone.hidden_given(spoken.ids, spoken.lengths, z), spoken).nats for z in (mu, mu.flip(0)))
    assert (other > own).all()


def test_the_bundled_model_copies_as_often_as_its_card_says() -> None:
    card = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))
    assert card["copying"]["narration"] > 0.5


def test_the_bundled_tokenizer_keeps_the_words_of_its_streams_whole() -> None:
    tokens = load_backbone(BackboneConfig.model_validate({}), 32).tokens
    words = re.findall(
        r"\S+", "the doctor moved the blue drum with a shovel before nils found the boat in may . what is the average games ?"
    )
    assert sum(len(tokens.encode(word)) for word in words) < 1.2 * len(words)
