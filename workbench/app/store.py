"""What the pages read: the runs folder, and runs whose tables and arrays are cached by (path, size, mtime_ns).

`CachedRun` has the reading interface of `workbench.runs.reader.Run`, so a view draws it and a notebook's `Run` alike.
Cached frames and arrays are shared by every session: views never change what they are given.
"""

from __future__ import annotations

import difflib
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.runs.reader import Run, RunInfo, list_runs

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "runs"

Signature = tuple[tuple[str, int, int], ...]


def runs_root() -> Path:
    """The folder looked in: the environment variable WORKBENCH_RUNS, else ./runs."""
    return Path(os.environ.get("WORKBENCH_RUNS") or "runs").expanduser()


def files_signature(paths: Iterable[Path | str]) -> Signature:
    """(path, size, mtime_ns) of every file there is: a cache key that changes when any of them is written."""
    rows = []
    for path in paths:
        try:
            stat = Path(path).stat()
        except OSError:
            continue
        rows.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(sorted(rows))


def _table_files(path: Path, name: str) -> list[Path]:
    folder = path / name
    segments = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path / f"{name}.parquet", *segments]


@st.cache_resource(max_entries=64, show_spinner=False)
def _read_table(path: str, name: str, signature: Signature) -> pd.DataFrame:
    return Run(Path(path)).table(name)


@st.cache_resource(max_entries=96, show_spinner=False)
def _read_arrays(path: str, folder: str, name: str, signature: Signature) -> dict[str, np.ndarray]:
    return Run(Path(path)).arrays(folder, name)


@st.cache_resource(max_entries=256, show_spinner=False)
def _open_run(path: str, signature: Signature) -> Run:
    return Run(Path(path))


@st.cache_resource(max_entries=128, show_spinner=False)
def _remember(path: str, name: str, signature: Signature, _make: Callable[[], Any]) -> Any:
    return _make()


@st.cache_resource(max_entries=256, show_spinner=False)
def _first_fault(path: str, signature: Signature) -> str:
    """The first table of a run whose file cannot be opened, by its footer alone; '' where all can."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in sorted(Path(path).glob("*.parquet")):
        try:
            if not file.is_symlink():
                pq.read_metadata(file)
        except (OSError, pa.ArrowException):
            return file.name
    return ""


class CachedRun:
    """A run as the pages see it: the interface of `Run`, tables and arrays read once and again only when their files change."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._run = _open_run(str(self.path), files_signature([self.path / name for name in ("run.json", "summary.json", "config.yaml")]))

    @property
    def name(self) -> str:
        return self.path.name

    def table(self, name: str) -> pd.DataFrame:
        """Every row of a table; do not change the frame."""
        return _read_table(str(self.path), name, files_signature(_table_files(self.path, name)))

    def arrays(self, folder: str, name: str) -> dict[str, np.ndarray]:
        """The arrays of one safetensors file; do not change them."""
        if name not in self._run.array_names(folder):
            return self._run.arrays(folder, name)  # raises, with the nearest names
        return _read_arrays(str(self.path), folder, name, files_signature([self.path / folder / f"{name}.safetensors"]))

    def has(self, name: str) -> bool:
        """Whether a table has a file, or a folder of arrays has one."""
        return bool(files_signature(_table_files(self.path, name)))

    @property
    def fault(self) -> str:
        """Name of a table that cannot be read, '' where all can; a look at the end of each file (`workbench check` reads them whole)."""
        return _first_fault(str(self.path), files_signature(self.path.glob("*.parquet")))

    def signature(self, *names: str) -> Signature:
        """Cache key over tables and array folders, for `st.cache_data` functions of a page."""
        return files_signature([path for name in names for path in _table_files(self.path, name)])

    def remember(self, name: str, tables: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """The result of `make`, made anew when one of the tables changes; do not change it."""
        return _remember(str(self.path), name, self.signature(*tables), make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


def folder_signature(root: Path) -> str:
    """Cache key of a runs folder: run.json and summary.json of every run, by stat only. One string: it is hashed at every rerun."""
    if not root.is_dir():
        return ""
    return repr(files_signature(f"{run}/{name}" for run in _folders(root) for name in ("run.json", "summary.json")))


def _folders(root: Path) -> Iterator[str]:
    try:
        with os.scandir(root) as entries:
            yield from (entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return


@st.cache_resource(ttl=5, max_entries=8, show_spinner=False)
def _list(root: str, signature: str) -> list[RunInfo]:
    return list_runs(Path(root))


def known_runs(root: Path) -> list[RunInfo]:
    """Runs of a folder, newest first, from run.json and summary.json alone; do not change the list."""
    return _list(str(root.absolute()), folder_signature(root))


def sample_runs() -> list[RunInfo]:
    """The runs that come with the project; none where they are the runs folder itself."""
    return known_runs(SAMPLES) if SAMPLES.resolve() != runs_root().resolve() else []


def nearest_names(name: str, known: list[str], count: int = 3) -> list[str]:
    """The known names most like a wrong one."""
    return difflib.get_close_matches(name[:200], known, n=count, cutoff=0.3)


def zipped(paths: list[Path]) -> bytes:
    """The runs as one zip, without weights, checkpoints and locks; links are left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for run in paths:
            for path in sorted(run.rglob("*")):
                parts = path.relative_to(run).parts
                if path.is_file() and not path.is_symlink() and parts[0] not in ("weights", "state", "run.lock"):
                    archive.write(path, Path(run.name, *parts))
    return buffer.getvalue()
