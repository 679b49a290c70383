from __future__ import annotations

import pytest
import torch

from workbench.lm.model import Backbone
from workbench.lm.sequences import gen_batch, gen_ids, parse, prompt_ids, qa_batch, qa_ids, word_dropout
from workbench.tasks.example import Example


def sample(context: str = "the red kettle was found in lima .", question: str = "who found it ?", answer: str = "nora") -> Example:
    return Example("sst", "sst/0", context, question, (answer, "another"))


def test_qa_sequence_reads_context_question_answer_end(tiny: Backbone) -> None:
    tokens, item = tiny.tokens, sample()
    ids, prompt = qa_ids(tokens, item, 96) or ([], 0)
    assert ids[:prompt] == [*tokens.encode(item.context), tokens.sep_id, *tokens.encode(item.question), tokens.ans_id]
    assert ids[prompt:] == [*tokens.encode("nora"), tokens.eos_id]
    assert prompt_ids(tokens, item, 96) == ids[:prompt]


def test_only_the_context_loses_its_tail(tiny: Backbone) -> None:
    tokens, item = tiny.tokens, sample(context="the red kettle was found in lima . " * 30)
    ids, prompt = qa_ids(tokens, item, 40) or ([], 0)
    assert len(gen_ids(tokens, ids)) == 40
    cut = ids.index(tokens.sep_id)
    assert ids[:cut] == tokens.encode(item.context)[:cut]
    assert ids[cut:] == (qa_ids(tokens, sample(context=""), 40) or ([], 0))[0]
    asked = prompt_ids(tokens, item, 40, room=8)
    assert len(asked) == 32 and asked[asked.index(tokens.sep_id) :] == ids[cut:prompt]


def test_a_sample_too_long_without_context_is_dropped_but_can_be_asked(tiny: Backbone) -> None:
    item = sample(question="who found the red kettle ? " * 30)
    assert qa_ids(tiny.tokens, item, 40) is None
    asked = prompt_ids(tiny.tokens, item, 40)
    assert len(asked) == 32 and asked[-1] == tiny.tokens.ans_id


def test_masks_score_the_answer_or_everything(tiny: Backbone) -> None:
    tokens = tiny.tokens
    rows = [row for row in (qa_ids(tokens, sample(), 96), qa_ids(tokens, sample(context="", answer=""), 96)) if row]
    batch = qa_batch(rows, tokens.pad_id)
    assert batch.targets.tolist() == [*tokens.encode("nora"), tokens.eos_id, tokens.eos_id]
    whole = gen_batch([gen_ids(tokens, ids) for ids, _ in rows], tokens.pad_id)
    assert whole.targets.tolist() == rows[0][0] + rows[1][0]
    assert whole.lengths.tolist() == [len(rows[0][0]) + 1, len(rows[1][0]) + 1]


@pytest.mark.parametrize("item", [sample(), sample(context=""), sample(answer="")])
@pytest.mark.parametrize("task", [None, "sst"])
def test_parse_is_the_inverse(tiny: Backbone, item: Example, task: str | None) -> None:
    tiny.tokens.add_task_tokens(["sst"])
    ids, _ = qa_ids(tiny.tokens, item, 96) or ([], 0)
    assert parse(tiny.tokens, gen_ids(tiny.tokens, ids, task)) == ((item.context, item.question, item.answers[0]), "")


def test_parse_says_what_is_wrong(tiny: Backbone) -> None:
    tokens = tiny.tokens
    text = tokens.encode("red kettle")
    sep, ans = tokens.sep_id, tokens.ans_id
    wrong = {
        "__ans__ occurs 0 times": [*text, sep, *text],
        "__ans__ occurs 2 times": [*text, sep, *text, ans, ans],
        "__sep__ occurs 0 times": [*text, ans, *text],
        "__ans__ before __sep__": [*text, ans, *text, sep],
        "stray special token": [*text, sep, *text, ans, tokens.gen_id],
        "empty question": [*text, sep, ans, *text],
    }
    for reason, ids in wrong.items():
        assert parse(tokens, ids) == (None, reason)


def test_word_dropout_hides_its_share_of_words_and_no_special_token(tiny: Backbone) -> None:
    tokens = tiny.tokens
    ids, _ = qa_ids(tokens, sample(context="the red kettle " * 12), 96) or ([], 0)
    batch = gen_batch([gen_ids(tokens, ids)] * 64 + [[tokens.gen_id, tokens.eos_id]], tokens.pad_id)
    shown = word_dropout(batch.ids, batch.lengths, 0.3, torch.Generator().manual_seed(0), tokens)
    special = torch.isin(batch.ids, torch.tensor(sorted(tokens.special_ids)))
    assert torch.equal(shown[special], batch.ids[special])
    assert abs(float((shown[~special] == tokens.unk_id).float().mean()) - 0.3) < 0.03
    assert torch.equal(shown, word_dropout(batch.ids, batch.lengths, 0.3, torch.Generator().manual_seed(0), tokens))
    assert torch.equal(batch.ids, word_dropout(batch.ids, batch.lengths, 0.0, torch.Generator(), tokens))
