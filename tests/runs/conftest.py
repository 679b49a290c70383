from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.runs.writer import RunWriter


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    made = RunWriter.create(tmp_path / "runs", "seed: 3\n", {"label": "lamol", "name": "a run", "seed": 3, "tasks": ["a", "b"]})
    yield made
    made.close()
