from __future__ import annotations

import gzip
import random
import zipfile
from pathlib import Path

import pytest

from workbench.lm.tokens import BackboneError, Tokens
from workbench.pretraining.corpus import Prose, Rows, encode_records, lowered, read_prose, records, sentences, short_texts, train_tokenizer

PARAGRAPH = 'The ship left in June. "Will she return?" asked the old captain. Nobody knew, and the 12 men of the crew did not say a word.'
NARRATION = ["the red kettle was found in lima .", "nora borrowed the wagon in june ."] * 40


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return train_tokenizer(Prose([PARAGRAPH] * 60, [PARAGRAPH], {}), NARRATION, 420)


def test_prose_is_read_in_place_and_some_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "lm" / "novels").mkdir(parents=True)
    (tmp_path / "lm" / "speeches").mkdir()
    with gzip.open(tmp_path / "lm" / "novels" / "Writer_Ship_1900.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n\n".join(f"The ship “Maria” sailed on\nday {day} of the year." for day in range(100)))
    with zipfile.ZipFile(tmp_path / "lm" / "speeches" / "talks.zip", "w") as archive:
        archive.writestr("talks/1801-Somebody.txt", "Friends, the harvest was good this year.")
        archive.writestr("talks/README", "no speech at all")
    prose = read_prose(tmp_path)
    assert prose.titles == {"novel: Writer Ship 1900": 100, "speech: talks 1801-Somebody": 1}
    assert prose.train[0] == 'The ship "Maria" sailed on day 0 of the year.'
    assert len(prose.train) == 99 and len(prose.held_out) == 2 and not set(prose.train) & set(prose.held_out)
    with pytest.raises(BackboneError, match="novels"):
        read_prose(tmp_path / "lm")


def test_lowered_and_sentences() -> None:
    assert lowered("Don't stop -- it's 5, Sir!") == "don't stop -- it's 5 , sir !"
    assert len(sentences(PARAGRAPH)) == 3


def test_a_word_is_the_same_token_everywhere_and_digits_stand_alone(tokens: Tokens) -> None:
    assert len(tokens) <= 420 and tokens.first_own == len(tokens) - 5
    assert tokens.encode("kettle")[0] in tokens.encode("the red kettle was") and len(tokens.encode("kettle")) == 1
    assert len(tokens.encode("1234")) == 4
    for text in (PARAGRAPH, "naïve -- 50% of x_1 'quoted'", "a b"):
        assert tokens.decode(tokens.encode(text)) == text


def test_the_rest_of_a_record_goes_on_after_its_cue() -> None:
    texts = short_texts([PARAGRAPH], NARRATION, 0.5, random.Random(0), 300)
    drafts = list(records(texts, random.Random(1)))
    filled = [draft for draft in drafts if draft[2]]
    assert all(f"{cue} {rest}" in context for context, cue, rest in filled)
    assert 0.7 < len(filled) / len(drafts) < 1
    assert any(cue not in context for context, cue, rest in drafts if not rest)


def test_rows_are_full_and_come_from_every_kind(tokens: Tokens) -> None:
    rows = Rows(tokens, [PARAGRAPH] * 20, NARRATION, 32, random.Random(0))
    drawn = [rows.row() for _ in range(80)]
    assert {len(row) for row in drawn} == {32} and sum(rows.counts.values()) == 80 * 32 and min(rows.counts.values()) > 0
    assert drawn == [
        row for again in [Rows(tokens, [PARAGRAPH] * 20, NARRATION, 32, random.Random(0))] for row in (again.row() for _ in range(80))
    ]
    record = encode_records(tokens, [("a red kettle", "a red", "kettle")])[0]
    assert record.count(tokens.sep_id) == record.count(tokens.ans_id) == 1 and record[-1] == tokens.eos_id
