"""check_run: is everything in a run folder whole, readable and as it was written? One plain sentence a file.

Also for runs that are being written or were killed: there a torn last write is normal, a row that a checkpoint counted and
that cannot be read is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workbench.runs.compact import load_table
from workbench.runs.files import read_lines, sha256_of
from workbench.runs.reader import Run
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


def check_run(path: Path) -> list[Verdict]:
    """One verdict a file or table of the run. All `ok`: the run can be trusted as far as its own records tell."""
    run = Run(path)
    try:
        info = run.info
    except (RunError, OSError) as error:
        return [Verdict("run.json", None, "", _sentence(error, "run.json"), False)]
    status = run.status
    manifest, manifest_verdict = _manifest(run.path)
    verdicts = [Verdict("run.json", None, str(info.schema_version), f"whole; the run is {status}", True), _config(run, info)]
    verdicts += [manifest_verdict, _summary(run, status), _events(run, status)]
    counted = _counted(run)
    expected = [name for name in COLUMNS if name in info.tables or counted.get(name) or _has_files(run, name)]
    verdicts += [_table(run, name, info, status, manifest, counted.get(name, 0)) for name in expected]
    others = {name: entries for name, entries in manifest.items() if name != "config.yaml" and not name.endswith(".parquet")}
    verdicts += [_file(run.path, name, entries) for name, entries in others.items()]
    verdicts += [_stray(run.path, name) for name in _unlisted(run.path, manifest)]
    verdicts += [_ratings(path) for path in sorted((run.path / "ratings").glob("*.jsonl"))]
    return verdicts


def hold_to_manifest(path: Path, *names: str) -> None:
    """Raises RunError where one of these files is not as the run wrote it. A file that the manifest does not list is let pass."""
    manifest, _ = _manifest(path)
    for name in names:
        if name in manifest and not (found := _file(path, name, manifest[name])).ok:
            raise RunError(f"{path.name}/{name}: {found.verdict}; see `workbench check {path.name}`")


def warning(path: Path) -> str:
    """One sentence where the configuration or a table of a run is not as the run wrote it, else nothing. Hashes these files."""
    run = Run(path)
    manifest, _ = _manifest(run.path)
    verdicts = [_config(run, run.info)]
    verdicts += [_file(run.path, name, entries) for name, entries in manifest.items() if name.endswith(".parquet")]
    names = [verdict.file for verdict in verdicts if not verdict.ok]
    differ = "differs" if len(names) == 1 else "differ"
    return f"{run.name}: {', '.join(names)} {differ} from what the run wrote; see `workbench check {run.name}`" if names else ""


def _config(run: Run, info: RunFile) -> Verdict:
    try:
        data = (run.path / "config.yaml").read_bytes()
        yaml.safe_load(data)
    except FileNotFoundError:
        return Verdict("config.yaml", None, "", "missing", False)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return Verdict("config.yaml", None, "", "cannot be read as YAML: it was changed after the run began", False)
    if info.config_hash and hashlib.sha256(data).hexdigest() != info.config_hash:
        return Verdict("config.yaml", None, "", "changed after the run began: its SHA-256 is not the config_hash of run.json", False)
    return Verdict("config.yaml", None, "", "whole", True)


def _manifest(run: Path) -> tuple[Manifest, Verdict]:
    """File name -> its entries (more than one where it was replaced), without the removed ones."""
    entries: Manifest = {}
    lines, bad = 0, 0
    for number, values, complete in read_lines(run / "manifest.jsonl"):
        lines += 1
        if values is None or not isinstance(values.get("file"), str) or ".." in values["file"].split("/") or values["file"].startswith("/"):
            bad = bad or (number if complete else 0)
        elif values.get("removed"):
            entries.pop(values["file"], None)
        else:
            entries.setdefault(values["file"], []).append(values)
    if not lines:
        return entries, Verdict("manifest.jsonl", None, "", "missing or empty: the files cannot be compared with what was written", False)
    return entries, Verdict("manifest.jsonl", lines, "", f"line {bad} is no entry" if bad else "whole", not bad)


def _summary(run: Run, status: str) -> Verdict:
    if not (run.path / "summary.json").exists():
        late = status in FINAL
        return Verdict("summary.json", None, "", "missing" if late else "not written yet", not late)
    try:
        _ = run.summary
    except RunError as error:
        return Verdict("summary.json", None, "", _sentence(error, "summary.json"), False)
    return Verdict("summary.json", None, "", "whole", True)


def _events(run: Run, status: str) -> Verdict:
    if not (run.path / "events.jsonl").exists():
        return Verdict("events.jsonl", None, "", "missing", False)
    return _lines(run.path / "events.jsonl", "events.jsonl", status not in FINAL, _parse_event)


def _ratings(path: Path) -> Verdict:
    return _lines(path, f"ratings/{path.name}", False, parse_rating)


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
    return (run.path / f"{name}.parquet").exists() or (run.path / name).is_dir()


def _table(run: Run, name: str, info: RunFile, status: str, manifest: Manifest, counted: int) -> Verdict:
    parquet = run.path / f"{name}.parquet"
    segments = segment_paths(run.path / name)
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
    for event in run.events():
        if event.get("kind") == "checkpoint" and isinstance(event.get("rows"), dict):
            most |= {name: max(rows, most.get(name, 0)) for name, rows in event["rows"].items() if isinstance(rows, int)}
    return most


def _file(run: Path, name: str, entries: list[dict[str, Any]]) -> Verdict:
    path = run / name
    if not path.is_file():
        return Verdict(name, None, "", "missing", False)
    size = path.stat().st_size
    if all(size != entry.get("bytes") for entry in entries):
        wanted = entries[-1].get("bytes")
        return Verdict(name, None, "", f"cut short or changed: {size} bytes of {wanted}", False)
    try:
        found = sha256_of(path)
    except OSError as error:
        return Verdict(name, None, "", f"cannot be read ({error.strerror})", False)
    if all(found != entry.get("sha256") for entry in entries):
        return Verdict(name, None, "", "its content changed: the SHA-256 is not the one of the manifest", False)
    fault = _safetensors_fault(path)
    return Verdict(name, None, "", fault or "whole", not fault)


def _safetensors_fault(path: Path) -> str:
    if path.suffix != ".safetensors":
        return ""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            file.keys()
    except (SafetensorError, OSError, ValueError) as error:
        return f"cannot be opened as safetensors ({str(error)[:100]})"
    return ""


def _unlisted(run: Path, manifest: dict[str, Any]) -> Iterator[str]:
    for folder in (*FOLDERS, "state"):
        for path in sorted((run / folder).glob("*")):
            if (name := f"{folder}/{path.name}") not in manifest:
                yield name


def _stray(run: Path, name: str) -> Verdict:
    if name.endswith(".tmp"):
        return Verdict(name, None, "", "left by a write that was cut off; it may be deleted", True)
    fault = _safetensors_fault(run / name)
    return Verdict(name, None, "", fault or "can be opened; the manifest does not list it", not fault)


def _sentence(error: Exception, file: str) -> str:
    return str(error).removeprefix(f"{file}: ")
