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
