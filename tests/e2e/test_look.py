"""The frame and its pages as a person meets them: how they look, links that restore, back, bad links, and what the server loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Server, fits, settled

RUN = "20260102-000000_lsebmcl_synthetic_s0"
OTHER = "20260102-010000_lsebmcl_synthetic_s1"
PAGES = {"runs": "/", "live": "/live", "overview": "/overview", "forgetting": "/forgetting", "answers": "/answers"}


@pytest.mark.parametrize("scheme", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_look(page: Page, app_url: str, name: str, scheme: str):
    for file in fits(page, f"{app_url}{PAGES[name]}?run={RUN}&it=107", name, scheme):
        assert file.stat().st_size > 20_000


def test_a_link_restores_the_state(page: Page, app_url: str):
    page.goto(f"{app_url}/forgetting?run={OTHER}&it=107&task=roles&metric=forgetting")
    settled(page)
    expect(page.locator(".st-key-page_header")).to_contain_text("Forgetting")
    expect(page.locator(".st-key-run_line")).to_contain_text(OTHER)
    expect(page.locator(".st-key-it")).to_contain_text("107")
    expect(page.get_by_role("heading", name="Replay at iteration 107")).to_be_visible()
    for piece in (f"run={OTHER}", "it=107", "task=roles", "metric=forgetting"):
        assert piece in page.url


def test_the_first_address_names_its_run_and_back_works(page: Page, app_url: str):
    page.goto(app_url)
    settled(page)
    assert "run=20260102-" in page.url
    page.goto(f"{app_url}/overview?run={RUN}&it=107")
    settled(page)
    page.locator(".st-key-it_back button").first.click()
    expect(page).not_to_have_url(re.compile("it=107"))
    settled(page)
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("it=107"))
    settled(page)
    page.go_back()
    expect(page).not_to_have_url(re.compile("it=107"))
    settled(page)
    expect(page.locator(".st-key-run_line")).to_contain_text(RUN)


LINES = "[...document.querySelectorAll('.cursor-line > div')].map(line => Math.round(line.getBoundingClientRect().left))"


def test_the_cursors_line_moves_and_the_curves_stay(page: Page, app_url: str):
    page.goto(f"{app_url}/forgetting?run={RUN}&it=107")
    settled(page)
    before = page.evaluate(LINES)
    assert len(before) >= 3 and len(set(before)) == 1  # one line a panel, all at the same iteration
    page.evaluate("document.querySelector('.st-key-forgetting_curves .main-svg').dataset.mark = 'same'")
    page.locator(".st-key-it_back button").first.click()
    expect(page).not_to_have_url(re.compile("it=107"))
    page.wait_for_function(f"{LINES}.every(left => left < {before[0]})")
    assert len(page.evaluate(LINES)) == len(before)
    assert page.locator(".st-key-forgetting_curves .main-svg[data-mark=same]").count() == 1
    page.get_by_text("Align at task start").click()
    page.wait_for_function("document.querySelectorAll('.cursor-line > div').length === 0")


def test_the_first_page_loads_what_draws_the_others(page: Page, app_url: str):
    with page.expect_request(re.compile("PlotlyChart")):
        page.goto(app_url)
    settled(page)
    assert page.get_by_test_id("stPlotlyChart").count() == 0


def test_the_cursor_goes_along_to_another_page(page: Page, app_url: str):
    page.goto(f"{app_url}/overview?run={RUN}&it=107&task=roles")
    settled(page)
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Forgetting").click()
    expect(page).to_have_url(re.compile("/forgetting"))
    settled(page)
    for piece in (f"run={RUN}", "it=107", "task=roles"):
        assert piece in page.url


@pytest.mark.parametrize("name", ["20260102-000000_lsebmcl_synthetic_s7", "../../etc/passwd"])
def test_a_bad_link_is_said(page: Page, app_url: str, name: str):
    page.goto(f"{app_url}/overview?run={name}")
    settled(page)
    expect(page.get_by_text("This link names a run that is not here.")).to_be_visible()
    expect(page.get_by_text(f"No run named '{name}'")).to_be_visible()
    assert page.get_by_test_id("stPlotlyChart").count() == 0
    page.locator("[class*=st-key-open_2026] button").first.click()
    expect(page.locator(".st-key-run_line")).to_be_visible()


def test_why_did_this_task_drop_here(page: Page, app_url: str, context):  # type: ignore[no-untyped-def]
    """Curve, iteration, replay text, chain, energy: each step a click, each state an address that opens the same elsewhere."""
    page.goto(f"{app_url}/forgetting?run={RUN}")
    settled(page)
    point = page.locator(".st-key-forgetting_curves .subplot.xy .points path.point").nth(-3)
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(400)
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(r"it=\d+"))
    settled(page)
    iteration = re.search(r"it=(\d+)", page.url)
    assert iteration is not None
    expect(page.get_by_role("heading", name=f"Replay at iteration {int(iteration[1]):,}")).to_be_visible()
    addresses = [page.url]
    chain = page.get_by_role("link", name=re.compile(r"Chain [1-9]")).first  # chain 0 is the page's default and stays out of the address
    chain.click()
    expect(page).to_have_url(re.compile(r"/chains\?.*chain=[1-9]"))
    settled(page)
    addresses.append(page.url)
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Energy").click()
    expect(page).to_have_url(re.compile("/energy"))
    settled(page)
    addresses.append(page.url)
    for address in addresses:
        assert f"run={RUN}" in address and iteration[0] in address
    colleague = context.new_page()
    colleague.goto(addresses[0])
    settled(colleague)
    expect(colleague.get_by_role("heading", name=f"Replay at iteration {int(iteration[1]):,}")).to_be_visible()


def test_f51_from_a_cell_of_the_matrix_to_what_was_answered(page: Page, app_url: str):
    page.goto(f"{app_url}/overview?run={RUN}")
    settled(page)
    cell = page.locator(".st-key-matrix .points path.point").nth(6)  # row by row, the untrained model first: after roles, on sentiment
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2 - 3, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(400)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page).to_have_url(re.compile("it=100"))
    settled(page)
    page.get_by_role("link", name="What it answers to sentiment at this moment").click()
    expect(page).to_have_url(re.compile(r"/answers\?.*it=100"))
    settled(page)
    expect(page.get_by_text("Then: after sentiment (50). Now: after roles (100)")).to_be_visible()


def test_hostile_texts_are_text(page: Page, app_url: str, server: Server):
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    run = next(path.name for path in server.runs.iterdir() if "hostile" in path.name)
    page.goto(f"{app_url}/forgetting?run={run}")
    settled(page)
    expect(page.get_by_role("heading", name=re.compile("Replay at iteration"))).to_be_visible()
    assert dialogs == []
    assert page.locator("[data-testid=stMain] img, [data-testid=stMain] script").count() == 0


def test_keys_are_listed_and_do_not_fire_while_typing(page: Page, app_url: str):
    page.goto(f"{app_url}/?run={RUN}")
    settled(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("iteration saved before")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    box = page.locator(".st-key-q input")
    box.click()
    box.press_sequentially("jkh?", delay=20)
    page.wait_for_timeout(500)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert f"run={RUN}" in page.url


def test_the_server_is_local_and_loads_no_heavy_library(page: Page, app_url: str, server: Server):
    page.goto(f"{app_url}/overview?run={RUN}")
    settled(page)
    maps = Path(f"/proc/{server.process.pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    loaded = maps.read_text()
    for library in ("/torch/", "/sklearn/", "/llvmlite/", "/numba/"):  # umap itself is Python; it cannot come without numba
        assert library not in loaded
    ports = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    port = f"{int(app_url.rsplit(':', 1)[1]):04X}"
    listening = [
        line.split()[1]
        for line in ports.splitlines()
        if len(line.split()) > 3 and line.split()[3] == "0A" and line.split()[1].endswith(f":{port}")
    ]
    assert listening == [f"0100007F:{port}"]


def test_a_chart_gives_its_rows_when_asked(page: Page, app_url: str):
    page.goto(f"{app_url}/overview?run={RUN}")
    settled(page)
    assert page.get_by_role("button", name="Data (CSV)").count() == 0
    page.locator(".st-key-downloads_mean_score button").first.click()
    button = page.get_by_role("button", name="Data (CSV)")
    expect(button).to_be_visible()
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename == f"{RUN}-mean-score.csv"
    assert Path(download.value.path()).read_text().startswith("iteration,score,tasks\n")


def test_a_chart_is_as_wide_as_its_place_in_whole_pixels(page: Page, app_url: str):
    """At a width with a fraction plotly rounds it, finds another than Streamlit, and draws the chart a second time."""
    page.goto(f"{app_url}/forgetting?run={RUN}")
    settled(page)
    widths = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(at => [at.closest('.stPlotlyChart').getBoundingClientRect().width, at._fullLayout.width])"
    )
    assert widths and all(place == drawn and place == int(place) for place, drawn in widths)
