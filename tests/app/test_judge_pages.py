"""Replay, Rate, Agreement, Compare and Report over runs in every state; the deck's plan and what it stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import Opener, faults
from workbench.app.deck import deck
from workbench.app.deck.plan import GAP, Item, PlanError, Setup, draw, event_of, from_link, shown
from workbench.runs import ratings
from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.tasks import Example
from workbench.views.replay.samples import Reference

ROOT = Path(__file__).parents[2]
PAGES = ("replay", "rate", "agreement", "compare", "report")
SMALL: dict[str, Any] = {
    "tasks": 3,
    "iterations": 60,
    "chains": 3,
    "chain_count": 4,
    "texts": 6,
    "latents": 4,
    "hidden": 4,
    "dim": 4,
}
REAL = Reference(
    {"mood": tuple(Example("mood", str(n), f"a real text {n}", "good?", ("yes",)) for n in range(50))}, {"mood": ("yes", "no")}
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("states")
    (root / "none").mkdir()
    write_run(root / "one", hostile=True, **SMALL)
    for seed in range(2):
        write_run(root / "many", seed=seed, name=f"seed{seed}", **SMALL)
    write_run(root / "many", method="finetune", name="other", **{**SMALL, "chains": 0})
    for status in ("running", "crashed", "broken"):
        write_run(root / status, status=status, **SMALL)
    return {path.name: path for path in root.iterdir()}


def opened(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("WORKBENCH_RUNS", str(folder))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    return app.switch_page(str(ROOT / "workbench" / "app" / "pages" / f"{page}.py")).run()


def words(app: AppTest) -> str:
    kinds = ("title", "info", "warning", "error", "text", "caption", "markdown", "subheader")
    return " | ".join(str(element.value) for kind in kinds for element in getattr(app, kind))


@pytest.mark.parametrize("state", ["none", "one", "many", "running", "crashed", "broken"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_in_every_state(name: str, state: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(name, folders[state], monkeypatch)
    assert not app.exception and not app.error
    found = words(app)
    assert name.capitalize() in found
    if state == "none":
        assert "no runs yet" in found
    elif name == "compare" and state != "many":
        assert "two runs or more" in found


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("wanted", ["deleted", "../../etc/passwd", "<script>"])
def test_an_unknown_link_is_said(name: str, wanted: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(name, folders["one"], monkeypatch, run=wanted)
    assert not app.exception and "not here" in words(app) and "No run named" in words(app)


def test_a_run_that_replays_nothing_says_why(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(path.name for path in folders["many"].iterdir() if "other" in path.name)
    assert "finetune replays nothing" in words(opened("replay", folders["many"], monkeypatch, run=name))


def test_a_card_rates_and_nothing_else_changes(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(path for path in folders["many"].iterdir() if "seed" in path.name)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.parent.name != "ratings"}
    app = opened("replay", folders["many"], monkeypatch, run=path.name, rater="ana")
    control = next(element for element in app.button_group if "_rate" in str(element.key))
    control.set_value(4).run()
    table = ratings.read_answers([path])[0]
    assert table["value"].tolist() == [4.0] and table["rater"].tolist() == ["ana"] and not table["blind"].iloc[0]
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.parent.name != "ratings"} == before


def test_agreement_speaks_once_there_are_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(tmp_path, **{**SMALL, "texts": 30})
    names = Run(path).table("samples").drop_duplicates("sample_id")["sample_id"].tolist()
    for rater, shift in (("ana", 0), ("ben", 1)):
        lines = [
            {"uid": f"{rater}{at}", "sample_id": name, "scale": "fluency", "value": (at + shift * (at % 3 == 0)) % 5 + 1, "t": float(at)}
            for at, name in enumerate(names)
        ]
        ratings.append(path, rater, lines)
    app = opened("agreement", tmp_path, monkeypatch)
    assert not app.exception and not app.error
    assert [metric.label for metric in app.metric][:2] == ["Quadratic-weighted kappa", "Same answer"]
    assert len(app.get("plotly_chart")) >= 3


@pytest.mark.parametrize(
    "link", ["{", "[]", '{"runs": "x"}', '{"nope": 1}', '{"runs": ["gone"], "rows": [5]}', '{"count": true}', "[" * 5000]
)
def test_a_spoilt_deck_link_is_a_sentence(link: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened("rate", folders["one"], monkeypatch, deck=link)
    assert not app.exception and "cannot be used" in words(app)


def test_a_deck_link_opens_the_deck(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(iter(folders["one"].iterdir()))
    setup = Setup(runs=(path.name,), rows=(len(Run(path).table("samples")),), count=10)
    app = opened("rate", folders["one"], monkeypatch, deck=setup.link())
    assert not app.exception and not app.error and "Type your name" in words(app)
    app = opened("rate", folders["one"], monkeypatch, deck=setup.link(), rater="ana")
    assert not app.exception and not app.error and "Type your name" not in words(app)


def samples(n: int, run: str = "r") -> pd.DataFrame:
    rows = [
        {"row": at, "sample_id": f"{run}{at}", "iteration": 10, "task": "mood", "context": f"text {at}", "question": "good?", "answer": "yes", "text": "",
         "chain": at, "origin": "energy", "kept": at % 7 != 0, "verdict": "kept"}
        for at in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_plan_is_the_same_for_everyone_and_holds_repeats_and_controls() -> None:
    setup = Setup(runs=("r",), rows=(400,), count=200, seed=3)
    again = from_link(setup.link(), ["r"])
    assert again == setup and again.plan == setup.plan and setup.plan.startswith("fluency-s3-")
    items = draw(setup, {"r": samples(400)}, REAL)
    assert items == draw(again, {"r": pd.concat([samples(400), samples(900).iloc[400:]])}, REAL)
    assert len(items) == 200 and [item.number for item in items] == list(range(200))
    assert sum(item.repeat for item in items) == 20 and sum(item.control for item in items) == 20
    first = {item.sample_id: item.number for item in items if not item.repeat}
    assert all(item.number - first[item.sample_id] > GAP for item in items if item.repeat)
    assert all(item.row["kept"] for item in items if not item.control)
    other = draw(Setup(runs=("r",), rows=(400,), count=200, seed=4), {"r": samples(400)}, REAL)
    assert [item.sample_id for item in other] != [item.sample_id for item in items]


def test_a_small_pool_gives_a_small_deck_and_no_references_no_controls() -> None:
    items = draw(Setup(runs=("r",), rows=(40,), count=200), {"r": samples(40)}, Reference({}, {}))
    assert sum(not item.repeat for item in items) == 34 and not any(item.control for item in items)
    assert draw(Setup(runs=("r",), rows=(0,), count=5), {"r": samples(40)}, REAL) == []


def test_a_blind_card_tells_nothing_but_the_text() -> None:
    setup = Setup(runs=("secret-run",), rows=(50,), count=20)
    items = draw(setup, {"secret-run": samples(50, "secret")}, REAL)
    for item in items:
        card = str(shown(item, setup))
        assert "secret" not in card and "mood" not in card and "energy" not in card and "real:" not in card
    fits = Setup(runs=("secret-run",), rows=(50,), count=20, scale="fits")
    assert shown(items[0], fits)["task"] == "mood"


def test_two_runs_side_by_side_are_stored_the_right_way_round() -> None:
    setup = Setup(runs=("a",), rows=(100,), count=60, scale="better", versus="b")
    items = draw(setup, {"a": samples(100, "a"), "b": samples(100, "b")}, REAL)
    assert {item.flipped for item in items} == {True, False} and not any(item.control for item in items)
    for item in items:
        left = shown(item, setup)["sides"][0][0]["text"]
        assert item.other is not None and left == (item.other if item.flipped else item.row)["context"]
        line = event_of(item, setup, {"uid": "u", "kind": "rate", "value": 1, "t": 1.0})
        assert line["value"] == (1 if item.flipped else 5) and line["versus"] == item.other["sample_id"]
        sent = deck.sent_back({**line, "item": item.number, "undoes": None, "on": None}, items, setup)
        assert sent["value"] == 1


def events(numbers: range, value: int = 3) -> list[dict[str, Any]]:
    return [{"uid": f"u{n}", "i": n, "kind": "rate", "value": value, "t": float(n), "ms": 5, "tab": "one"} for n in numbers]


def test_what_the_browser_sends_is_stored_once_and_acknowledged(tmp_path: Path) -> None:
    setup = Setup(runs=("r",), rows=(400,), count=60)
    items = draw(setup, {"r": samples(400)}, REAL)
    paths = {"r": tmp_path}
    first = deck.store(setup, items, "ana", paths, {"n": 1, "events": events(range(10))})
    again = deck.store(setup, items, "ana", paths, {"n": 2, "events": [*events(range(12)), {"i": 10**6, "uid": "far"}, "x", {"i": True}]})
    assert (
        first["fault"] is None and again["attempt"] == 2 and {f"u{n}" for n in range(12)} <= set(again["acked"]) and "far" in again["acked"]
    )
    lines = ratings.read(tmp_path)[0]
    assert lines["uid"].tolist() == [f"u{n}" for n in range(12)] and lines["sample_id"].tolist() == [item.sample_id for item in items[:12]]
    assert deck.store(setup, items, "ana", paths, None)["attempt"] == 0


def test_a_deck_goes_on_at_the_first_open_text(tmp_path: Path) -> None:
    setup = Setup(runs=("r",), rows=(400,), count=200)
    items: list[Item] = draw(setup, {"r": samples(400)}, REAL)
    deck.store(setup, items, "ana", {"r": tmp_path}, {"n": 1, "events": events(range(120))})
    known = deck.plan_events(setup, "ana", {"r": tmp_path})
    numbers = [item.number for item in deck.window(items, known)]
    assert min(number for number in numbers if number >= 120) == 120 and len(numbers) >= deck.BATCH and numbers[0] >= 110
    assert deck.plan_events(setup, "ben", {"r": tmp_path}).empty


def test_long_texts_do_not_fill_the_browser(tmp_path: Path) -> None:
    setup = Setup(runs=("r",), rows=(400,), count=200)
    items = draw(setup, {"r": samples(400).assign(context="x" * 100_000)}, REAL)
    sent = deck.window(items, deck.plan_events(setup, "ana", {"r": tmp_path}))
    assert len(sent) == deck.BATCH
    assert len(str(shown(sent[0], setup))) < 21_000


def test_a_plan_of_a_run_that_is_gone_is_refused() -> None:
    with pytest.raises(PlanError, match="not here"):
        from_link(Setup(runs=("gone",), rows=(1,)).link(), ["r"])
    assert quote(Setup(runs=("r",), rows=(1,)).link())


def test_f52_compare_begins_with_a_table_and_opens_kept_results(open_page: Opener):
    samples = Path(__file__).resolve().parents[2] / "data" / "runs"
    app = open_page(samples, "compare", run="20261126-191921_lsebmcl_s0", results="bundled", base="er")
    assert faults(app) == []
    table = next(element.value for element in app.dataframe if "average" in element.value)
    assert {"multitask", "lsebmcl", "gaussian"} <= set(table["method"]) and table.set_index("method").loc["lsebmcl", "runs"] == 3
    text = words(app)
    assert "versions of the code" in text and any(element.value.startswith("| method | n | seeds | average") for element in app.code)
    assert faults(open_page(samples, "compare", results="no_such_file")) == []
