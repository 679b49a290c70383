"""The runs that come with the project, in a browser: every page has something to show of LSEBMCL, and says so of methods without a latent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server, serve, settled, shot
from workbench.runs.reader import Run

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "runs"
WRITTEN = {path: path.stat().st_mtime_ns for path in SAMPLES.rglob("*")}
RUNS = {Run(path).config["method"]: path for path in sorted(SAMPLES.iterdir())}
SHOWN = {
    "runs": "4 runs", "live": "loss", "overview": "Average score", "forgetting": "Stability gap", "energy": "Energy gap of sentiment",
    "answers": "In whose words", "chains": "Decoded from the end of chain", "latent_map": "points shown", "replay": "Draw of iteration 1,089",
    "rate": "Start rating", "agreement": "Nobody has rated fluency", "compare": "lamol", "report": "Report",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(SAMPLES, tmp_path_factory.mktemp("samples") / "log.txt", OMP_NUM_THREADS="1") as running:
        yield running


@pytest.fixture(scope="module")
def app_url(server: Server) -> str:
    return server.url


@pytest.mark.parametrize("name", SHOWN)
def test_every_page_shows_the_run_of_lsebmcl(page: Page, app_url: str, name: str):
    address = "" if name == "runs" else name
    page.goto(f"{app_url}/{address}?run={RUNS['lsebmcl'].name}&task=sentiment")
    settled(page)
    shot(page, f"sample_{name}-1440-light")
    expect(page.get_by_test_id("stMain")).to_contain_text(SHOWN[name], ignore_case=True)


@pytest.mark.parametrize("method", ["er", "finetune", "lamol"])
def test_a_run_without_a_latent_says_so(page: Page, app_url: str, method: str):
    page.goto(f"{app_url}/energy?run={RUNS[method].name}")
    settled(page)
    expect(page.get_by_test_id("stMain")).to_contain_text("Methods with a latent energy save it after every task")


def test_the_card_of_a_run_wraps_instead_of_cutting(page: Page, app_url: str):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{app_url}/?run={RUNS['lsebmcl'].name}")
    settled(page)
    tasks = page.get_by_test_id("stText").filter(has_text="→")
    assert tasks.evaluate(
        "text => text.getBoundingClientRect().right <= text.closest('[data-testid=stColumn]').getBoundingClientRect().right"
    )
    assert tasks.evaluate("text => text.scrollWidth <= text.clientWidth")


def test_the_buttons_of_a_step_stay_together(page: Page, app_url: str):
    page.set_viewport_size({"width": 800, "height": 900})
    page.goto(f"{app_url}/chains?run={RUNS['lsebmcl'].name}&task=sentiment")
    settled(page)
    back, on = (page.locator(f".st-key-{key}").bounding_box() for key in ("t_back", "t_on"))
    assert back and on and back["y"] == on["y"]


def test_links_stand_above_the_texts_they_are_of(page: Page, app_url: str):
    page.goto(f"{app_url}/replay?run={RUNS['lsebmcl'].name}&task=sentiment")
    settled(page)
    links, texts = page.locator(".st-key-ways").bounding_box(), page.locator("article.card").first.bounding_box()
    assert links and texts and links["y"] < texts["y"]


def test_no_visit_changed_a_run(server: Server):
    assert {path: path.stat().st_mtime_ns for path in server.runs.rglob("*")} == WRITTEN
