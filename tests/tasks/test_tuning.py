"""The tasks that settings are tuned on: written by one command, read as tasks of one's own, apart from what is reported."""

from __future__ import annotations

from pathlib import Path

from workbench.tasks import load_stream
from workbench.tasks.tuning import write


def test_the_tuning_tasks_are_read_as_own_and_share_next_to_no_text_with_the_reported_stream(tmp_path: Path) -> None:
    write(tmp_path)
    stream = load_stream("own:tri_review,who_what,taxi,places_reading", str(tmp_path))
    assert [task.records for task in stream.tasks] == [{"train": 1000, "validation": 100, "test": 200}] * 4
    assert [task.labels for task in stream.tasks] == [("bad", "good"), None, None, None]
    reported = {item.context for task in load_stream("bundled", None).tasks for item in task.test}
    shared = [item.context for task in stream.tasks for item in task.train if item.context in reported]
    assert len(shared) <= 3, shared  # a guest's thanks may be the same in two dialogues


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.json*"))
    assert len(files) == 16
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes() for file in files)
