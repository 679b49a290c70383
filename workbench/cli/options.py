"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.config import ConfigError

RunsFolder = Annotated[Path, typer.Option("--runs", envvar="WORKBENCH_RUNS", help="Folder that holds the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
DataFolder = Annotated[str | None, typer.Option("--data", envvar="WORKBENCH_DATA", help="Folder of the published files.", show_envvar=True)]
RUN = typer.Argument(metavar="RUN", help="Folder or name of a run; the name's beginning or end, or the short name, if one run has it.")
RunName = Annotated[str, RUN]
RUNS = Path("runs")


def find(name: str, runs: Path) -> Path:
    """A run by its folder, or by its name under the runs folder as `find_run` takes it. Raises RunError."""
    from workbench.runs.reader import find_run

    if name and os.path.isfile(os.path.join(name, "run.json")):  # noqa: PTH113, PTH118 (never raises, however long the name)
        return Path(name)
    return find_run(runs, name).path


def warn_of_damage(run: Path, recount: bool = True) -> None:
    """One sentence on standard error where the configuration, summary or a table of a run is not as the run wrote it."""
    from workbench.runs.check import warning

    if sentence := warning(run, recount):
        print(f"warning: {sentence}", file=sys.stderr)


def warn_of_unlisted(runs: Path) -> None:
    """One sentence on standard error for runs under the folder that a list of it leaves out."""
    from workbench.runs.reader import unlisted

    for sentence in unlisted(runs):
        print(f"note: {sentence}", file=sys.stderr)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def print_rows(rows: Iterable[Mapping[str, Any]], title: str | None = None) -> None:
    """A table of like rows for a person."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold", no_wrap=name == "run")
    for row in rows:
        table.add_row(*(Text(shown(row.get(name))) for name in names))
    Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "220"))).print(table)


def shown(value: Any) -> str:
    """A cell: two decimals (two digits of a small number), nothing for nothing, mappings as key=value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
    if isinstance(value, Mapping):
        return "  ".join(f"{key}={shown(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(each) for each in value)
    return str(value)


def existing_runs(runs: Path) -> Path:
    """The runs folder, which must exist unless it is the default one. Raises ConfigError."""
    if runs != RUNS and not os.path.isdir(runs):  # noqa: PTH112
        raise ConfigError(
            f"--runs: no folder {str(runs)[:200]}; accepted: a folder that holds runs (those that come with the project: data/runs)"
        )
    return runs


def existing_data(data: str | None) -> str | None:
    """The data folder, which must exist where it is given. Raises ConfigError."""
    if data is not None and not os.path.isdir(data):  # noqa: PTH112
        raise ConfigError(f"--data: no folder {data[:200]}; accepted: the folder of the published files")
    return data
