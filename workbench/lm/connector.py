"""How a latent z conditions the language model: a memory slot in every layer plus a bias on every embedding, or a soft prefix.

Memory and embedding bias are Optimus' (Li et al. 2020) with the single bias-free map of HMI-LAMOL; the soft prefix is prefix
conditioning as in prompt tuning (Lester et al. 2021).
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from workbench.lm.tokens import BackboneError


def attention_layers(lm: nn.Module) -> list[Any]:
    """The self-attention modules of a causal model, first to last. Raises BackboneError where a layer has no self_attn.k_proj / v_proj."""
    for module in lm.modules():
        layers = getattr(module, "layers", None)
        if isinstance(layers, nn.ModuleList) and len(layers):
            found: list[Any] = [getattr(layer, "self_attn", None) for layer in layers]
            if all(hasattr(each, "k_proj") and hasattr(each, "v_proj") for each in found):
                return found
    raise BackboneError(
        f"backbone.conditioning: memory needs self_attn.k_proj and self_attn.v_proj in every layer, {type(lm).__name__} lacks them; "
        "use conditioning: prefix"
    )


class LatentConnector(nn.Module):
    """z [b, dim] to what the language model is given.

    memory: one Linear(dim -> H * (1 + L)) without bias. The first H values are added to every token's embedding; chunk l passes
    through the key and value projections of layer l as one extra slot at position 0, where the rotary embedding is the identity.
    prefix: one Linear(dim -> P * H), P soft tokens in front of the text.
    """

    def __init__(
        self, dim: int, hidden_size: int, layers: int, conditioning: Literal["memory", "prefix"] = "memory", prefix_length: int = 4
    ) -> None:
        super().__init__()
        self.dim, self.hidden_size, self.conditioning = dim, hidden_size, conditioning
        self.slots = 1 if conditioning == "memory" else prefix_length
        rows = hidden_size * (1 + layers if conditioning == "memory" else prefix_length)
        # Left without values, and the global random state alone: `initialise` draws them.
        self.linear = cast(nn.Linear, nn.utils.skip_init(nn.Linear, dim, rows, bias=False))

    @torch.no_grad()
    def initialise(self, embedding_scale: float, generator: torch.Generator) -> None:
        """Draw the weights. embedding_scale: root mean square of the token embeddings, the scale of bias and soft prefix.

        Memory chunks start at unit scale, as the normalised states that the projections otherwise see.
        """
        weight = torch.randn(self.linear.weight.shape, generator=generator) / self.dim**0.5
        weight[: self.hidden_size if self.conditioning == "memory" else None] *= embedding_scale
        self.linear.weight.copy_(weight)

    def bias(self, z: Tensor) -> Tensor | None:
        """[b, 1, H] to add to every token's embedding; None for a soft prefix."""
        if self.conditioning == "prefix":
            return None
        return nn.functional.linear(z.to(self.linear.weight.dtype), self.linear.weight[: self.hidden_size])[:, None]

    def prefix(self, z: Tensor) -> Tensor:
        """[b, P, H] soft tokens."""
        return self.linear(z.to(self.linear.weight.dtype)).view(len(z), self.slots, self.hidden_size)

    def memory(self, z: Tensor, attentions: list[Any], dtype: torch.dtype) -> DynamicCache:
        """A key/value cache that holds one slot a layer; gradients flow through it."""
        chunks = nn.functional.linear(z.to(self.linear.weight.dtype), self.linear.weight[self.hidden_size :])
        cache = DynamicCache()
        for layer, (attention, chunk) in enumerate(zip(attentions, chunks.to(dtype).chunk(len(attentions), dim=-1), strict=True)):
            keys, values = (project(chunk).view(len(z), 1, -1, attention.head_dim) for project in (attention.k_proj, attention.v_proj))
            if hasattr(attention, "k_norm"):
                keys = attention.k_norm(keys)
            cache.update(keys.transpose(1, 2), values.transpose(1, 2), layer)
        return cache
