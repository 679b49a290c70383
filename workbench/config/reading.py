"""YAML from anywhere as plain values: a settings file, one `--set`, the config.yaml of a stranger's run."""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 50
"""Brackets within brackets: the reader's time grows with the square of them."""


def read_yaml(text: str | bytes) -> Any:
    """The value of a YAML text. Raises ValueError with one line, whatever the reader trips over.

    Refused are references (*NAME), which grow without bound when they are resolved and which no settings need, a key that is given
    twice, of which one would be lost without a word, and nesting without end.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except Exception as error:
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("a reference (*NAME); accepted: values written out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ValueError(f"{key.value[:80]!r} is given twice, again in line {key.start_mark.line + 1}")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)
