"""A pool of processes on this machine. Each worker trains one cell after the other and keeps to its number of threads."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from workbench.studies.engines import RETRIES
from workbench.studies.jobs import FOLDER, Job, News, Tell

ENDS = ("finished", "failed", "stopped", "elsewhere")
PATIENCE = 60.0
"""Seconds a worker has to write down where it stands once it is asked to stop."""


def workers_here(threads: int) -> int:
    """As many as the cores this process may use allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    job: Job
    run: str | None
    unread: bytes = b""
    told_end: bool = False


@dataclass
class _Pool:
    """The workers, the jobs that wait, and how often each job lost its worker."""

    waiting: deque[Job]
    tell: Tell
    retries: int
    log: IO[bytes]
    lost: dict[str, int] = field(default_factory=dict)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    workers: list[_Worker] = field(default_factory=list)

    def start(self, job: Job) -> None:
        count = str(job.threads)
        environment = os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
        environment["TOKENIZERS_PARALLELISM"] = "false"
        package = str(Path(__file__).parents[3])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench.studies.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment, process_group=0,
        )  # fmt: skip
        worker = _Worker(process, job, job.known)
        self.workers.append(worker)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self.selector.register(process.stdout, selectors.EVENT_READ, worker)
        self.give(worker, job)

    def give(self, worker: _Worker, job: Job) -> None:
        worker.job, worker.run, worker.told_end = job, job.known, False
        assert worker.process.stdin is not None
        try:
            worker.process.stdin.write(job.model_dump_json().encode() + b"\n")
            worker.process.stdin.flush()
        except BrokenPipeError:  # it died between two jobs: `gone` sees it
            pass

    def listen(self, timeout: float | None) -> None:
        for key, _ in self.selector.select(timeout):
            worker: _Worker = key.data
            data = os.read(key.fd, 1 << 16)
            if not data:
                self.gone(worker)
                continue
            *lines, worker.unread = (worker.unread + data).split(b"\n")
            for line in lines:
                self.heard(worker, News.model_validate_json(line))

    def heard(self, worker: _Worker, news: News) -> None:
        worker.run = news.run or worker.run
        self.tell(news)
        if news.kind not in ENDS:
            return
        worker.told_end = True
        if self.waiting and news.kind != "stopped":
            self.give(worker, self.waiting.popleft())
        else:
            assert worker.process.stdin is not None
            worker.process.stdin.close()

    def gone(self, worker: _Worker) -> None:
        """A worker's output has ended: it had nothing more to do, or it died."""
        assert worker.process.stdout is not None
        self.selector.unregister(worker.process.stdout)
        worker.process.stdout.close()
        code = worker.process.wait()
        self.workers.remove(worker)
        if worker.told_end:
            if self.waiting:  # it was asked to stop from outside; others have not been
                self.start(self.waiting.popleft())
            return
        job = worker.job.model_copy(update={"known": worker.run})
        times = self.lost[job.cell_hash] = self.lost.get(job.cell_hash, 0) + 1
        how = f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if times > self.retries:
            sentence = f"its worker was {how} {times} times (out of memory?)"
            self.tell(News(kind="failed", cell_hash=job.cell_hash, run=worker.run, sentence=sentence))
            if self.waiting:
                self.start(self.waiting.popleft())
        else:
            self.tell(News(kind="lost", cell_hash=job.cell_hash, run=worker.run, sentence=f"its worker was {how}; it goes on"))
            self.start(job)

    def stop(self) -> None:
        """Ask every worker once to write down where it stands, and wait for it; one that does not answer is ended."""
        self.waiting.clear()
        self.retries = -1
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGINT)
                assert worker.process.stdin is not None
                if not worker.process.stdin.closed:
                    worker.process.stdin.close()
        for worker in list(self.workers):
            try:
                worker.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
        for worker in self.workers:
            worker.told_end = True
        while self.workers:
            self.listen(1.0)


def run(jobs: Sequence[Job], tell: Tell, workers: int | None, retries: int = RETRIES) -> None:
    """Train every job. On KeyboardInterrupt the workers stop as runs stop by hand, each telling so, and the interrupt passes on."""
    if not jobs:
        return
    count = min(len(jobs), workers or workers_here(jobs[0].threads))
    folder = Path(jobs[0].runs) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "workers.log").open("ab") as log:
        pool = _Pool(deque(jobs), tell, retries, log)
        try:
            for _ in range(count):
                pool.start(pool.waiting.popleft())
            while pool.workers:
                pool.listen(None)
        finally:
            pool.stop()
