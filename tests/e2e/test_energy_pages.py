"""Energy, Chains and Latent map in a browser: a click on the heatmap, the bench played, step keys, looks at both widths."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, fits, settled


def visit(page: Page, app_url: str, where: str) -> None:
    page.goto(f"{app_url}/{where}")
    settled(page)


def click_map(page: Page, key: str, across: float, up: float) -> None:
    """Click at a share of the plotting area of a chart."""
    area = page.locator(f".st-key-{key} .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
    page.wait_for_timeout(400)  # the chart finds what is under the pointer before it can be clicked
    page.mouse.click(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])


def test_a_click_on_the_heatmap_picks_a_point_and_its_texts(page: Page, app_url: str):
    visit(page, app_url, "energy?marks=task+means")
    click_map(page, "energy_map", 0.12, 0.12)
    expect(page.get_by_text("Nearest real code")).to_be_visible()
    settled(page)
    assert re.search(r"at=-?\d+\.\d+", page.url)
    visit(page, app_url, page.url.removeprefix(f"{app_url}/"))
    expect(page.get_by_text("Nearest real code")).to_be_visible()


def test_a_picked_point_starts_the_bench(page: Page, app_url: str):
    visit(page, app_url, "energy?at=0.5,0.5")
    page.get_by_role("button", name="Start the bench here").click()
    settled(page)
    expect(page.get_by_role("tab", name="Sampler bench")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".st-key-bench .main-svg").first).to_be_visible()
    assert "start=picked" in page.url


def test_the_bench_plays_in_the_browser(page: Page, app_url: str):
    visit(page, app_url, "energy?detail=Sampler+bench&k=8&n=4")
    page.locator(".st-key-bench").scroll_into_view_if_needed()
    label = page.locator(".st-key-bench .slider-current-value, .st-key-bench .slider-label").first
    page.locator(".st-key-bench .updatemenu-button").first.click()
    expect(label).to_be_attached()
    page.wait_for_function("document.querySelector('.st-key-bench .js-plotly-plot').layout.sliders[0].active == 8")


def test_arrow_keys_move_the_step_on_chains(page: Page, app_url: str, server):  # type: ignore[no-untyped-def]
    run = sorted(path for path in server.runs.iterdir() if "lsebmcl" in path.name)[0]
    task = sorted(path.stem.split("_")[1] for path in (run / "chains").glob("*.safetensors"))[0]
    visit(page, app_url, f"chains?run={run.name}&task={task}&chain=3&t=5")
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"[?&]t=6"))
    settled(page)
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"[?&]t=5"))


def test_f12_the_chain_goes_along_to_the_landscape(page: Page, app_url: str, server):  # type: ignore[no-untyped-def]
    run = sorted(path for path in server.runs.iterdir() if "lsebmcl" in path.name)[0]
    task = sorted(path.stem.split("_")[1] for path in (run / "chains").glob("*.safetensors"))[0]
    visit(page, app_url, f"chains?run={run.name}&task={task}&chain=8")
    page.get_by_role("link", name="Chain 8 on the landscape").click()
    expect(page).to_have_url(re.compile(r"/energy\?.*on_chain=8"))
    settled(page)
    names = page.evaluate("document.querySelector('.st-key-energy_map .js-plotly-plot').data.map(trace => trace.name)")
    assert any("chain 8" in str(name) for name in names)


@pytest.mark.parametrize("scheme", LOOKS)
@pytest.mark.parametrize("where", ["energy", "chains", "latent_map"])
def test_look(page: Page, app_url: str, where: str, scheme: str):
    fits(page, f"{app_url}/{where}", where, scheme)


def test_f63_the_colour_bar_is_no_taller_than_the_map(page: Page, app_url: str):
    for width in LOOKS["light"]:
        page.set_viewport_size({"width": width, "height": 900})
        visit(page, app_url, "energy")
        bar, area = (page.locator(f".st-key-energy_map {part}").first.bounding_box() for part in (".colorbar .cbfill", ".nsewdrag"))
        assert bar is not None and area is not None and bar["height"] <= area["height"] + 8, f"at a width of {width}"
