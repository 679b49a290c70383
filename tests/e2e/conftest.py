"""A real browser on a real server: the system's Chromium, synthetic runs, and a page that fails on any console error.

Skipped where there is no Chromium; the environment variable CHROMIUM names another one. Screenshots go to the folder in the
environment variable SCREENSHOTS, else to workbench-screenshots in the system's temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from workbench.cli.browser import FLAGS, Server, chromium, serve, settle

PATIENCE = int(os.environ.get("PATIENCE", "90000"))  # milliseconds: these tests wait for states, and a shared machine may be slow
LOOKS = {"light": (1440, 800), "dark": (800, 1440)}  # color scheme -> widths of the window, the one it is opened at first
SHOTS = Path(os.environ.get("SCREENSHOTS") or Path(tempfile.gettempdir()) / "workbench-screenshots")
MAIN = "document.querySelector('[data-testid=stMain]')"

expect.set_options(timeout=PATIENCE)
if chromium() is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    return {**browser_type_launch_args, "executable_path": chromium(), "args": FLAGS}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict) -> dict:
    return {**browser_context_args, "viewport": {"width": 1440, "height": 900}}


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small runs: two seeds of one group, another method, hostile texts, and one that was killed."""
    from workbench.runs.synthetic import write_run

    root = tmp_path_factory.mktemp("e2e") / "runs"
    shared = {"tasks": 3, "iterations": 150, "chains": 5, "chain_count": 32, "texts": 12, "latents": 30}
    options = [
        {"seed": 0},
        {"seed": 1},
        {"seed": 0, "method": "er"},
        {"seed": 5, "hostile": True, "name": "hostile"},
        {"seed": 3, "status": "crashed"},
    ]
    for number, changes in enumerate(options):
        write_run(root, when=datetime(2026, 1, 2, tzinfo=UTC) + timedelta(hours=number), **{**shared, **changes})
    return root


@pytest.fixture(scope="session")
def server(runs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with serve(runs_folder, log, OMP_NUM_THREADS="1") as running:
        yield running


@pytest.fixture(scope="session")
def app_url(server: Server) -> str:
    return server.url


@pytest.fixture
def page(page, app_url: str):  # type: ignore[no-untyped-def]
    """pytest-playwright's page, which fails on a console error, a script error, a request to another host or an exception box."""
    faults: list[str] = []

    def console(message) -> None:  # type: ignore[no-untyped-def]
        # On a deep link Streamlit looks for its own base path and gets two harmless 404s.
        probing = "/_stcore/" in (message.location or {}).get("url", "") and "404" in message.text
        if message.type == "error" and not probing:
            faults.append(f"console: {message.text}")

    def request(sent) -> None:  # type: ignore[no-untyped-def]
        own = (app_url, app_url.replace("http", "ws", 1), "data:", "blob:")
        if not sent.url.startswith(own):
            faults.append(f"request to another host: {sent.url}")

    page.context.set_default_timeout(PATIENCE)  # of the context: a test may open a second page
    page.context.set_default_navigation_timeout(PATIENCE)
    page.on("console", console)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("request", request)
    yield page
    for box in page.locator("[data-testid=stException], [class*=st-key-fault_]").all_inner_texts():
        faults.append(f"exception: {box[:300]}")
    assert faults == []


def settled(page) -> None:  # type: ignore[no-untyped-def]
    """Wait until the script has run, and every chart is drawn."""
    settle(page, 0.25)
    page.wait_for_selector("[data-testid=stHeading], [data-testid=stAlert]")
    settle(page, 0.25)


def shot(page, name: str) -> Path:  # type: ignore[no-untyped-def]
    """A screenshot of the whole page: the window is made as tall as what it shows."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    width = page.viewport_size["width"]
    tall = page.evaluate(f"{MAIN}.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(tall) + 20, 5000)})
    page.wait_for_timeout(300)
    settled(page)
    path = SHOTS / f"{name}.png"
    page.screenshot(path=str(path))
    return path


def fits(page, address: str, name: str, scheme: str, *widths: int) -> list[Path]:  # type: ignore[no-untyped-def]
    """Open a page in a window of the first width, then change to the others: at each a screenshot, and nothing reaches beyond the window.

    Without widths, those of LOOKS. A change of the color scheme needs a page opened anew: charts are drawn for the one they began with.
    """
    made = []
    page.emulate_media(color_scheme=scheme)
    for width in widths or LOOKS[scheme]:
        page.set_viewport_size({"width": width, "height": 900})
        if not made:
            page.goto(address)
        settled(page)
        made.append(shot(page, f"{name}-{width}-{scheme}"))
        for wide in ("document.documentElement.scrollWidth - window.innerWidth", f"{MAIN}.scrollWidth - {MAIN}.clientWidth"):
            overflow = page.evaluate(wide)
            assert overflow <= 1, f"{overflow} pixels too wide at a width of {width}: {wide}"
    return made
