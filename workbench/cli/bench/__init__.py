"""`workbench bench`: what the workbench costs, as ratios to bare loops written beside it. One file a bench, each with `rows()`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import AsJson, print_json, print_rows
from workbench.config import ConfigError, nearest

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    name: Annotated[str | None, typer.Argument(help=f"One of {', '.join(NAMES)}.", show_default="all but app")] = None,
    as_json: AsJson = False,
) -> None:
    """Time the workbench against bare loops doing the same; rows: name, ours, baseline, ratio. Ratios travel between machines, seconds do not."""
    if name is not None and name not in NAMES:
        raise ConfigError(f"bench: no bench named {name!r}{nearest(name, NAMES)}; accepted: {', '.join(NAMES)}")
    rows = []
    for each in [name] if name is not None else [known for known in NAMES if known != "app"]:
        rows += importlib.import_module(f"workbench.cli.bench.{each}").rows()
    print_json(rows) if as_json else print_rows(rows)
