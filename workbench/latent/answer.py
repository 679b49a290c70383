"""The answer energy E_Theta(x, y), operators o1 and o2, and the answer inference network A_Psi (Eqs. 1-5, after ENGINE, Tu et al. 2020).

E_Theta(x, y) = sum_m e_m(x, y), e_m = - o2(z_m)^T log p_Theta(. | o1(z_0), ..., o1(z_{m-1}), x), with z_m the logits of
answer position m (not the latent of the energy-based prior, whose letter the paper shares). A hard answer in both slots makes it
the token negative log likelihood, so fine-tuning on answers is minimising E_Theta over Theta.

The backbone is anything with `embed`, `expected_embedding`, `hidden`, `hidden_from_embeddings`, `logits`, `hidden_size` and parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workbench.config import EnergyConfig

Operator = Callable[[Tensor, torch.Generator | None], Tensor]


def softmax(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The paper's choice for both operators (Eq. 5)."""
    return logits.softmax(-1)


def straight_through(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The one-hot of the largest logit, with softmax's gradient."""
    soft = logits.softmax(-1)
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


def gumbel(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Softmax of logits with Gumbel noise (temperature 1): a relaxed draw from the categorical."""
    device = generator.device if generator is not None else logits.device
    uniform = torch.rand(logits.shape, generator=generator, device=device, dtype=logits.dtype).to(logits.device)
    tiny = torch.finfo(logits.dtype).tiny
    return (logits - (-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()).softmax(-1)


OPERATORS: dict[str, Operator] = {"softmax": softmax, "straight_through": straight_through, "gumbel": gumbel}


def operator(name: str) -> Operator:
    """An operator by its config name. Raises ValueError naming the known ones."""
    if name not in OPERATORS:
        raise ValueError(f"operator: no operator named {name!r}; accepted: {', '.join(OPERATORS)}")
    return OPERATORS[name]


class AnswerEnergy:
    """E_Theta(x, y) over a backbone.

    Prompts are right-padded ids [b, n] with their lengths [b] (up to and including the answer token); an answer has its own length
    [b], the end token counted as its last position. Energies are in nats, summed over the positions of an answer: [b].
    """

    def __init__(self, backbone: Any, config: EnergyConfig):
        self.backbone, self.o1, self.o2 = backbone, operator(config.o1), operator(config.o2)

    def __call__(
        self, prompts: Tensor, lengths: Tensor, logits: Tensor, answer_lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Energy of relaxed answers given as logits [b, m, V]."""
        context = self.backbone.expected_embedding(self.o1(logits, generator))
        log_p, counts = self._log_p(prompts, lengths, context, answer_lengths)
        return -((self.o2(logits, generator) * log_p).sum(-1) * counts).sum(1)

    def of_tokens(self, prompts: Tensor, lengths: Tensor, answers: Tensor, answer_lengths: Tensor) -> Tensor:
        """Energy of hard answers, ids [b, m] right-padded with their end token: one-hot in both slots, so the token NLL."""
        log_p, counts = self._log_p(prompts, lengths, self.backbone.embed(answers), answer_lengths)
        return -(log_p.gather(-1, answers[..., None])[..., 0] * counts).sum(1)

    def of(self, network: InferenceNetwork, batch: Any, generator: torch.Generator | None = None) -> Tensor:
        """mean E_Theta(x, A_Psi(x)) a token over a question-answering batch, Theta frozen: a scalar with gradient into Psi alone (Eq. 2).

        batch: ids [b, n] right-padded and answer_mask [b, n], true where the next token is an answer token or the end. x is what
        stands before; the answer's true length is given to A_Psi.
        """
        lengths = batch.answer_mask.int().argmax(1) + 1
        answer_lengths = batch.answer_mask.sum(1)
        inside = torch.arange(int(lengths.max()), device=batch.ids.device) < lengths[:, None]
        prompts = batch.ids[:, : inside.shape[1]] * inside
        with frozen(self.backbone):
            with torch.no_grad():
                hidden = self.backbone.hidden(prompts, lengths)
            logits = self.backbone.logits(network(hidden, lengths, int(answer_lengths.max())).to(hidden.dtype))
            return (self(prompts, lengths, logits, answer_lengths, generator) / answer_lengths).mean()

    def _log_p(self, prompts: Tensor, lengths: Tensor, context: Tensor, answer_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(log p_Theta(. | answer positions before, x) [b, m, V], which positions count [b, m]) for context embeddings [b, m, e]."""
        lengths, answer_lengths = lengths.to(prompts.device), answer_lengths.to(prompts.device)
        rows = torch.arange(len(prompts), device=prompts.device)[:, None]
        places = torch.arange(context.shape[1], device=prompts.device)
        start = lengths[:, None]
        padded = nn.functional.pad(self.backbone.embed(prompts), (0, 0, 0, context.shape[1]))
        # Answer position m stands right after its row's prompt, over the padding.
        embeddings = padded.index_put((rows, start + places), context.to(padded.dtype))
        hidden = self.backbone.hidden_from_embeddings(embeddings, lengths + answer_lengths)
        log_p = self.backbone.logits(hidden[rows, start + places - 1]).float().log_softmax(-1)
        return log_p, places < answer_lengths[:, None]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No parameter of the module asks for a gradient inside; gradients still flow through it to its inputs."""
    asked = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


class InferenceNetwork(nn.Module):
    """A_Psi(x): one logit vector an answer position, all positions at once, read from the language model's hidden states of x.

    Psi is a learned query a position, one attention over the prompt and a residual two-layer head into the width of the hidden states; the
    language model's own output head turns that into logits, so Psi stays small whatever the vocabulary. Positions beyond `positions`
    share the last query.
    """

    def __init__(self, backbone: Any, positions: int = 32, heads: int = 4):
        super().__init__()
        hidden_size = int(backbone.hidden_size)
        heads = next(count for count in range(min(heads, hidden_size), 0, -1) if hidden_size % count == 0)
        self.query = nn.Parameter(torch.randn(positions, hidden_size) * 0.02)
        self.attention = nn.MultiheadAttention(hidden_size, heads, batch_first=True)
        width = hidden_size
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, hidden: Tensor, lengths: Tensor, positions: int) -> Tensor:
        """hidden: [b, n, h] of the prompts, lengths: [b], positions: m -> [b, m, h], to be given to the language model's output head."""
        hidden = hidden.to(self.query.dtype)
        # The prompt's last hidden state is what p_Theta predicts the first answer token from.
        last = hidden[torch.arange(len(hidden), device=hidden.device), lengths.to(hidden.device) - 1]
        index = torch.arange(positions, device=hidden.device).clamp(max=len(self.query) - 1)
        query = self.query[index] + last[:, None]
        padded = torch.arange(hidden.shape[1], device=hidden.device) >= lengths.to(hidden.device)[:, None]
        pooled, _ = self.attention(query, hidden, hidden, key_padding_mask=padded, need_weights=False)
        return last[:, None] + self.head(query + pooled)
