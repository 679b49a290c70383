from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import cross_entropy

from workbench.lm.model import Backbone, pick
from workbench.lm.nll import nll, relaxed_targets
from workbench.lm.sequences import gen_batch, pad_ids
from workbench.lm.tokens import BackboneError

TEXT = "the red kettle was found in lima . who found the red kettle ? nora found it , and anna said : not bad ."
Make = Callable[..., Backbone]
CHOICES = [{"conditioning": "memory"}, {"conditioning": "prefix", "prefix_length": 3}, {"tuning": "lora", "lora_rank": 4}]


def prompts_of(backbone: Backbone) -> list[list[int]]:
    words = backbone.tokens.encode(TEXT)
    return [[backbone.tokens.gen_id], words[:9], words[5:8], words[2:20]]


def latents(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def slow_greedy(backbone: Backbone, prompt: list[int], z: torch.Tensor | None, steps: int) -> list[int]:
    """Token by token from the whole text, without the key/value cache of generation."""
    ids = list(prompt)
    for _ in range(steps):
        row = torch.tensor([ids])
        token = int(backbone.logits(backbone.hidden_given(row, torch.tensor([len(ids)]), z)[:, -1]).argmax())
        if token == backbone.tokens.eos_id:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("given", [True, False])
def test_generation_equals_recomputation(make_tiny: Make, choices: dict, given: bool) -> None:
    backbone = make_tiny(**choices)
    prompts = prompts_of(backbone)
    z = latents(len(prompts)) if given else None
    with torch.no_grad():
        expected = [
            slow_greedy(backbone, prompt, z[place : place + 1] if z is not None else None, 12) for place, prompt in enumerate(prompts)
        ]
    assert backbone.generate(prompts, z=z, max_new_tokens=12) == expected
    assert backbone.generate(prompts, z=z, max_new_tokens=12, batch_size=3) == expected


@pytest.mark.parametrize("choices", CHOICES[:2])
def test_other_latents_give_other_logits_and_gradients_reach_them(make_tiny: Make, choices: dict) -> None:
    backbone = make_tiny(**choices)
    ids, lengths = pad_ids(prompts_of(backbone), backbone.tokens.pad_id)
    z = latents(len(ids)).requires_grad_()
    given, other, none = (backbone.hidden_given(ids, lengths, each)[0, 0] for each in (z, latents(len(ids), 1), None))
    assert (given - other).abs().max() > 1e-2 and (given - none).abs().max() > 1e-2
    torch.testing.assert_close(none, backbone.hidden(ids, lengths)[0, 0])
    given.sum().backward()
    assert z.grad is not None and z.grad[0].abs().min() > 0 and z.grad[1:].abs().max() == 0
    assert backbone.connector.linear.weight.grad is not None
    if backbone.connector.conditioning == "memory":  # every layer's chunk is used, and so is the embedding bias
        chunks = backbone.connector.linear.weight.grad.view(3, backbone.hidden_size, 4)
        assert (chunks.abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize("choices", CHOICES[:2])
def test_padding_changes_no_state(make_tiny: Make, choices: dict) -> None:
    backbone = make_tiny(**choices)
    prompts = prompts_of(backbone)
    ids, lengths = pad_ids(prompts, backbone.tokens.pad_id)
    with torch.no_grad():
        for z in (None, latents(len(prompts))):
            together = backbone.hidden_given(ids, lengths, z)
            for place, prompt in enumerate(prompts):
                alone = backbone.hidden_given(
                    torch.tensor([prompt]), lengths[place : place + 1], None if z is None else z[place : place + 1]
                )
                torch.testing.assert_close(together[place, : len(prompt)], alone[0], rtol=1e-4, atol=1e-5)


def test_sampling_repeats_bit_for_bit_and_rows_do_not_disturb_each_other(tiny: Backbone) -> None:
    prompts = prompts_of(tiny) * 8

    def drawn(seed: int, steps: int = 10) -> list[list[int]]:
        return tiny.generate(
            prompts, z=latents(len(prompts)), max_new_tokens=steps, top_k=20, temperature=1.0, generator=torch.Generator().manual_seed(seed)
        )

    assert drawn(0) == drawn(0) != drawn(1)
    # Rows that end leave the batch; the numbers drawn for the others stay theirs: a shorter run is the start of a longer one.
    assert [row[:4] for row in drawn(0)] == drawn(0, steps=4)
    with pytest.raises(ValueError, match="generator"):
        tiny.generate(prompts, max_new_tokens=2, temperature=1.0)


def test_rows_stop_at_the_end_token(tiny: Backbone) -> None:
    eos, steps = tiny.tokens.eos_id, 30
    with torch.no_grad():  # an end token that is likely, but not certain
        tiny.lm.lm_head.weight[eos] *= 6
    rows = tiny.generate(prompts_of(tiny) * 16, max_new_tokens=steps, top_k=0, temperature=1.0, generator=torch.Generator().manual_seed(0))
    lengths = {len(row) for row in rows}
    assert len(lengths) > 5 and all(eos not in row for row in rows)


def test_pick_draws_the_top_k_distribution() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]]).repeat(20_000, 1)
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    token = pick(logits, 2, 0.5, uniform)
    expected = torch.softmax(torch.tensor([2.0, 1.0]) / 0.5, 0)[0]
    assert set(token.tolist()) == {1, 2}
    assert abs(float((token == 1).float().mean()) - float(expected)) < 0.01
    assert pick(logits[:1], 0, 1.0, torch.tensor([1.0])).item() == 3
    assert pick(logits[:1], 0, 0.0, None).item() == 1


def test_shaped_generation_has_the_parts_of_a_sample(tiny: Backbone) -> None:
    tokens, special = tiny.tokens, tiny.tokens.special_ids
    drawn = tiny.generate(
        [[tokens.gen_id]] * 60, max_new_tokens=400, temperature=2.0, generator=torch.Generator().manual_seed(1), shaped=True
    )
    marks = [[token for token in row if token in special] for row in drawn]
    assert all(each == [tokens.sep_id, tokens.ans_id][: len(each)] for each in marks)
    assert all(len(row) == 400 or mark == [tokens.sep_id, tokens.ans_id] for row, mark in zip(drawn, marks, strict=True))
    assert sum(len(mark) == 2 for mark in marks) > 5


def test_nll_sums_the_scored_tokens_of_each_row(tiny: Backbone) -> None:
    batch = gen_batch(prompts_of(tiny)[1:], tiny.tokens.pad_id)
    with torch.no_grad():
        hidden = tiny.hidden(batch.ids, batch.lengths)
        found = nll(tiny, hidden, batch).nats
        for row, ids in enumerate(prompts_of(tiny)[1:]):
            expected = cross_entropy(tiny.logits(hidden[row, : len(ids) - 1]), torch.tensor(ids[1:]), reduction="sum")
            torch.testing.assert_close(found[row], expected)


def test_a_relaxed_row_is_scored_by_its_distributions_and_the_others_by_their_tokens(tiny: Backbone) -> None:
    batch = gen_batch(prompts_of(tiny)[1:], tiny.tokens.pad_id)
    with torch.no_grad():
        hidden = tiny.hidden(batch.ids, batch.lengths)
        hard = nll(tiny, hidden, batch)
        scored = hidden[0, : int(hard.tokens[0])]
        log_p = tiny.logits(scored).log_softmax(-1)
        ids = torch.tensor([[3, 9]]).repeat(len(scored), 1)
        found = nll(tiny, hidden, batch, [(ids, torch.tensor([[0.75, 0.25]]).repeat(len(scored), 1)), *[None] * (len(batch.ids) - 1)])
    torch.testing.assert_close(found.nats[0], -(0.75 * log_p[:, 3] + 0.25 * log_p[:, 9]).sum())
    torch.testing.assert_close(found.nats[1:], hard.nats[1:])
    assert torch.equal(found.tokens, hard.tokens)


def test_all_weight_on_the_tokens_is_the_hard_answer(tiny: Backbone) -> None:
    batch = gen_batch(prompts_of(tiny)[1:], tiny.tokens.pad_id)
    with torch.no_grad():
        hidden = tiny.hidden(batch.ids, batch.lengths)
        hard = nll(tiny, hidden, batch)
        targets = batch.targets.split(hard.tokens.tolist())
        found = nll(tiny, hidden, batch, [(ids[:, None], torch.ones(len(ids), 1)) for ids in targets])
    torch.testing.assert_close(found.nats, hard.nats)


def test_a_model_has_nothing_to_learn_from_its_own_distributions(tiny: Backbone) -> None:
    batch = gen_batch(prompts_of(tiny)[1:], tiny.tokens.pad_id)
    own = relaxed_targets(tiny, tiny.hidden(batch.ids, batch.lengths), batch, len(tiny.tokens))
    assert [len(ids) for ids, _ in own] == batch.answer_mask.sum(1).tolist()

    def gradient(relaxed: list) -> float:
        tiny.zero_grad()
        nll(tiny, tiny.hidden(batch.ids, batch.lengths), batch, relaxed).per_token.mean().backward()
        return sum(float(parameter.grad.norm()) for parameter in tiny.parameters() if parameter.grad is not None)

    assert gradient(own) < 1e-4 * gradient([])


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_embeddings_grow_and_keep_what_they_were(make_tiny: Make, tuning: str) -> None:
    backbone = make_tiny(tuning=tuning, lora_rank=4)
    before = backbone.embed(torch.arange(len(backbone.tokens))).detach()
    state = torch.random.get_rng_state()
    backbone.add_task_tokens(["sst", "woz"], torch.Generator().manual_seed(5))
    assert torch.equal(state, torch.random.get_rng_state())
    after = backbone.embed(torch.arange(len(backbone.tokens))).detach()
    assert len(after) == len(before) + 2
    torch.testing.assert_close(after[: len(before)], before)
    assert (after[-2:] - after[: backbone.tokens.first_own].mean(0)).norm() < 0.5 * after[:-2].norm(dim=1).mean()
    assert backbone.logits(backbone.hidden(torch.tensor([[backbone.tokens.gen_for("woz")]]), torch.tensor([1]))).shape[-1] == len(
        backbone.tokens
    )
    again = make_tiny(tuning=tuning, lora_rank=4)
    again.add_task_tokens(["sst", "woz"], torch.Generator().manual_seed(5))
    assert torch.equal(again.embed(torch.arange(len(again.tokens))), after)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_expected_embedding_of_one_token_is_its_embedding(make_tiny: Make, tuning: str) -> None:
    backbone = make_tiny(tuning=tuning, lora_rank=4)
    ids = torch.tensor([[3, backbone.tokens.ans_id, 40]])
    probs = torch.nn.functional.one_hot(ids, len(backbone.tokens)).float()
    torch.testing.assert_close(backbone.expected_embedding(probs), backbone.embed(ids))
    torch.testing.assert_close(
        backbone.hidden_from_embeddings(backbone.embed(ids), torch.tensor([3])), backbone.hidden(ids, torch.tensor([3]))
    )


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_trainable_state_restores_a_trained_model(make_tiny: Make, tuning: str) -> None:
    def fresh() -> Backbone:
        made = make_tiny(tuning=tuning, lora_rank=4)
        made.add_task_tokens(["sst"], torch.Generator().manual_seed(5))
        return made

    def states(backbone: Backbone) -> torch.Tensor:
        ids, lengths = torch.tensor([[backbone.tokens.gen_for("sst"), 20, 30, 40]]), torch.tensor([4])
        return backbone.logits(backbone.hidden_given(ids, lengths, latents(1)))

    trained, other = fresh(), fresh()
    optimiser = torch.optim.SGD([each for each in trained.parameters() if each.requires_grad], lr=0.5)
    for _ in range(2):
        optimiser.zero_grad()
        states(trained).square().mean().backward()
        optimiser.step()
    assert not torch.allclose(states(trained), states(other))
    other.load_trainable_state({name: tensor.clone() for name, tensor in trained.trainable_state().items()})
    assert torch.equal(states(trained), states(other))
    with pytest.raises(BackboneError, match="add the task tokens"):
        make_tiny(tuning=tuning, lora_rank=4).load_trainable_state(trained.trainable_state())
    with pytest.raises(BackboneError, match="missing"):
        other.load_trainable_state({})


def test_lora_trains_adapters_own_embeddings_and_connector_only(make_tiny: Make) -> None:
    backbone = make_tiny(tuning="lora", lora_rank=4)
    names = set(backbone.trainable_state())
    assert {"added_in", "added_out", "connector.linear.weight"} < names
    assert all("lora_" in name for name in names - {"added_in", "added_out", "connector.linear.weight"})
    assert sum("lora_A" in name for name in names) == 2 * 7
    ids, lengths = torch.tensor([[backbone.tokens.gen_id, 20, 30]]), torch.tensor([3])
    backbone.logits(backbone.hidden_given(ids, lengths, latents(1))).square().mean().backward()
    assert all(each.grad is not None for each in backbone.parameters() if each.requires_grad)
    assert all(each.grad is None for each in backbone.parameters() if not each.requires_grad)
    full, text = make_tiny(), torch.tensor([[20, 30, 40]])
    with torch.no_grad():  # adapters start as nothing
        first, second = (each.logits(each.hidden(text, lengths))[..., : each.tokens.first_own] for each in (backbone, full))
    torch.testing.assert_close(first, second)
