"""The run folder: written by one process, crash-safe, readable while it grows, opened by others without this project."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.runs.check import Verdict, check_run
    from workbench.runs.reader import Run, RunInfo, find_run, list_runs
    from workbench.runs.schema import SCHEMA, TABLES, RunError, RunFile, SchemaError, Summary
    from workbench.runs.writer import RunWriter

_HOMES = {
    "check": ("Verdict", "check_run"),
    "reader": ("Run", "RunInfo", "find_run", "list_runs"),
    "schema": ("SCHEMA", "TABLES", "RunError", "RunFile", "SchemaError", "Summary"),
    "writer": ("RunWriter",),
}
__all__ = [
    "SCHEMA",
    "TABLES",
    "Run",
    "RunError",
    "RunFile",
    "RunInfo",
    "RunWriter",
    "SchemaError",
    "Summary",
    "Verdict",
    "check_run",
    "find_run",
    "list_runs",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"workbench.runs.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
