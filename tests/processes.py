"""Processes of their own that need not import everything first: forked from a server that has.

The server has no threads: a fork of the test process itself may inherit a lock that nobody will release.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

from workbench.config import method_names

SERVER = multiprocessing.get_context("forkserver")
# With what a run imports late, so that the lives of a run that is killed again and again are work, not imports.
SERVER.set_forkserver_preload(
    [
        "workbench.cli",
        "workbench.training.run",
        "workbench.replay.sources.latents",
        "workbench.runs.check",
        *(f"workbench.methods.{method}" for method in method_names()),
        "pyarrow.dataset",
        "pyarrow.pandas_compat",
        "pytest",
        "safetensors.numpy",
        "scipy.signal",
        "sklearn.feature_extraction.text",
        "sklearn.naive_bayes",
        "sklearn.pipeline",
        "tests.mini",
        "torch.utils.serialization",
        "transformers.models.mistral.modeling_mistral",
    ]
)


def begun(work: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """A process that does this work."""
    # A child runs its parent's main module first; a test of the app may have put the app there.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    child = SERVER.Process(target=work, args=arguments)
    try:
        child.start()
    finally:
        sys.modules["__main__"] = main
    return child


def lived(work: Callable[..., None], *arguments: object) -> None:
    """Do this work in a process of its own, to its end."""
    child = begun(work, *arguments)
    child.join()
    assert child.exitcode == 0


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What `workbench WORDS` says and how it ends, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")}
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        child = begun(_command, words, cwd, environment, said)
        child.join()
        out, err = (path.read_text(encoding="utf-8") for path in said)
    assert child.exitcode is not None
    return subprocess.CompletedProcess(words, child.exitcode, out, err)


def _command(words: tuple[str, ...], cwd: Path, environment: dict[str, str], said: list[Path]) -> None:
    import torch

    from workbench.cli import main

    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(said, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    torch.set_num_threads(1)
    sys.argv = ["workbench", *words]
    main()
