"""The bars a study set itself before it ran: its later rows are refused unless the pilot passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.runs.results import MEASURES, mean, run_row, value, whole
from workbench.studies.book import Standing
from workbench.studies.errors import StudyError
from workbench.studies.study import Bar, Study, matches


def verdicts(study: Study, standings: Sequence[Standing], runs: Path) -> list[str]:
    """A sentence for every bar that the pilot does not pass; none where it passed. A bar that cannot be measured is not passed."""
    if study.gate is None:
        return []
    pilot = [one for one in standings if study.is_pilot(one.cell)]
    if not pilot:
        raise StudyError(f"study {study.study}: gate.pilot names no cell of the study; accepted: seeds, orders and settings that it has")
    if lacking := [one for one in pilot if one.status != "finished"]:
        first = lacking[0]
        return [f"{len(lacking)} of {len(pilot)} cells of the pilot did not finish ({first.cell.name}: {first.sentence or first.status})"]
    rows = {one.cell.hash: run_row(runs / str(one.run)) for one in pilot}
    return [sentence for bar in study.gate.bars if (sentence := _verdict(bar, pilot, rows))]


def _verdict(bar: Bar, pilot: Sequence[Standing], rows: Mapping[str, dict[str, Any]]) -> str:
    told = _told(bar)
    found, less = _mean(bar.of, bar.measure, pilot, rows), 0.0
    if bar.minus is not None and found is not None:
        taken = _mean(bar.minus, bar.measure, pilot, rows)
        found, less = (None, less) if taken is None else (found, taken)
    if found is None:
        return f"{told}: the pilot has no such number"
    got = found - less
    if (bar.at_least is not None and got < bar.at_least) or (bar.at_most is not None and got > bar.at_most):
        return f"{told}: the pilot has {got:.2f}"
    return ""


def _told(bar: Bar) -> str:
    less = f" minus {_named(bar.minus)}" if bar.minus is not None else ""
    limits = [f"{word} {limit:g}" for word, limit in (("at least", bar.at_least), ("at most", bar.at_most)) if limit is not None]
    return f"{bar.measure} of {_named(bar.of)}{less} must be {' and '.join(limits)}"


def _named(wanted: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]}={found}" if key != "method" else str(found) for key, found in wanted.items()) or "all"


def _mean(wanted: Mapping[str, Any], measure: str, pilot: Sequence[Standing], rows: Mapping[str, dict[str, Any]]) -> float | None:
    chosen = [rows[one.cell.hash] for one in pilot if matches(one.cell, wanted)]
    if chosen and measure not in MEASURES and not any(measure in row["scores"] for row in chosen):
        raise StudyError(f"gate: no measure named {measure!r}; accepted: {', '.join(MEASURES)}, or a task")
    return mean(value(row, measure) for row in chosen if whole(row))
