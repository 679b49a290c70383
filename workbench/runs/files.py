"""How files reach the disk: whole or not at all, and lines that can be appended to after a kill.

What survives what. A killed process: everything handed to `os.write`, thus every flushed row and event. A power cut:
atomic files (synced before they replace the old one), and table rows up to the last checkpoint, which syncs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_DISK_WORDS = re.compile(
    r"os error \d+|no space left|file too large|disk quota|i(nput)?/o(utput)? error|failed writing|write failed"
    r"|inline_container.*(unexpected pos|failed|write)",
    re.I | re.S,
)
LARGEST_TEXT = 1 << 18
"""Bytes of a settings or summary file; those of this project have some thousands. YAML of this size already takes seconds."""
LARGEST_LINES = 1 << 28
"""Bytes of a file of JSON lines."""


def write_all(descriptor: int, data: Any) -> None:
    """Hand every byte to the operating system. Raises OSError."""
    view = memoryview(data)
    while view.nbytes:
        view = view[os.write(descriptor, view) :]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it, synced, when the block ends well and vanishes when it does not."""
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(exist_ok=True)  # no more than that: a run folder that was moved away must not come up again, half empty
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: Any) -> None:
    """Write a whole file without syncing. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def append_text(path: Path, text: str) -> None:
    """Append in one write, or nothing: a full disk takes a part first, and the next line would be joined to it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, text.encode("utf-8", "replace"))
        except BaseException:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def hold_regular(path: Path) -> Path:
    """The path of a regular file. Raises OSError for what reading would never end with, or wait for: a device, a pipe, a folder."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "it is no regular file")
    return path


def read_regular(path: Path, most: int = LARGEST_LINES) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no regular file")
        if found.st_size > most:
            raise OSError(0, f"it has {found.st_size:,} bytes; accepted: at most {most:,}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def listed(folder: Path, ending: str = "") -> list[Path]:
    """The files of a folder whose names end so, sorted; none where there is no folder. What other systems leave beside them
    (._NAME of macOS, .nfsNUMBER of a file server) is no part of a run. Raises OSError where the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return []
    return sorted(folder / name for name in names if name.endswith(ending) and not name.startswith("."))


def parse_yaml(data: bytes) -> Any:
    """The value of a YAML text as `workbench.config` reads settings. Raises ValueError with one line, whatever the reader trips over."""
    from workbench.config.reading import read_yaml

    return read_yaml(data)


_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text; half a surrogate pair, which no file or page can carry, becomes a question mark.

    Raises ValueError, also for text that is nested too deeply and for numbers that are too long.
    """
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        value = json.loads(data)
        return _whole_characters(value) if _HALVES.search(data) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_whole_characters(each) for each in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(each) for key, each in value.items()}
    return value


def plain(value: Any) -> Any:
    """The same for JSON: numbers of numpy and torch as Python's, NaN and infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if not isinstance(value, (str, bool, int, float, type(None))):
        return plain(value.item()) if getattr(value, "ndim", None) == 0 else str(value)
    return value if not isinstance(value, float) or math.isfinite(value) else None


def said(error: BaseException, most: int = 120) -> str:
    """What an exception says, in one line."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(words.split())[:most] or type(error).__name__


def json_line(values: dict[str, Any]) -> str:
    return json.dumps(plain(values), ensure_ascii=False) + "\n"


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, bool]]:
    """(line number from 1, its mapping or None where it is none, whether the line is complete) of a JSON-lines file."""
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return
    *lines, rest = data.split(b"\n")
    for number, line in enumerate([*lines, rest], 1):
        if line.strip():
            try:
                values = parse_json(line)
            except ValueError:
                values = None
            yield number, values if isinstance(values, dict) else None, number <= len(lines)


def mend_lines(path: Path) -> None:
    """Drop the unfinished last line that a kill may leave, so that the next one starts on its own."""
    if path.exists():
        data = read_regular(path)
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)


def sha256_of(path: Path) -> str:
    with hold_regular(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_size(path: Path, without: str = "") -> int:
    """Bytes of all files below but those in the subfolder `without`; those that vanish meanwhile count nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        if without and Path(folder) == path / without:
            continue
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def slug(text: str) -> str:
    """The file name of a text, without ending: no two texts share one. Where letters, digits, '.', '_' and '-' (80 of them) do not
    say the whole text, eight digits of its SHA-256 follow.
    """
    short = readable(text)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return short if short == text else f"{short}_{digest}" if short else digest


def readable(text: str) -> str:
    """A part of a file name made of free text: letters, digits, dot, underscore and dash, at most 80, no dot or dash at the ends."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:80].strip("-._")


def is_plain(name: str) -> bool:
    """Whether a file name is one that this project writes: no separators, no leading dot."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name))


def is_disk_fault(error: Exception) -> bool:
    """Whether a failure to save came from the disk; torch and safetensors report those with classes of their own."""
    return isinstance(error, OSError) or bool(_DISK_WORDS.search(str(error)))
