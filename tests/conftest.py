from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def mini_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.mini import write_backbone

    return write_backbone(tmp_path_factory.mktemp("mini"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: with two workers the other one is not left waiting at the end."""
    items.sort(key=lambda item: "test_resume" not in item.nodeid)
