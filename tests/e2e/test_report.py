"""Replay, Agreement, Compare and Report as a person meets them; hostile texts stay text; the report opens without a network."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LOOKS, SHOTS, Server, fits, settled, shot
from workbench.runs import ratings
from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run

RUN = "20260102-000000_lsebmcl_synthetic_s0"


@pytest.fixture(scope="module")
def judged(server: Server) -> Path:
    """A run that three people rated, older than the others."""
    small: dict[str, Any] = {
        "tasks": 3,
        "iterations": 60,
        "chains": 3,
        "chain_count": 8,
        "texts": 40,
        "latents": 4,
        "hidden": 4,
        "dim": 4,
    }
    path = write_run(server.runs, name="judged", when=datetime(2025, 2, 1, tzinfo=UTC), **small)
    names = Run(path).table("samples").drop_duplicates("sample_id")["sample_id"].tolist()[:80]
    for shift, rater in enumerate(("ana", "ben", "cleo")):
        lines = [
            {
                "uid": f"{rater}{at}",
                "sample_id": name,
                "scale": "fluency",
                "value": 1 + (at + (at % 4 == 0) * shift) % 5,
                "t": 1.7e9 + at,
                "plan": "p",
                "item": at,
            }
            for at, name in enumerate(names)
        ]
        again = [{**line, "uid": line["uid"] + "r", "repeat": True, "t": line["t"] + 500} for line in lines[::8]]
        real = [
            {**line, "uid": line["uid"] + "c", "sample_id": f"real:{at}", "value": 5 - at % 2, "control": True}
            for at, line in enumerate(lines[::9])
        ]
        assert ratings.append(path, rater, [*lines, *again, *real]).fault is None
    return path


@pytest.mark.parametrize("scheme", LOOKS)
@pytest.mark.parametrize("name", ["replay", "agreement", "compare", "report", "replay_two", "paired", "texts"])
def test_look(page, server: Server, judged: Path, name: str, scheme: str) -> None:  # type: ignore[no-untyped-def]
    where = {
        "replay": f"/replay?run={RUN}&it=107&rater=ana",
        "replay_two": f"/replay?run={RUN}&it=107&show=side+by+side",
        "agreement": f"/agreement?run={judged.name}",
        "compare": f"/compare?run={RUN}",
        "paired": f"/compare?run={RUN}&tab=Paired",
        "texts": f"/compare?run={RUN}&tab=Texts&it=107",
        "report": f"/report?run={RUN}",
    }[name]
    fits(page, server.url + where, name, scheme, *LOOKS[scheme][: 1 if name in ("replay_two", "paired", "texts") else 2])


def test_hostile_texts_are_shown_as_text(page, server: Server) -> None:  # type: ignore[no-untyped-def]
    run = next(path for path in server.runs.iterdir() if "hostile" in path.name)
    page.add_init_script("window.alert = () => { window.hacked = true }")
    page.goto(f"{server.url}/replay?run={run.name}")
    settled(page)
    assert not page.evaluate("window.hacked ?? false")
    shown = page.evaluate(
        "[...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('.card')).filter(Boolean)"
        ".map(card => [card.textContent, card.querySelectorAll('script, img, b, a, iframe, svg').length])"
    )
    texts = "".join(text for text, _ in shown)
    assert shown and sum(elements for _, elements in shown) == 0
    assert "<script" in texts or "&lt;" in texts or "<img" in texts
    assert not set("\u202e\u202d\u2066\x00\x1b") & set(texts)
    assert max(len(text) for text, _ in shown) < 25_000
    shot(page, "replay_hostile_1440_light")


def test_a_strip_rates_where_the_text_is(page, server: Server, judged: Path) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{server.url}/replay?run={judged.name}&rater=dora")
    settled(page)
    page.locator("[class*='_rate'] button").nth(3).click()
    settled(page)
    page.wait_for_function("() => true")
    table = ratings.read_answers([judged])[0]
    assert table.loc[table["rater"] == "dora", "value"].tolist() == [4.0]


@pytest.mark.parametrize(
    ("rater", "foot", "move", "chain", "energy"),
    [
        ("", ".st-key-ways", re.compile("^Go to "), re.compile(r"^Chain \d+$"), "The energy at this moment"),
        ("&rater=eva", "[class*=st-key-card_][class*=_foot]", "Go there", "Chain", "Energy"),
    ],
    ids=["to read", "to rate"],
)
def test_from_a_card_to_its_chain_and_energy(page, server: Server, rater: str, foot: str, move: Any, chain: Any, energy: str) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{server.url}/replay?run={RUN}&it=107{rater}")
    settled(page)
    there = page.locator(foot).first.get_by_role("button", name=move)
    if there.count():
        there.first.click()
        settled(page)
    page.get_by_role("link", name=chain, exact=True).nth(3).click()
    page.wait_for_url("**/chains?*")
    settled(page)
    assert page.url.count("run=") == 1 and "chain=" in page.url
    page.go_back()
    settled(page)
    page.get_by_role("link", name=energy, exact=True).last.click()
    page.wait_for_url("**/energy?*")
    settled(page)
    assert page.url.count("run=") == 1


def test_the_report_opens_without_a_network(page, server: Server, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{server.url}/report?run={RUN}&runs={RUN},20260102-010000_lsebmcl_synthetic_s1")
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Make the report").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    assert file.stat().st_size < 12e6
    context = page.context.browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
    alone, faults = context.new_page(), []
    alone.set_default_timeout(90_000)
    alone.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    alone.on("pageerror", lambda error: faults.append(str(error)))
    alone.on("request", lambda sent: None if sent.url.startswith(("file:", "data:", "blob:")) else faults.append(sent.url))
    alone.goto(f"file://{file}")
    alone.wait_for_function("[...document.querySelectorAll('.plotly-graph-div')].every(plot => plot.querySelector('.main-svg'))")
    assert alone.locator(".plotly-graph-div").count() >= 8
    tall = min(alone.evaluate("document.documentElement.scrollHeight"), 9000)
    alone.set_viewport_size({"width": 1440, "height": tall})
    alone.wait_for_timeout(500)
    SHOTS.mkdir(parents=True, exist_ok=True)
    alone.screenshot(path=str(SHOTS / "report_offline.png"))
    context.close()
    assert faults == []
