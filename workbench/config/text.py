"""Settings as text: YAML in and out, one `section.key=value` of a command line, and faults as sentences."""

from __future__ import annotations

import difflib
import typing
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from workbench.config.errors import ConfigError
from workbench.config.reading import read_yaml
from workbench.config.sections import RunConfig, Section, fields


def build(values: dict[str, Any], file: Path | None = None) -> RunConfig:
    """A RunConfig from plain values, whose keys come from `file`. Raises ConfigError with one sentence a fault."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(fault, file) for fault in error.errors())) from None


def _sentence(fault: Any, file: Path | None) -> str:
    where = ".".join(str(part) for part in fault["loc"] if not str(part).startswith("function"))
    known = [name for name, _ in fields()] + [
        name for name, info in RunConfig.model_fields.items() if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    ]
    if fault["type"] == "extra_forbidden":
        return f"{f'{file}: ' if file else ''}{where}: unknown key{_nearest_key(where, known)}"
    message = fault["msg"].removeprefix("Value error, ")
    if message.startswith(where or "\0") or (not where and ":" in message):
        return message
    if fault["type"] == "value_error" and repr(fault.get("input")) in message:
        return f"{where}: {message}"
    if fault["type"] in ("greater_than_equal", "less_than_equal") and (accepted := _range(where)):
        return f"{where}: found {fault.get('input')!r}; accepted: {accepted}"
    return f"{where}: {message} (found {fault.get('input')!r})"


def _range(where: str) -> str:
    """'a number from 0 to 10' of a setting that has both bounds, else nothing."""
    info = dict(fields()).get(where)
    bounds = {name: getattr(bound, name) for bound in (info.metadata if info else ()) for name in ("ge", "le") if hasattr(bound, name)}
    return f"a number from {bounds['ge']} to {bounds['le']}" if len(bounds) == 2 else ""


def from_yaml(path: Path) -> dict[str, Any]:
    """Plain values of a YAML file, for `build`. Raises ConfigError where it is unreadable or no mapping."""
    try:
        values = read_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not YAML ({error})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: found a {type(values).__name__}; accepted: a mapping of config keys")
    return values


def assign(values: dict[str, Any], assignment: str) -> None:
    """Put one `section.key=value` of the command line into plain values; the value is read as YAML."""
    name, separator, text = assignment.partition("=")
    known = [dotted for dotted, _ in fields()]
    if not separator:
        raise ConfigError(f"--set {assignment}: no '='; accepted: section.key=value")
    if name not in known and not name.startswith("knobs."):
        raise ConfigError(f"--set {name}: unknown key{_nearest_key(name, known)}")
    *sections, leaf = name.split(".")
    for section in sections:
        held = values.get(section)
        if not isinstance(held, dict | None):
            raise ConfigError(f"{section}: found {str(held)[:80]!r}; accepted: a mapping of its settings")
        if held is None:
            held = values[section] = {}
        values = held
    try:
        values[leaf] = read_yaml(text)
    except ValueError as error:
        raise ConfigError(f"--set {name}: {text[:80]!r} is not YAML ({error})") from None


def to_yaml(config: RunConfig) -> str:
    """The full config, defaults written out, a comment a key."""
    lines: list[str] = []
    _write_section(config, lines, "")
    return "\n".join(lines) + "\n"


def _write_section(section: BaseModel, lines: list[str], indent: str) -> None:
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            lines.append(f"{indent}{name}:")
            _write_section(value, lines, indent + "  ")
        else:
            accepted = (
                f" ({' | '.join(map(str, typing.get_args(info.annotation)))})" if typing.get_origin(info.annotation) is Literal else ""
            )
            written = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
            lines.append(f"{indent}{name}: {written}  # {info.description}{accepted}")


def _nearest_key(word: str, known: list[str]) -> str:
    """The same for a setting. Its last part decides: settings of one section are alike by their section alone."""

    def alike(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one, other).ratio()

    close = {name: alike(word.rpartition(".")[2], name.rpartition(".")[2]) for name in known}
    best = max(known, key=lambda name: close[name] + alike(word, name))
    return f" (did you mean {best!r}?)" if close[best] >= 0.6 else "; `workbench show --defaults` lists them all"
