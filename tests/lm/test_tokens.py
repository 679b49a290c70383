from __future__ import annotations

import pytest

from workbench.lm.model import Backbone
from workbench.lm.tokens import BackboneError


def test_text_goes_there_and_back(tiny: Backbone) -> None:
    for text in ("the red kettle", "Café 12.5% don't", "x = 'a_b' -- 3 > 2", ""):
        assert tiny.tokens.decode(tiny.tokens.encode(text)) == text


def test_text_that_looks_like_a_special_token_stays_text(tiny: Backbone) -> None:
    ids = tiny.tokens.encode("say __ans__ and </s>")
    assert not tiny.tokens.special_ids & set(ids)
    assert tiny.tokens.encode_many(["say __ans__ and </s>"]) == [ids]
    assert tiny.tokens.decode(ids) == "say __ans__ and </s>"


def test_special_tokens_differ_and_are_the_last(tiny: Backbone) -> None:
    tokens = tiny.tokens
    own = {tokens.pad_id, tokens.unk_id, tokens.sep_id, tokens.ans_id, tokens.gen_id}
    assert own == set(range(tokens.first_own, len(tokens)))


def test_task_tokens(tiny: Backbone) -> None:
    tokens = tiny.tokens
    tokens.add_task_tokens(["sst", "woz"])
    before = len(tokens)
    tokens.add_task_tokens(["sst"])
    assert len(tokens) == before
    assert len({tokens.gen_for(None), tokens.gen_for("sst"), tokens.gen_for("woz")}) == 3
    with pytest.raises(KeyError, match="squad"):
        tokens.gen_for("squad")
    with pytest.raises(BackboneError, match="__ans__"):
        tokens.add_task_tokens(["ans"])
