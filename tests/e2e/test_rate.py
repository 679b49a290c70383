"""The rating deck by keyboard: every press an event, in order, on the right text; reload, two raters, two tabs, a full disk."""

from __future__ import annotations

import json
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import Server, settled, shot
from workbench.app.deck.plan import Item, Setup, draw
from workbench.runs.ratings import rater_file
from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.views.replay.samples import reference

COUNT = 200


@pytest.fixture(scope="module")
def path(server: Server) -> Path:
    """A run with enough kept texts, older than the others, so that no other test opens it by default."""
    when = datetime(2025, 1, 1, tzinfo=UTC)
    small: dict[str, Any] = {
        "tasks": 3,
        "iterations": 60,
        "chains": 3,
        "chain_count": 4,
        "latents": 4,
        "hidden": 4,
        "dim": 4,
    }
    return write_run(server.runs, name="rated", texts=200, when=when, **small)


def setup_of(path: Path, seed: int, count: int = COUNT) -> tuple[Setup, list[Item]]:
    run = Run(path)
    setup = Setup(runs=(path.name,), rows=(int(run.table("samples")["row"].max()) + 1,), count=count, seed=seed)
    return setup, draw(setup, {path.name: run.table("samples")}, reference(run.config, run.path))


def open_deck(page: Any, server: Server, path: Path, setup: Setup, rater: str) -> None:
    page.goto(f"{server.url}/rate?run={path.name}&rater={rater}&deck={quote(setup.link())}")
    settled(page)
    part(page, "saved").wait_for()


def part(page: Any, name: str) -> Any:
    return page.locator(f"[data-part={name}]")


def wait_saved(page: Any, n: int) -> None:
    page.wait_for_function(
        "n => [...document.querySelectorAll('*')].some(e => e.shadowRoot?.querySelector('[data-part=saved]')?.textContent === `saved ${n}`)",
        arg=n,
    )


def events(path: Path, rater: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rater_file(path, rater).read_text().splitlines()]


def press(page: Any, keys: list[str]) -> None:
    for key in keys:
        page.keyboard.press(key)


def check(found: list[dict[str, Any]], items: list[Item], values: list[int], start: int = 0) -> None:
    assert [line["value"] for line in found] == values
    assert [line["item"] for line in found] == list(range(start, start + len(values)))
    assert [line["sample_id"] for line in found] == [items[line["item"]].sample_id for line in found]
    assert [line["t"] for line in found] == sorted(line["t"] for line in found)
    assert len({line["uid"] for line in found}) == len(found)


def test_two_hundred_texts_at_zero_delay_with_a_reload_in_the_middle(page, server: Server, path: Path) -> None:  # type: ignore[no-untyped-def]
    setup, items = setup_of(path, seed=1)
    assert len(items) == COUNT
    open_deck(page, server, path, setup, "ana")
    assert part(page, "texts").get_attribute("data-item") == "0"
    assert str(items[0].row["context"])[:40] in part(page, "texts").inner_text()
    values = [at % 5 + 1 for at in range(COUNT)]
    press(page, [str(value) for value in values[:90]])
    page.reload()
    settled(page)
    wait_saved(page, 90)
    assert part(page, "texts").get_attribute("data-item") == "90"
    assert str(items[90].row["context"])[:40] in part(page, "texts").inner_text()
    # The rest within one turn of the browser's event loop: no delay at all between presses.
    page.evaluate(
        "values => values.forEach(v => document.dispatchEvent(new KeyboardEvent('keydown', {key: String(v), bubbles: true, composed: true})))",
        values[90:],
    )
    wait_saved(page, COUNT)
    check(events(path, "ana"), items, values)
    assert "All 200 texts are answered" in part(page, "texts").inner_text()
    assert {line["blind"] for line in events(path, "ana")} == {True} and {line["plan"] for line in events(path, "ana")} == {setup.plan}


def test_undo_skip_flags_notes_and_keys_that_rest_while_typing(page, server: Server, path: Path) -> None:  # type: ignore[no-untyped-def]
    setup, _ = setup_of(path, seed=2)
    open_deck(page, server, path, setup, "ben")
    press(page, ["4", "Space", "u", "2", "f", "g", "f", "n"])
    page.keyboard.type("12345 odd u?")
    assert "typing" in part(page, "keys").inner_text()
    press(page, ["Enter"])
    assert part(page, "note-shown").inner_text() == "Note: 12345 odd u?"
    rater = page.get_by_role("textbox", name="Rater")
    rater.click()
    page.keyboard.type("333")
    assert "typing" in part(page, "keys").inner_text()
    page.keyboard.press("Control+a")
    page.keyboard.type("ben")
    page.keyboard.press("Enter")
    part(page, "keys").click()
    assert part(page, "keys").inner_text() == "keys on"
    assert part(page, "legend").is_hidden()
    press(page, ["?"])
    assert part(page, "legend").is_visible()
    press(page, ["5"])
    wait_saved(page, 3)
    found = [(line["kind"], line["value"], line["item"]) for line in events(path, "ben")]
    assert found == [
        ("rate", 4, 0), ("skip", None, 1), ("undo", None, 1), ("rate", 2, 1), ("flag", "degenerate", 2), ("flag", "copy", 2), ("flag", "degenerate", 2),
        ("note", "12345 odd u?", 2), ("rate", 5, 2),
    ]  # fmt: skip
    part(page, "last").get_by_text("1: 4").click()
    assert part(page, "texts").get_attribute("data-item") == "0"
    press(page, ["1"])
    page.wait_for_function("() => true")
    assert part(page, "texts").get_attribute("data-item") == "3"


def test_two_raters_at_once_and_two_tabs_of_one(page, server: Server, path: Path) -> None:  # type: ignore[no-untyped-def]
    setup, items = setup_of(path, seed=3, count=60)
    context = page.context.browser.new_context(viewport={"width": 1000, "height": 800})
    other = context.new_page()
    other.set_default_timeout(90_000)
    open_deck(page, server, path, setup, "cleo")
    open_deck(other, server, path, setup, "dan")
    first, second = [at % 5 + 1 for at in range(60)], [(at * 3) % 5 + 1 for at in range(60)]
    for a, b in zip(first, second, strict=True):
        page.keyboard.press(str(a))
        other.keyboard.press(str(b))
    wait_saved(page, 60)
    wait_saved(other, 60)
    check(events(path, "cleo"), items, first)
    check(events(path, "dan"), items, second)
    context.close()

    tab = page.context.new_page()
    setup, items = setup_of(path, seed=4, count=60)
    open_deck(page, server, path, setup, "eve")
    open_deck(tab, server, path, setup, "eve")
    press(page, ["1", "1", "1"])
    wait_saved(page, 3)
    press(tab, ["5", "5"])
    wait_saved(tab, 3)
    press(page, ["2"])
    wait_saved(page, 4)
    found = events(path, "eve")
    assert [(line["item"], line["value"]) for line in found] == [(0, 1), (1, 1), (2, 1), (0, 5), (1, 5), (3, 2)]
    assert "two tabs" in part(page, "notice").inner_text()
    tab.close()


def test_a_full_disk_stops_the_keys_and_loses_nothing(page, server: Server, path: Path) -> None:  # type: ignore[no-untyped-def]
    setup, items = setup_of(path, seed=5)
    open_deck(page, server, path, setup, "fay")
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    values = [at % 5 + 1 for at in range(120)]
    try:
        # The system refuses to let any file of the server grow beyond 20 kB: for the deck a full disk.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (20_000, before[1]))
        press(page, [str(value) for value in values])
        part(page, "fault").wait_for(state="visible")
        assert "could not be saved" in part(page, "fault-text").inner_text() and part(page, "keys").inner_text() == "keys off"
        stopped = int(part(page, "texts").get_attribute("data-item"))
        press(page, ["1", "2", "3"])
        assert part(page, "texts").get_attribute("data-item") == str(stopped)
        with page.expect_download() as download:
            part(page, "download").click()
        mine = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
        assert [event["value"] for event in mine] == values[:stopped]
        shot(page, "rate_full_disk_1440_light")
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    part(page, "again").click()
    wait_saved(page, stopped)
    part(page, "fault").wait_for(state="hidden")
    check(events(path, "fay"), items, values[:stopped])
    press(page, ["5"])
    wait_saved(page, stopped + 1)


@pytest.mark.parametrize("width, scheme", [(1440, "light"), (800, "dark")])
def test_the_deck_as_it_looks(page, server: Server, path: Path, width: int, scheme: str) -> None:  # type: ignore[no-untyped-def]
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{server.url}/rate?run={path.name}")
    settled(page)
    shot(page, f"rate_setup_{width}_{scheme}")
    page.set_viewport_size({"width": width, "height": 900})
    setup, _ = setup_of(path, seed=6)
    open_deck(page, server, path, setup, f"gil{width}")
    press(page, ["4", "Space", "2", "f", "?"])
    wait_saved(page, 3)
    box = part(page, "scale").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 900, "the scale must be seen without scrolling"
    shot(page, f"rate_deck_{width}_{scheme}")
