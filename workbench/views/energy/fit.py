"""Does the saved energy fit the codes of texts it never saw? Held-out codes of each task against the ends of its chains.

from workbench.runs.reader import Run
from workbench.views.energy import fit
fit.measures(Run("runs/NAME"))
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.views.energy import snapshots
from workbench.views.energy.saved import SavedEnergy
from workbench.views.timeline import Frame

Array = NDArray[Any]

COLUMNS = {
    "iteration": "when the energy was fitted and its chains were run",
    "task": "whose energy, chains and codes",
    "codes": "held-out codes: one draw from q(z|x) for each text of the probe",
    "chains": "chains saved whole",
    "f_gap": "mean F at the chains' ends less mean F at held-out codes, nats; above 0: the energy prefers places where no real text is",
    "u_gap": "mean U at the chains' ends less mean U at held-out codes, nats",
    "u_gap_error": "standard error of u_gap: of so many codes and chains; within two of them nothing is told apart from 0",
    "code_variance": "of held-out codes in the whitened coordinates of the task, mean over dimensions; 1: as the codes of the fit",
    "code_kurtosis": "of the same, excess over a Gaussian's",
    "code_distance": "from the task's mean to the mean of held-out codes, standard deviations in all dimensions together",
    "end_variance": "of the chains' ends, in the same coordinates",
}


def measures(run: Any) -> Frame:
    """One row a saved moment and task, columns as in COLUMNS; no rows for a run without a saved energy. NaN without chains."""
    moments = sorted(set(snapshots.energy_iterations(run)) & set(snapshots.code_iterations(run)))
    rows = [row for moment in moments for row in _at(run, moment)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _at(run: Any, iteration: int) -> list[dict[str, Any]]:
    energy, codes = snapshots.load_energy(run, iteration), snapshots.load_codes(run, iteration)
    rows = []
    for task in energy.symbols:
        held_out = codes.draws(task)
        if len(held_out) < 2:
            continue
        saved = iteration in snapshots.chain_iterations(run, task)
        ends = snapshots.load_chains(run, iteration, task).z[-1] if saved else held_out[:0]
        rows.append(
            {"iteration": iteration, "task": task, "codes": len(held_out), "chains": len(ends), **_compared(energy, task, held_out, ends)}
        )
    return rows


def _compared(energy: SavedEnergy, task: str, held_out: Array, ends: Array) -> dict[str, float]:
    w = energy.to_w(held_out, task)
    found = {
        "code_variance": float(w.var(axis=0, ddof=1).mean()),
        "code_kurtosis": _kurtosis(w),
        "code_distance": float(np.linalg.norm(w.mean(axis=0))),
    }
    if len(ends) < 2:
        return found
    reached, known = energy.energy(ends, task), energy.energy(held_out, task)
    return found | {
        "f_gap": float(energy.neg_energy(ends, task).mean() - energy.neg_energy(held_out, task).mean()),
        "u_gap": float(reached.mean() - known.mean()),
        "u_gap_error": float(np.sqrt(reached.var(ddof=1) / len(ends) + known.var(ddof=1) / len(held_out))),
        "end_variance": float(energy.to_w(ends, task).var(axis=0, ddof=1).mean()),
    }


def _kurtosis(w: Array) -> float:
    """Excess kurtosis, mean over the dimensions that vary; NaN where none does."""
    apart = (w - w.mean(axis=0))[:, w.std(axis=0) > 0]
    return float(((apart**4).mean(axis=0) / apart.var(axis=0) ** 2).mean() - 3) if apart.size else float("nan")
