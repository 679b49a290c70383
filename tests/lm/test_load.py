from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from workbench.lm.load import LATENT_FILE, absolute_name, fingerprint
from workbench.lm.model import Backbone
from workbench.lm.tokens import BackboneError

Make = Callable[..., Backbone]


def test_a_folder_that_lacks_files_is_named_in_one_sentence(make_tiny: Make, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"config.json, tokenizer.json, weights"):
        make_tiny(tmp_path)
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"lacks weights; accepted: .*model.safetensors"):
        make_tiny(tmp_path / "model")
    with pytest.raises(BackboneError, match="no folder"):
        make_tiny(tmp_path / "absent")


def test_pickled_weights_are_refused(make_tiny: Make, tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(BackboneError, match="safetensors"):
        make_tiny(tmp_path / "model")


def test_a_length_the_model_cannot_hold_is_refused(make_tiny: Make) -> None:
    with pytest.raises(BackboneError, match="max_length: found 256; accepted: up to 128"):
        make_tiny(max_length=256)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_bfloat16_trains_and_generates(make_tiny: Make, tuning: str) -> None:
    backbone = make_tiny(dtype="bfloat16", tuning=tuning, lora_rank=4)
    z, ids, lengths = torch.randn(1, 4), torch.tensor([[backbone.tokens.gen_id, 20, 30]]), torch.tensor([3])
    hidden = backbone.hidden_given(ids, lengths, z)
    assert hidden.dtype == torch.bfloat16 and backbone.connector.linear.weight.dtype == torch.float32
    logits = backbone.logits(hidden)
    assert logits.dtype == torch.float32
    logits.square().mean().backward()
    assert torch.isfinite(backbone.connector.linear.weight.grad).all()  # type: ignore[arg-type]
    assert len(backbone.generate([[backbone.tokens.gen_id], [20, 30]], z=torch.randn(2, 4), max_new_tokens=3)) == 2


def test_same_generator_same_backbone(make_tiny: Make) -> None:
    for choices in ({}, {"tuning": "lora", "lora_rank": 4}):
        state = torch.random.get_rng_state()
        first, second = make_tiny(**choices), make_tiny(**choices)
        assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
        assert torch.equal(state, torch.random.get_rng_state())


def test_a_model_without_key_and_value_projections_wants_a_prefix(make_tiny: Make, tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "gpt")
    GPT2LMHeadModel(GPT2Config(vocab_size=330, n_embd=32, n_layer=2, n_head=2, n_positions=128)).save_pretrained(tmp_path / "gpt")
    with pytest.raises(BackboneError, match="use conditioning: prefix"):
        make_tiny(tmp_path / "gpt")
    for tuning in ("full", "lora"):
        backbone = make_tiny(tmp_path / "gpt", conditioning="prefix", tuning=tuning, lora_rank=4)
        prompts = [[20, 30, 40], [50]]
        rows = backbone.generate(prompts, z=torch.ones(2, 4), max_new_tokens=4)
        assert rows == [backbone.generate([prompt], z=torch.ones(1, 4), max_new_tokens=4)[0] for prompt in prompts]


def test_shipped_latent_weights_are_taken_where_they_fit(make_tiny: Make, tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "model")
    weight = torch.randn(32 * 3, 4)
    save_file({"connector.linear.weight": weight, "encoder.query": torch.ones(2, 32)}, tmp_path / "model" / LATENT_FILE)
    fitting = make_tiny(tmp_path / "model")
    assert torch.equal(fitting.connector.linear.weight, weight)
    assert fitting.encoder_state is not None and list(fitting.encoder_state) == ["query"]
    for other in (make_tiny(tmp_path / "model", dim=5), make_tiny(tmp_path / "model", conditioning="prefix")):
        assert other.encoder_state is None and other.connector.linear.weight.shape != weight.shape


def _changed(folder: Path, what: str) -> None:
    """Spoil a model folder in one way."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    if what == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    elif what == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "quantised":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    elif what == "config":
        config.write_text("{")
    else:
        state = load_file(weights)
        name = next(name for name in state if "layers.1." in name and "k_proj" in name)
        tensor = state.pop(name)
        if what == "shape":
            state[name] = tensor[:-1].clone()
        save_file(state, weights, {"format": "pt"})


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("pointer", "Git LFS pointer"),
        ("cut", "bytes; accepted"),
        ("quantised", "is quantised"),
        ("config", "config.json cannot be read"),
        ("shape", "cannot be loaded"),
        ("missing", "lack .*k_proj"),
    ],
)
def test_spoilt_model_files_are_one_sentence_at_load(make_tiny: Make, tiny_folder: Path, tmp_path: Path, what: str, sentence: str) -> None:
    """F75."""
    shutil.copytree(tiny_folder, tmp_path / "model")
    _changed(tmp_path / "model", what)
    with pytest.raises(BackboneError, match=sentence) as caught:
        make_tiny(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_other_weights_have_another_fingerprint(tiny_folder: Path, tmp_path: Path) -> None:
    """F76."""
    shutil.copytree(tiny_folder, tmp_path / "model")
    assert fingerprint(tmp_path / "model") == fingerprint(tiny_folder)
    (tmp_path / "model" / "README.md").write_text("no part of the model")
    assert fingerprint(tmp_path / "model") == fingerprint(tiny_folder)
    _changed(tmp_path / "model", "shape")
    assert fingerprint(tmp_path / "model") != fingerprint(tiny_folder)
    with pytest.raises(BackboneError, match=r"lacks config.json"):
        fingerprint(tmp_path)


def test_a_local_path_is_stored_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F77."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute_name("./model") == str((tmp_path / "model").resolve())
    assert absolute_name("bundled") == "bundled" and absolute_name("owner/model") == "owner/model"
