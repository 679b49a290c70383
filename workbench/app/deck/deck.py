"""The deck on a page: gives the browser its texts and what is on disk, takes its events, writes them in a callback."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from workbench.app.deck.plan import SCALES, Item, Setup, answer_shown, event_of, shown
from workbench.app.store import files_signature
from workbench.runs import ratings
from workbench.views.timeline import Frame

HERE = Path(__file__).parent
BATCH = 50
"""Texts the browser holds at least; more while they are short."""

BUDGET = 200_000
"""Characters of text beyond which no more than BATCH are sent."""

BEHIND = 10
"""Answered texts sent along, so that undo has something to show after a reload."""


def deck(setup: Setup, items: Sequence[Item], rater: str, paths: Mapping[str, Path]) -> None:
    """Mount the deck. paths: the folder of each run of the plan, by name; ratings go to the run that an item is from."""
    name = f"{setup.plan}/{hashlib.sha256(rater.encode('utf-8', 'replace')).hexdigest()[:12]}"
    key = "deck_" + name.replace("/", "_")

    def save() -> None:
        st.session_state[f"_{key}"] = store(setup, items, rater, paths, st.session_state[key].get("outbox"))

    events = plan_events(setup, rater, paths)
    outcome = st.session_state.get(f"_{key}") or {"attempt": 0, "acked": [], "fault": None}
    question, anchors = SCALES[setup.scale]
    data = {
        "deck": name,
        "total": len(items),
        "question": question,
        "anchors": list(anchors),
        "items": [shown(item, setup) for item in window(items, events)],
        "events": [sent_back(event, items, setup) for event in events.to_dict("records") if 0 <= event["item"] < len(items)],
        "acked": outcome["acked"],
        "attempt": outcome["attempt"],
        "fault": outcome["fault"],
        "notice": _notice(setup, rater, paths),
    }
    _component()(key=key, data=data, on_outbox_change=save)


def _component() -> Any:
    html, css, js = ((HERE / f"deck.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    build: Any = st.components.v2.component  # pyright: ignore[reportAttributeAccessIssue]
    return build("workbench_deck", html=html, css=css, js=js)


def store(setup: Setup, items: Sequence[Item], rater: str, paths: Mapping[str, Path], outbox: Any) -> dict[str, Any]:
    """Write what the browser sent; {attempt, acked: uids that need not be sent again, fault}. Sent twice, it changes nothing."""
    if not isinstance(outbox, Mapping):
        return {"attempt": 0, "acked": [], "fault": None}
    by_run: dict[str, list[dict[str, Any]]] = {}
    acked: list[str] = []
    for event in outbox.get("events") or []:
        number = event.get("i") if isinstance(event, Mapping) else None
        if not isinstance(number, int) or not 0 <= number < len(items):
            acked.append(str(event.get("uid")) if isinstance(event, Mapping) else "")
            continue
        by_run.setdefault(items[number].run, []).append(event_of(items[number], setup, event))
    fault = None
    for run, lines in by_run.items():
        saved = ratings.append(paths[run], rater, lines)
        acked += sorted(saved.stored)
        fault = fault or saved.fault
    attempt = outbox.get("n")
    return {"attempt": attempt if isinstance(attempt, int) else 0, "acked": acked, "fault": fault}


@st.cache_resource(max_entries=64, show_spinner=False)
def _read(path: str, signature: Any) -> Frame:
    return ratings.read(Path(path))[0]


def events_of(run: Path) -> Frame:
    """Every rating event of a run, read again only when a file of ratings changed; do not change the frame."""
    return _read(str(run), files_signature(ratings.files(run)))


def plan_events(setup: Setup, rater: str, paths: Mapping[str, Path]) -> Frame:
    """The standing events of one rater in this plan, in order of time, numbered by item."""
    frames = [events_of(paths[run]) for run in setup.runs]
    own = [rows[(rows["plan"] == setup.plan) & (rows["rater"] == rater)] for rows in frames]
    rows = pd.concat([rows for rows in own if len(rows)], ignore_index=True) if any(len(rows) for rows in own) else frames[0].iloc[:0]
    rows = ratings.standing(rows).sort_values("t", kind="stable")
    rows = rows.assign(item=pd.to_numeric(rows["item"], errors="coerce")).dropna(subset=["item"])
    return rows.astype({"item": int})


def answered(events: Frame) -> set[int]:
    """Numbers of the items with an answer or a skip."""
    return set(events.loc[events["kind"].isin(["rate", "skip"]), "item"])


def window(items: Sequence[Item], events: Frame) -> list[Item]:
    """The items sent: the last answered ones, and the open ones from the first on, at least BATCH and more while they are short."""
    done = answered(events)
    start = next((item.number for item in items if item.number not in done), len(items))
    behind = [item for item in items if item.number in done]
    recent = {int(number) for number in events["item"].tail(5)}
    chosen = behind[-BEHIND:] + [item for item in behind[:-BEHIND] if item.number in recent]
    length, ahead = 0, 0
    for item in items[start:]:
        if item.number in done:
            continue
        length += sum(len(str(item.row.get(part) or "")) for part in ("context", "question", "answer", "text"))
        ahead += 1
        chosen.append(item)
        if ahead >= BATCH and length > BUDGET:
            break
    return chosen


def sent_back(event: Mapping[str, Any], items: Sequence[Item], setup: Setup) -> dict[str, Any]:
    """A stored event as the browser knows it."""
    value = event["value"]
    if event["kind"] == "rate" and value is not None:
        value = answer_shown(items[event["item"]], setup, value)
    on = event.get("on")
    row = {"uid": event["uid"], "i": event["item"], "kind": event["kind"], "value": value if isinstance(value, int | str) else None}
    return {**row, "on": bool(on)} if event["kind"] == "flag" and on is not None else row


def _notice(setup: Setup, rater: str, paths: Mapping[str, Path]) -> str:
    """A sentence where two tabs of one rater worked on this plan in turns."""
    tabs: list[str] = []
    for run in setup.runs:
        rows = events_of(paths[run])
        if "tab" in rows:
            tabs += rows.loc[(rows["plan"] == setup.plan) & (rows["rater"] == rater), "tab"].dropna().tolist()
    turns = [tab for at, tab in enumerate(tabs) if at == 0 or tab != tabs[at - 1]]
    if len(turns) > len(set(turns)):
        return "This deck was answered in two tabs at once. Every answer is kept; where both answered a text, the later one counts."
    return ""
