"""Two doors of the settings, a YAML file and --set: whatever comes in is a setting or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.profile import FUZZ
from workbench.config import ConfigError, assign, build, from_yaml

DEEP = "[" * 20_000


@pytest.mark.parametrize(
    "value",
    ["*a", "[", "=", "!!python/name:os.system", DEEP, "9" * 6000, "{a: 1, a: 2}", "2001-99-99", "&a [*a]", "? {}", "\x00", "%x", "- - :"],
)
@pytest.mark.parametrize("name", ["order", "name", "backbone.name", "training.lr"])
def test_f30_a_value_that_is_no_yaml_is_one_sentence(name: str, value: str) -> None:
    values: dict[str, Any] = {}
    with pytest.raises(ConfigError) as fault:
        assign(values, f"{name}={value}")
        build(values)
    assert name in str(fault.value) and "\n" not in str(fault.value) and len(str(fault.value)) < 500


@pytest.mark.parametrize("held", [[1], "x", 3, True])
def test_f30_a_section_that_is_no_mapping_is_one_sentence(held: object) -> None:
    with pytest.raises(ConfigError, match=r"^training: found .*; accepted: a mapping of its settings$"):
        assign({"training": held}, "training.epochs=1")


def test_f30_an_empty_section_takes_a_setting() -> None:
    values: dict[str, Any] = {"training": None}
    assign(values, "training.epochs=1")
    assert values == {"training": {"epochs": 1}}


@pytest.mark.parametrize(
    "text",
    [b"a: " + DEEP.encode(), b"seed: " + b"9" * 6000, b"a: &a [*a]", b"seed: 1\nseed: 2\n", b"\xff\xfe\x00", b"a: [", b"\x00", b"a: 2001-99-99",
     b"training:\n  lr: 1\n  lr: 2\n", b"? [a]\n: 1\n", b"!!python/object:os.system {}", b"- 1", b"x"],
)  # fmt: skip
def test_f82_a_settings_file_of_any_content_is_one_sentence(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(text)
    with pytest.raises(ConfigError) as fault:
        build(from_yaml(file), file)
    assert "\n" not in str(fault.value) and len(str(fault.value)) < 500


def test_f98_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("seed: 1\nmethod: er\nseed: 2\n")
    with pytest.raises(ConfigError, match="'seed' is given twice, again in line 3"):
        from_yaml(tmp_path / "study.yaml")


def test_f36_a_settings_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert from_yaml(tmp_path / "study.yaml") == {"seed": 1}


@FUZZ
@given(
    st.sampled_from(["order", "name", "seed", "training.lr", "replay.gamma", "energy.dim", "knobs.x"]),
    st.text(st.characters(), max_size=30),
)
def test_settings_of_any_text(name: str, value: str) -> None:
    values: dict[str, Any] = {}
    try:
        assign(values, f"{name}={value}")
        build(values)
    except ConfigError as error:
        assert len(str(error)) < 2000
