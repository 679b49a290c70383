"""The app against its budgets, in a headless Chromium: one run of 100,000 iterations and a folder of 200 runs, both written here first.

`baseline` is the budget and `ratio` must stay below 1. Needs Playwright (the project's `dev` extra) and the system's Chromium, or another
named by the environment variable CHROMIUM.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.cli.browser import FLAGS, NAMES, STILL, chromium, serve, settle
from workbench.config import ConfigError
from workbench.runs.synthetic import write_run

PAGES = (
    "live", "overview", "forgetting", "answers", "energy", "chains", "latent_map", "replay", "rate", "agreement", "compare", "report", "runs",
)  # fmt: skip
HEAVY = ("torch", "umap", "sklearn")
BUDGET = {"start": 5.0, "page": 1.0, "slider": 0.3, "payload": 5.0, "memory": 500.0}
RUNS = 200
QUIET = 0.1
READING = 4.0
"""Seconds on the first page before another is opened: the server loads the libraries of the other pages meanwhile."""


def rows() -> list[dict[str, Any]]:
    """name, ours, baseline (the budget), ratio; seconds, MB, and the number of heavy libraries loaded (budget: fewer than one)."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ConfigError("bench app: playwright is not installed; accepted: an install with the extra `dev`") from None
    if (path := chromium()) is None:
        raise ConfigError(f"bench app: no browser found; accepted: {', '.join(NAMES)} on the PATH, or the variable CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        long = write_run(root / "runs", iterations=100_000, chains=100, chain_count=64, name="long")
        for seed in range(RUNS - 1):
            write_run(root / "runs", iterations=60, chains=1, chain_count=4, dim=4, hidden=4, steps=3, texts=2, latents=3, seed=seed)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with serve(root / "runs", root / "imports.txt", ["-X", "importtime"]) as server:
            found = _visit(browser, server.url, long.name, server.process.pid)
        browser.close()
        loaded = [name for name in HEAVY if f"| {name}\n" in server.log.read_text(encoding="utf-8", errors="replace")]
    return [*found, _row(f"heavy libraries loaded ({', '.join(HEAVY)})", float(len(loaded)), 1.0)]


def _visit(browser: Any, url: str, run: str, process: int) -> list[dict[str, Any]]:
    import psutil

    page, received = browser.new_page(viewport={"width": 1440, "height": 900}), [0]
    page.set_default_timeout(60_000)
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: _count(received, frame)))
    begun = time.perf_counter()
    page.goto(f"{url}/?run={run}")
    settle(page, QUIET)
    first = time.perf_counter() - begun - QUIET
    result = [_row(f"first page, cold, {RUNS} runs (s)", first, BUDGET["start"])]
    page.wait_for_timeout(1000 * READING)
    for name in PAGES:
        received[0] = 0
        first = _timed(page, _press(page, name))
        result.append(_row(f"to {name}, first time (s)", first, BUDGET["page"]))
        result.append(_row(f"payload of {name} (MB)", received[0] / 1e6, BUDGET["payload"]))
        settle(page, QUIET)
    for name in PAGES:
        result.append(_row(f"to {name}, again (s)", _timed(page, _press(page, name)), BUDGET["page"]))
        settle(page, QUIET)
    for name in ("forgetting", "energy", "chains"):
        _timed(page, _press(page, name))
        settle(page, 1.0)
        drawn, still = _slide(page)
        result.append(_row(f"slider to picture on {name}, median of 7 (s)", drawn, BUDGET["slider"]))
        result.append(_row(f"slider to a page that stands still on {name}, median of 7 (s)", still, BUDGET["page"]))
    memory = psutil.Process(process).memory_info().rss / 1e6
    result.append(_row("memory of the server after all pages (MB)", memory, BUDGET["memory"]))
    return result


def _press(page: Any, name: str) -> Any:
    """What clicks the link to a page in the sidebar; that to the default page comes first and does not name it."""
    place = "" if name == "runs" else f"[href*='/{name}']"
    link = page.locator(f"[data-testid=stSidebarNav] a{place}").first
    link.wait_for()
    return lambda: link.dispatch_event("click")  # a click by mouse waits for the link to stand still: that is not the app's time


def _slide(page: Any) -> tuple[float, float]:
    """Seconds from an arrow key on the iteration slider to the first picture of that iteration, and to a page that stands still."""
    handle = page.locator("[data-testid=stSidebar]").get_by_role("slider").first
    handle.focus()
    drawn, still = [], []
    for turn in range(8):
        page.evaluate(WATCH)
        still.append(_timed(page, lambda turn=turn: page.keyboard.press("ArrowRight" if turn % 2 else "ArrowLeft")))
        drawn.append(min(still[-1], page.evaluate("window.drawn") / 1000))
        settle(page, QUIET)
    return statistics.median(drawn[1:]), statistics.median(still[1:])


WATCH = """() => {
  const picture = () => {
    const chart = document.querySelector('[data-testid=stPlotlyChart]');
    const lines = [...document.querySelectorAll('.cursor-line div')].map((line) => line.style.left);
    return chart?.querySelector('.main-svg') && chart.ariaLabel + lines;
  };
  const [before, begun] = [picture(), performance.now()];
  const turn = (window.turn = (window.turn ?? 0) + 1);
  window.drawn = 1e9;
  const look = () => {
    const now = picture();
    if (turn !== window.turn) return;
    if (now && now !== before) window.drawn = performance.now() - begun;
    else requestAnimationFrame(look);
  };
  look();
}"""
"""Milliseconds until the first chart is another: its name says the moment it shows, the cursor's line lies elsewhere. A very long time where
both moments show the same chart: then the page that stands still is the picture."""

RAN = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  const title = () => document.querySelector('[data-testid=stMain] h1')?.textContent;
  const before = title();
  let seen = false;
  const running = (record) => [record.oldValue, app.dataset.testScriptState].includes('running');
  new MutationObserver((records) => { seen ||= records.some(running); }).observe(app, { attributes: true, attributeOldValue: true });
  window.ran = () => seen || (title() ?? before) !== before;
}"""
"""Whether the script has run since: it was seen running, or another page stands there (a short run begins and ends between two frames)."""


def _timed(page: Any, act: Any) -> float:
    """Seconds from `act`, which makes the script run, until it has run and the page stands still."""
    page.evaluate(RAN)
    begun = time.perf_counter()
    act()
    page.wait_for_function(f"window.ran() && {STILL}")
    return time.perf_counter() - begun


def _count(received: list[int], frame: Any) -> None:
    received[0] += len(frame if isinstance(frame, bytes) else frame.encode())


def _row(name: str, value: float, budget: float) -> dict[str, Any]:
    return {"name": f"app: {name}", "ours": round(value, 3), "baseline": budget, "ratio": round(value / budget, 3)}
