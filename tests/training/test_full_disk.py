"""A full disk is one message, not the end of the training; what was lost is said at the end."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from tests import mini
from workbench.runs import stream
from workbench.runs.reader import Run


def test_training_goes_on_where_the_disk_is_full(
    mini_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from workbench.training.run import start

    written = stream.Segment.write
    calls = 0

    def full(self, batch):
        nonlocal calls
        calls += 1
        if calls > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(self, batch)

    monkeypatch.setattr(stream.Segment, "write", full)
    steps: list[tuple[int, int]] = []
    with caplog.at_level(logging.WARNING):
        path = start(mini.config(mini_backbone, "er"), tmp_path, lambda done, total, what: steps.append((done, total)))
    done, total = steps[-1]
    assert done == total > 12
    said = [record.message for record in caplog.records if "training goes on" in record.message]
    assert len(said) == 1
    assert "rows of eval" in Run(path).info.incomplete[0]
    warnings = [event for event in Run(path).events() if event["kind"] == "warning" and "No space left" in event["message"]]
    assert len(warnings) == 1
