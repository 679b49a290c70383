"""Folders of synthetic runs in every state, and a way to open a page on one of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from workbench.runs.synthetic import write_run

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.stem for path in (ROOT / "workbench" / "app" / "pages").glob("*.py"))
BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL = {
    "tasks": 3,
    "iterations": 90,
    "every": 10,
    "chains": 4,
    "chain_count": 16,
    "texts": 8,
    "latents": 20,
    "hidden": 16,
    "dim": 8,
}


def _folder(root: Path, *runs: dict) -> Path:
    for number, options in enumerate(runs):
        write_run(root, **{**SMALL, "when": BEGIN + timedelta(hours=number), **options})
    return root


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs folders by state: none, one, many, running, crashed, broken."""
    base = tmp_path_factory.mktemp("folders")
    (base / "none").mkdir()
    return {
        "none": base / "none",
        "one": _folder(base / "one", {}),
        "many": _folder(base / "many", {"seed": 0}, {"seed": 1}, {"seed": 0, "method": "er"}, {"seed": 5, "hostile": True}),
        "running": _folder(base / "running", {"status": "running"}),
        "crashed": _folder(base / "crashed", {"status": "crashed"}),
        "broken": _folder(base / "broken", {"status": "broken"}),
    }


Opener = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """open_page(folder, page, **query) -> the AppTest after its first run."""

    def opened(folder: Path, page: str = "runs", **query: str) -> AppTest:
        monkeypatch.setenv("WORKBENCH_RUNS", str(folder))
        for info in folder.iterdir():
            if "running" in folder.name:
                os.utime(info / "run.json")  # the heartbeat of a run that writes now
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        if page != "runs":
            app.switch_page(f"workbench/app/pages/{page}.py")
        return app.run()

    return opened


def words(app: AppTest) -> str:
    """Everything a reader of the page reads, in one string."""
    kinds = ("text", "info", "warning", "error", "success", "caption", "markdown", "title", "subheader", "code")
    return "\n".join(str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind))


def faults(app: AppTest) -> list[str]:
    """Exceptions, and panels the error boundary stood in for."""
    caught = [element.value for element in app.error if "could not be shown" in element.value]
    return [f"{element.message}" for element in app.exception] + caught
