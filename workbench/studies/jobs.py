"""A cell on its way: the job an engine hands to a worker, the news that come back, and the work itself. Torch is imported by the work.

A worker that dies leaves a run folder behind; whoever takes the job up again finds that folder by its name and goes on with it, on this
machine or on another that shares the folder of runs. A lock a cell keeps two sweeps of one folder from training it at once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel

from workbench.config import build
from workbench.runs.files import slug
from workbench.runs.reader import Run, RunError
from workbench.studies.study import Cell

FOLDER = "studies"
"""Folder beside the runs with what belongs to no single run: plans, locks, logs of workers."""


class Job(BaseModel):
    """One cell for one worker: plain values, so that it travels as JSON."""

    name: str
    cell_hash: str
    folder_name: str
    runs: str
    settings: dict[str, Any]
    about: dict[str, Any]
    threads: int = 1
    gpus: float = 0
    memory_gb: float | None = None
    patience: float = 0
    """Seconds to wait for the cell's lock."""
    known: str | None = None
    """The run folder that was begun for it, where there is one."""


class News(BaseModel):
    """What happens to a job. `lost` is the engine's word for a worker that died; the job is then taken up again or given up as failed."""

    kind: Literal["begun", "progress", "finished", "failed", "stopped", "elsewhere", "lost"]
    cell_hash: str
    run: str | None = None
    sentence: str = ""
    done: int = 0
    total: int = 0
    resumed: bool = False
    pid: int | None = None


Tell = Callable[[News], None]


def job_of(cell: Cell, runs: Path, known: str | None) -> Job:
    settings = cell.config.model_copy(update={"name": cell.folder_name}).model_dump()
    return Job(
        name=cell.name,
        cell_hash=cell.hash,
        folder_name=cell.folder_name,
        runs=str(runs.resolve()),
        settings=settings,
        about=cell.about,
        threads=cell.resources.threads,
        gpus=cell.resources.gpus,
        memory_gb=cell.resources.memory_gb,
        known=known,
    )


def work(job: Job, tell: Tell) -> None:
    """Train the job's cell to its end in this process, from the folder that was begun for it if there is one. Never raises for the run:
    the last thing told says how it ended.
    """
    runs = Path(job.runs)
    lock = FileLock(_locks(runs) / f"{job.cell_hash}.lock")
    try:
        lock.acquire(timeout=job.patience)
    except Timeout:
        tell(News(kind="elsewhere", cell_hash=job.cell_hash, sentence="another process is training it"))
        return
    with lock:
        _work(job, runs, tell)


def _locks(runs: Path) -> Path:
    folder = runs / FOLDER / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def begun_for(runs: Path, folder_name: str, cell_hash: str) -> Path | None:
    """The run folder of a cell, found by its name: one that is finished before one that can go on, that before one that failed or never
    came to a checkpoint, and of several the newest.
    """
    found = []
    for path in runs.glob(f"*_{slug(folder_name)}_s*"):
        try:
            info = Run(path).info
        except RunError:
            continue
        if (info.model_extra or {}).get("cell_hash") == cell_hash:
            found.append((info.status == "finished", info.status != "failed", _can_go_on(path), path.name, path))
    return max(found)[-1] if found else None


def _can_go_on(run: Path) -> bool:
    return any((run / "state").glob("*.pt"))


def _work(job: Job, runs: Path, tell: Tell) -> None:
    import torch

    from workbench.training.run import resume, start

    torch.set_num_threads(job.threads)
    path = begun_for(runs, job.folder_name, job.cell_hash) or (runs / job.known if job.known else None)
    resumed = path is not None and _can_go_on(path)
    if path is not None and not resumed and Run(path).status in ("crashed", "interrupted"):
        shutil.rmtree(path)  # its worker died before the first checkpoint: nothing was trained, and the cell begins in a folder of its own
        path = None
    if path is not None and Run(path).status == "finished":
        tell(News(kind="finished", cell_hash=job.cell_hash, run=path.name))
        return

    def begun(folder: Path) -> None:
        nonlocal path
        path = folder
        tell(News(kind="begun", cell_hash=job.cell_hash, run=folder.name, resumed=resumed, pid=os.getpid()))

    def progress(done: int, total: int, what: str) -> None:
        tell(News(kind="progress", cell_hash=job.cell_hash, done=done, total=total, sentence=what))

    try:
        if resumed and path is not None:
            path = resume(path, progress, begun=begun)
        else:
            path = start(build(job.settings), runs, progress, begun=begun, about=job.about)
    except KeyboardInterrupt:
        tell(News(kind="stopped", cell_hash=job.cell_hash, run=path.name if path else None, sentence="stopped by hand"))
    except Exception as error:
        sentence = " ".join(str(error).split())[:500]
        own = type(error).__module__.startswith("workbench.")
        said = sentence if own and sentence else f"{type(error).__name__}: {sentence}"
        tell(News(kind="failed", cell_hash=job.cell_hash, run=path.name if path else None, sentence=said))
    else:
        tell(News(kind="finished", cell_hash=job.cell_hash, run=path.name, resumed=resumed))
