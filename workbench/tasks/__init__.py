"""What is learnt: tasks as context / question / answer, their streams and their scores. No torch in this room."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from workbench.tasks.example import SPLITS, Example, Stream, Task, TaskError, nearest

__all__ = ["Example", "Stream", "Task", "TaskError", "available_tasks", "load_stream"]


def load_stream(spec: str, data: str | None = None) -> Stream:
    """The stream a config names: 'bundled', 'bundled20', some of their tasks (bundled20:taxi,hotel), published task names
    joined by commas, 'hub:' and names, or 'own:' and names of tasks of your own.

    `data` is the folder of the published files and of your own; None means the environment variable WORKBENCH_DATA. Raises TaskError.
    """
    from workbench.tasks import bundled

    spec = spec.strip()
    if spec in bundled.STREAMS:
        return bundled.load(spec)
    prefix, separator, rest = spec.partition(":")
    names = [name.strip() for name in (rest if separator else spec).split(",") if name.strip()]
    if separator and prefix not in ("hub", "own", *bundled.STREAMS):
        known = ", ".join(f"{name}:NAMES" for name in ("hub", "own", *bundled.STREAMS))
        raise TaskError(f"--stream {spec}: no source {prefix!r}; accepted: {known}, or published names without a prefix")
    if not names:
        raise TaskError(f"--stream {spec!r}: names no task; accepted: {_accepted()}")
    if prefix in bundled.STREAMS:
        found = {task.name: task for task in bundled.load(prefix).tasks}
        for name in names:
            if name not in found:
                raise TaskError(f"--stream {spec}: no task named {name!r}{nearest(name, list(found))}; accepted: {', '.join(found)}")
        return Stream(spec, tuple(found[name] for name in names))
    if prefix == "own" and separator:
        from workbench.tasks import own

        return Stream(spec, tuple(own.load(names, _data_folder(data))))
    if separator:
        from workbench.tasks import hub

        return Stream(spec, tuple(hub.load(names)))
    from workbench.tasks import published

    for name in names:
        if name not in published.NAMES:
            known = (*bundled.STREAMS, *published.NAMES)
            raise TaskError(f"--stream {spec}: no task named {name!r}{nearest(name, known)}; accepted: {_accepted()}")
    return Stream(spec, tuple(published.load(names, _data_folder(data))))


def available_tasks(data: str | None = None) -> list[dict[str, Any]]:
    """One row for each task found: task, records {split: count}, metric, files. Published and own ones where a data folder is known;
    of one that cannot be used, task and error; of one that can, with care, its warnings too.
    """
    from workbench.tasks import bundled

    rows: list[dict[str, Any]] = []
    for name in bundled.STREAMS:
        for task in bundled.load(name).tasks:
            records = {split: task.records[split] for split in SPLITS}
            rows.append({"task": f"{name}/{task.name}", "records": records, "metric": task.metric, "files": list(task.files)})
    if data is not None or os.environ.get("WORKBENCH_DATA"):
        from workbench.tasks import own, published

        rows += published.available(_data_folder(data)) + own.available(_data_folder(data))
    return rows


def _data_folder(data: str | None) -> Path:
    found = data or os.environ.get("WORKBENCH_DATA")
    if not found:
        raise TaskError(
            "--data: not given and WORKBENCH_DATA is not set; accepted: the folder that holds the published files, or your own tasks"
        )
    if not Path(found).is_dir():
        raise TaskError(f"--data {found}: no such folder; accepted: the folder that holds the published files")
    return Path(found)


def _accepted() -> str:
    from workbench.tasks import bundled, published

    return f"{', '.join(bundled.STREAMS)}, hub:NAMES, own:NAMES, or names of {', '.join(published.NAMES)} joined by commas"
