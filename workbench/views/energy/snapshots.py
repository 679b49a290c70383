"""What a run saved of its latent space: codes, chains and energies, found by file name and read with their headers.

A `run` here is anything with `array_names`, `arrays` and `metadata`, as workbench.runs.reader.Run has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.runs.files import slug
from workbench.views.energy.saved import EnergyFileError, SavedEnergy, from_arrays

Array = NDArray[Any]

_ITERATION = re.compile(r"(?:^|_)(\d{9})(?:_|$)")


@dataclass(frozen=True)
class Codes:
    """Probe codes of one moment: z [m, d] float32 (means of q(z|x)), task_index [m] into tasks, uids [m].

    logvar [m, d]: log variances of q(z|x), where the run saved them. drawn: z are draws from q(z|x), not its means.
    """

    z: Array
    task_index: Array
    tasks: tuple[str, ...]
    uids: tuple[str, ...]
    iteration: int
    logvar: Array | None = None
    drawn: bool = False

    def of(self, task: str) -> Array:
        """The codes of one task, [n, d]; none where the task has none."""
        return self.z[self.task_index == self.tasks.index(task)] if task in self.tasks else self.z[:0]

    def draws(self, task: str) -> Array:
        """One draw from q(z|x) for each code of a task [n, d], always the same one; the means where no variances were saved."""
        means = self.of(task)
        if self.drawn or self.logvar is None or not len(means):
            return means
        spread = np.exp(0.5 * self.logvar[self.task_index == self.tasks.index(task)])
        return means + spread * np.random.default_rng(0).standard_normal(means.shape)

    def as_draws(self) -> Codes:
        """The codes with `draws` in the place of means, to lie beside chain ends, which carry noise too; themselves without variances."""
        if self.drawn or self.logvar is None:
            return self
        z = self.z.copy()
        for task in self.tasks:
            z[self.task_index == self.tasks.index(task)] = self.draws(task)
        return replace(self, z=z, drawn=True)

    @property
    def names(self) -> Array:
        """The task of every code, [m]."""
        return np.asarray(self.tasks, dtype=object)[self.task_index]

    @property
    def means(self) -> dict[str, Array]:
        """Mean code [d] of each task that has codes."""
        return {task: self.of(task).mean(axis=0) for task in self.tasks if len(self.of(task))}


@dataclass(frozen=True)
class Chains:
    """Saved chains of one task. z [steps+1, n, d] float32 in code coordinates, energy and grad_norm [steps+1, n], accept [steps, n].

    anew: not saved by the run, but run now on its energy.
    """

    z: Array
    energy: Array
    grad_norm: Array
    accept: Array
    task: str
    iteration: int
    kernel: str
    delta: float
    anew: bool = False

    @property
    def steps(self) -> int:
        return len(self.z) - 1

    @property
    def count(self) -> int:
        return int(self.z.shape[1])


def at_or_before(iterations: Iterable[int], iteration: int) -> int | None:
    """The saved iteration at or before this one, else the first after it, else None."""
    known = sorted(iterations)
    before = [value for value in known if value <= iteration]
    return before[-1] if before else (known[0] if known else None)


def energy_iterations(run: Any) -> list[int]:
    """Iterations whose latent energy was saved."""
    return sorted(_found(run, "weights", "energy_"))


def code_iterations(run: Any) -> list[int]:
    """Iterations whose probe codes were saved."""
    return sorted(_found(run, "latents", ""))


def chain_iterations(run: Any, task: str) -> list[int]:
    """Iterations at which chains of a task were saved."""
    names = set(run.array_names("chains"))
    return sorted(iteration for iteration in _iterations(names) if chain_name(iteration, task) in names)


def chain_name(iteration: int, task: str) -> str:
    """The file name, without ending, under which the chains of a task are saved."""
    return slug(f"{iteration:09d}_{task}")


def load_energy(run: Any, iteration: int) -> SavedEnergy:
    """The latent energy saved at an iteration. Raises EnergyFileError naming the file."""
    name = _found(run, "weights", "energy_")[iteration]
    try:
        return from_arrays(run.arrays("weights", name), run.metadata("weights", name))
    except EnergyFileError as error:
        raise EnergyFileError(f"weights/{name}.safetensors: {error}") from None


def load_codes(run: Any, iteration: int) -> Codes:
    """The probe codes saved at an iteration. Raises EnergyFileError naming the file."""
    name = _found(run, "latents", "")[iteration]
    arrays, metadata = run.arrays("latents", name), run.metadata("latents", name)
    if not {"z", "task_index"} <= set(arrays):
        raise EnergyFileError(f"latents/{name}.safetensors: found {', '.join(sorted(arrays))}; accepted: z, task_index")
    z, index = np.asarray(arrays["z"], np.float32), np.asarray(arrays["task_index"], np.int64)
    tasks, uids = (tuple(str(value) for value in _listed(metadata, key)) for key in ("tasks", "uids"))
    missing = int(index.max(initial=-1)) + 1 - len(tasks)
    tasks += tuple(f"task {len(tasks) + k + 1}" for k in range(max(missing, 0)))
    finite: Array = np.asarray(np.isfinite(z).all(axis=1))
    uids = uids if len(uids) == len(z) else tuple(f"probe {k}" for k in range(len(z)))
    kept = tuple(uid for uid, keep in zip(uids, finite, strict=True) if keep)
    logvar = np.asarray(arrays["logvar"], np.float32) if "logvar" in arrays else None
    if logvar is not None and logvar.shape != z.shape:
        raise EnergyFileError(f"latents/{name}.safetensors: logvar is {list(logvar.shape)}; accepted: the shape of z, {list(z.shape)}")
    return Codes(z[finite], index[finite], tasks, kept, iteration, None if logvar is None else logvar[finite])


def load_chains(run: Any, iteration: int, task: str) -> Chains:
    """The chains of a task saved at an iteration. Raises EnergyFileError naming the file."""
    name = chain_name(iteration, task)
    arrays, metadata = run.arrays("chains", name), run.metadata("chains", name)
    if not {"z", "energy"} <= set(arrays):
        raise EnergyFileError(f"chains/{name}.safetensors: found {', '.join(sorted(arrays))}; accepted: z, energy, grad_norm, accept")
    z, energy = np.asarray(arrays["z"], np.float32), np.asarray(arrays["energy"], np.float32)
    grad_norm = np.asarray(arrays.get("grad_norm", np.full_like(energy, np.nan)), np.float32)
    accept = np.asarray(arrays.get("accept", np.ones_like(energy[1:])), np.float32)
    return Chains(z, energy, grad_norm, accept, task, iteration, metadata.get("kernel", "ula"), float(metadata.get("delta", "nan")))


def energy_at(run: Any, iteration: int) -> SavedEnergy | None:
    """The energy saved at or before an iteration, else the first saved, else None."""
    found = at_or_before(energy_iterations(run), iteration)
    return None if found is None else load_energy(run, found)


def _listed(metadata: dict[str, str], key: str) -> list[Any]:
    try:
        values = json.loads(metadata.get(key, "[]"))
    except ValueError:
        return []
    return values if isinstance(values, list) else []


def _iterations(names: Iterable[str]) -> set[int]:
    return {int(match[1]) for name in names if (match := _ITERATION.search(name))}


def _found(run: Any, folder: str, prefix: str) -> dict[int, str]:
    names = [name for name in run.array_names(folder) if name.startswith(prefix)]
    return {int(match[1]): name for name in names if (match := _ITERATION.search(name))}
