"""Where cells are trained. An engine is one file with `run(jobs, tell, workers, retries)`, which returns when every job has ended, and
stops its workers cleanly before it lets a KeyboardInterrupt pass. A worker that dies is news, and its job is taken up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from workbench.studies.errors import StudyError
from workbench.studies.jobs import Job, Tell

ENGINES = ("local", "ray")
RETRIES = 3
"""Times a job is taken up again after its worker died: a cell that kills its worker (out of memory) must end some time."""


class Engine(Protocol):
    def run(self, jobs: Sequence[Job], tell: Tell, workers: int | None, retries: int = RETRIES) -> None: ...


def engine(name: str) -> Engine:
    """The engine of that name. Raises StudyError where it is unknown or lacks its library."""
    if name not in ENGINES:
        raise StudyError(f"--engine: no engine named {name!r}; accepted: {', '.join(ENGINES)}")
    try:
        return import_module(f"{__name__}.{name}")  # pyright: ignore[reportReturnType]
    except ImportError as error:
        raise StudyError(f"--engine {name}: {error.name} is not installed; install it with: pip install -e '.[{name}]'") from None
