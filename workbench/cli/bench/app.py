"""The app against its budgets, in a headless Chromium: one run of 100,000 iterations and a folder of 200 runs, both written here first.

`baseline` is the budget and `ratio` must stay below 1. Needs Playwright (the project's `dev` extra) and the system's Chromium, or another
named by the environment variable CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.cli.serve import APP
from workbench.config import ConfigError
from workbench.runs.synthetic import write_run

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"
DRAWN = "[...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"
PAGES = (
    "live", "overview", "forgetting", "energy", "chains", "latent_map", "replay", "rate", "agreement", "compare", "report", "runs",
)  # fmt: skip
HEAVY = ("torch", "umap", "sklearn")
BUDGET = {"start": 5.0, "page": 1.0, "slider": 0.3, "payload": 5.0, "memory": 500.0}
RUNS = 200


def rows() -> list[dict[str, Any]]:
    """name, ours, baseline (the budget), ratio; seconds, MB, and the number of heavy libraries loaded (budget: fewer than one)."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ConfigError("bench app: playwright is not installed; accepted: an install with the extra `dev`") from None
    chromium = os.environ.get("CHROMIUM") or next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        raise ConfigError(f"bench app: no browser found; accepted: {', '.join(CHROMIUM)} on the PATH, or the variable CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        long = write_run(root / "runs", iterations=100_000, chains=100, chain_count=64, name="long")
        for seed in range(RUNS - 1):
            write_run(root / "runs", iterations=60, chains=1, chain_count=4, dim=4, hidden=4, steps=3, texts=2, latents=3, seed=seed)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with _server(root) as (url, process):
            found = _visit(browser, url, long.name, process.pid)
        browser.close()
        loaded = [name for name in HEAVY if f"| {name}\n" in (root / "imports.txt").read_text(encoding="utf-8", errors="replace")]
    return [*found, _row(f"heavy libraries loaded ({', '.join(HEAVY)})", float(len(loaded)), 1.0)]


def _visit(browser: Any, url: str, run: str, process: int) -> list[dict[str, Any]]:
    import psutil

    page, received = browser.new_page(viewport={"width": 1440, "height": 900}), [0]
    page.set_default_timeout(120_000)
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: _count(received, frame)))
    first = _timed(page, lambda: page.goto(f"{url}/?run={run}"))
    result = [_row(f"first page, cold, {RUNS} runs (s)", first, BUDGET["start"])]
    for name in PAGES:
        received[0] = 0
        first = _timed(page, _link(page, name).click)
        result.append(_row(f"to {name}, first time (s)", first, BUDGET["page"]))
        result.append(_row(f"payload of {name} (MB)", received[0] / 1e6, BUDGET["payload"]))
    for name in ("forgetting", "energy", "chains"):
        _link(page, name).click()
        _settle(page)
        result.append(_row(f"slider to picture on {name}, median of 7 (s)", _slide(page), BUDGET["slider"]))
    memory = psutil.Process(process).memory_info().rss / 1e6
    result.append(_row("memory of the server after all pages (MB)", memory, BUDGET["memory"]))
    return result


def _link(page: Any, name: str) -> Any:
    """The link to a page in the sidebar; that to the default page comes first and does not name it."""
    links = page.locator("[data-testid=stSidebarNav] a")
    return links.first if name == "runs" else page.locator(f"[data-testid=stSidebarNav] a[href*='/{name}']").first


def _slide(page: Any) -> float:
    """Seconds from an arrow key on the iteration slider to the pictures that follow."""
    handle = page.locator("[data-testid=stSidebar]").get_by_role("slider").first
    handle.focus()
    taken = []
    for turn in range(8):
        taken.append(_timed(page, lambda turn=turn: page.keyboard.press("ArrowLeft" if turn % 2 else "ArrowRight"), quiet=0.03))
    return statistics.median(taken[1:])


def _timed(page: Any, act: Any, quiet: float = 0.1) -> float:
    """Seconds until the page stands still again after `act`; the `quiet` seconds it must then stay so are not counted."""
    begun = time.perf_counter()
    act()
    _settle(page, quiet)
    return time.perf_counter() - begun - quiet


def _settle(page: Any, quiet: float = 0.1) -> None:
    page.wait_for_timeout(1000 * quiet)
    page.wait_for_selector(IDLE)
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton], [data-stale=true]').length === 0")
    page.wait_for_function(DRAWN)


def _count(received: list[int], frame: Any) -> None:
    received[0] += len(frame if isinstance(frame, bytes) else frame.encode())


def _row(name: str, value: float, budget: float) -> dict[str, Any]:
    return {"name": f"app: {name}", "ours": round(value, 3), "baseline": budget, "ratio": round(value / budget, 3)}


@contextmanager
def _server(root: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(address, process) of the app over root/runs; what it imports is written to root/imports.txt."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-X", "importtime", "-m", "streamlit", "run", str(APP), "--server.port", str(port)]
    with (root / "imports.txt").open("wb") as log:
        environment = os.environ | {"WORKBENCH_RUNS": str(root / "runs")}
        process = subprocess.Popen(command, cwd=APP.parent, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise ConfigError("bench app: the server did not start within a minute")
