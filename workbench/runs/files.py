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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_DISK_WORDS = re.compile(r"os error \d+|no space left|file too large|disk quota|input/output error|failed writing|write failed", re.I)


def write_all(descriptor: int, data: Any) -> None:
    """Hand every byte to the operating system. Raises OSError."""
    view = memoryview(data)
    while view.nbytes:
        view = view[os.write(descriptor, view) :]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it, synced, when the block ends well and vanishes when it does not."""
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
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
    """Append in one write. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, text.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """The same for JSON: numbers of numpy and torch as Python's, NaN and infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if not isinstance(value, (str, bool, int, float, type(None))):
        return plain(value.item()) if getattr(value, "ndim", None) == 0 else str(value)
    return value if not isinstance(value, float) or math.isfinite(value) else None


def json_line(values: dict[str, Any]) -> str:
    return json.dumps(plain(values), ensure_ascii=False) + "\n"


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, bool]]:
    """(line number from 1, its mapping or None where it is none, whether the line is complete) of a JSON-lines file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    *lines, rest = data.split(b"\n")
    for number, line in enumerate([*lines, rest], 1):
        if line.strip():
            try:
                values = json.loads(line)
            except ValueError:
                values = None
            yield number, values if isinstance(values, dict) else None, number <= len(lines)


def mend_lines(path: Path) -> None:
    """Drop the unfinished last line that a kill may leave, so that the next one starts on its own."""
    if path.exists():
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
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
    """A part of a file name made of free text: letters, digits, dot, underscore and dash, at most 80, no dot or dash at the ends."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:80].strip("-._")


def is_plain(name: str) -> bool:
    """Whether a file name is one that this project writes: no separators, no leading dot."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name))


def is_disk_fault(error: Exception) -> bool:
    """Whether a failure to save came from the disk; torch and safetensors report those with classes of their own."""
    return isinstance(error, OSError) or bool(_DISK_WORDS.search(str(error)))
