"""Samples as token sequences, batches of them, and back.

    QA pass   context __sep__ question __ans__ answer <eos>            scored: answer and <eos>
    GEN pass  <gen> context __sep__ question __ans__ answer <eos>      scored: everything after <gen>

The format and the two passes are LAMOL's (Sun et al. 2020). Nothing here needs more of an example than the attributes
`context`, `question` and `answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from workbench.lm.tokens import Tokens


class Sample(Protocol):
    """What is serialised: an example of a task or a replayed sample."""

    @property
    def context(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def answers(self) -> Sequence[str]: ...


@dataclass
class Batch:
    """ids: [b, n] long, right-padded; lengths: [b] long; answer_mask: [b, n] bool, positions whose NEXT token is scored."""

    ids: Tensor
    lengths: Tensor
    answer_mask: Tensor

    @property
    def targets(self) -> Tensor:
        """[m] the tokens to be predicted at the scored positions, row after row."""
        return self.ids.roll(-1, dims=1)[self.answer_mask]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.ids.to(device), self.lengths.to(device), self.answer_mask.to(device))


def qa_ids(tokens: Tokens, example: Sample, max_length: int) -> tuple[list[int], int] | None:
    """(ids of the QA sequence, length of its prompt up to and including `__ans__`), or None where question and answer alone are too long.

    The context loses its tail to fit. One place of max_length stays free for the generation token of the other pass.
    """
    context, question, answer = tokens.encode(example.context), tokens.encode(example.question), tokens.encode(example.answers[0])
    room = max_length - 1 - len(question) - len(answer) - 3
    if room < 0:
        return None
    prompt = [*context[:room], tokens.sep_id, *question, tokens.ans_id]
    return [*prompt, *answer, tokens.eos_id], len(prompt)


def prompt_ids(tokens: Tokens, example: Sample, max_length: int, room: int = 8) -> list[int]:
    """Ids up to and including `__ans__`, leaving `room` places of max_length for the answer.

    First the context, then the question loses its tail to fit.
    """
    context, question = tokens.encode(example.context), tokens.encode(example.question)
    question = question[: max(max_length - room - 2, 1)]
    context = context[: max(max_length - room - 2 - len(question), 0)]
    return [*context, tokens.sep_id, *question, tokens.ans_id]


def gen_ids(tokens: Tokens, ids: Sequence[int], task: str | None = None) -> list[int]:
    """Ids of the GEN sequence of a QA sequence; task: whose generation token, None for the shared one."""
    return [tokens.gen_for(task), *ids]


def pad_ids(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """(ids [b, n] right-padded, lengths [b]) of id lists, in the order given."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    ids = torch.full((len(rows), int(lengths.max()) if len(rows) else 0), pad_id, dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids, lengths


def qa_batch(rows: Sequence[tuple[Sequence[int], int]], pad_id: int) -> Batch:
    """Batch of the QA pass from results of `qa_ids`: the answer and the end token are scored."""
    ids, lengths = pad_ids([ids for ids, _ in rows], pad_id)
    prompts = torch.tensor([prompt for _, prompt in rows], dtype=torch.long)
    place = torch.arange(ids.shape[1])
    return Batch(ids, lengths, (place >= prompts[:, None] - 1) & (place < lengths[:, None] - 1))


def gen_batch(rows: Sequence[Sequence[int]], pad_id: int) -> Batch:
    """Batch of the GEN pass from results of `gen_ids`: everything after the generation token is scored."""
    ids, lengths = pad_ids(rows, pad_id)
    return Batch(ids, lengths, torch.arange(ids.shape[1]) < lengths[:, None] - 1)


def word_dropout(ids: Tensor, lengths: Tensor, share: float, generator: torch.Generator, tokens: Tokens) -> Tensor:
    """ids [b, n] with each text token hidden behind `__unk__` with probability `share`; special tokens and padding never.

    For the decoder's input in the generation pass (Bowman et al. 2016): targets and encoder keep the true ids.
    """
    if share <= 0:
        return ids
    special = torch.tensor(sorted(tokens.special_ids), device=ids.device)
    drawn = torch.rand(ids.shape, generator=generator, device=generator.device).to(ids.device)
    hidden = (drawn < share) & ~torch.isin(ids, special) & (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None])
    return torch.where(hidden, tokens.unk_id, ids)


def parse(tokens: Tokens, ids: Sequence[int]) -> tuple[tuple[str, str, str] | None, str]:
    """((context, question, answer), "") of a generated sequence, or (None, why not).

    Accepted: exactly one `__sep__` before exactly one `__ans__`, a question between them, no other special token. A leading
    generation token and a trailing end token are allowed. An empty context or answer is legal.
    """
    ids = list(ids)
    if ids and (ids[0] == tokens.gen_id or ids[0] in tokens.task_ids.values()):
        ids = ids[1:]
    if ids and ids[-1] == tokens.eos_id:
        ids = ids[:-1]
    for token, name in ((tokens.ans_id, "__ans__"), (tokens.sep_id, "__sep__")):
        if ids.count(token) != 1:
            return None, f"{name} occurs {ids.count(token)} times"
    split, answer = ids.index(tokens.sep_id), ids.index(tokens.ans_id)
    if split > answer:
        return None, "__ans__ before __sep__"
    if any(token in tokens.special_ids for token in (*ids[:split], *ids[split + 1 : answer], *ids[answer + 1 :])):
        return None, "stray special token"
    parts = tokens.decode(ids[:split]), tokens.decode(ids[split + 1 : answer]), tokens.decode(ids[answer + 1 :])
    return (parts, "") if parts[1] else (None, "empty question")
