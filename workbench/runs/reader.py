"""Reading run folders: a cheap list of them, and one run with its tables, arrays and events. Nothing here writes.

Text from outside (a link, a command line) is compared with the names that exist and never joined to a path.
"""

from __future__ import annotations

import difflib
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runs.compact import load_table
from workbench.runs.files import LARGEST_TEXT, hold_regular, listed, parse_json, parse_yaml, read_lines, read_regular, readable, said, slug
from workbench.runs.schema import COLUMNS, FINAL, FOLDERS, RunError, RunFile, Status, Summary, parse_run, parse_summary
from workbench.runs.stream import segment_paths

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

HEARTBEAT_SECONDS = 60.0
ENDS = ("finished", "failed", "interrupted")
"""Events after which a writer lets go of its run."""


@dataclass(frozen=True)
class RunInfo:
    """One line of the list of runs. `error` is a sentence, and `info` None, where the run cannot be read (status 'broken')."""

    name: str
    path: Path
    status: Status
    info: RunFile | None
    summary: Summary = field(default_factory=Summary)
    last_written: float | None = None
    error: str = ""


class Run:
    """One run folder. Files are read when asked for; each `table` call sees what was flushed by then."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self._tables: dict[str, tuple[Any, pa.Table]] = {}

    def __repr__(self) -> str:
        return f"Run({self.name!r})"

    @property
    def info(self) -> RunFile:
        """run.json as it is now. Raises RunError, SchemaError (written by a newer version)."""
        return _read_run(self.path)

    @property
    def summary(self) -> Summary:
        """summary.json as it is now, empty where there is none yet. Raises RunError."""
        return _read_summary(self.path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml as plain values. Raises RunError."""
        try:
            values = parse_yaml(read_regular(inside(self.path, "config.yaml"), LARGEST_TEXT))
        except (OSError, ValueError) as error:
            raise RunError(f"config.yaml: cannot be read ({said(error)})") from None
        if not isinstance(values, dict):
            raise RunError(f"config.yaml: found a {type(values).__name__}; accepted: a mapping")
        return values

    @property
    def status(self) -> Status:
        """Derived: finished or failed as the writer said; running while the writer holds the lock (where locks say nothing: wrote within
        60 s); interrupted where it was stopped by hand; else crashed.
        """
        try:
            return _status(self.path, self.info)
        except RunError:
            return "broken"

    @property
    def last_written(self) -> float | None:
        """Seconds since the writer last showed that it lives, None where there is no run.json."""
        return _age(self.path)

    def arrow(self, name: str) -> pa.Table:
        """A table with each row number once, in order; empty with its columns where nothing was recorded. Raises RunError."""
        if name not in COLUMNS:
            raise RunError(f"table {name!r} is unknown; accepted: {', '.join(COLUMNS)}")
        signature = self._signature(name)
        kept = self._tables.get(name)
        if kept is None or kept[0] != signature:
            try:
                kept = (signature, load_table(self.path, name))
            except FileNotFoundError:  # the run was finishing: its segments have just become one Parquet file
                kept = (self._signature(name), load_table(self.path, name))
            self._tables[name] = kept
        return kept[1]

    def table(self, name: str) -> pd.DataFrame:
        """`arrow` as a new pandas frame."""
        return self.arrow(name).to_pandas()

    def tail(self, name: str, since: int = 0) -> pd.DataFrame:
        """Rows numbered `since` and above: pass the last `row` seen plus one."""
        table = self.arrow(name)
        return table.slice(int(table.column("row").to_numpy().searchsorted(since))).to_pandas()

    def table_names(self) -> list[str]:
        """Tables that hold something."""
        return [name for name in COLUMNS if (self.path / f"{name}.parquet").exists() or segment_paths(self.path / name)]

    def array_names(self, folder: str) -> list[str]:
        """Names of the safetensors files of chains, latents or weights, sorted."""
        if folder not in FOLDERS:
            raise RunError(f"folder {folder!r} is unknown; accepted: {', '.join(FOLDERS)}")
        try:
            return [path.stem for path in listed(inside(self.path, folder), ".safetensors")]
        except OSError as error:
            raise RunError(f"{folder}: cannot be read ({said(error)})") from None

    def arrays(self, folder: str, name: str) -> dict[str, np.ndarray]:
        """All arrays of one file. Raises RunError, also for a file that another task's chains were put in the place of."""
        from safetensors.numpy import load_file

        path = self._array_path(folder, name)
        if fault := foreign(folder, name, self.metadata(folder, name)):
            raise RunError(f"{folder}/{path.name}: {fault}")
        try:
            return load_file(path)
        except Exception as error:  # a damaged header makes the library raise nearly anything
            raise RunError(f"{folder}/{path.name}: cannot be read, it is cut short or damaged ({said(error)})") from None

    def metadata(self, folder: str, name: str) -> dict[str, str]:
        """The text metadata of one file. Raises RunError."""
        from safetensors import safe_open

        path = self._array_path(folder, name)
        try:
            with safe_open(hold_regular(path), "np") as file:
                return dict(file.metadata() or {})
        except Exception as error:
            raise RunError(f"{folder}/{path.name}: cannot be read, it is cut short or damaged ({said(error)})") from None

    def events(self) -> list[dict[str, Any]]:
        """{"time", "kind", ...} in order; an unfinished last line is left out. Raises RunError."""
        try:
            return [values for _, values, _ in read_lines(inside(self.path, "events.jsonl")) if values is not None]
        except OSError as error:
            raise RunError(f"events.jsonl: cannot be read ({said(error)})") from None

    def _array_path(self, folder: str, name: str) -> Path:
        known = self.array_names(folder)
        if name not in known:
            raise RunError(f"{folder}: no file named {str(name)[:80]!r}{_nearest(str(name), known)}")
        return inside(self.path, folder, f"{name}.safetensors")

    def _signature(self, name: str) -> tuple[tuple[str, int, int], ...]:
        found = []
        for path in [self.path / f"{name}.parquet", *segment_paths(self.path / name)]:
            if path.exists():
                stat = inside(self.path, *path.relative_to(self.path).parts).stat()
                found.append((path.name, stat.st_size, stat.st_mtime_ns))
        return tuple(found)


def list_runs(root: Path) -> list[RunInfo]:
    """Every run folder under `root`, newest first. Reads run.json and summary.json only; never raises for one bad run."""
    return [_read_info(path) for path in _run_folders(Path(root))]


def unlisted(root: Path) -> list[str]:
    """One sentence for each kind of run under `root` that `list_runs` leaves out, and how to get at it."""
    root = Path(root)
    if (root / "run.json").is_file():
        return []
    linked, deeper = [], []
    for entry in _entries(root):
        if _is_run(entry):
            linked += [] if _leads_inside(entry, root) else [entry.name]
        elif not entry.is_symlink():
            with suppress(RunError):
                deeper += [entry.name] if any(_is_run(below) for below in _entries(entry)) else []
    sentences = []
    if linked:
        sentences.append(
            f"{len(linked)} runs are links that lead out of {root} and are not followed ({_few(linked)}); accepted: --runs with the folder that holds them"
        )
    if deeper:
        sentences.append(f"{len(deeper)} folders in {root} hold runs of their own ({_few(deeper)}); accepted: --runs {root / deeper[0]}")
    return sentences


def _few(names: list[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def find_run(root: Path, name: str) -> Run:
    """The run of that name, or the only one whose name begins so, or ends so or has it as the short name it was given. Raises RunError
    with the nearest names.
    """
    folders = {path.name: path for path in _run_folders(Path(root))}
    if name in folders:
        return Run(folders[name])
    begin = [known for known in folders if name and known.startswith(name)]
    end = [known for known in folders if name and re.search(rf"[_-]{re.escape(name)}(_s\d+)?(-\d+)?$", known)]
    for close, how in ((begin, "begin with"), (end, "end with or are named")):
        if len(close) == 1:
            return Run(folders[close[0]])
        if close:
            raise RunError(f"{len(close)} runs {how} {name[:80]!r}: {', '.join(close[:5])}{' ...' if len(close) > 5 else ''}")
    raise RunError(f"no run named {name[:80]!r} under {Path(root).resolve().name}{_nearest(name, list(folders))}")


def _run_folders(root: Path) -> list[Path]:
    """The runs in a folder; of a folder that is itself a run, that one."""
    if (root / "run.json").is_file():
        return [root if root.name else root.absolute()]
    kept = [path for path in _entries(root) if _is_run(path) and (not path.is_symlink() or _leads_inside(path, root))]
    return sorted(kept, key=lambda path: path.name, reverse=True)


def _is_run(path: Path) -> bool:
    return any(os.path.lexists(path / name) for name in ("run.json", "config.yaml"))


def _entries(root: Path) -> list[Path]:
    """The folders in a folder but hidden ones. Raises RunError where it cannot be read."""
    try:
        with os.scandir(root) as entries:
            return [root / entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(f"{root}: cannot be read ({said(error)})") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _read_info(path: Path) -> RunInfo:
    """The line of one run; whatever is wrong with it, the lines beside it stand."""
    name, age = path.name or path.resolve().name, _age(path)
    try:
        info = _read_run(path)
        status = _status(path, info)
    except Exception as error:
        return RunInfo(name, path, "broken", None, last_written=age, error=said(error))
    try:
        return RunInfo(name, path, status, info, _read_summary(path), age)
    except Exception as error:
        return RunInfo(name, path, status, info, last_written=age, error=said(error))


def _read_run(run: Path) -> RunFile:
    values = _read_json(run, "run.json")
    if values is None:
        raise RunError("run.json: missing")
    return parse_run(values)


def _read_summary(run: Path) -> Summary:
    values = _read_json(run, "summary.json")
    return Summary() if values is None else parse_summary(values)


def _read_json(run: Path, name: str) -> Any:
    """The content of a JSON file, None where there is no such file."""
    path = run / name
    if path.is_symlink():
        path = inside(run, name)
    try:
        return parse_json(read_regular(path, LARGEST_TEXT))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{name}: cannot be read ({said(error)})") from None
    except ValueError as error:
        raise RunError(f"{name}: not JSON ({said(error)})") from None


def foreign(folder: str, name: str, metadata: dict[str, str]) -> str:
    """What is wrong where chains stand under a name that their own metadata does not lead to, else nothing."""
    task, iteration = metadata.get("task"), metadata.get("iteration", "")
    if folder != "chains" or task is None or not iteration.isdecimal():
        return ""
    own = f"{int(iteration[:18]):09d}_{task}"
    return (
        ""
        if name in (slug(own), readable(own))
        else f"holds the chains of task {task[:80]!r} at iteration {iteration[:18]}, which its name does not say"
    )


def inside(run: Path, *parts: str) -> Path:
    """A path below the run. Raises RunError where a link leads out of it."""
    path = run.joinpath(*parts)
    if not _leads_inside(path, run):
        raise RunError(f"{'/'.join(parts)}: a link that leads out of the run; it is not followed")
    return path


def _leads_inside(path: Path, root: Path) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(root) + os.sep)


def _status(path: Path, info: RunFile) -> Status:
    if info.status in FINAL:
        return info.status
    age, held = _age(path), lock_held(path)
    if held or (held is None and age is not None and age < HEARTBEAT_SECONDS):
        return "running"
    try:
        kinds = [values.get("kind") for _, values, _ in read_lines(inside(path, "events.jsonl")) if values]
    except OSError:
        kinds = []
    ends = [kind for kind in kinds if kind in [*ENDS, "resumed"]]
    return ends[-1] if ends and ends[-1] in ENDS else "crashed"


def _age(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - (path / "run.json").stat().st_mtime)
    except OSError:
        return None


def lock_held(path: Path) -> bool | None:
    """Whether a living process writes this run; None where the run has no lock or the system none: the heartbeat then decides."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = os.open(path / "run.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:3]
    return f"; nearest: {', '.join(close)}" if close else "; there is none"
