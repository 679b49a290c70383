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


LONGEST = ("training/test_resume", "e2e/", "contract/test_methods", "cli/", "app/", "training/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: the short ones at the end let two workers end together."""
    items.sort(key=lambda item: next((place for place, part in enumerate(LONGEST) if part in item.nodeid), len(LONGEST)))
