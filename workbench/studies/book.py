"""What is known of a study in a folder of runs: its plan as it was written down before the first run, and where each cell stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from workbench.runs import files
from workbench.runs.code import code_hash
from workbench.runs.reader import Run, RunInfo, list_runs
from workbench.studies.errors import StudyError
from workbench.studies.jobs import FOLDER
from workbench.studies.study import Cell, Study

RANK = ("finished", "running", "interrupted", "crashed", "failed", "broken")


@dataclass(frozen=True)
class Standing:
    """One cell and the best of its runs. status: as a run's, or `waiting` where there is none."""

    cell: Cell
    status: str
    run: str | None = None
    sentence: str = ""
    other_code: bool = False


def survey(cells: Sequence[Cell], runs: Path) -> list[Standing]:
    """Where each cell stands. A finished run of equal settings counts, whichever study it was made for."""
    found: dict[str, list[RunInfo]] = {}
    wanted = {cell.hash for cell in cells}
    for info in list_runs(runs):
        if info.info is not None and (cell_hash := (info.info.model_extra or {}).get("cell_hash")) in wanted:
            found.setdefault(cell_hash, []).append(info)
    return [_standing(cell, found.get(cell.hash, [])) for cell in cells]


def _standing(cell: Cell, found: list[RunInfo]) -> Standing:
    if not found:
        return Standing(cell, "waiting")
    best = min(found, key=lambda info: RANK.index(info.status))
    extra = (best.info.model_extra or {}) if best.info else {}
    sentence = fault_of(best.path) if best.status == "failed" else ""
    return Standing(cell, best.status, best.name, sentence, extra.get("code") not in (None, code_hash()))


def fault_of(run: Path) -> str:
    """The sentence with which a run failed."""
    told = [event.get("message") for event in Run(run).events() if event.get("kind") == "error"]
    return str(told[-1]) if told else "failed without a word"


def path_of(runs: Path, name: str) -> Path:
    return runs / FOLDER / f"{files.slug(name)}.json"


def read(runs: Path, name: str) -> dict[str, Any] | None:
    """The plan of a study as it was written down, None where there is none. Raises StudyError."""
    path = path_of(runs, name)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path}: cannot be read ({str(error)[:120]})") from None
    if not isinstance(values, dict) or not isinstance(values.get("cells"), dict):
        raise StudyError(f"{path}: no plan of a study; accepted: what `workbench sweep` wrote")
    return values


def write(study: Study, runs: Path) -> None:
    """Write the plan down before anything runs; a gate whose pilot was run stays as it was. Raises StudyError where it was changed since."""
    gate = study.gate.model_dump() if study.gate else None
    known = read(runs, study.study)
    if known is not None and known.get("pilot_run") and known.get("gate") != gate:
        raise StudyError(
            f"study {study.study}: the gate is not the one that stood before its pilot was run; accepted: that gate, or another study name"
        )
    cells = {cell.hash: {"name": cell.name, "row": cell.row, "pilot": study.is_pilot(cell)} for cell in study.cells}
    content = {
        "study": study.study,
        "about": study.about,
        "written": (known or {}).get("written") or datetime.now(UTC).isoformat(timespec="seconds"),
        "gate": gate,
        "pilot_run": bool((known or {}).get("pilot_run")),
        "cells": cells,
    }
    _save(path_of(runs, study.study), content)


def note_pilot(study: Study, runs: Path) -> None:
    """From now on the gate of this study cannot be changed."""
    content = read(runs, study.study)
    if content is not None and not content["pilot_run"]:
        _save(path_of(runs, study.study), content | {"pilot_run": True})


def _save(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")), files.atomic_path(path) as temporary:  # the parts of an array begin together
        files.write_bytes(temporary, text.encode())


def only_part(cells: Iterable[Cell], part: str | None) -> list[Cell]:
    """The cells of part I of N, for I/N with I from 1; all without one. Raises StudyError."""
    cells = list(cells)
    if part is None:
        return cells
    number, _, count = part.partition("/")
    if not (number.isdecimal() and count.isdecimal() and len(part) < 20 and 1 <= int(number) <= int(count)):
        raise StudyError(f"--part: found {part!r}; accepted: I/N with I from 1 to N, as 3/20")
    return cells[int(number) - 1 :: int(count)]
