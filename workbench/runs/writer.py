"""RunWriter: the one process that writes a run folder.

Rows are kept in a list and flushed every 500 rows of a table or 2 s, whichever is first, to Arrow streams that survive a
kill. Other files are written whole or not at all. Where the disk fails, logging stops with one warning and training goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from workbench.runs import files
from workbench.runs.compact import compact
from workbench.runs.schema import (
    COLUMNS,
    FINAL,
    FOLDERS,
    OPEN_TABLES,
    SCHEMA,
    RunError,
    RunFile,
    SchemaError,
    parse_run,
    parse_summary,
    table_schema,
)
from workbench.runs.stream import Segment, make_batch, next_segment

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Weights = Mapping[str, np.ndarray] | Callable[[Path], Any]

LOGGER = logging.getLogger(__name__)
FLUSH_ROWS = 500
FLUSH_SECONDS = 2.0

README = """\
A run of the LSEBMCL workbench. Nothing in it needs that program to be opened.
run.json, summary.json       what was run and how it ended; config.yaml holds every setting
events.jsonl, log.txt        what happened when; one JSON object a line
NAME.parquet                 a table of a finished run:  pandas.read_parquet("metrics.parquet")
NAME/seg-*.arrows            the same while it runs:     pyarrow.ipc.open_stream(FILE).read_all()
                             (several: read in order; of rows with the same `row`, the first counts)
  eval                       kind (generated: the model answered; teacher_forced: it read on), eval_task, score (0 to 100)
  predictions                uid (which example), prediction (what the model answered), score (0 to 1)
  references                 not here: workbench.tasks.load_stream(stream), `stream` of run.json, gives tasks whose train, validation
                             and test hold examples with uid, context, question, answers
                             (bundled streams without the program: data/streams/STREAM/TASK.jsonl, [context, question, answers, ...]
                             a line: all of train, then validation, then test, as many as manifest.json counts; the uid is
                             TASK-SPLIT-NUMBER, numbered from 0 in each split)
chains latents weights       safetensors.numpy.load_file(FILE); safetensors.safe_open(FILE, "np").metadata()
ratings/NAME.jsonl           what a person judged, one JSON object a line
manifest.jsonl               SHA-256 of every finished file; `workbench check RUN` compares
state/                       what `workbench resume RUN` needs; may be deleted once the run is finished
"""


class _Table:
    __slots__ = ("known", "names", "rows", "schema", "segment", "start")

    def __init__(self, name: str, start: int) -> None:
        self.names = tuple(COLUMNS[name])
        self.known = frozenset(self.names)
        self.schema: pa.Schema = table_schema(name)
        self.rows: list[dict[str, Any]] = []
        self.start = start  # number of the first row of `rows`
        self.segment: Segment | None = None


class RunWriter:
    """Made by `create` or `reopen`; ended by `finish` or `close`."""

    def __init__(self, path: Path, lock: FileLock, info: RunFile, rows: Mapping[str, int]) -> None:
        self.path = path
        self.broken = False
        self.handler: logging.Handler = _LogFile(self)
        self._lock = lock
        self._info = info
        self._summary: dict[str, Any] = {}
        self._tables = {name: _Table(name, int(rows.get(name, 0))) for name in COLUMNS}
        self._flushed = time.monotonic()

    # -- beginning ---------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, root: Path, config_yaml: str, info: Mapping[str, Any], when: datetime | None = None) -> RunWriter:
        """A new folder YYYYMMDD-HHMMSS_label[_name]_sSEED under `root` (UTC), never one that exists.

        `info` holds fields of run.json (label, name, stream, stream_hash, tasks, order, seed, gamma, group_hash, versions,
        device, git_commit, parent, demo). Raises SchemaError for a wrong type, OSError or RunError where nothing can be written.
        """
        now = when or datetime.now(UTC)
        values = {"label": "run", "name": "", "seed": 0, **info}
        parts = [f"{now:%Y%m%d-%H%M%S}", files.slug(values["label"]) or "run", files.slug(values["name"]), f"s{values['seed']}"]
        path = _new_folder(Path(root), "_".join(part for part in parts if part))
        config = config_yaml.encode("utf-8")
        stamp = now.isoformat(timespec="seconds")
        own = {"id": path.name, "schema": SCHEMA, "created": stamp, "updated": stamp, "status": "running"}
        run = parse_run({**values, **own, "config_hash": hashlib.sha256(config).hexdigest(), "tables": []})
        writer = cls(path, _locked(path), run, {})
        writer._write_info()
        writer.save("config.yaml", lambda temporary: files.write_bytes(temporary, config))
        writer.save("README.txt", lambda temporary: files.write_bytes(temporary, README.encode()))
        writer.event("started", tasks=run.tasks, seed=run.seed)
        return writer._begun()

    @classmethod
    def reopen(cls, path: Path, rows: Mapping[str, int]) -> RunWriter:
        """Go on with a run whose writer has ended; `rows` are the `row_counts` of the checkpoint that is resumed from.

        Rows flushed after that checkpoint stay; those written again carry the same numbers, and readers keep the first.
        Raises RunError where another process writes the run, its run.json cannot be used or nothing can be written.
        """
        path = Path(path)
        try:
            values = json.loads((path / "run.json").read_bytes())
        except FileNotFoundError:
            raise RunError(f"{path.name}: no run.json, so this is no run folder") from None
        except ValueError:
            raise RunError(f"{path.name}/run.json: not JSON") from None
        run = parse_run(values)
        if unknown := set(rows) - set(COLUMNS):
            raise SchemaError(f"rows: unknown table {sorted(unknown)[0]!r}; accepted: {', '.join(COLUMNS)}")
        writer = cls(path, _locked(path), run, rows)
        for leftover in path.rglob("*.tmp"):
            leftover.unlink(missing_ok=True)
        for name in ("events.jsonl", "manifest.jsonl"):
            files.mend_lines(path / name)
        with suppress(FileNotFoundError, ValueError):
            writer._summary = json.loads((path / "summary.json").read_bytes())
        run.status = "running"
        writer._write_info()
        writer.event("resumed", rows=dict(rows))
        return writer._begun()

    def _begun(self) -> RunWriter:
        if self.broken:
            self._lock.release()
            raise RunError(f"{self.path.name}: the run folder cannot be written (disk full, or not allowed), so the run is not begun")
        return self

    # -- tables ------------------------------------------------------------------------------------------------------

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Add one row; columns not given are null. Raises SchemaError for an unknown table or column, never for the disk."""
        try:
            buffer = self._tables[table]
        except KeyError:
            raise SchemaError(f"table {table!r} is unknown; accepted: {', '.join(COLUMNS)}") from None
        if not buffer.known.issuperset(row):
            self._widen(table, buffer, row)
        buffer.rows.append(dict(row))
        if len(buffer.rows) >= FLUSH_ROWS:
            self._flush_table(table, buffer)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self, sync: bool = False) -> None:
        """Hand all rows to the operating system, with `sync` to the disk, and show that the run lives (mtime of run.json)."""
        for name, buffer in self._tables.items():
            self._flush_table(name, buffer)
            if sync and buffer.segment and not self.broken:
                self._guard(f"table {name}", buffer.segment.sync)
        self._flushed = time.monotonic()
        self._guard("run.json", lambda: os.utime(self.path / "run.json"))

    def row_counts(self) -> dict[str, int]:
        """Rows of each table so far, all flushed and synced first: what a checkpoint stores and `reopen` needs."""
        self.flush(sync=True)
        return {name: buffer.start for name, buffer in self._tables.items()}

    def checkpoint(self, **fields: Any) -> dict[str, int]:
        """`row_counts`, also noted as an event: `workbench check` holds the tables to it."""
        rows = self.row_counts()
        if not self.broken:
            self.event("checkpoint", rows=rows, **fields)
        return rows

    def _widen(self, table: str, buffer: _Table, row: Mapping[str, Any]) -> None:
        fresh = tuple(name for name in row if name not in buffer.known)
        if table not in OPEN_TABLES or "row" in fresh or not all(isinstance(name, str) for name in fresh):
            raise SchemaError(f"{table}: unknown column {fresh[0]!r}; accepted: {', '.join(buffer.names)}")
        self._flush_table(table, buffer)
        if buffer.segment:
            self._guard(f"table {table}", buffer.segment.close)
            buffer.segment = None
        buffer.names += fresh
        buffer.known = frozenset(buffer.names)
        buffer.schema = table_schema(table, buffer.names[len(COLUMNS[table]) :])

    def _flush_table(self, name: str, buffer: _Table) -> None:
        if not buffer.rows:
            return
        if not self.broken:
            try:
                batch = make_batch(name, buffer.schema, buffer.rows, buffer.start)
                if buffer.segment is None:
                    buffer.segment = Segment(next_segment(self.path / name), buffer.schema)
                buffer.segment.write(batch)
            except OSError as error:
                self._fault(f"table {name}", error)
            except SchemaError:
                buffer.start, buffer.rows = buffer.start + len(buffer.rows), []  # else no later flush could end well
                raise
        buffer.start, buffer.rows = buffer.start + len(buffer.rows), []

    # -- files -------------------------------------------------------------------------------------------------------

    def save(self, relative: str, write: Callable[[Path], Any]) -> bool:
        """Make RUN/relative through `write(temporary path)`, atomically, and note its SHA-256. False where the disk refused.

        For what another library saves: `writer.save("state/last.pt", lambda path: torch.save(state, path))`.
        Also tried after logging has stopped: a checkpoint may still find room. Costs one read of the file for the hash.
        """
        target = self._inside(relative)
        try:
            known = target.exists()
            with files.atomic_path(target) as temporary:
                write(temporary)
                entry = files.json_line({"file": relative, "bytes": temporary.stat().st_size, "sha256": files.sha256_of(temporary)})
                if known:  # noted before it is replaced: whichever of the two a kill leaves, the manifest knows it
                    files.append_text(self.path / "manifest.jsonl", entry)
            if not known:
                files.append_text(self.path / "manifest.jsonl", entry)
        except Exception as error:
            if not files.is_disk_fault(error):
                raise
            self._fault(relative, error)
            return False
        return True

    def arrays(self, folder: str, name: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> bool:
        """Write RUN/folder/name.safetensors. Metadata that is no text is stored as JSON. False where the disk refused."""
        import numpy as np
        from safetensors.numpy import save

        if folder not in FOLDERS:
            raise RunError(f"folder {folder!r} is unknown; accepted: {', '.join(FOLDERS)}")
        words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
        data = save({key: np.ascontiguousarray(value) for key, value in arrays.items()}, words or None)
        return self.save(f"{folder}/{files.slug(name)}.safetensors", lambda path: files.write_bytes(path, data))

    def weights(self, name: str, state: Weights, metadata: Mapping[str, Any] | None = None) -> bool:
        """Write RUN/weights/name.safetensors from numpy arrays, or through a callback that saves to the path it is given."""
        if callable(state):
            return self.save(f"weights/{files.slug(name)}.safetensors", state)
        return self.arrays("weights", name, state, metadata)

    def remove(self, relative: str) -> None:
        """Delete a file that is no longer kept, and say so in the manifest. One that is not there is left alone."""
        target = self._inside(relative)
        if target.exists():
            entry = files.json_line({"file": relative, "removed": True})
            self._guard(relative, lambda: files.append_text(self.path / "manifest.jsonl", entry))
            self._guard(relative, target.unlink)

    def _inside(self, relative: str) -> Path:
        parts = relative.split("/")
        if not 1 <= len(parts) <= 2 or not all(files.is_plain(part) for part in parts):
            raise RunError(f"file {relative[:80]!r}: not inside the run; accepted: NAME or FOLDER/NAME of letters, digits, '.', '_', '-'")
        return self.path.joinpath(*parts)

    def _write_json(self, name: str, values: dict[str, Any]) -> None:
        text = json.dumps(files.plain(values), indent=1, ensure_ascii=False) + "\n"

        def write() -> None:
            with files.atomic_path(self.path / name) as temporary:
                files.write_bytes(temporary, text.encode("utf-8", "replace"))

        self._guard(name, write)

    def _write_info(self) -> None:
        self._info.updated = _now()
        self._write_json("run.json", self._info.model_dump(by_alias=True))

    # -- what happened -----------------------------------------------------------------------------------------------

    def event(self, kind: str, **fields: Any) -> None:
        """One line in events.jsonl ({"time", "kind", ...}) and in log.txt."""
        text = files.json_line({"time": _now(), "kind": kind, **fields})
        self._guard("events.jsonl", lambda: files.append_text(self.path / "events.jsonl", text))
        self.log(f"{kind} {', '.join(f'{key}={value}' for key, value in fields.items())}".rstrip())

    def log(self, message: str) -> None:
        """One line in log.txt. `handler` puts the lines of Python's logging there too."""
        text = f"{_now()} {message}\n"
        self._guard("log.txt", lambda: files.append_text(self.path / "log.txt", text))

    def warn(self, message: str) -> None:
        """A plain sentence a person can act on: through Python's logging and as an event."""
        LOGGER.warning("%s: %s", self.path.name, message)
        self.event("warning", message=message)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Merge values into summary.json, rewritten atomically. Raises SchemaError for a wrong type."""
        merged = {**self._summary, **values}
        self._summary = parse_summary(merged).model_dump(exclude_unset=True)
        self._write_json("summary.json", self._summary)

    # -- end ---------------------------------------------------------------------------------------------------------

    def finish(self, status: str = "finished") -> None:
        """End the run as 'finished' or 'failed': one Parquet a table, checked by row count, then the segments go."""
        if status not in FINAL:
            raise RunError(f"status {status!r}; accepted: {', '.join(FINAL)}")
        self.flush(sync=True)
        self._close_segments()
        for name in self._tables:
            try:
                compact(self.path, name, self.save)
            except OSError as error:
                self._fault(f"table {name}", error)
            except RunError as error:  # its segments stay and can be read
                self.warn(str(error))
        self._info.tables = [name for name in COLUMNS if (self.path / f"{name}.parquet").exists() or (self.path / name).is_dir()]
        # Its checkpoints go once it has ended.
        self.summary({"size_bytes": files.folder_size(self.path, without="state")})
        self.event(status)
        self._info.status = status  # pyright: ignore[reportAttributeAccessIssue]
        self._write_info()
        self._lock.release()

    def close(self) -> None:
        """Flush and let go of the run without ending it: it can be resumed."""
        self.flush(sync=True)
        self._close_segments()
        self._lock.release()

    def _close_segments(self) -> None:
        for name, buffer in self._tables.items():
            if buffer.segment:
                self._guard(f"table {name}", buffer.segment.close)
                buffer.segment = None

    def _guard(self, what: str, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError as error:
            self._fault(what, error)

    def _fault(self, what: str, error: Exception) -> None:
        if self.broken:
            return
        self.broken = True
        reason = getattr(error, "strerror", None) or error
        self.warn(f"{what} could not be written ({reason}); logging stops here, training goes on")


class _LogFile(logging.Handler):
    def __init__(self, writer: RunWriter) -> None:
        super().__init__(logging.INFO)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.log(f"{record.levelname.lower()} {self.format(record)}")


def _new_folder(root: Path, name: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def _locked(path: Path) -> FileLock:
    lock = FileLock(path / "run.lock", thread_local=False)
    try:
        lock.acquire(timeout=1)  # a reader that looks whether the lock is held holds it for an instant
    except Timeout:
        raise RunError(f"{path.name}: another process is writing this run (it holds run.lock); stop it or wait for its end") from None
    return lock


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
