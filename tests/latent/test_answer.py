from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from workbench.config import EnergyConfig
from workbench.latent.answer import OPERATORS, AnswerEnergy, InferenceNetwork, operator

VOCABULARY, WIDTH, END = 11, 6, 1


class TinyBackbone(nn.Module):
    """A causal model of one recurrent layer: enough for a token's probability to depend on everything before it."""

    hidden_size = WIDTH

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layer = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def embed(self, ids: Tensor) -> Tensor:
        return self.embedding(ids)

    def expected_embedding(self, probabilities: Tensor) -> Tensor:
        return probabilities @ self.embedding.weight

    def hidden(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self.hidden_from_embeddings(self.embed(ids), lengths)

    def hidden_from_embeddings(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        return self.layer(embeddings)[0]

    def logits(self, hidden: Tensor) -> Tensor:
        return self.out(hidden)


def batch() -> SimpleNamespace:
    """Two sequences, prompts of 3 and 2 tokens, answers of 2 and 1 tokens and the end."""
    ids = torch.tensor([[4, 5, 2, 7, 8, END], [6, 2, 9, END, 0, 0]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0]], dtype=torch.bool)
    return SimpleNamespace(ids=ids, lengths=torch.tensor([6, 4]), answer_mask=mask)


PROMPTS, LENGTHS = torch.tensor([[4, 5, 2], [6, 2, 0]]), torch.tensor([3, 2])
ANSWERS, ANSWER_LENGTHS = torch.tensor([[7, 8, END], [9, END, 0]]), torch.tensor([3, 2])


def token_nll(backbone: nn.Module, rows: SimpleNamespace) -> Tensor:
    """The negative log likelihood of the scored tokens, by the plain pass over the whole sequence."""
    log_p = backbone.logits(backbone.hidden(rows.ids, rows.lengths)).log_softmax(-1)  # type: ignore[operator]
    taken = log_p.gather(-1, rows.ids.roll(-1, 1)[..., None])[..., 0]
    return -(taken * rows.answer_mask).sum(1)


def test_a_gold_answer_has_its_token_nll_as_energy() -> None:
    backbone = TinyBackbone()
    energy, expected = AnswerEnergy(backbone, EnergyConfig()), token_nll(backbone, batch())
    torch.testing.assert_close(energy.of_tokens(PROMPTS, LENGTHS, ANSWERS, ANSWER_LENGTHS), expected, atol=1e-5, rtol=0)
    # The same through the relaxed path: logits so peaked that every operator gives the one-hot.
    peaked = 1e4 * nn.functional.one_hot(ANSWERS, VOCABULARY).float()
    for name in OPERATORS:
        relaxed = AnswerEnergy(backbone, EnergyConfig(o1=name, o2=name))  # type: ignore[arg-type]
        value = relaxed(PROMPTS, LENGTHS, peaked, ANSWER_LENGTHS, torch.Generator().manual_seed(0))
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=0)


def test_a_gold_answer_has_its_token_nll_as_energy_over_the_real_backbone(mini_backbone: Path) -> None:
    from workbench.config import BackboneConfig
    from workbench.lm.load import load_backbone
    from workbench.lm.nll import nll
    from workbench.lm.sequences import qa_batch

    config = BackboneConfig(name=str(mini_backbone))  # pyright: ignore[reportCallIssue]
    backbone = load_backbone(config, 4, torch.device("cpu"), torch.Generator().manual_seed(0)).eval()
    prompt, answers = [[10, 11, 12, 13], [14, 15]], [[20, 21], [22, 23, 24]]
    end = backbone.tokens.eos_id
    rows = qa_batch([([*p, *a, end], len(p)) for p, a in zip(prompt, answers, strict=True)], backbone.tokens.pad_id)
    with torch.no_grad():
        expected = nll(backbone, backbone.hidden(rows.ids, rows.lengths), rows).nats
        value = AnswerEnergy(backbone, EnergyConfig()).of_tokens(
            torch.tensor([[10, 11, 12, 13], [14, 15, 0, 0]]), torch.tensor([4, 2]),
            torch.tensor([[20, 21, end, 0], [22, 23, 24, end]]), torch.tensor([3, 4]),
        )  # fmt: skip
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=0)


def test_energy_of_a_relaxed_answer_worked_by_hand() -> None:
    # One answer position: nothing relaxed is fed back, so E = - sum_v softmax(z)_v log p(v | x).
    backbone = TinyBackbone()
    logits = torch.randn(2, 1, VOCABULARY, generator=torch.Generator().manual_seed(1))
    value = AnswerEnergy(backbone, EnergyConfig())(PROMPTS, LENGTHS, logits, torch.ones(2, dtype=torch.long))
    for row in range(2):
        prompt = PROMPTS[row : row + 1, : LENGTHS[row]]
        log_p = backbone.logits(backbone.hidden(prompt, LENGTHS))[0, -1].log_softmax(-1)
        assert value[row].item() == pytest.approx(-(logits[row, 0].softmax(-1) * log_p).sum().item(), abs=1e-5)


def test_operators() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]], requires_grad=True)
    assert operator("softmax")(logits, None).tolist()[0] == pytest.approx([0.25, 0.75])
    hard = operator("straight_through")(logits, None)
    assert hard.tolist() == [[0.0, 1.0]]
    hard[0, 1].backward()
    assert logits.grad is not None and logits.grad.tolist()[0] == pytest.approx([-0.1875, 0.1875])  # softmax's: p (1 - p)
    generator = torch.Generator().manual_seed(0)
    drawn = operator("gumbel")(logits.detach().expand(4000, 2), generator)
    torch.testing.assert_close(drawn.sum(1), torch.ones(4000))
    assert float((drawn.argmax(1) == 1).float().mean()) == pytest.approx(0.75, abs=0.03)  # the Gumbel-max draw is exact
    with pytest.raises(ValueError, match=r"'argmax'.*softmax, straight_through, gumbel"):
        operator("argmax")


@pytest.mark.parametrize(("o1", "o2"), [("softmax", "softmax"), ("straight_through", "softmax"), ("gumbel", "gumbel")])
def test_the_inference_network_learns_and_the_language_model_gets_no_gradient(o1: str, o2: str) -> None:
    backbone = TinyBackbone()
    torch.manual_seed(1)
    network = InferenceNetwork(backbone, positions=2)
    energy, generator = AnswerEnergy(backbone, EnergyConfig(o1=o1, o2=o2)), torch.Generator().manual_seed(0)  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = energy.of(network, batch(), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
