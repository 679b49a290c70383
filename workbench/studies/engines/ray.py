"""Cells as tasks of a Ray cluster, or of a Ray on this machine. The folder of runs must be one that every machine sees.

Ray takes a task up again whose worker or machine was lost; the task then finds the run folder that was begun and goes on from its newest
checkpoint. Ray is found as it finds itself: RAY_ADDRESS, a cluster this machine belongs to, else a new one here.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.studies.engines import RETRIES
from workbench.studies.jobs import Job, News, Tell, work

ray: Any = import_module("ray")
"""By its name, for a checker takes `import ray` in a file of that name for the file itself."""

ENDS = ("finished", "failed", "stopped", "elsewhere")
LOCK_PATIENCE = 120.0
"""Seconds a task waits for the lock of a cell: that of a machine that was lost may outlive it on a shared file system."""
STOP_PATIENCE = 60.0
LISTEN_SECONDS = 0.5
NEWS_SECONDS = 1.0
"""Seconds between two progress news of one task: a thousand runs report to one place."""


@ray.remote(num_cpus=0)
class _Board:
    """Where tasks leave their news."""

    def __init__(self) -> None:
        self.news: list[str] = []

    def put(self, news: str) -> None:
        self.news.append(news)

    def take(self) -> list[str]:
        taken, self.news = self.news, []
        return taken


@ray.remote
def _train(job: str, board: Any) -> str:
    """One cell. Returns its last news: those on the board may be lost with a machine, this one not."""
    last, told = News(kind="failed", cell_hash="", sentence="ended without a word"), 0.0

    def tell(news: News) -> None:
        nonlocal last, told
        if news.kind in ENDS:
            last = news
        elif news.kind != "progress" or time.monotonic() - told >= NEWS_SECONDS:
            told = time.monotonic()
            board.put.remote(news.model_dump_json())

    work(Job.model_validate_json(job), tell)
    return last.model_dump_json()


def run(jobs: Sequence[Job], tell: Tell, workers: int | None, retries: int = RETRIES) -> None:
    """Train every job, at most `workers` at a time (None: as many as the cluster has room for)."""
    if not jobs:
        return
    ours = not ray.is_initialized()
    if ours:
        paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TOKENIZERS_PARALLELISM": "false"}
        ray.init(log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": environment})
    try:
        _run(jobs, tell, workers or len(jobs), retries)
    finally:
        if ours:
            ray.shutdown()


def _run(jobs: Sequence[Job], tell: Tell, most: int, retries: int) -> None:
    board: Any = _Board.remote()
    waiting, running, begun = deque(jobs), {}, set()

    def read() -> None:
        for text in ray.get(board.take.remote()):
            news = News.model_validate_json(text)
            if news.kind == "begun":
                if news.cell_hash in begun:
                    tell(News(kind="lost", cell_hash=news.cell_hash, run=news.run, sentence="its worker was lost; it goes on"))
                begun.add(news.cell_hash)
            tell(news)

    try:
        while waiting or running:
            while waiting and len(running) < most:
                job = waiting.popleft()
                running[_submit(job, board, retries)] = job
            ended, _ = ray.wait(list(running), timeout=LISTEN_SECONDS)
            read()
            for reference in ended:
                tell(_last(reference, running.pop(reference)))
    except KeyboardInterrupt:
        for reference in running:
            ray.cancel(reference, force=False)
        ended, _ = ray.wait(list(running), num_returns=len(running), timeout=STOP_PATIENCE)
        for reference in ended:
            tell(_last(reference, running[reference]))
        raise


def _submit(job: Job, board: Any, retries: int) -> Any:
    count = str(job.threads)
    about: dict[str, Any] = {"num_cpus": job.threads, "max_retries": retries, "name": job.name[:100]}
    about["runtime_env"] = {"env_vars": dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)}
    if job.gpus:
        about["num_gpus"] = job.gpus
    if job.memory_gb:
        about["memory"] = int(job.memory_gb * 2**30)
    sent = job.model_copy(update={"patience": LOCK_PATIENCE})
    return _train.options(**about).remote(sent.model_dump_json(), board)


def _last(reference: Any, job: Job) -> News:
    try:
        return News.model_validate_json(ray.get(reference))
    except ray.exceptions.TaskCancelledError:
        return News(kind="stopped", cell_hash=job.cell_hash, sentence="stopped by hand")
    except ray.exceptions.RayError as error:
        told = " ".join(str(error).split())[:300]
        return News(kind="failed", cell_hash=job.cell_hash, sentence=f"{type(error).__name__}: {told}")
