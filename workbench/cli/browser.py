"""The app as a person meets it: served on a free port of this machine and opened in the system's Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.cli.serve import APP, served
from workbench.config import ConfigError

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
STILL = """document.querySelector('[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]')
  && document.querySelectorAll('[data-testid=stSkeleton], [data-stale=true]').length === 0
  && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"""
"""A page that stands still: the script has run, nothing is stale, every chart is drawn. Asked at every frame: Playwright's waits for a
selector look again after up to half a second."""
START = 90.0


def chromium() -> str | None:
    """Path of the browser: the environment variable CHROMIUM, else the first of NAMES on the PATH."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Server:
    """A running app: its address, process, folder of runs, and the file with what it printed."""

    url: str
    process: subprocess.Popen[bytes]
    runs: Path
    log: Path


@contextmanager
def serve(runs: Path, log: Path, python: Sequence[str] = (), **environment: str) -> Iterator[Server]:
    """The app over a folder of runs, until the block ends. python: options of the interpreter.

    Raises ConfigError where it does not answer within a minute and a half.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command, variables = served(port, python=python)
    with log.open("wb") as output:
        variables |= environment | {"WORKBENCH_RUNS": str(runs)}
        process = subprocess.Popen(command, cwd=APP.parent, env=variables, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(f"{url}/_stcore/health", process, log)
            yield Server(url, process, runs, log)
        finally:
            process.terminate()
            process.wait(20)


def settle(page: Any, quiet: float) -> None:
    """Wait `quiet` seconds, then until the page stands still."""
    page.wait_for_timeout(1000 * quiet)
    page.wait_for_function(STILL)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.1)
    raise ConfigError(f"the app did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
