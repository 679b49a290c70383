"""The sample card: one text with where it is from, the nearest real example, and the strip that rates it, on every page.

    cards.sample_card(run, row, rater=cards.rater_name(), real=..., answers=...)

Texts go to the browser as data and are set as textContent; native elements get them as plain text.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.app import frame
from workbench.app.deck.deck import events_of
from workbench.runs import ratings
from workbench.views.replay.samples import NEAR_COPY, Reference, body
from workbench.views.style import task_colors
from workbench.views.text import LONGEST, SHORT, compare_words, cut, shorten, words
from workbench.views.timeline import Frame

HERE = Path(__file__).parent
SCALES = ("fluency", "fits")
MARKED = 60.0
"""Similarity from which differing words are marked."""


def rater_name() -> str:
    """The name ratings are stored under; asked for once a session, carried by the address and from page to page."""
    if "rater" not in st.session_state and "rater" not in st.query_params and (known := st.session_state.get("_rater")):
        st.session_state["rater"] = known
    name = st.text_input(
        "Rater", key="rater", bind="query-params", max_chars=60, placeholder="your name, to rate", help="Ratings are stored under this name"
    )
    st.session_state["_rater"] = str(name or "").strip()
    return st.session_state["_rater"]


def scale_choice() -> str:
    """The question the strips answer."""
    return st.segmented_control("Rate for", SCALES, key="scale", bind="query-params", default="fluency", required=True)


def text_cards(
    key: str, rows: Sequence[Mapping[str, Any]], tasks: Sequence[str], dark: bool = False, real: Reference | None = None
) -> None:
    """Samples side by side, to be read: one element of the page, however many they are. real: as in `sample_card`."""
    colors = task_colors(list(tasks), dark)
    _text_cards(key, [_card(row, colors, real) for row in rows], framed=True)


def chain_links(rows: Frame) -> None:
    """To the energy of the cursor's moment and to the chains that these samples came from; for a row of links."""
    frame.link("energy", "The energy at this moment", icon=":material/terrain:")
    for chain in rows["chain"].dropna().astype(int).loc[lambda chains: chains >= 0].unique():
        frame.link("chains", f"Chain {chain}", icon=":material/timeline:", params={"chain": str(chain)})


def _text_cards(key: str, cards: Sequence[Mapping[str, Any]], framed: bool = False) -> None:
    css, js = (_source(f"card.{kind}") for kind in ("css", "js"))
    build: Any = st.components.v2.component  # pyright: ignore[reportAttributeAccessIssue]
    component = build("workbench_cards", html="<div class='cards'></div>", css=css, js=js)
    component(key=key, data={"cards": list(cards), "short": SHORT, "framed": framed})


@functools.cache
def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _card(row: Mapping[str, Any], colors: Mapping[str, str], real: Reference | None = None) -> dict[str, Any]:
    """The reading part of a card. Its parts: {name, text, total} or {name, words: [(word, differs)]}, already visible and cut."""
    task = str(row["task"])
    return {"task": task, "color": colors.get(task, "#8894A0"), "parts": _parts(row, real), "facts": _facts(row)}


def sample_card(
    run: Any,
    row: Mapping[str, Any],
    *,
    tasks: Sequence[str] = (),
    rater: str = "",
    scale: str = "fluency",
    real: Reference | None = None,
    answers: Frame | None = None,
    key: str = "",
    links: bool = True,
    strip: bool = True,
    dark: bool = False,
) -> None:
    """One sample in a bordered block, to be rated once there is a rater's name.

    real: to show the nearest real example (`row` then needs nearest_task and nearest_at).
    """
    key = key or f"card_{run.name}_{row['sample_id']}"
    with st.container(border=True, key=key):
        _text_cards(f"{key}_text", [_card(row, task_colors(list(tasks or run.info.tasks), dark), real)])
        strip = strip and bool(rater)
        if strip or links:
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{key}_foot"):
                if strip:
                    rating_strip(run, row, rater=rater, scale=scale, answers=answers, key=key)
                if links:
                    _links(row, key)


def _parts(row: Mapping[str, Any], real: Reference | None) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    nearest = _nearest(row, real)
    compared = compare_words(body(row), nearest[1]) if nearest else ([], [])
    # Where hardly anything is alike, marks on every word tell nothing.
    short = nearest is not None and len(body(row)) <= SHORT * 2 and _number(row.get("similarity")) >= MARKED
    for name in ("context", "question"):
        text = str(row.get(name) or "")
        if text:
            marked = short and text == body(row)
            parts.append({"name": name, "words": compared[0]} if marked and len(words(text)) <= 400 else _part(name, text))
    if not parts:
        parts.append(_part("text as decoded" if row.get("text") else "", str(row.get("text") or ""), "raw"))
    else:
        generated, relabelled = str(row.get("answer_generated") or ""), str(row.get("answer_relabelled") or "")
        if relabelled and generated != relabelled:
            parts += [
                _part("answer, generated", generated, "answer"),
                _part("answer, when asked again", relabelled, "answer"),
            ]
        else:
            both = "answer (generated, and the same when asked again)" if relabelled else "answer"
            parts.append(_part(both, str(row.get("answer") or generated), "answer"))
    if nearest:
        similarity = _number(row.get("similarity"))
        alike = f" ({similarity:.0f} % alike{', a near-copy' if similarity >= NEAR_COPY else ''})"
        name = f"nearest real example{alike}"
        marked = {"name": f"{name}; differing words marked", "words": compared[1], "style": "near"}
        parts.append(marked if short else {**_part(name, nearest[1]), "style": "near"})
    return parts


def _number(value: Any) -> float:
    """A number of a row, 0 where it is missing."""
    return float(value) if value is not None and value == value else 0.0


def _nearest(row: Mapping[str, Any], real: Reference | None) -> tuple[str, str] | None:
    task, at = str(row.get("nearest_task") or ""), int(row.get("nearest_at", -1))
    if real is None or task not in real.examples or not 0 <= at < len(real.examples[task]):
        return None
    example = real.examples[task][at]
    return task, example.context or example.question


def _part(name: str, text: str, style: str = "") -> dict[str, Any]:
    found = cut(text, LONGEST)
    return {"name": name, "text": found.text, "total": found.total, "style": style}


def _facts(row: Mapping[str, Any]) -> list[dict[str, str]]:
    facts = []
    recognised, task = str(row.get("recognised") or ""), str(row["task"])
    if recognised:
        same = recognised == task
        facts.append({"text": f"recognised as {'asked' if same else shorten(recognised, 40)}", "tone": "" if same else "bad"})
    verdict = str(row.get("verdict") or "")
    facts.append(
        {"text": shorten(verdict, 80) or "no verdict", "tone": "good" if row.get("kept") else ("" if verdict == "spare" else "bad")}
    )
    if (energy := row.get("energy")) is not None and energy == energy:
        facts.append({"text": f"energy {float(energy):.2f}"})
    if (chain := row.get("chain")) is not None and chain == chain:
        facts.append({"text": f"chain {int(chain)}"})
    facts.append({"text": f"iteration {int(row['iteration']):,}"})
    if (generation := row.get("generation")) is not None and generation == generation and int(generation) > 1:
        facts.append({"text": f"generation {int(generation)}"})
    facts.append({"text": str(row["sample_id"])})
    return facts


def standing_answers(run: Any) -> Frame:
    """What stands of the ratings of a run; do not change it."""
    return ratings.answers(events_of(run.path))


def rating_strip(run: Any, row: Mapping[str, Any], *, rater: str, scale: str, answers: Frame | None, key: str) -> None:
    """1 to 5 and two flags; each change is an event on disk before the page is drawn again."""
    own = _own(answers, str(row["sample_id"]), rater, scale)
    rate_key, flag_key = f"{key}_{scale}_{_safe(rater)}_rate", f"{key}_{scale}_{_safe(rater)}_flags"
    if rate_key not in st.session_state:
        st.session_state[rate_key] = int(own["value"]) if own is not None and own["value"] == own["value"] else None
    if flag_key not in st.session_state:
        st.session_state[flag_key] = [flag for flag in ratings.FLAGS if own is not None and own[flag]]
    arguments = (run.path, dict(row), rater, scale, rate_key, flag_key)
    st.segmented_control(
        f"Rate {scale}",
        ratings.VALUES,
        key=rate_key,
        label_visibility="collapsed",
        on_change=_rated,
        args=arguments,
        width="content",
    )
    st.pills(
        "Flags",
        ratings.FLAGS,
        selection_mode="multi",
        key=flag_key,
        label_visibility="collapsed",
        on_change=_flagged,
        args=arguments,
        width="content",
    )
    if fault := st.session_state.get(f"{rate_key}_fault"):
        st.error(f"{fault} This rating is not on disk.", icon=":material/save:")


def _safe(rater: str) -> str:
    return hashlib.sha256(rater.encode("utf-8", "replace")).hexdigest()[:8]


def _own(answers: Frame | None, sample_id: str, rater: str, scale: str) -> Mapping[str, Any] | None:
    if answers is None or not rater or answers.empty:
        return None
    rows = answers[(answers["sample_id"] == sample_id) & (answers["rater"] == rater) & (answers["scale"] == scale) & ~answers["repeat"]]
    return rows.iloc[-1].to_dict() if len(rows) else None


def _event(row: Mapping[str, Any], scale: str, **fields: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "uid": secrets.token_hex(12),
        "sample_id": str(row["sample_id"]),
        "scale": scale,
        "t": time.time(),
        "blind": False,
        **fields,
    }


def _rated(path: Any, row: Mapping[str, Any], rater: str, scale: str, rate_key: str, flag_key: str) -> None:
    value = st.session_state[rate_key]
    saved = ratings.append(path, rater, [_event(row, scale, kind="skip" if value is None else "rate", value=value)])
    st.session_state[f"{rate_key}_fault"] = saved.fault


def _flagged(path: Any, row: Mapping[str, Any], rater: str, scale: str, rate_key: str, flag_key: str) -> None:
    chosen = set(st.session_state[flag_key])
    own = _own(ratings.read_answers([path])[0], str(row["sample_id"]), rater, scale)
    before = {flag for flag in ratings.FLAGS if own is not None and own[flag]}
    events = [_event(row, scale, kind="flag", value=flag, on=flag in chosen) for flag in sorted(chosen ^ before)]
    st.session_state[f"{rate_key}_fault"] = ratings.append(path, rater, events).fault


def _links(row: Mapping[str, Any], key: str) -> None:
    """To the chain and the energy of a sample. Where the cursor is elsewhere, it is moved first."""
    where = {"it": int(row["iteration"]), "task": str(row["task"])}
    chain = row.get("chain")
    if frame.cursor().iteration == where["it"] and frame.cursor().task == where["task"]:
        number = None if chain is None or chain != chain else str(int(chain))
        frame.link("chains", "Chain", icon=":material/timeline:", params={"chain": number} if number else None)
        frame.link("energy", "Energy", icon=":material/terrain:", params={frame.CHAIN_ON_MAP: number} if number else None)
    else:
        words = "Move the cursor to its iteration and task"
        st.button("Go there", key=f"{key}_go", on_click=frame.go, kwargs=where, icon=":material/my_location:", type="tertiary", help=words)
