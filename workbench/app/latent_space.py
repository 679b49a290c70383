"""What the pages Energy, Chains and Latent map share: a run's codes, chains, energies and texts, read once, and points by name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.app.store import CachedRun, Signature, files_signature
from workbench.runs import ratings
from workbench.runs.schema import RunError
from workbench.views.data import stream_of
from workbench.views.energy import sampler, snapshots
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.slices import Slice
from workbench.views.energy.snapshots import Chains, Codes


@st.cache_resource(max_entries=48, show_spinner=False)
def _energy(path: str, iteration: int, signature: Signature) -> SavedEnergy:
    return snapshots.load_energy(CachedRun(Path(path)), iteration)


@st.cache_resource(max_entries=48, show_spinner=False)
def _codes(path: str, iteration: int, signature: Signature) -> Codes:
    return snapshots.load_codes(CachedRun(Path(path)), iteration)


@st.cache_resource(max_entries=48, show_spinner=False)
def _chains(path: str, iteration: int, task: str, signature: Signature) -> Chains:
    return snapshots.load_chains(CachedRun(Path(path)), iteration, task)


def _signature(run: Any, folder: str, name: str) -> Signature:
    return files_signature([run.path / folder / f"{name}.safetensors"])


def energy(run: Any, iteration: int) -> SavedEnergy:
    """The energy saved at an iteration, read once. Raises RunError."""
    return _energy(str(run.path), iteration, _signature(run, "weights", f"energy_{iteration:09d}"))


def energies(run: Any, iterations: Iterable[int]) -> list[SavedEnergy]:
    """Those of the saved energies that can be read: a broken one costs the pictures of its own moment only."""
    found = []
    for iteration in iterations:
        with contextlib.suppress(RunError):
            found.append(energy(run, iteration))
    return found


def codes(run: Any, iteration: int) -> Codes:
    """The probe codes saved at an iteration, read once. Raises RunError."""
    return _codes(str(run.path), iteration, _signature(run, "latents", f"{iteration:09d}"))


def chains(run: Any, iteration: int, task: str) -> Chains:
    """The chains of a task saved at an iteration, read once. Raises RunError."""
    return _chains(str(run.path), iteration, task, _signature(run, "chains", snapshots.chain_name(iteration, task)))


def chains_near(run: Any, iteration: int, task: str) -> Chains | None:
    """The chains of a task saved at or before an iteration, else the first saved, else None."""
    found = snapshots.at_or_before(snapshots.chain_iterations(run, task), iteration)
    return None if found is None else chains(run, found, task)


@st.cache_resource(max_entries=16, show_spinner="Running chains on this energy")
def _stand_in(path: str, iteration: int, task: str, signature: Signature, steps: int, delta: float, kernel: str) -> Chains:
    saved = energy(CachedRun(Path(path)), iteration)
    walk = sampler.walk(saved, task, sampler.reference_starts(saved, task, 64, 0), steps, delta, kernel, 0)
    z, value, norms, accept = (np.asarray(part, np.float32) for part in (walk.z, walk.energy, walk.grad_norm, walk.accept))
    return Chains(z, value, norms, accept, task, iteration, kernel, delta, anew=True)


def chains_on(run: Any, at: int, iteration: int, task: str) -> Chains | None:
    """Chains of a task on the energy saved at `at`: the run's own nearest to `iteration`, else 64 run now with its K and step size.

    Chains of another moment would be drawn over an energy they never moved on. None where that energy does not know the task.
    """
    moments = snapshots.energy_iterations(run)
    own = [value for value in snapshots.chain_iterations(run, task) if snapshots.at_or_before(moments, value) == at]
    found = snapshots.at_or_before(own, iteration)
    if found is not None:
        return chains(run, found, task)
    if task not in energy(run, at).symbols:
        return None
    settings = run.config.get("energy") or {}
    steps, delta, kernel = int(settings.get("steps") or 0), float(settings.get("delta") or 0.4), str(settings.get("kernel") or "ula")
    signature = _signature(run, "weights", f"energy_{at:09d}")
    return _stand_in(str(run.path), at, task, signature, steps, delta, kernel if kernel in sampler.KERNELS else "ula")


@st.cache_resource(max_entries=8, show_spinner=False)
def _texts(stream: str, folder: str) -> dict[str, str]:
    loaded, _ = stream_of({"stream": stream})
    found = {}
    for task in loaded.tasks if loaded is not None else ():
        for example in (*task.train, *task.validation, *task.test):
            found[example.uid] = " ".join(part for part in (example.context, example.question, "→", example.answers[0]) if part)
    return found


def real_texts(run: Any) -> Mapping[str, str]:
    """{uid: text} of the real examples of a run's stream, where they are at hand. Never goes to the network, opens no path a run names."""
    return _texts(str(run.config.get("stream", "")), os.environ.get("WORKBENCH_DATA", ""))


def mean_ratings(run: Any) -> dict[str, float]:
    """{sample_id: mean rating} over raters and scales; nothing where there are none."""
    if not ratings.files(run.path):
        return {}
    answers = ratings.read_answers([run.path])[0]
    if answers.empty:
        return {}
    values: Any = pd.to_numeric(answers["value"], errors="coerce")
    return {str(key): float(value) for key, value in values.groupby(answers["sample_id"]).mean().dropna().items()}


def data_energy(saved: SavedEnergy, probe: Codes | None, task: str) -> np.ndarray:
    """U of the task's data under its own energy [n]: a draw from q(z|x) for each probe text; none where either is missing."""
    if probe is None or task not in saved.symbols or probe.z.shape[1] != saved.dim:
        return np.empty(0)
    return saved.energy(probe.draws(task), task)


def codes_choice(probe: Codes | None) -> bool:
    """Draw the switch between draws and means of q(z|x); whether draws were chosen. No switch where the run saved no variances."""
    if probe is None or probe.logvar is None:
        return False
    options = ["draws", "means"]
    help_ = "Chain ends carry noise, and so does a draw from q(z|x). Means lie closer together and at lower energy than either"
    chosen = st.segmented_control("Codes", options, default=options[0], required=True, key="codes_as", bind="query-params", help=help_)
    return chosen != "means"


def codes_words(probe: Codes | None) -> str:
    """What the codes of a picture are, in a sentence."""
    if probe is None:
        return ""
    if probe.drawn:
        return "Codes are one draw from q(z|x) for each text, as noisy as the chain ends beside them."
    if probe.logvar is None:
        return "Codes are means of q(z|x) (this run saved no variances): chain ends carry noise that they lack, and lie further out."
    return "Codes are means of q(z|x): chain ends carry noise that they lack, and lie further out."


def point_named(name: str, slice_: Slice | None, probe: Codes | None, walk: Chains | None) -> np.ndarray | None:
    """The point z [d] that a link names: 'x, y' in the slice, 'code:UID', 'chain:K' (its end), 'start:K'; None for anything else."""
    kind, _, rest = name.strip().partition(":")
    if kind == "code" and probe is not None and rest in probe.uids:
        return np.asarray(probe.z[probe.uids.index(rest)], np.float64)
    if kind in ("chain", "start") and walk is not None and rest.isdecimal() and int(rest) < walk.count:
        return np.asarray(walk.z[-1 if kind == "chain" else 0, int(rest)], np.float64)
    parts = name.split(",")
    if slice_ is None or len(parts) != 2:
        return None
    try:
        xy = np.array([float(part) for part in parts])
    except ValueError:
        return None
    return slice_.lift(xy) if np.isfinite(xy).all() else None


def clicked_name(selection: Any) -> str:
    """What was clicked, as point_named reads it: a code, a chain, or the coordinates of the grid's point."""
    points = (selection or {}).get("selection", {}).get("points", [])
    if not points:
        return ""
    data = points[0].get("customdata")
    data = data[0] if isinstance(data, (list, tuple)) and data else data
    if isinstance(data, str) and data.startswith(("code:", "chain:", "start:")):
        return data
    x, y = points[0].get("x"), points[0].get("y")
    return f"{x:.3f}, {y:.3f}" if isinstance(x, (int, float)) and isinstance(y, (int, float)) else ""


def nearest_texts(run: Any, z: np.ndarray, probe: Codes | None, iterations: Iterable[tuple[int, str]]) -> list[tuple[str, str, str, float]]:
    """The nearest real code and the nearest replay text: rows (what, task, text or uid, distance)."""
    rows = []
    if probe is not None and len(probe.z):
        distance = np.linalg.norm(probe.z - z, axis=1)
        k = int(distance.argmin())
        rows.append(("Nearest real code", str(probe.names[k]), real_texts(run).get(probe.uids[k], probe.uids[k]), float(distance[k])))
    samples = run.table("samples")
    best: tuple[str, str, str, float] | None = None
    for iteration, task in iterations:
        found = chains(run, iteration, task)
        decoded = (
            samples[(samples["iteration"] == iteration) & (samples["task"] == task) & samples["chain"].notna()] if len(samples) else samples
        )
        decoded = decoded[decoded["chain"] < found.count] if len(decoded) else decoded
        if not len(decoded):
            continue
        ends = found.z[-1][decoded["chain"].to_numpy(int)]
        distance = np.linalg.norm(ends - z, axis=1)
        k = int(distance.argmin())
        if best is None or distance[k] < best[3]:
            best = (f"Nearest replay text (iteration {iteration:,})", task, str(decoded["text"].iloc[k]), float(distance[k]))
    return [*rows, *([best] if best else [])]


def has_language_model(run: Any) -> bool:
    """Whether weights of the language model are in the run folder (the energy's are always kept)."""
    return any(not name.startswith("energy_") for name in run.array_names("weights"))
