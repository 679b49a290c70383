"""What surrounds every page: readable captions, a sidebar that fits, runs that appear by themselves, keys after a name."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Server, settled
from tests.e2e.test_rate import path, setup_of  # noqa: F401  (the run with enough texts is a fixture)
from workbench.cli.browser import serve
from workbench.runs.synthetic import write_run

RUN = "20260102-000000_lsebmcl_synthetic_s0"
SMALL: dict[str, Any] = {"tasks": 2, "iterations": 40, "latents": 4, "hidden": 4, "dim": 4, "chains": 2, "chain_count": 4}
CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("[data-testid=stCaptionContainer] p")].map((at) => {
    const own = light(getComputedStyle(at).color), paper = light(behind(at));
    return (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", LOOKS)
def test_f58_captions_can_be_read(page: Page, app_url: str, scheme: str):
    """4.04:1 in light, where 4.5 is wanted."""
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{app_url}/forgetting?run={RUN}")
    settled(page)
    found = page.evaluate(CONTRAST)
    assert len(found) > 5 and min(found) >= 4.5


def test_f58_the_sidebar_fits(page: Page, app_url: str):
    page.goto(f"{app_url}/overview?run={RUN}")
    settled(page)
    box = page.locator(".st-key-task").bounding_box()
    assert box is not None and box["y"] + box["height"] < 900
    page.set_viewport_size({"width": 800, "height": 900})
    settled(page)
    side = page.get_by_test_id("stSidebar").bounding_box()
    assert side is not None and side["width"] <= 220


def test_f58_an_iteration_of_the_curves_is_reached_by_keyboard(page: Page, app_url: str):
    page.goto(f"{app_url}/forgetting?run={RUN}&it=107&task=roles")
    settled(page)
    page.locator("[class*=st-key-goto_] input").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("93")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("it=93"))
    settled(page)
    expect(page.get_by_role("heading", name="Replay at iteration 93")).to_be_visible()


def test_f53_a_run_that_begins_while_nothing_runs_appears_by_itself(browser, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A page opened while nothing ran never looked again."""
    runs = tmp_path / "runs"
    runs.mkdir()
    with serve(runs, tmp_path / "log.txt", OMP_NUM_THREADS="1") as server:
        page = browser.new_page()
        page.set_default_timeout(90_000)
        page.goto(f"{server.url}/live")
        expect(page.get_by_text("There are no runs yet.")).to_be_visible()
        write_run(runs, when=datetime(2026, 1, 2, tzinfo=UTC), **SMALL)
        expect(page.get_by_text("No run has written in the last minute.")).to_be_visible()
        late = write_run(runs, status="running", when=datetime(2026, 1, 2, tzinfo=UTC) + timedelta(hours=1), **SMALL)
        os.utime(late / "run.json")
        expect(page.locator(f".st-key-card_{late.name}")).to_be_visible()
        expect(page.get_by_text("No run has written in the last minute.")).to_have_count(0)
        page.close()


def test_f56_after_the_name_tab_and_space_stay_in_the_deck(page: Any, server: Server, path: Path):  # noqa: F811
    """The first Tab stop was 'Another deck': Space, which skips a text, left the deck."""
    from urllib.parse import quote

    setup, _ = setup_of(path, seed=77, count=20)
    page.goto(f"{server.url}/rate?run={path.name}&deck={quote(setup.link())}")
    settled(page)
    page.locator(".st-key-rater input").fill("Focus Test")
    page.keyboard.press("Enter")
    page.locator("[data-part=saved]").wait_for()
    settled(page)
    page.keyboard.press("Tab")
    assert "Another deck" not in page.evaluate("document.activeElement.textContent")
    page.locator("h1").click()
    page.keyboard.press(" ")
    page.keyboard.press("3")
    page.wait_for_function(
        "() => [...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector('[data-part=saved]')?.textContent === 'saved 2')"
    )
    assert "deck=" in page.url
