"""Langevin chains in numpy on a saved energy, to be watched step by step.

Convention of Pang et al. 2020: w' = w - delta^2/2 grad U(w) + delta eps; s = delta^2/2. Chains of a task run in its whitened
coordinates, where its reference is N(0, sigma^2 I), as the chains of the run did. `wrong sign` is the update as the paper's
summary prints it, w' = w - s grad log p(w) + sqrt(2 s) eps: log p = -U, so it climbs the energy and runs away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from workbench.views import style
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.slices import Range, Slice

Array = NDArray[Any]
EnergyOf = Callable[[Array], tuple[Array, Array]]

KERNELS = {
    "ula": "ULA: every step is taken (the run's default)",
    "mala": "MALA: a step is refused where it would leave exp(−U) unbalanced",
    "wrong sign": "Wrong sign: the update as printed in the paper's summary",
}
MAX_FRAMES = 60
BLOW_UP = 1e6
"""Distance from the origin at which a chain counts as gone and stays where it is."""


class Walk(NamedTuple):
    """n chains of K steps. z and w [K+1, n, d], energy and grad_norm [K+1, n], accept [K, n] (0 or 1)."""

    z: Array
    w: Array
    energy: Array
    grad_norm: Array
    accept: Array


def run_chains(
    energy: EnergyOf, start: Array, steps: int, delta: float, kernel: str, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Chains from start [n, d] on an energy w -> (U [n], grad U [n, d]): positions, energies, gradient norms, acceptance.

    A chain that leaves every bound (|w| > 1e6, or an energy that is no number) stays where it was. Raises ValueError for an
    unknown kernel or a step size that is not positive.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel: found {kernel!r}; accepted: {', '.join(KERNELS)}")
    if not delta > 0:
        raise ValueError(f"delta: found {delta}; accepted: a number above 0")
    drift = delta**2 / 2 if kernel == "wrong sign" else -(delta**2) / 2
    w = np.array(start, np.float64)
    value, grad = energy(w)
    path, values, norms, accepts = [w], [value], [np.linalg.norm(grad, axis=1)], []
    for _ in range(steps):
        noise = rng.standard_normal(w.shape)
        proposal = w + drift * grad + delta * noise
        new_value, new_grad = energy(proposal)
        taken = np.isfinite(new_value) & (np.abs(proposal).max(axis=1) < BLOW_UP)
        if kernel == "mala":
            back = proposal + drift * new_grad - w
            log_rate = value - new_value + (noise**2).sum(axis=1) / 2 - (back**2).sum(axis=1) / (2 * delta**2)
            taken &= np.log(rng.random(len(w))) < log_rate
        w = np.where(taken[:, None], proposal, w)
        grad = np.where(taken[:, None], new_grad, grad)
        value = np.where(taken, new_value, value)
        path.append(w)
        values.append(value)
        norms.append(np.linalg.norm(grad, axis=1))
        accepts.append(taken)
    accept = np.array(accepts, np.float64).reshape(steps, len(w))
    return np.stack(path), np.stack(values), np.stack(norms), accept


def walk(energy: SavedEnergy, symbol: str, start: Array, steps: int, delta: float, kernel: str, seed: int) -> Walk:
    """Chains of a task from start [n, d] in code coordinates z."""
    begin = energy.to_w(start, symbol)
    w, value, norms, accept = run_chains(
        lambda at: energy.energy_and_grad_w(at, symbol), begin, steps, delta, kernel, np.random.default_rng(seed)
    )
    z = energy.to_z(w.reshape(-1, energy.dim), symbol).reshape(w.shape)
    return Walk(z, w, value, norms, accept)


def reference_starts(energy: SavedEnergy, symbol: str, count: int, seed: int) -> Array:
    """Draws from the task's reference Gaussian, [count, d] in code coordinates."""
    rng = np.random.default_rng([seed, 1])
    return energy.to_z(energy.sigma * rng.standard_normal((count, energy.dim)), symbol)


def expected_variance(delta: float, steps: int | None = None, start: float = 1.0) -> float:
    """Variance of ULA on N(0, 1) after `steps` from variance `start`; None: the stationary one, 1 / (1 - delta^2 / 4)."""
    s = delta**2 / 2
    if steps is None:
        return 1 / (1 - s / 2)
    variance = start
    for _ in range(steps):
        variance = (1 - s) ** 2 * variance + 2 * s
    return variance


def way_to_mode(delta: float, steps: int) -> float:
    """Share of the way to its mode that the mean of a chain covers on a unit Gaussian: 1 - (1 - delta^2/2)^K."""
    return 1 - (1 - delta**2 / 2) ** steps


def bench(figure: go.Figure, chains: Walk, slice_: Slice, where: Range, data_energy: Array, *, dark: bool = False) -> go.Figure:
    """The chains over a heatmap (`figure` from landscape.heatmap), step by step, with the energy per step beside it.

    data_energy [m]: U of the task's codes, drawn as a line with its 5-95 % band. Play, and the slider beneath, move both panels in
    the browser.
    """
    steps, count = chains.energy.shape[0] - 1, chains.energy.shape[1]
    xy = slice_.project(chains.z)
    both = make_subplots(1, 2, column_widths=[0.52, 0.48], horizontal_spacing=0.2)
    for trace in figure.select_traces():
        both.add_trace(trace, 1, 1)
    shown = int(min(count, 64))
    _energy_panel(both, chains.energy[:, :shown], data_energy, dark)
    first = len(both.data)  # pyright: ignore[reportArgumentType]
    moving = _moving(xy, chains.energy, steps, shown)
    for trace, column in zip(moving, (1, 1, 2), strict=True):
        both.add_trace(trace, 1, column)
    at = _frame_steps(steps)
    both.frames = [go.Frame(name=str(k), data=_moving(xy, chains.energy, k, shown), traces=[first, first + 1, first + 2]) for k in at]
    layout: Any = figure.layout
    both.update_layout(coloraxis=layout.coloraxis, height=590, margin={"t": 30, "b": 110, "r": 20, "l": 60})
    both.update_layout(coloraxis_colorbar={"x": 0.43, "lenmode": "fraction", "len": 1.0, "thickness": 10}, showlegend=False)
    both.update_xaxes(title_text=slice_.x_label, range=[where.x0, where.x1], showgrid=False, zeroline=False, row=1, col=1)
    both.update_yaxes(title_text=slice_.y_label, range=[where.y0, where.y1], showgrid=False, zeroline=False, row=1, col=1)
    both.update_layout(sliders=[_slider(at)], updatemenus=[_buttons(dark)])
    return both


def verdict(energy: SavedEnergy, chains: Walk, data_energy: Array, delta: float, kernel: str) -> str:
    """What the walk did, in one or two plain sentences."""
    finals, steps = chains.energy[-1], len(chains.energy) - 1
    norm = np.linalg.norm(chains.w[-1], axis=1).mean() / energy.sigma
    counted = f"{steps} step{'s' * (steps != 1)}"
    if kernel == "wrong sign":
        stopped = np.flatnonzero(chains.accept.min(axis=1) == 0)
        gone = f" Chains that left every bound stay where they were, the first at step {stopped[0] + 1}." if len(stopped) else ""
        return (
            f"With the sign as printed the chains climb: mean energy {_short(chains.energy[0].mean())} → {_short(finals.mean())} "
            f"nats in {counted}, "
            f"|w|/σ now {_short(norm)} (about {np.sqrt(energy.dim):.1f} is typical). Samples of exp(−U) go downhill: minus the gradient of U.{gone}"
        )
    moved = np.linalg.norm(chains.w[-1] - chains.w[0], axis=1).mean() / energy.sigma
    words = (
        f"Mean energy {_short(chains.energy[0].mean())} → {_short(finals.mean())} nats in {counted}; the chains moved {moved:.2f} "
        "σ on average. "
    )
    if kernel == "mala":
        words += f"Accepted: {chains.accept.mean():.0%} of the steps. "
    if len(data_energy):
        words += f"Data codes lie at {data_energy.mean():.2f}: gap {_gap_words(finals, data_energy)}. "
    return " ".join(
        [
            words
            + f"At δ = {delta:g}, K = {steps} a chain covers {way_to_mode(delta, steps):.0%} of the way to the mode of a unit Gaussian.",
            *step_words(chains, delta, kernel),
        ]
    )


def _short(value: float) -> str:
    """A number in four digits; a power of ten where it would be longer."""
    return f"{value:,.2f}" if abs(value) < 1e5 else f"{value:.1e}"


def _gap_words(finals: Array, data: Array) -> str:
    gap = float(finals.mean() - data.mean())
    if min(len(finals), len(data)) < 2:
        return f"{_short(gap)} nats of one chain, which tells little"
    error = float(np.sqrt(finals.var(ddof=1) / len(finals) + data.var(ddof=1) / len(data)))
    return f"{'+' * (gap > 0)}{_short(gap)} ± {_short(error)} nats{', within its noise' if abs(gap) <= 2 * error else ''}"


WIDENED, HARDLY, OFTEN = 1.2, 0.2, 0.9
"""Variance that ULA gives of a unit Gaussian, and MALA's acceptance, beyond which a step is called too large or too small."""


def step_words(chains: Walk, delta: float, kernel: str) -> list[str]:
    """What is wrong with the step size and the number of steps; nothing where both serve."""
    steps, found = len(chains.energy) - 1, []
    if kernel == "ula" and delta >= 2:
        found.append(f"δ = {delta:g} is too large: the chain diverges even on a unit Gaussian (below 2 it does not).")
    elif kernel == "ula" and expected_variance(delta) > WIDENED:
        found.append(
            f"δ = {delta:g} is too large for ULA: of a unit Gaussian it would give a variance of {expected_variance(delta):.2f} in place of 1, "
            "and a gap of its own. Take a smaller step, or MALA."
        )
    rate = float(chains.accept.mean()) if chains.accept.size else 1.0
    if kernel == "mala" and rate < HARDLY:
        found.append(
            f"δ = {delta:g} is too large: {1 - rate:.0%} of the steps are refused, hardly anything moves, and the gap is that of the starts."
        )
    elif kernel == "mala" and rate > OFTEN and way_to_mode(delta, steps) < 0.5:
        found.append(f"δ = {delta:g} is small: nearly every step is accepted; about 57 % is best, with a larger one.")
    if way_to_mode(delta, steps) < 0.5:
        found.append("So few steps of this size stay near where they began: more steps, or larger ones.")
    if chains.energy.shape[1] == 1:
        found.append("One chain says nothing of how chains differ.")
    return found


def _energy_panel(figure: go.Figure, energy: Array, data_energy: Array, dark: bool) -> None:
    steps = np.arange(len(energy))
    gaps = np.full((1, energy.shape[1]), np.nan)
    lines = np.concatenate([energy, gaps]).T.ravel()
    figure.add_trace(
        go.Scatter(
            x=np.tile(np.append(steps, np.nan), energy.shape[1]),
            y=lines,
            mode="lines",
            hoverinfo="skip",
            line={"color": style.faded(style.MUTED[dark], 0.35), "width": 0.8},
        ),
        1,
        2,
    )
    figure.add_trace(
        go.Scatter(
            x=steps,
            y=np.median(energy, axis=1),
            mode="lines+markers",
            name="median",
            line={"color": style.OKABE_ITO[5], "width": 2.5},
            marker={"size": 4},
            hovertemplate="step %{x}: median %{y:.2f} nats<extra></extra>",
        ),
        1,
        2,
    )
    if len(data_energy):
        low, high = np.quantile(data_energy, [0.05, 0.95])
        figure.add_hrect(y0=low, y1=high, fillcolor=style.OKABE_ITO[0], opacity=0.10, line_width=0, row=1, col=2)  # pyright: ignore[reportArgumentType]
        note = {"annotation_text": "data codes, median and 5–95 %", "annotation_position": "bottom right", "annotation_font_size": 11}
        figure.add_hline(y=np.median(data_energy), line={"color": style.OKABE_ITO[0], "width": 2}, row=1, col=2, **note)  # pyright: ignore[reportArgumentType]
    spread = np.concatenate([energy.ravel(), data_energy])
    spread = spread[np.isfinite(spread)]
    low, high = np.quantile(spread, [0.0, 0.995]) if len(spread) else (0.0, 1.0)
    figure.update_yaxes(
        title_text="U in nats (lower = more probable)", range=[low - 0.05 * (high - low), high + 0.08 * (high - low)], row=1, col=2
    )
    figure.update_xaxes(title_text="Langevin step", range=[-0.5, len(energy) - 0.5], row=1, col=2)


def _moving(xy: Array, energy: Array, k: int, shown: int) -> list[go.Scatter]:
    """The three traces that change with the step: the way of the first chain, all chains, and their energies."""
    where = xy[k, :shown].astype(np.float32)
    value = energy[k, :shown].astype(np.float32)
    way = go.Scatter(x=xy[: k + 1, 0, 0], y=xy[: k + 1, 0, 1], mode="lines", line={"color": "#FFFFFF", "width": 1.5}, hoverinfo="skip")
    hover = [f"chain {c}, step {k}: {value[c]:.2f} nats" for c in range(shown)]
    sizes = [13, *[8] * (shown - 1)]
    look = {"color": value, "coloraxis": "coloraxis", "size": sizes, "line": {"color": "#FFFFFF", "width": 1.5}}
    points = go.Scatter(
        x=where[:, 0],
        y=where[:, 1],
        mode="markers",
        marker=look,
        text=hover,
        customdata=[f"chain:{c}" for c in range(shown)],
        hovertemplate="%{text}<extra></extra>",
    )
    dots = go.Scatter(
        x=np.full(shown, k),
        y=value,
        mode="markers",
        marker={"size": 7, "color": style.OKABE_ITO[5], "opacity": 0.75},
        text=hover,
        hovertemplate="%{text}<extra></extra>",
    )
    return [way, points, dots]


def _frame_steps(steps: int) -> list[int]:
    """The steps that have a frame: all of them, or MAX_FRAMES with both ends."""
    return sorted({round(k) for k in np.linspace(0, steps, min(steps + 1, MAX_FRAMES))})


def _slider(at: list[int]) -> dict[str, Any]:
    quick = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    marks = [{"label": str(k), "method": "animate", "args": [[str(k)], quick]} for k in at]
    return {
        "active": len(at) - 1,
        "steps": marks,
        "x": 0.14,
        "len": 0.86,
        "y": -0.12,
        "pad": {"t": 20},
        "currentvalue": {"prefix": "step ", "xanchor": "right"},
    }


def _buttons(dark: bool) -> dict[str, Any]:
    play = {"mode": "immediate", "fromcurrent": False, "frame": {"duration": 120, "redraw": False}, "transition": {"duration": 0}}
    stop = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}}
    buttons = [{"label": "Play", "method": "animate", "args": [None, play]}, {"label": "Stop", "method": "animate", "args": [[None], stop]}]
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "x": 0.0,
        "y": -0.16,
        "xanchor": "left",
        "yanchor": "top",
        "pad": {"t": 22},
        "bgcolor": style.PAPER[dark],
        "font": {"color": style.INK[dark]},
        "buttons": buttons,
    }
