"""Held-out codes against chain ends: numbers by hand on an energy that can be written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.runs.reader import Run
from workbench.runs.synthetic import write_run
from workbench.views.energy import fit
from workbench.views.energy.saved import SavedEnergy


def energy(slope: float) -> SavedEnergy:
    """F(w) = slope * w_0, to a part in a thousand for w_0 above -5: gelu(w_0 + 10) is w_0 + 10 there; reference N(1, 2^2 I), d = 2."""
    first = np.array([[1.0, 0.0]])
    return SavedEnergy(
        weight0=first, bias0=np.array([10.0]), weight2=np.array([[1.0]]), bias2=np.zeros(1), weight4=np.array([[slope]]),
        bias4=np.array([-10.0 * slope]), mean=np.ones((1, 2)), chol=2 * np.eye(2)[None], symbols=("a",), sigma=1.0, reference="task",
    )  # fmt: skip


def test_gap_variance_and_distance_by_hand() -> None:
    w_codes = np.array([[1.0, 0.0], [3.0, 0.0]])
    w_ends = np.array([[0.0, 2.0], [0.0, -2.0]])
    found = fit._compared(energy(0.5), "a", 1 + 2 * w_codes, 1 + 2 * w_ends)
    assert found["f_gap"] == pytest.approx(0.0 - 0.5 * 2.0, abs=2e-3)  # mean of F at the ends 0, at the codes 0.5 * mean(1, 3)
    assert found["u_gap"] == pytest.approx((4 / 2 - 0.0) - ((1 + 9) / 4 - 1.0), abs=2e-3)  # U = |w|^2 / 2 - F
    assert found["code_variance"] == pytest.approx((2.0 + 0.0) / 2)
    assert found["end_variance"] == pytest.approx((0.0 + 8.0) / 2)
    assert found["code_distance"] == pytest.approx(2.0)


def test_kurtosis_of_a_gaussian_and_of_two_points() -> None:
    drawn = np.random.default_rng(0).standard_normal((20_000, 2))
    assert fit._compared(energy(0.0), "a", 1 + 2 * drawn, drawn[:0])["code_kurtosis"] == pytest.approx(0.0, abs=0.15)
    two = np.array([[-1.0, -1.0], [1.0, 1.0]])
    assert fit._compared(energy(0.0), "a", two, two[:0])["code_kurtosis"] == pytest.approx(-2.0)


def test_a_row_a_moment_and_task_and_none_without_an_energy(tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "one", tasks=3, iterations=60, chains=3, chain_count=4, texts=2, latents=6, dim=4, hidden=4, steps=3))
    found = fit.measures(run)
    assert list(found.columns) == list(fit.COLUMNS) and len(found)
    assert set(found["task"]) <= set(run.info.tasks) and np.isfinite(found["code_distance"]).all()
    from_chains = found[found["chains"] > 0]
    assert len(from_chains) and np.isfinite(from_chains["f_gap"]).all()
    assert found.loc[found["chains"] == 0, "f_gap"].isna().all()
    for path in (run.path / "weights").iterdir():
        path.unlink()
    assert fit.measures(Run(run.path)).empty


class Measured:
    """A run that wrote what its fits gained, the second one of task b twice."""

    def table(self, name: str) -> pd.DataFrame:
        rows = [
            (1, "a", "fit_gain", 1.0),
            (1, "a", "fit_gain_low", 0.9),
            (1, "a", "fit_gain_high", 1.2),
            (1, "a", "fit_gain_reachable", 1.1),
        ]
        rows += [(1, "a", "fit_auc_energy", 0.6), (1, "a", "fit_auc_gaussian", 0.8), (1, "a", "delta_nll", 3.0)]
        rows += [(2, "a", "fit_gain", 0.2), (2, "b", "fit_gain", 0.5), (2, "b", "fit_gain", 0.0), (2, "a", "fit_gain_mixture", 1.0)]
        return pd.DataFrame(rows, columns=["iteration", "subject", "name", "value"]) if name == "diagnostics" else pd.DataFrame()


def test_gains_are_a_row_a_moment_and_task_and_the_last_writing_counts() -> None:
    found = fit.gains(Measured())
    assert found[["iteration", "task"]].values.tolist() == [[1, "a"], [2, "a"], [2, "b"]]
    assert found["fit_gain"].tolist() == [1.0, 0.2, 0.0] and "delta_nll" not in found


def test_verdicts_say_good_unused_and_nothing_to_gain_in_words() -> None:
    good, poor, empty = (fit.verdict(row) for row in fit.gains(Measured()).to_dict("records"))
    assert (
        good
        == "a: F gains 1.00 nats on held-out codes, 91% of what is known to be reachable; its draws are hard to tell from codes (area 0.60, the Gaussian's 0.80)."
    )
    assert "20%" in poor and "unused" in poor
    assert empty == "b: nothing to gain, the Gaussian says it all."


def test_the_figure_shows_the_last_fit_with_its_interval_and_says_where_nothing_was_measured() -> None:
    first = fit.figure(Measured(), 1)
    assert first.data[0].name == "F" and list(first.data[0].error_y.array) == pytest.approx([0.2])
    assert list(fit.figure(Measured()).data[0].x) == ["a", "b"]

    class Old(Measured):
        def table(self, name: str) -> pd.DataFrame:
            return super().table(name).iloc[:0]

    assert "no fit" in fit.figure(Old()).layout.annotations[0].text
