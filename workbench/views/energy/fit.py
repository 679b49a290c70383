"""Does the saved energy fit the codes of texts it never saw? Held-out codes of each task against the ends of its chains.

from workbench.runs.reader import Run
from workbench.views.energy import fit
fit.measures(Run("runs/NAME"))
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
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


GAINS = {
    "fit_gain": "gained by F",
    "fit_gain_low": "from",
    "fit_gain_high": "to",
    "fit_gain_mixture": "by a mixture",
    "fit_gain_reachable": "by a free classifier",
    "fit_auc_energy": "AUC of F's draws",
    "fit_auc_gaussian": "AUC of the Gaussian's",
    "fit_auc_mixture": "AUC of the mixture's",
    "fit_effective_k": "effective K",
    "fit_log_z": "log Z",
    "fit_samples": "held-out samples",
}
"""Diagnostics that a fit writes, and what a table calls them. Gains in nats over the Gaussian, on codes of samples held out from the fit."""
LITTLE = 0.1
"""Nats below which there is nothing to gain."""
GOOD, TOLD_APART = 0.8, 0.65
"""Share of a reachable gain, and area under the curve, at which a fit is called good."""


def gains(run: Any) -> Frame:
    """What each fit gained, one row a moment and task: iteration, task and the columns of GAINS that this run measured."""
    rows = run.table("diagnostics")
    rows = rows[rows["name"].isin(list(GAINS))] if len(rows) else rows
    if not len(rows):
        return pd.DataFrame(columns=["iteration", "task"])
    # A resumed run may write a fit twice; the later row counts.
    wide = rows.pivot_table(index=["iteration", "subject"], columns="name", values="value", aggfunc="last", sort=False).reset_index()
    return wide.rename(columns={"subject": "task"})[["iteration", "task", *[name for name in GAINS if name in wide.columns]]]


def verdict(row: dict[str, Any]) -> str:
    """One plain sentence about a task's fit, from a row of `gains`."""
    gained = _known(row, "fit_gain")
    reachable = _known(row, "fit_gain_reachable", "fit_gain_mixture")
    if max(gained, reachable) < LITTLE:
        return f"{row['task']}: nothing to gain, the Gaussian says it all."
    if gained <= 0:
        return f"{row['task']}: F gains nothing where {reachable:.2f} nats can be gained; its draws are the Gaussian's."
    share = gained / max(reachable, gained)
    sentence = f"{row['task']}: F gains {gained:.2f} nats on held-out codes"
    if reachable:
        sentence += f", {share:.0%} of what is known to be reachable" if share < 1 else ", all that is known to be reachable"
    auc, gaussian = _known(row, "fit_auc_energy"), _known(row, "fit_auc_gaussian")
    if auc:
        how = "its draws are hard to tell from codes" if auc <= TOLD_APART else "its draws can still be told from codes"
        sentence += f"; {how} (area {auc:.2f}, the Gaussian's {gaussian:.2f})"
    return sentence + ("." if share >= GOOD else "; the fit leaves something unused.")


def _known(row: dict[str, Any], *names: str) -> float:
    """The largest of these values that the row has; 0 where it has none."""
    return max((float(row[name]) for name in names if row.get(name) is not None and row[name] == row[name]), default=0.0)


def figure(run: Any, iteration: int | None = None) -> go.Figure:
    """Gains of one moment's fit (default: the last) as bars with intervals, beside a mixture's and a free classifier's; the verdict on hover.

    An empty figure with a sentence where the run measured no fit.
    """
    found, shown = gains(run), go.Figure()
    if found.empty:
        return shown.add_annotation(
            text="This run measured no fit of its energy.", showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5
        )
    at = int(found["iteration"].max()) if iteration is None else iteration
    here = found[found["iteration"] == at]
    words = [verdict(row) for row in here.to_dict("records")]
    for name, label in (("fit_gain", "F"), ("fit_gain_mixture", "mixture"), ("fit_gain_reachable", "free classifier")):
        if name not in here or here[name].isna().all():
            continue
        bar = go.Bar(
            name=label,
            x=here["task"],
            y=here[name],
            customdata=words,
            hovertemplate="%{y:.2f} nats<br>%{customdata}<extra>%{fullData.name}</extra>",
        )
        if name == "fit_gain" and {"fit_gain_low", "fit_gain_high"} <= set(here.columns):
            high, low = here["fit_gain_high"] - here[name], here[name] - here["fit_gain_low"]
            bar.error_y = {"type": "data", "symmetric": False, "array": high, "arrayminus": low}
        shown.add_trace(bar)
    return shown.update_layout(
        barmode="group",
        title=f"What F knows more than the Gaussian, iteration {at}",
        yaxis_title="gain on held-out codes, nats",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 1.0, "xanchor": "right"},
    )


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
