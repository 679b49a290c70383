from __future__ import annotations

import random

from workbench.lm.model import Backbone
from workbench.pretraining.practice import Repeats, drafts, record_loss


def test_every_scored_token_of_a_repeat_was_said_before_after_the_same_token() -> None:
    repeats = Repeats(list(range(100, 700)), random.Random(1))
    repeats.different, repeats.longest = 600, 40
    for draw in (repeats._periods, repeats._stretches) * 50:
        row, scored = draw()
        assert len(row) == len(scored) == repeats.width and any(scored)
        for place in range(1, len(row)):
            if scored[place]:
                before = row.index(row[place - 1])
                assert before < place - 1 and row[before + 1] == row[place]


def test_more_tokens_come_into_play_only_when_the_known_ones_are_mastered(tiny: Backbone) -> None:
    repeats = Repeats(list(range(60)), random.Random(1), width=24, first=8)
    loss, accuracy = repeats.loss(tiny, 4)
    assert loss.item() > 0 and accuracy < 0.6 and (repeats.different, repeats.longest) == (8, 8)
    repeats.mastered = -1.0
    while not repeats.learnt:
        repeats.loss(tiny, 2)
    assert (repeats.different, repeats.longest) == (60, 16)


def test_the_rest_of_a_record_stands_after_its_cue_in_the_context(tiny: Backbone) -> None:
    told = ["the cook sold the red lamp to ada in june for a small price"] * 3
    tokens = tiny.tokens
    drawn = drafts(tokens, told, told, 0.0, random.Random(2))
    for _ in range(40):
        ids, prompt = next(drawn)
        context, question = tokens.decode(ids[: ids.index(tokens.sep_id)]), tokens.decode(ids[ids.index(tokens.sep_id) + 1 : prompt - 1])
        rest = tokens.decode(ids[prompt:-1])
        assert not rest or f"{question} {rest}" in context


def test_the_record_loss_is_that_of_the_rests_alone(tiny: Backbone) -> None:
    told = ["the cook sold the red lamp to ada in june for a small price"] * 3
    loss, exact = record_loss(tiny, drafts(tiny.tokens, told, told, 0.0, random.Random(2)), 6)
    assert loss.item() > 1 and exact == 0.0
