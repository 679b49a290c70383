"""RunWriter: the one process that writes a run folder.

Rows are kept in a list and flushed every 500 rows of a table or 2 s, whichever is first, to Arrow streams that survive a
kill. Other files are written whole or not at all. Where the disk refuses, one warning is given, training goes on, and what could
not be written waits in memory and is tried again (`spool`); what is lacking at the end is said in run.json and by `incomplete`.
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
from workbench.runs.buffer import Buffer
from workbench.runs.compact import compact
from workbench.runs.readme import README
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
from workbench.runs.spool import Spool
from workbench.runs.stream import Segment, make_batch, next_segment

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Weights = Mapping[str, np.ndarray] | Callable[[Path], Any]

LOGGER = logging.getLogger(__name__)
FLUSH_ROWS = 500
FLUSH_SECONDS = 2.0
MOST_ROWS = 100_000
"""Rows of one table that wait in memory while the disk refuses; the oldest go first."""
LAST_TRIES, LAST_PAUSE = 3, 0.2
"""How often the end of a run is tried, and the seconds between."""


class RunWriter:
    """Made by `create` or `reopen`; ended by `finish` or `close`."""

    def __init__(self, path: Path, lock: FileLock, info: RunFile, rows: Mapping[str, int]) -> None:
        self.path = path
        self.handler: logging.Handler = _LogFile(self)
        self._lock = lock
        self._info = info
        self._summary: dict[str, Any] = {}
        self._disk = Spool(path, refused=self.warn, again=lambda: self.event("written_again"))
        self._refused: set[str] = set()
        self._tables = {name: Buffer(name, int(rows.get(name, 0))) for name in COLUMNS}
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
        parts = [f"{now:%Y%m%d-%H%M%S}", files.readable(values["label"]) or "run", files.readable(values["name"]), f"s{values['seed']}"]
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
            values = files.parse_json(files.read_regular(path / "run.json", files.LARGEST_TEXT))
        except FileNotFoundError:
            raise RunError(f"{path.name}: no run.json, so this is no run folder") from None
        except ValueError:
            raise RunError(f"{path.name}/run.json: not JSON") from None
        except OSError as error:
            raise RunError(f"{path.name}/run.json: cannot be read ({error.strerror})") from None
        run = parse_run(values)
        if unknown := set(rows) - set(COLUMNS):
            raise SchemaError(f"rows: unknown table {sorted(unknown)[0]!r}; accepted: {', '.join(COLUMNS)}")
        writer = cls(path, _locked(path), run, rows)
        try:
            for leftover in path.rglob("*.tmp"):
                leftover.unlink(missing_ok=True)
            for name in ("events.jsonl", "manifest.jsonl"):
                files.mend_lines(path / name)
        except OSError as error:
            writer._lock.release()
            raise RunError(f"{path.name}: cannot be gone on with ({error.strerror}: {error.filename or 'a file of the run'})") from None
        with suppress(OSError, ValueError):
            writer._summary = parse_summary(files.parse_json(files.read_regular(path / "summary.json"))).model_dump(exclude_unset=True)
        run.status, run.incomplete = "running", []
        writer._write_info()
        writer.event("resumed", rows=dict(rows))
        return writer._begun()

    def _begun(self) -> RunWriter:
        if self._disk.trouble:
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
        if len(buffer.rows) >= FLUSH_ROWS and self._disk.may():
            self._flush_table(table, buffer)
        if len(buffer.rows) > MOST_ROWS:
            buffer.drop(len(buffer.rows) - MOST_ROWS)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self, sync: bool = False) -> None:
        """Hand all rows to the operating system, with `sync` to the disk, and show that the run lives (mtime of run.json).

        Raises RunError where the folder was moved or removed.
        """
        self._flush(sync, now=sync)

    def _flush(self, sync: bool, now: bool) -> bool:
        """Whether nothing waits any more. `now`: tried even within the pause after a refused write."""
        self._flushed = time.monotonic()
        if not self._disk.may(now):
            return False
        done = [self._flush_table(name, buffer) for name, buffer in self._tables.items()]
        for name, buffer in self._tables.items():
            if sync and buffer.segment:
                done.append(self._disk.attempt(f"table {name}", buffer.segment.sync))
        done.append(self._disk.drain_lines())
        for relative, data in list(self._disk.waiting.items()):
            done.append(self._save_bytes(relative, data))
        done.append(self._disk.attempt("run.json", lambda: os.utime(self.path / "run.json")))
        if all(done):
            self._disk.recovered()
        return all(done)

    def row_counts(self) -> dict[str, int]:
        """Rows of each table so far, all flushed and synced first: what a checkpoint stores and `reopen` needs.

        Rows that wait in memory are counted: a run that is resumed without them has a gap that readers see.
        """
        self.flush(sync=True)
        return {name: buffer.end for name, buffer in self._tables.items()}

    def checkpoint(self, **fields: Any) -> dict[str, int]:
        """`row_counts`, also noted as an event, of the rows on the disk: `workbench check` holds the tables to it."""
        rows = self.row_counts()
        self.event("checkpoint", rows={name: buffer.start - buffer.dropped for name, buffer in self._tables.items()}, **fields)
        return rows

    @property
    def incomplete(self) -> str:
        """What this run did not get onto the disk, as a sentence; nothing where all is there. A run that ends so did not end well."""
        tables = [(name, buffer) for name, buffer in self._tables.items() if buffer.lacking]
        parts = [f"{buffer.lacking:,} of {buffer.end:,} rows of {name}" for name, buffer in tables]
        parts += [f"{count:,} lines of {name}" for name, count in self._disk.unwritten.items() if name != "log.txt"]
        return ", ".join([*parts, *sorted(self._refused)])

    def _widen(self, table: str, buffer: Buffer, row: Mapping[str, Any]) -> None:
        fresh = tuple(name for name in row if name not in buffer.known)
        if table not in OPEN_TABLES or "row" in fresh or not all(isinstance(name, str) for name in fresh):
            raise SchemaError(f"{table}: unknown column {fresh[0]!r}; accepted: {', '.join(buffer.names)}")
        self._flush_table(table, buffer)  # rows that wait go out with the wider ones
        if buffer.segment:
            self._disk.attempt(f"table {table}", buffer.segment.close)
            buffer.segment = None
        buffer.names += fresh
        buffer.known = frozenset(buffer.names)
        buffer.schema = table_schema(table, buffer.names[len(COLUMNS[table]) :])

    def _flush_table(self, name: str, buffer: Buffer) -> bool:
        """Whether no row of the table waits any more. What has waited goes out in parts, which a disk may take where it refuses the whole."""
        while buffer.rows:
            rows = buffer.rows[:FLUSH_ROWS]
            try:
                batch = make_batch(name, buffer.schema, rows, buffer.start)
            except SchemaError:
                buffer.written(len(rows))  # else no later flush could end well
                raise
            if not self._disk.attempt(f"table {name}", lambda batch=batch: self._write(name, buffer, batch)):
                return False
            buffer.written(len(rows))
        return True

    def _write(self, name: str, buffer: Buffer, batch: pa.RecordBatch) -> None:
        if buffer.segment is not None:
            try:
                buffer.segment.write(batch)
                return
            except OSError:
                if not buffer.segment.full:
                    raise
                buffer.segment.abandon()
        buffer.segment = None
        buffer.segment = Segment(next_segment(self.path / name), buffer.schema)
        buffer.segment.write(batch)

    # -- files -------------------------------------------------------------------------------------------------------

    def save(self, relative: str, write: Callable[[Path], Any]) -> bool:
        """Make RUN/relative through `write(temporary path)`, atomically, and note its SHA-256. False where the disk refused.

        For what another library saves: `writer.save("state/last.pt", lambda path: torch.save(state, path))`.
        Also tried after logging has stopped: a checkpoint may still find room. Costs one read of the file for the hash.
        """
        done = self._store(relative, write)
        self._disk.waiting.pop(relative, None)
        if not done and not relative.startswith("state/"):  # checkpoints: the older one stays
            self._refused.add(relative)
        return done

    def _store(self, relative: str, write: Callable[[Path], Any]) -> bool:
        target = self._inside(relative)
        self._disk.hold()
        for last in (True,) if self._disk.trouble else (False, True):
            try:
                known = target.exists()
                with files.atomic_path(target) as temporary:
                    write(temporary)
                    entry = files.json_line({"file": relative, "bytes": temporary.stat().st_size, "sha256": files.sha256_of(temporary)})
                    if known:  # noted before it is replaced: whichever of the two a kill leaves, the manifest knows it
                        self._disk.line("manifest.jsonl", entry)
                if not known:
                    self._disk.line("manifest.jsonl", entry)
            except Exception as error:
                if not files.is_disk_fault(error):
                    raise
                if last:
                    self._disk.fault(relative, error)
            else:
                self._refused.discard(relative)
                return True
        return False

    def _save_bytes(self, relative: str, data: bytes) -> bool:
        if self.save(relative, lambda path: files.write_bytes(path, data)):
            return True
        if self._disk.keep(relative, data):
            self._refused.add(relative)
        return False

    def arrays(self, folder: str, name: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> bool:
        """Write RUN/folder/name.safetensors. Metadata that is no text is stored as JSON. False where the disk refused."""
        import numpy as np
        from safetensors.numpy import save

        if folder not in FOLDERS:
            raise RunError(f"folder {folder!r} is unknown; accepted: {', '.join(FOLDERS)}")
        words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
        data = save({key: np.ascontiguousarray(value) for key, value in arrays.items()}, words or None)
        relative = f"{folder}/{files.slug(name)}.safetensors"
        self._hold_to_task(relative, words.get("task"))
        return self._save_bytes(relative, data)

    def _hold_to_task(self, relative: str, task: str | None) -> None:
        """Raises RunError where another task's arrays are in that file: one of the two would be lost."""
        from safetensors import SafetensorError, safe_open

        if task is None or not (self.path / relative).is_file():
            return
        found = task
        with suppress(SafetensorError, OSError, ValueError), safe_open(self.path / relative, "np") as file:
            found = (file.metadata() or {}).get("task", task)
        if found != task:
            raise RunError(
                f"{relative}: holds the arrays of task {found[:80]!r}, not of {task[:80]!r}; accepted: names that lead to a file each"
            )

    def weights(self, name: str, state: Weights, metadata: Mapping[str, Any] | None = None) -> bool:
        """Write RUN/weights/name.safetensors from numpy arrays, or through a callback that saves to the path it is given."""
        if callable(state):
            return self.save(f"weights/{files.slug(name)}.safetensors", state)
        return self.arrays("weights", name, state, metadata)

    def remove(self, relative: str) -> None:
        """Delete a file that is no longer kept, and say so in the manifest. One that is not there is left alone."""
        target = self._inside(relative)
        self._disk.waiting.pop(relative, None)
        self._refused.discard(relative)
        if target.exists():
            entry = files.json_line({"file": relative, "removed": True})
            self._disk.line("manifest.jsonl", entry)
            self._disk.attempt(relative, target.unlink)

    def _inside(self, relative: str) -> Path:
        parts = relative.split("/")
        if not 1 <= len(parts) <= 2 or not all(files.is_plain(part) for part in parts):
            raise RunError(f"file {relative[:80]!r}: not inside the run; accepted: NAME or FOLDER/NAME of letters, digits, '.', '_', '-'")
        return self.path.joinpath(*parts)

    def _write_json(self, name: str, values: dict[str, Any]) -> bool:
        data = (json.dumps(files.plain(values), indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        return self._save_bytes(name, data)

    def _write_info(self) -> bool:
        self._info.updated = _now()
        return self._write_json("run.json", self._info.model_dump(by_alias=True))

    # -- what happened -----------------------------------------------------------------------------------------------

    def event(self, kind: str, **fields: Any) -> None:
        """One line in events.jsonl ({"time", "kind", ...}) and in log.txt."""
        text = files.json_line({"time": _now(), "kind": kind, **fields})
        if self._disk.gone:  # said where it was found; a run that ends for that reason has nowhere to say it
            return
        self._disk.line("events.jsonl", text)
        self.log(f"{kind} {', '.join(f'{key}={value}' for key, value in fields.items())}".rstrip())

    def log(self, message: str) -> None:
        """One line in log.txt. `handler` puts the lines of Python's logging there too."""
        text = f"{_now()} {message}\n"
        if not self._disk.gone:
            self._disk.line("log.txt", text)

    def warn(self, message: str) -> None:
        """A plain sentence a person can act on: through Python's logging and as an event."""
        LOGGER.warning("%s: %s", self.path.name, message)
        self.event("warning", message=message)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Merge values into summary.json, rewritten atomically. Raises SchemaError for a wrong type."""
        merged = files.plain({**self._summary, **values})
        self._summary = parse_summary(merged).model_dump(exclude_unset=True)
        self._write_json("summary.json", self._summary)

    # -- end ---------------------------------------------------------------------------------------------------------

    def finish(self, status: str = "finished") -> None:
        """End the run as 'finished' or 'failed': one Parquet a table, checked by row count, then the segments go."""
        if status not in FINAL:
            raise RunError(f"status {status!r}; accepted: {', '.join(FINAL)}")
        if self._disk.gone:
            self._lock.release()
            return
        self._last_flush()
        self._close_segments()
        for name, buffer in self._tables.items():
            try:
                buffer.found = compact(self.path, name, self._store)
            except OSError as error:
                self._disk.fault(f"table {name}", error)
            except RunError as error:  # its segments stay and can be read
                self.warn(str(error))
        self._info.tables = [name for name in COLUMNS if (self.path / f"{name}.parquet").exists() or (self.path / name).is_dir()]
        self._info.rows = {name: buffer.end for name, buffer in self._tables.items() if buffer.end}
        # Its checkpoints go once it has ended.
        self.summary({"size_bytes": files.folder_size(self.path, without="state")})
        self._last_flush()
        lacking = self.incomplete
        if lacking:
            self.warn(f"ends incomplete, the disk refused {lacking}")
        self.event(status, **({"incomplete": lacking} if lacking else {}))
        self._info.status, self._info.incomplete = status, [lacking] if lacking else []  # pyright: ignore[reportAttributeAccessIssue]
        self._write_info()
        self._last_flush()
        self._lock.release()

    def close(self) -> None:
        """Flush and let go of the run without ending it: it can be resumed."""
        if not self._disk.gone:
            self._last_flush()
            self._close_segments()
        self._lock.release()

    def _last_flush(self) -> None:
        for tried in range(LAST_TRIES):
            if tried:
                time.sleep(LAST_PAUSE)
            if self._flush(sync=True, now=True):
                return

    def _close_segments(self) -> None:
        for name, buffer in self._tables.items():
            if buffer.segment:
                self._disk.attempt(f"table {name}", buffer.segment.close)
                buffer.segment = None


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
