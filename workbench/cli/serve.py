"""The command that serves the app."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import RUNS, RunsFolder, existing_runs
from workbench.config import ConfigError

APP = Path(__file__).parents[2] / "app.py"


def register(app: typer.Typer) -> None:
    app.command("app")(serve)


def serve(
    runs: RunsFolder = RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
) -> None:
    """Show the runs of a folder in a browser, on this machine only. Stop with Ctrl-C."""
    if not APP.is_file():
        raise ConfigError(f"app: {APP.name} is not beside the package; accepted: an editable install of the project (pip install -e .)")
    environment = os.environ | {"WORKBENCH_RUNS": str(existing_runs(runs).resolve())}
    print(f"http://127.0.0.1:{port}", flush=True)
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port), "--server.address", "127.0.0.1"]
    os.chdir(APP.parent)
    os.execve(sys.executable, command, environment)  # this process becomes the server: what stops the command stops it
