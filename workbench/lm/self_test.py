"""Whether a causal model does on short random rows what training and replay take for granted: tried on the model itself, before a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.lm.model import Backbone
from workbench.lm.tokens import BackboneError

TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 0.15}  # of the largest logit: rounding, not another computation


@torch.no_grad()
def self_test(backbone: Backbone, max_length: int, name: str) -> None:
    """Raises BackboneError, one sentence with the first of these that fails: causal, logits = the model's own, batch = alone,
    cached = at once, `max_length` tokens plus the latent's slots. The model is left as it was; random states are not touched.
    """
    training = backbone.training
    backbone.eval()
    try:
        for what, check in (
            ("a token sees later ones (the model is not causal)", _causal),
            ("logits differ from the model's own forward pass", _own_logits),
            ("a row's result depends on its batch", lambda each: _batch(each, max_length)),
            ("generation with a cache differs from one pass", _cached),
        ):
            if not _tried(check, backbone, name):
                raise BackboneError(
                    f"backbone.name: {name} cannot be used here: {what}; accepted: a causal model that passes the self-test"
                )
        if not _tried(lambda each: _longest(each, max_length), backbone, name, f" at backbone.max_length {max_length}"):
            raise BackboneError(f"backbone.max_length: {name} gives no finite result at {max_length} tokens; accepted: fewer")
    finally:
        backbone.train(training)


def _tried(check: Any, backbone: Backbone, name: str, where: str = "") -> bool:
    try:
        return check(backbone)
    except BackboneError:
        raise
    except Exception as error:  # whatever a model's code meets, the user learns of it before the run
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BackboneError(
            f"backbone.name: {name} fails in the self-test{where} ({reason}); accepted: a causal model that passes it"
        ) from error


def _rows(backbone: Backbone, count: int, length: int) -> Tensor:
    """ids [count, length] of the tokenizer's own tokens, the same each time."""
    generator = torch.Generator().manual_seed(11)
    return torch.randint(backbone.tokens.first_own, (count, length), generator=generator).to(backbone.device)


def _latent(backbone: Backbone, count: int) -> Tensor:
    return torch.randn(count, backbone.connector.dim, generator=torch.Generator().manual_seed(12)).to(backbone.device)


def _logits(backbone: Backbone, ids: Tensor, z: Tensor | None) -> Tensor:
    lengths = torch.full((len(ids),), ids.shape[1], device=ids.device)
    return backbone.logits(backbone.hidden_given(ids, lengths, z))


def _near(backbone: Backbone, one: Tensor, other: Tensor) -> bool:
    scale = max(1e-6, float(other.abs().max()))
    return bool(torch.isfinite(one).all()) and float((one - other).abs().max()) <= TOLERANCE[backbone.dtype] * scale


def _causal(backbone: Backbone) -> bool:
    ids = _rows(backbone, 1, 8)
    changed = ids.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % backbone.tokens.first_own
    return all(
        _near(backbone, _logits(backbone, ids, z)[:, :6], _logits(backbone, changed, z)[:, :6]) for z in (None, _latent(backbone, 1))
    )


def _own_logits(backbone: Backbone) -> bool:
    ids = _rows(backbone, 1, 8)
    known = backbone.tokens.first_own
    return _near(backbone, _logits(backbone, ids, None)[..., :known], backbone.lm(input_ids=ids).logits.float()[..., :known])


def _batch(backbone: Backbone, max_length: int) -> bool:
    """A short row behind its padding beside one of nearly max_length: what is generated is what the row alone gives."""
    rows, z = _rows(backbone, 2, max_length - 4).tolist(), _latent(backbone, 2)
    prompts = [rows[0], rows[1][:5]]
    for given in (None, z):
        together = backbone.generate(prompts, z=given, max_new_tokens=4)
        alone = [backbone.generate([p], z=None if given is None else given[i : i + 1], max_new_tokens=4)[0] for i, p in enumerate(prompts)]
        if together != alone and not _tied(backbone, prompts, together, alone, given):
            return False
    return True


def _tied(backbone: Backbone, prompts: list[list[int]], one: list[list[int]], other: list[list[int]], z: Tensor | None) -> bool:
    """Whether rows first part where the two tokens are likely alike: rounding decides there."""
    for place, (prompt, a, b) in enumerate(zip(prompts, one, other, strict=True)):
        if a == b:
            continue
        ends = [[*row, backbone.tokens.eos_id] for row in (a, b)]
        split = next(i for i, (x, y) in enumerate(zip(*ends, strict=False)) if x != y)
        ids = torch.tensor([[*prompt, *ends[0][:split]]], device=backbone.device)
        logits = _logits(backbone, ids, None if z is None else z[place : place + 1])[0, -1]
        if float((logits[ends[0][split]] - logits[ends[1][split]]).abs()) > TOLERANCE[backbone.dtype] * float(logits.abs().max()):
            return False
    return True


def _cached(backbone: Backbone) -> bool:
    """Greedy tokens, each the likeliest of a whole pass over what stands before it."""
    prompt, z = _rows(backbone, 1, 6), _latent(backbone, 1)
    for given in (None, z):
        made = backbone.generate(prompt.tolist(), z=given, max_new_tokens=4)[0]
        ids = torch.cat([prompt, torch.tensor([made], dtype=torch.long, device=prompt.device)], dim=1)
        logits = _logits(backbone, ids, given)[0, prompt.shape[1] - 1 :]
        for place, token in enumerate(made):
            if float(logits[place].max() - logits[place, token]) > TOLERANCE[backbone.dtype] * float(logits[place].abs().max()):
                return False
    return True


def _longest(backbone: Backbone, max_length: int) -> bool:
    return bool(torch.isfinite(_logits(backbone, _rows(backbone, 1, max_length), _latent(backbone, 1))[:, -1]).all())
