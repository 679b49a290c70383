"""Backbone: a causal language model with a latent connector, in the two passes of training and in batched generation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workbench.lm.connector import LatentConnector, attention_layers
from workbench.lm.sequences import pad_ids
from workbench.lm.tokens import BackboneError, Tokens


class Backbone(nn.Module):
    """The language model p_beta(x|z) and p_Theta(y|x).

    lm: a transformers causal model with sdpa attention. Fully tuned, its embedding grows with the tokens. With adapters (`frozen`),
    the model's own weights stand still and the embeddings of the project's own tokens live in `added_in` (and `added_out` where the
    output head has weights of its own), ids from `tokens.first_own` on.
    encoder_state: initial weights of an encoder of the same latent size, where the model's folder ships them.
    """

    def __init__(self, lm: Any, tokens: Tokens, connector: LatentConnector, generator: torch.Generator, frozen: bool = False) -> None:
        super().__init__()
        self.lm, self.tokens, self.connector, self.frozen = lm, tokens, connector, frozen
        self.hidden_size: int = lm.get_input_embeddings().weight.shape[1]
        self.encoder_state: dict[str, Tensor] | None = None
        self.added_in: nn.Parameter | None = None
        self.added_out: nn.Parameter | None = None
        self._attentions = attention_layers(lm) if connector.conditioning == "memory" else []
        self._grow(generator)

    @property
    def device(self) -> torch.device:
        return self.lm.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.lm.get_input_embeddings().weight.dtype

    # Tokens and embeddings

    def add_task_tokens(self, names: Iterable[str], generator: torch.Generator) -> None:
        """Give tasks their generation tokens. New rows start at the mean embedding plus a little noise from `generator`.

        Embedding parameters are replaced when they grow: make the optimiser afterwards.
        """
        self.tokens.add_task_tokens(names)
        self._grow(generator)

    @torch.no_grad()
    def _grow(self, generator: torch.Generator) -> None:
        embedding, head = self.lm.get_input_embeddings(), self.lm.get_output_embeddings()
        if self.frozen:
            self.added_in = self._grown(self.added_in, embedding.weight, generator)
            if head.weight is not embedding.weight:
                self.added_out = self._grown(self.added_out, head.weight, generator)
        elif len(self.tokens) > len(embedding.weight):
            count = len(self.tokens) - len(embedding.weight)
            new_in = self._new_rows(embedding.weight, count, generator)
            new_out = new_in if head.weight is embedding.weight else self._new_rows(head.weight, count, generator)
            with torch.random.fork_rng(devices=[]):  # transformers draws rows of its own, which are overwritten
                self.lm.resize_token_embeddings(len(self.tokens), mean_resizing=False)
            self.lm.get_input_embeddings().weight[-count:] = new_in
            self.lm.get_output_embeddings().weight[-count:] = new_out

    def _grown(self, rows: nn.Parameter | None, weight: Tensor, generator: torch.Generator) -> nn.Parameter:
        """Own rows for every token from `first_own` on: kept where present, else the model's, else new."""
        first, total = self.tokens.first_own, len(self.tokens)
        old = weight[first:total].float() if rows is None else rows.data
        return nn.Parameter(torch.cat([old, self._new_rows(weight, total - first - len(old), generator).float()]))

    def _new_rows(self, weight: Tensor, count: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(count, weight.shape[1], generator=generator, device=generator.device).to(weight.device)
        known = weight[: self.tokens.first_own].float()
        return (known.mean(0) + 0.1 * known.std() * noise).to(weight.dtype)

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings [..., H] of ids [...]."""
        embedding = self.lm.get_input_embeddings()
        if self.added_in is None:
            return embedding(ids)
        rows = embedding(ids.clamp(max=self.tokens.first_own - 1))
        own = self.added_in[(ids - self.tokens.first_own).clamp(min=0)].to(rows.dtype)
        return torch.where((ids >= self.tokens.first_own)[..., None], own, rows)

    def expected_embedding(self, probs: Tensor) -> Tensor:
        """Mean input embedding [..., H] under token distributions probs [..., V]."""
        weight = self.lm.get_input_embeddings().weight
        if self.added_in is not None:
            weight = torch.cat([weight[: self.tokens.first_own], self.added_in.to(weight.dtype)])
        return probs.to(weight.dtype) @ weight[: probs.shape[-1]]

    # Passes

    def hidden(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Last hidden states [b, n, H] of right-padded ids [b, n], no latent. Rows past a length are meaningless.

        Under causal attention right padding cannot reach a real token, so no mask is made and the fast attention path is used.
        """
        return self.hidden_from_embeddings(self.embed(ids), lengths)

    def hidden_from_embeddings(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """`hidden` for input embeddings [b, n, H] (operator o1 feeds expected embeddings)."""
        return self.lm.base_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state

    def hidden_given(self, ids: Tensor, lengths: Tensor, z: Tensor | None) -> Tensor:
        """Last hidden states [b, n, H] conditioned on z [b, dim] (the generation pass); None: as `hidden`."""
        if z is None:
            return self.hidden(ids, lengths)
        return self._start(self.embed(ids), z)[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Token logits [..., V] in float32. Call it on the positions that are scored only: the head is the dear part of a small model."""
        head = self.lm.get_output_embeddings()
        logits = head(hidden)
        if self.added_in is not None:
            own = self.added_in if self.added_out is None else self.added_out
            logits = torch.cat([logits[..., : self.tokens.first_own], hidden @ own.to(hidden.dtype).T], dim=-1)
        return logits[..., : len(self.tokens)].float()

    def _start(self, embeddings: Tensor, z: Tensor | None, cached: bool = False) -> tuple[Tensor, Any]:
        """(hidden states of the text, key/value cache or None) of text embeddings [b, n, H] given z."""
        if z is None:
            out = self.lm.base_model(inputs_embeds=embeddings, use_cache=cached)
            return out.last_hidden_state, out.past_key_values
        dtype = embeddings.dtype
        if self.connector.conditioning == "memory":
            cache = self.connector.memory(z, self._attentions, dtype)
            embeddings = embeddings + self.connector.bias(z).to(dtype)  # pyright: ignore[reportOptionalMemberAccess]
            out = self.lm.base_model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
            return out.last_hidden_state, cache
        embeddings = torch.cat([self.connector.prefix(z).to(dtype), embeddings], dim=1)
        out = self.lm.base_model(inputs_embeds=embeddings, use_cache=cached)
        return out.last_hidden_state[:, self.connector.slots :], out.past_key_values

    # Generation

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        z: Tensor | None = None,
        max_new_tokens: int,
        top_k: int = 0,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        shaped: bool = False,
        batch_size: int = 128,
    ) -> list[list[int]]:
        """Continuations of prompts (id lists, none empty), without the end token; a row as long as max_new_tokens did not end.

        shaped: of the special tokens, one `__sep__`, then one `__ans__`, then the end are all that can come; whichever of them the model
        wants closes the part it is in.

        temperature 0 is greedy. Otherwise tokens are drawn among the `top_k` likeliest (0: all) with one uniform number a row and
        step from `generator`, so the draws of a row do not depend on when other rows of its batch end. z: [len(prompts), dim] or None.
        """
        if temperature > 0 and generator is None:
            raise ValueError("generate: no generator; accepted: a torch.Generator, or temperature 0 for greedy decoding")
        done: list[list[int]] = []
        with evaluating(self):
            for first in range(0, len(prompts), batch_size):
                part = slice(first, first + batch_size)
                given = None if z is None else z[part].to(self.device)
                done += self._generate(prompts[part], given, max_new_tokens, top_k, temperature, generator, shaped)
        return done

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        z: Tensor | None,
        steps: int,
        top_k: int,
        temperature: float,
        generator: torch.Generator | None,
        shaped: bool,
    ) -> list[list[int]]:
        ids, lengths = (each.to(self.device) for each in pad_ids(prompts, self.tokens.pad_id))
        count, width = ids.shape
        slots = 0 if z is None else self.connector.slots
        bias = None if z is None else self.connector.bias(z)
        # Prompts are padded on the right: what is generated goes behind the masked padding, at the positions that follow the prompt.
        state, cache = self._start(self.embed(ids), z, cached=True)
        last = state[torch.arange(count), lengths - 1]
        ragged = bool((lengths < width).any())
        mask = torch.ones(count, slots + width, dtype=torch.long, device=self.device)
        mask[:, slots:] = torch.arange(width, device=self.device) < lengths[:, None]
        rows = torch.arange(count, device=self.device)  # which prompt each row of the shrinking batch belongs to
        ended = torch.zeros(count, dtype=torch.bool, device=self.device)
        result = torch.full((count, steps), self.tokens.eos_id, dtype=torch.long, device=self.device)
        closing = torch.tensor([self.tokens.sep_id, self.tokens.ans_id, self.tokens.eos_id], device=self.device)  # of each part of a sample
        parts = torch.zeros(count, dtype=torch.long, device=self.device)
        special = torch.tensor(sorted(self.tokens.special_ids), device=self.device)
        for step in range(steps):
            uniform = None if temperature <= 0 else torch.rand(count, generator=generator, device=generator.device).to(self.device)  # pyright: ignore[reportOptionalMemberAccess]
            logits = self.logits(last)
            if shaped:
                ends = logits[:, closing].masked_fill(torch.arange(3, device=self.device) < parts[:, None], -math.inf)
                logits = logits.index_fill(1, special, -math.inf).scatter(1, closing[parts][:, None], ends.logsumexp(1, keepdim=True))
            token = pick(logits, top_k, temperature, None if uniform is None else uniform[rows])
            parts = (parts + (token == closing[parts])).clamp(max=2)
            token = torch.where(ended, self.tokens.eos_id, token)
            result[rows, step] = token
            ended = token == self.tokens.eos_id
            going = (~ended).nonzero()[:, 0]
            if len(going) == 0 or step == steps - 1:
                break
            if len(going) <= 0.75 * len(rows):
                cache.batch_select_indices(going)
                rows, token, ended, mask, lengths, parts = (each[going] for each in (rows, token, ended, mask, lengths, parts))
                bias = None if bias is None else bias[going]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            embedding = self.embed(token[:, None])
            embedding = embedding if bias is None else embedding + bias.to(embedding.dtype)
            out = self.lm.base_model(
                inputs_embeds=embedding,
                past_key_values=cache,
                use_cache=True,
                position_ids=(slots + lengths + step)[:, None],
                attention_mask=mask if ragged else None,
            )
            last = out.last_hidden_state[:, -1]
        return [row[: row.index(self.tokens.eos_id)] if self.tokens.eos_id in row else row for row in result.tolist()]

    # Checkpoints

    def trainable_state(self) -> dict[str, Tensor]:
        """What training changes, by name, not copied: all weights, or adapters, own embeddings and connector."""
        return {name: parameter.detach() for name, parameter in self.named_parameters() if parameter.requires_grad}

    @torch.no_grad()
    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Put back a `trainable_state`, in place. Task tokens must have been added first. Raises BackboneError on other names or shapes."""
        own = self.trainable_state()
        if odd := sorted(own.keys() ^ state.keys()):
            raise BackboneError(
                f"weights: {odd[0]} is {'missing' if odd[0] in own else 'unknown'}; accepted: the state of the same model and tuning"
            )
        for name, parameter in own.items():
            if parameter.shape != state[name].shape:
                raise BackboneError(
                    f"weights: {name} is {list(state[name].shape)}; accepted: {list(parameter.shape)} (add the task tokens before loading)"
                )
            parameter.copy_(state[name])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside, whatever the mode of each part was outside."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def pick(logits: Tensor, top_k: int, temperature: float, uniform: Tensor | None) -> Tensor:
    """[b] one token a row of logits [b, V]: the likeliest, or the inverse of the (top-k) distribution function at uniform [b]."""
    if uniform is None:
        return logits.argmax(-1)
    values, places = logits.topk(min(top_k, logits.shape[-1])) if top_k > 0 else logits.sort(-1, descending=True)
    cumulative = torch.softmax(values / temperature, dim=-1).cumsum(-1)
    chosen = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
    return places.gather(1, chosen)[:, 0]
