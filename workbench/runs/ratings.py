"""Ratings beside a run: one append-only JSON-lines file a rater, the only thing the app ever writes into a run folder.

An event has a uid made where the key was pressed, so that sending it twice changes nothing. Nothing is erased: an undo is
an event, and `answers` works out what stands. Kinds of event: rate (value 1..5), skip, undo (of the uid in `undoes`),
flag (value 'degenerate' or 'copy', `on` true or false) and note (value: the text). A line without a kind is a rate.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from filelock import FileLock, Timeout

from workbench.runs.files import json_line, listed, read_lines, readable, write_all
from workbench.runs.schema import SchemaError, parse_rating

# A pandas DataFrame. pandas annotates `frame[...]` as half a dozen types at once, which no checker can use.
Frame = Any

KINDS = ("rate", "skip", "undo", "flag", "note")
FLAGS = ("degenerate", "copy")
VALUES = (1, 2, 3, 4, 5)
COLUMNS = (
    "run",
    "sample_id",
    "rater",
    "scale",
    "kind",
    "value",
    "t",
    "ms",
    "blind",
    "plan",
    "item",
    "repeat",
    "control",
    "versus",
    "uid",
    "undoes",
    "on",
    "tab",
)
LONGEST_NOTE = 2000
PATIENCE = 5.0
"""Seconds an append waits for another writer of the same file."""


class Saved(NamedTuple):
    """What became of a batch: events written now, uids of the batch that are on disk, and one sentence where something failed."""

    new: int
    stored: frozenset[str]
    fault: str | None


def rater_file(run: Path, rater: str) -> Path:
    """The file of one rater. Names that a file cannot carry get a part of their hash, so two raters never share a file by accident."""
    short = readable(rater)
    name = short if short == rater else f"{short or 'rater'}-{hashlib.sha256(rater.encode('utf-8', 'replace')).hexdigest()[:6]}"
    return Path(run) / "ratings" / f"{name}.jsonl"


def append(run: Path, rater: str, events: Sequence[Mapping[str, Any]]) -> Saved:
    """Write the events that are not on disk yet, in order, synced before this returns. Never raises: `fault` says what went wrong."""
    if not rater.strip():
        return Saved(0, frozenset(), "No rater name was given.")
    lines: dict[str, str] = {}
    faults = []
    for event in events:
        try:
            line = parse_rating({**event, "rater": rater})
            if (kind := event.get("kind", "rate")) not in KINDS:
                raise SchemaError(f"rating: kind {str(kind)[:40]!r}; accepted: {', '.join(KINDS)}")
            lines[line.uid] = json_line(_bounded(line.model_dump()))
        except (SchemaError, TypeError) as error:
            faults.append(str(error))
    try:
        new = _append(rater_file(run, rater), lines)
    except (OSError, Timeout) as error:
        reason = "another program holds the file" if isinstance(error, Timeout) else (error.strerror or str(error))
        stored = frozenset(uid for uid in lines if uid in _seen(rater_file(run, rater)))
        return Saved(0, stored, f"The answers could not be saved: {reason}.")
    return Saved(new, frozenset(lines), faults[0] if faults else None)


def _bounded(values: dict[str, Any]) -> dict[str, Any]:
    if isinstance(values.get("value"), str):
        values["value"] = values["value"][:LONGEST_NOTE]
    return values


def _append(file: Path, lines: dict[str, str]) -> int:
    folder = file.parent
    if folder.is_symlink() or file.is_symlink():
        raise OSError(0, f"{folder.name}/{file.name} is a link, which is not followed")
    if not folder.parent.is_dir():
        raise OSError(0, "the run folder is gone")
    folder.mkdir(exist_ok=True)
    with FileLock(f"{file}.lock", timeout=PATIENCE):
        seen = _seen(file)
        new = {uid: line for uid, line in lines.items() if uid not in seen}
        if not new:
            return 0
        created = not file.exists()
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            torn = before > 0 and os.pread(descriptor, 1, before - 1) != b"\n"
            try:
                write_all(descriptor, (("\n" if torn else "") + "".join(new.values())).encode("utf-8", "replace"))
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if created:
            _sync_folder(folder)
    return len(new)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Progress:
    """Uids read so far from one file, up to a byte offset."""

    def __init__(self) -> None:
        self.identity: tuple[int, int] | None = None
        self.offset = 0
        self.uids: set[str] = set()


_PROGRESS: dict[Path, _Progress] = {}
_GUARD = threading.Lock()


def _seen(file: Path) -> set[str]:
    """Uids on disk: only what was appended since the last call is read."""
    with _GUARD:
        progress = _PROGRESS.setdefault(file.absolute(), _Progress())
        try:
            stat = file.stat()
        except OSError:
            _PROGRESS.pop(file.absolute(), None)
            return set()
        if progress.identity != (stat.st_dev, stat.st_ino) or stat.st_size < progress.offset:
            progress.identity, progress.offset, progress.uids = (stat.st_dev, stat.st_ino), 0, set()
        with file.open("rb") as stream:
            stream.seek(progress.offset)
            data = stream.read()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            with contextlib.suppress(ValueError, AttributeError):
                progress.uids.add(str(json.loads(line).get("uid")))
        progress.offset += whole
        return set(progress.uids)


def files(run: Path) -> list[Path]:
    """The ratings files of a run; links are left out."""
    folder = Path(run) / "ratings"
    if not folder.is_dir() or folder.is_symlink():
        return []
    try:
        return [path for path in listed(folder, ".jsonl") if path.is_file() and not path.is_symlink()]
    except OSError:
        return []


def read(run: Path) -> tuple[Frame, list[str]]:
    """Every event of every rater of a run, in the order of time, and one sentence for each line that cannot be read."""
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    known: set[str] = set()
    for file in files(run):
        try:
            lines = list(read_lines(file))
        except OSError as error:
            faults.append(f"ratings/{file.name}: cannot be read ({error.strerror})")
            continue
        for number, values, complete in lines:
            try:
                line = parse_rating(values).model_dump()
            except SchemaError as error:
                if complete:
                    faults.append(f"ratings/{file.name} line {number}: {error}")
                continue
            if line["uid"] not in known:
                known.add(line["uid"])
                rows.append(_row(Path(run).name, line))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["repeat"] = frame["repeat"].astype(bool)
    frame["control"] = frame["control"].astype(bool)
    return frame.sort_values("t", kind="stable", ignore_index=True), faults


def _row(run: str, line: dict[str, Any]) -> dict[str, Any]:
    value, time = line.get("value"), line["t"]
    kind = line.get("kind") or ("skip" if value is None else "rate")
    if isinstance(time, str):
        stamp = pd.to_datetime(time, errors="coerce", utc=True)
        time = 0.0 if pd.isna(stamp) else stamp.timestamp()
    row = {name: line.get(name) for name in COLUMNS}
    return {**row, "run": run, "kind": kind, "t": float(time), "repeat": bool(line.get("repeat")), "control": bool(line.get("control"))}


def standing(events: Frame) -> Frame:
    """The events that no undo took back, without the undos."""
    undone = set(events.loc[events["kind"] == "undo", "undoes"].dropna())
    return events[~events["uid"].isin(undone) & (events["kind"] != "undo")]


ANSWER_KEY = ["run", "sample_id", "rater", "scale", "repeat", "control"]


def answers(events: Frame) -> Frame:
    """What stands: one row a (sample, rater, scale, repeat, control): kind rate or skip, value, flags, note; the later time wins.

    value: float, NaN for a skipped sample or one that has only flags or a note (kind is then '').
    """
    left = standing(events).sort_values("t", kind="stable")
    given = left[left["kind"].isin(["rate", "skip"])].drop_duplicates(ANSWER_KEY, keep="last")
    extra = left[left["kind"].isin(["flag", "note"])]
    rows = given.set_index(ANSWER_KEY)[["kind", "value", "t", "ms", "blind", "plan", "item", "versus"]]
    numbers: Any = pd.to_numeric(rows["value"], errors="coerce")
    rows["value"] = numbers.where((rows["kind"] == "rate") & numbers.isin(VALUES))
    missing = pd.MultiIndex.from_frame(extra[ANSWER_KEY].drop_duplicates()).difference(rows.index) if len(extra) else []
    if len(missing):
        rows = pd.concat([rows, pd.DataFrame({"kind": "", "t": 0.0}, index=missing)])
    for flag in FLAGS:
        last = extra[(extra["kind"] == "flag") & (extra["value"] == flag)].drop_duplicates(ANSWER_KEY, keep="last")
        on = last.set_index(ANSWER_KEY)["on"].map(lambda value: value is None or bool(value))
        rows[flag] = on.reindex(rows.index).eq(True)
    notes = extra[extra["kind"] == "note"].drop_duplicates(ANSWER_KEY, keep="last")
    rows["note"] = notes.set_index(ANSWER_KEY)["value"].reindex(rows.index).fillna("").astype(str)
    return rows.reset_index().astype({"value": float})


def read_answers(runs: Iterable[Path]) -> tuple[Frame, list[str]]:
    """`answers` of several runs in one table, and the faults of all."""
    read_all = [read(run) for run in runs]
    events = [frame for frame, _ in read_all if len(frame)]
    empty = pd.DataFrame({name: pd.Series(dtype=bool if name in ("repeat", "control") else object) for name in COLUMNS})
    return answers(pd.concat(events, ignore_index=True) if events else empty), [fault for _, faults in read_all for fault in faults]


def count(run: Path) -> int:
    """Samples of a run with a standing rating, over all raters."""
    table = answers(read(run)[0])
    return int(table["value"].notna().sum())
