"""Which code decides a run's scores: a hash of what the source says, comments and layout left out. Rows of unlike hashes do not meet."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOMS = ("config", "tasks", "lm", "latent", "learning", "replay", "training")
"""Rooms that every method runs through."""
SHARED = ("methods/base.py", "runs/metrics.py")


@cache
def code_hash(package: Path = PACKAGE) -> str:
    """12 hexadecimal digits of the SHA-256 over the rooms that every method runs through. Read once a process: what it runs is what it read then."""
    files = [path for room in ROOMS for path in sorted((package / room).rglob("*.py"))]
    return _hash(package, [*files, *(package / name for name in SHARED if (package / name).is_file())])


@cache
def method_hash(method: str, package: Path = PACKAGE) -> str:
    """The same over the file of one method and the methods it imports: a new method makes no older run old."""
    return _hash(package, sorted(_with_imports(package / "methods", method, set())))


def _with_imports(folder: Path, method: str, seen: set[str]) -> Iterator[Path]:
    path = folder / f"{method}.py"
    if method in ("base", *seen) or not path.is_file():
        return
    seen.add(method)
    yield path
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("workbench.methods"):
            for name in ((node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)):
                yield from _with_imports(folder, name, seen)


def _hash(package: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [one for one in body if not _is_text(one)]  # pyright: ignore[reportAttributeAccessIssue]
        digest.update(f"{path.relative_to(package)}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:12]


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a string that describes the line above it."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
