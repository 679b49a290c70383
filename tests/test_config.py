from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workbench.config import ConfigError, RunConfig, assign, build, fields, from_yaml, to_yaml


def test_the_saved_yaml_is_the_config_with_every_default_and_a_comment() -> None:
    config = build({"method": "er", "seed": 3, "energy": {"delta": 0.5}, "knobs": {"capacity": 7}})
    text = to_yaml(config)
    assert build(yaml.safe_load(text)) == config
    for name, _ in fields():
        assert f"{name.rpartition('.')[2]}:" in text
    assert all("#" in line for line in text.splitlines() if not line.endswith(":"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"methd": "er"}, r"methd: unknown key \(did you mean 'method'\?\)"),
        ({"energy": {"delt": 1}}, r"energy.delt: unknown key \(did you mean 'energy.delta'\?\)"),
        ({"energy": {"delta": 3}}, "energy.delta: 3.0 diverges.*accepted"),
        ({"method": "lsebmc"}, "did you mean 'lsebmcl'.*accepted: .*finetune"),
        ({"training": {"foo": 1}}, r"^training.foo: unknown key; `workbench show --defaults` lists them all$"),
        ({"foo": 1}, r"^foo: unknown key; `workbench show --defaults` lists them all$"),
        ({"max_steps": 1}, r"unknown key \(did you mean 'training.max_steps'\?\)"),
        ({"enrgy": {"delta": 1}}, r"unknown key \(did you mean 'energy'\?\)"),
        ({"method": "nothing"}, r"^method: no method named 'nothing'; accepted: [^(]*$"),
        ({"replay": {"gamma": float("nan")}}, r"^replay.gamma: found nan; accepted: a number from 0 to 10$"),
        ({"seed": -1}, r"seed: .*found -1"),
        ({"energy": {"kernel": "hmc"}}, "energy.kernel: .*'ula' or 'mala'.*'hmc'"),
        ({"energy": {"schedule": "joint"}}, "joint needs energy.reference: isotropic"),
    ],
)
def test_a_wrong_setting_is_one_sentence(values: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(values)


def test_assignments_are_read_as_yaml_and_checked() -> None:
    values: dict = {}
    for text in ("training.max_steps=5", "energy.kernel=mala", "tasks.train_limit=null", "knobs.capacity=9"):
        assign(values, text)
    assert values == {"training": {"max_steps": 5}, "energy": {"kernel": "mala"}, "tasks": {"train_limit": None}, "knobs": {"capacity": 9}}
    with pytest.raises(ConfigError, match=r"--set training.max_step: unknown key .*training.max_steps"):
        assign(values, "training.max_step=5")
    with pytest.raises(ConfigError, match=r"--set foo: unknown key; `workbench show --defaults` lists them all$"):
        assign(values, "foo=1")
    with pytest.raises(ConfigError, match="no '='"):
        assign(values, "seed")


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read"):
        from_yaml(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="found a list"):
        from_yaml(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not YAML"):
        from_yaml(tmp_path / "bad.yaml")


def test_runs_that_differ_by_seed_alone_share_a_group() -> None:
    assert build({"seed": 1, "name": "x"}).group_hash == build({"seed": 2}).group_hash
    assert build({"seed": 1}).group_hash != build({"seed": 1, "replay": {"gamma": 0.05}}).group_hash


def test_import_is_light() -> None:
    code = "import workbench, workbench.config, workbench.cli, sys; print([name for name in ('torch', 'transformers', 'streamlit', 'sklearn', 'umap') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_leaf_has_a_description() -> None:
    assert [name for name, info in fields() if not info.description] == []
    assert RunConfig().label == "lsebmcl"


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"method": "lsebmcl"}, "lsebmcl"),
        ({"method": "lsebmcl", "replay": {"source": "gaussian"}}, "gaussian"),
        ({"method": "lamol"}, "lamol"),
        ({"method": "lamol", "replay": {"tokens": "task"}}, "lamol_task"),
        ({"method": "er", "replay": {"tokens": "task"}}, "er"),
    ],
)
def test_a_table_names_the_control_and_the_kind_of_lamol(settings: dict, label: str) -> None:
    assert build(settings).label == label
