"""check_run: is everything in a run folder whole, readable and as it was written? One plain sentence a file.

Also for runs that are being written or were killed: there a torn last write is normal, a row that a checkpoint counted and
that cannot be read is not. A run may come from anywhere: only regular files inside it are opened, and whatever is found in them is a
sentence, never an exception.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.compact import load_table
from workbench.runs.files import LARGEST_TEXT, hold_regular, listed, parse_yaml, read_lines, read_regular, said, sha256_of
from workbench.runs.reader import Run, foreign, inside
from workbench.runs.schema import COLUMNS, FINAL, FOLDERS, OPEN_TABLES, SCHEMA, RunError, RunFile, parse_rating, table_schema
from workbench.runs.stream import read_segments, segment_paths

if TYPE_CHECKING:
    import pyarrow as pa

Manifest = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Verdict:
    """What was found about one file or table; `rows` is None where rows mean nothing, `schema` '' where there is none."""

    file: str
    rows: int | None
    schema: str
    verdict: str
    ok: bool


OWN = ("run.json", "summary.json", "config.yaml")
"""Files with a verdict of their own, which says more than that the manifest knows them."""


def check_run(path: Path) -> list[Verdict]:
    """One verdict a file or table of the run. All `ok`: the run can be trusted as far as its own records tell. Never raises."""
    run = Run(path)
    try:
        info = run.info
        status = run.status
    except Exception as error:
        return [_unreadable("run.json", error)]
    manifest, manifest_verdict = _manifest_or_fault(run.path)
    verdicts = [
        _safely("run.json", lambda: _run_file(run, info, status, manifest)),
        _safely("config.yaml", lambda: _config(run, info)),
        manifest_verdict,
        _safely("summary.json", lambda: _summary(run, status, manifest)),
        _safely("events.jsonl", lambda: _events(run, status)),
    ]
    counted = _counted(run)
    expected = [name for name in COLUMNS if name in info.tables or counted.get(name) or info.rows.get(name) or _has_files(run, name)]
    for name in expected:
        verdicts.append(_safely(f"{name}.parquet", lambda name=name: _table(run, name, info, status, manifest, counted.get(name, 0))))
    for name, entries in manifest.items():
        if name not in OWN and not name.endswith(".parquet"):
            verdicts.append(_safely(name, lambda name=name, entries=entries: _file(run.path, name, entries)))
    for folder in (*FOLDERS, "state", "ratings"):
        verdicts += _folder(run.path, folder, manifest)
    return verdicts


def _safely(file: str, verdict: Callable[[], Verdict]) -> Verdict:
    try:
        return verdict()
    except Exception as error:
        return _unreadable(file, error)


def _unreadable(file: str, error: Exception) -> Verdict:
    sentence = _sentence(error, file)
    return Verdict(file, None, "", sentence if isinstance(error, RunError) else f"cannot be read ({sentence})", False)


def _manifest_or_fault(path: Path) -> tuple[Manifest, Verdict]:
    try:
        return _manifest(path)
    except Exception as error:
        return {}, _unreadable("manifest.jsonl", error)


def _run_file(run: Run, info: RunFile, status: str, manifest: Manifest) -> Verdict:
    version = str(info.schema_version)
    if "run.json" in manifest and not (compared := _file(run.path, "run.json", manifest["run.json"])).ok:
        return compared
    if status in FINAL and info.status not in FINAL:
        return Verdict("run.json", None, version, f"not written at the end: the events say {status}, it says {info.status}", False)
    if info.incomplete:
        return Verdict("run.json", None, version, f"the run is {status}, incomplete: it lacks {'; '.join(info.incomplete)}", False)
    return Verdict("run.json", None, version, f"whole; the run is {status}", True)


def _folder(run: Path, folder: str, manifest: Manifest) -> list[Verdict]:
    try:
        names = [f"{folder}/{path.name}" for path in listed(run / folder)]
    except OSError as error:
        return [_unreadable(f"{folder}/", error)]
    if folder == "ratings":
        return [_safely(name, lambda name=name: _ratings(run, name)) for name in names if name.endswith(".jsonl")]
    return [_safely(name, lambda name=name: _stray(run, name)) for name in names if name not in manifest]


def hold_to_manifest(path: Path, *names: str) -> None:
    """Raises RunError where one of these files is not as the run wrote it. A file that the manifest does not list is let pass."""
    manifest, _ = _manifest_or_fault(path)
    for name in names:
        if name in manifest and not (found := _safely(name, lambda name=name: _file(path, name, manifest[name]))).ok:
            raise RunError(f"{path.name}/{name}: {found.verdict}; see `workbench check {path.name}`")


def warning(path: Path, recount: bool = True) -> str:
    """One sentence where the configuration, the summary or a table of a run is not as the run wrote it, else nothing.

    Hashes these files, and counts the summary again: without `recount` only where the manifest does not know its hash.
    """
    run = Run(path)
    manifest, _ = _manifest_or_fault(run.path)
    verdicts = []
    try:
        info, status = run.info, run.status
        verdicts.append(_safely("run.json", lambda: _run_file(run, info, status, manifest)))
        verdicts.append(_safely("config.yaml", lambda: _config(run, info)))
        recount = recount or "summary.json" not in manifest
        verdicts.append(_safely("summary.json", lambda: _summary(run, status, manifest, recount)))
    except Exception as error:
        verdicts.append(_unreadable("run.json", error))
    for name, entries in manifest.items():
        if name.endswith(".parquet"):
            verdicts.append(_safely(name, lambda name=name, entries=entries: _file(run.path, name, entries)))
    names = [verdict.file for verdict in verdicts if not verdict.ok]
    differ = "differs" if len(names) == 1 else "differ"
    if names == ["run.json"] and "incomplete" in verdicts[0].verdict:
        return f"{run.name}: {verdicts[0].verdict}"
    return f"{run.name}: {', '.join(names)} {differ} from what the run wrote; see `workbench check {run.name}`" if names else ""


def _config(run: Run, info: RunFile) -> Verdict:
    try:
        data = read_regular(inside(run.path, "config.yaml"), LARGEST_TEXT)
        parse_yaml(data)
    except FileNotFoundError:
        return Verdict("config.yaml", None, "", "missing", False)
    except ValueError as error:
        if isinstance(error, RunError):
            raise
        return Verdict("config.yaml", None, "", f"cannot be read as YAML ({said(error)}): it was changed after the run began", False)
    if info.config_hash and hashlib.sha256(data).hexdigest() != info.config_hash:
        return Verdict("config.yaml", None, "", "changed after the run began: its SHA-256 is not the config_hash of run.json", False)
    return Verdict("config.yaml", None, "", "whole", True)


def _manifest(run: Path) -> tuple[Manifest, Verdict]:
    """File name -> its entries (more than one where it was replaced), without the removed ones."""
    entries: Manifest = {}
    lines, bad = 0, 0
    for number, values, complete in read_lines(inside(run, "manifest.jsonl")):
        lines += 1
        if values is None or not isinstance(values.get("file"), str) or not _plain(values["file"]):
            bad = bad or (number if complete else 0)
        elif values.get("removed"):
            entries.pop(values["file"], None)
        else:
            entries.setdefault(values["file"], []).append(values)
    if not lines:
        return entries, Verdict("manifest.jsonl", None, "", "missing or empty: the files cannot be compared with what was written", False)
    return entries, Verdict("manifest.jsonl", lines, "", f"line {bad} is no entry" if bad else "whole", not bad)


def _plain(name: str) -> bool:
    """Whether a name of the manifest is a path inside the run."""
    return ".." not in name.split("/") and not name.startswith("/") and name.isprintable()


def _summary(run: Run, status: str, manifest: Manifest, recount: bool = True) -> Verdict:
    from workbench.runs import recount as counting

    if not os.path.lexists(run.path / "summary.json"):
        late = status in FINAL
        return Verdict("summary.json", None, "", "missing" if late else "not written yet", not late)
    summary = run.summary
    differ: list[str] = []
    if recount and status == "finished":
        with suppress(RunError):  # a table that cannot be read has a verdict of its own
            differ = counting.differences(run)
    if differ:
        return Verdict("summary.json", None, "", "; ".join(differ[:3]), False)
    if "summary.json" in manifest and not (compared := _file(run.path, "summary.json", manifest["summary.json"])).ok:
        return compared
    if status == "finished" and not summary.model_fields_set:
        return Verdict("summary.json", None, "", "says nothing", False)
    return Verdict("summary.json", None, "", "whole", True)


def _events(run: Run, status: str) -> Verdict:
    if not os.path.lexists(run.path / "events.jsonl"):
        return Verdict("events.jsonl", None, "", "missing", False)
    return _lines(inside(run.path, "events.jsonl"), "events.jsonl", status not in FINAL, _parse_event)


def _ratings(run: Path, name: str) -> Verdict:
    return _lines(inside(run, *name.split("/")), name, False, parse_rating)


def _parse_event(values: dict[str, Any]) -> None:
    if not isinstance(values.get("kind"), str) or not isinstance(values.get("time"), str):
        raise RunError("an event needs the texts 'time' and 'kind'")


def _lines(path: Path, name: str, may_be_torn: bool, parse: Callable[[dict[str, Any]], Any]) -> Verdict:
    rows = 0
    for number, values, complete in read_lines(path):
        if values is None and not complete and may_be_torn:
            return Verdict(name, rows, "", f"{rows} lines; the last one was cut off, as a kill leaves it", True)
        if values is None:
            return Verdict(name, rows, "", f"line {number} is not a JSON object", False)
        try:
            parse(values)
        except RunError as error:
            return Verdict(name, rows, "", f"line {number}: {error}", False)
        rows += 1
    return Verdict(name, rows, "", "whole", True)


def _has_files(run: Run, name: str) -> bool:
    return any(os.path.lexists(run.path / file) for file in (f"{name}.parquet", name))


def _table(run: Run, name: str, info: RunFile, status: str, manifest: Manifest, counted: int) -> Verdict:
    parquet = run.path / f"{name}.parquet"
    if os.path.lexists(parquet):
        inside(run.path, parquet.name)
    try:
        segments = segment_paths(inside(run.path, name))
    except OSError as error:
        return _unreadable(f"{name}/", error)
    file = parquet.name if parquet.exists() or not segments else f"{name}/"
    if not parquet.exists() and (parquet.name in manifest or not segments):
        gone = parquet.name in manifest or name in info.tables or counted > 0
        return Verdict(file, None, "", "missing" if gone else "no rows yet", not gone)
    if parquet.exists() and parquet.name in manifest:
        compared = _file(run.path, parquet.name, manifest[parquet.name])
        if not compared.ok:
            return compared
    try:
        table = load_table(run.path, name)
        torn = read_segments(segments).torn
    except (RunError, OSError) as error:
        return Verdict(file, None, "", _sentence(error, file), False)
    rows, schema = table.num_rows, str(info.schema_version)
    if fault := _schema_fault(name, table):
        return Verdict(file, rows, schema, fault, False)
    if fault := _missing_rows(table):
        return Verdict(file, rows, schema, fault, False)
    if rows < info.rows.get(name, 0):
        return Verdict(file, rows, schema, f"incomplete: {rows:,} rows of the {info.rows[name]:,} that the run counted", False)
    if rows < counted:
        return Verdict(file, rows, schema, f"cut short: {rows} rows can be read, a checkpoint counted {counted}", False)
    if torn and status in FINAL:
        return Verdict(file, rows, schema, f"{', '.join(torn)} is cut short", False)
    if torn:
        return Verdict(file, rows, schema, "whole up to a last write that was cut off, as a kill leaves it", True)
    return Verdict(file, rows, schema, "whole", True)


def _schema_fault(name: str, table: pa.Table) -> str:
    wanted = table_schema(name)
    for field in table.schema:
        if field.name in wanted.names and field.type != wanted.field(field.name).type:
            return f"column {field.name!r} holds {field.type}; accepted: {wanted.field(field.name).type}"
        if field.name not in wanted.names and (name not in OPEN_TABLES or str(field.type) != "double"):
            return f"column {field.name!r} is not part of schema {SCHEMA}"
    return ""


def _missing_rows(table: pa.Table) -> str:
    import numpy as np

    numbers = table.column("row").to_numpy()
    if len(numbers) == 0 or int(numbers[-1]) == len(numbers) - 1:
        return ""
    gap = int(np.argmax(np.diff(numbers, prepend=-1) > 1))
    before = int(numbers[gap - 1]) + 1 if gap else 0
    return f"rows {before} to {int(numbers[gap]) - 1} are missing"


def _counted(run: Run) -> dict[str, int]:
    """The most rows of each table that a checkpoint noted: all of them were on the disk by then."""
    most: dict[str, int] = {}
    with suppress(RunError):
        for event in run.events():
            if event.get("kind") == "checkpoint" and isinstance(event.get("rows"), dict):
                most |= {name: max(rows, most.get(name, 0)) for name, rows in event["rows"].items() if isinstance(rows, int)}
    return most


def _file(run: Path, name: str, entries: list[dict[str, Any]]) -> Verdict:
    path = inside(run, *name.split("/"))
    try:
        size = hold_regular(path).stat().st_size
    except FileNotFoundError:
        return Verdict(name, None, "", "missing", False)
    if all(size != entry.get("bytes") for entry in entries):
        wanted = entries[-1].get("bytes")
        return Verdict(name, None, "", f"cut short or changed: {size} bytes of {wanted}", False)
    found = sha256_of(path)
    if all(found != entry.get("sha256") for entry in entries):
        return Verdict(name, None, "", "its content changed: the SHA-256 is not the one of the manifest", False)
    fault = _safetensors_fault(path)
    return Verdict(name, None, "", fault or "whole", not fault)


def _safetensors_fault(path: Path) -> str:
    if path.suffix != ".safetensors":
        return ""
    from safetensors import safe_open

    try:
        with safe_open(hold_regular(path), "np") as file:
            file.keys()
            about = dict(file.metadata() or {})
    except Exception as error:
        return f"cannot be opened as safetensors ({said(error, 100)})"
    return foreign(path.parent.name, path.stem, about)


def _stray(run: Path, name: str) -> Verdict:
    if name.endswith(".tmp"):
        return Verdict(name, None, "", "left by a write that was cut off; it may be deleted", True)
    fault = _safetensors_fault(inside(run, *name.split("/")))
    return Verdict(name, None, "", fault or "can be opened; the manifest does not list it", not fault)


def _sentence(error: Exception, file: str) -> str:
    return (said(error, 300) if isinstance(error, OSError) else " ".join(str(error).split())[:300] or type(error).__name__).removeprefix(
        f"{file}: "
    )
