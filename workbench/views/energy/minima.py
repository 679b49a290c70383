"""Where the energy has its minima, which starts flow into which (basins), and how high the way between two tasks is (barriers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.views import style
from workbench.views.energy.saved import MIXTURE, SavedEnergy
from workbench.views.text import in_figure

Array = NDArray[Any]

STARTS_PER_TASK = 24
IMAGES = 25
"""Points on a path between two task means."""


@dataclass(frozen=True)
class Minima:
    """z [m, d], energy [m] (lowest first), label [n] of every start (-1: still moving when the descent stopped), starts [n, d]."""

    z: Array
    energy: Array
    label: Array
    starts: Array


def descend(energy: SavedEnergy, symbol: str, starts: Array, steps: int = 300, tolerance: float = 1e-3) -> tuple[Array, Array, Array]:
    """Follow the gradient downhill from starts [n, d]: end points, their energies, gradient norms in whitened coordinates.

    Directions are those of steepest descent in the whitened coordinates of the task a point is in. Each point has a step size of its
    own that grows while the energy falls and shrinks where it would rise, so no point climbs.
    """
    x, rate = np.array(starts, np.float64), np.full(len(starts), 0.5)
    value, grad = _downhill(energy, symbol, x)[:2]
    norm = np.full(len(x), np.inf)
    for _ in range(steps):
        moving = np.flatnonzero((norm > tolerance) & (rate > 1e-8))
        if not len(moving):
            break
        proposal = x[moving] + rate[moving, None] * grad[moving]
        new_value, new_grad, new_norm = _downhill(energy, symbol, proposal)
        lower = new_value <= value[moving]
        taken = moving[lower]
        x[taken], value[taken], grad[taken], norm[taken] = proposal[lower], new_value[lower], new_grad[lower], new_norm[lower]
        rate[moving] *= np.where(lower, 1.3, 0.4)
    return x, value, norm


def _downhill(energy: SavedEnergy, symbol: str, z: Array) -> tuple[Array, Array, Array]:
    """U [n]; steepest descent in the whitened coordinates of each point's task, as a step in z [n, d]; its length there [n]."""
    value, grad, owner = energy.energy_grad_owner(z, symbol)
    whitened = np.einsum("nji,nj->ni", energy.chol[owner], grad)
    return value, -np.einsum("nij,nj->ni", energy.chol[owner], whitened), np.linalg.norm(whitened, axis=1)


def find_minima(energy: SavedEnergy, symbol: str, starts: Array, merge: float = 0.35, height: float = 0.1) -> Minima:
    """Minima reached from starts [n, d]. Ends within `merge` in whitened coordinates and `height` nats of each other count as one."""
    ends, value, norm = descend(energy, symbol, starts)
    settled = norm < 0.05
    label, found = np.full(len(ends), -1), []
    for k in np.argsort(value):
        if not settled[k]:
            continue
        near = [m for m, j in enumerate(found) if abs(value[k] - value[j]) < height and _apart(energy, symbol, ends[k], ends[j]) < merge]
        if near:
            label[k] = near[0]
        else:
            label[k] = len(found)
            found.append(k)
    return Minima(ends[found], value[found], label, starts)


def starts_for(energy: SavedEnergy, codes: Mapping[str, Array], seed: int = 0, count: int = STARTS_PER_TASK) -> tuple[Array, Array]:
    """Starts for a descent: codes of every task, its mean, and draws from its reference: points [n, d], task name of each [n]."""
    rng = np.random.default_rng(seed)
    points, names = [], []
    for symbol in energy.symbols:
        mine = codes.get(symbol, np.empty((0, energy.dim)))
        chosen = mine[rng.permutation(len(mine))[:count]]
        drawn = energy.to_z(energy.sigma * rng.standard_normal((count // 2, energy.dim)), symbol)
        block = np.concatenate([chosen, energy.mean[[energy.index(symbol)]], drawn])
        points.append(block)
        names += [symbol] * len(block)
    return np.concatenate(points), np.array(names, dtype=object)


def basin_table(minima: Minima, names: Array, energy: SavedEnergy) -> pd.DataFrame:
    """One row a minimum: energy, starts that flow into it, the same by the task the start came from, and the task that owns it."""
    owners = energy.owner(minima.z) if len(minima.z) else []
    rows = []
    for m in range(len(minima.z)):
        inside = minima.label == m
        row = {
            "minimum": f"M{m + 1}",
            "U (nats)": round(float(minima.energy[m]), 3),
            "region of": energy.symbols[owners[m]],
            "starts": int(inside.sum()),
        }
        row |= {f"from {symbol}": float(np.mean(inside[names == symbol])) for symbol in energy.symbols if (names == symbol).any()}
        rows.append(row)
    return pd.DataFrame(rows)


def paths_between(energy: SavedEnergy, symbol: str, a: Array, b: Array, images: int = IMAGES, steps: int = 120) -> tuple[Array, Array]:
    """The straight and the relaxed path between the points of each pair a, b [p, d]: two arrays [p, images, d].

    A relaxed path is a string (E, Ren and Vanden-Eijnden 2002): its points go downhill and are spread evenly again, ends held.
    The best string on the way counts: the barrier given is an upper bound.
    """
    share = np.linspace(0, 1, images)[None, :, None]
    straight = (1 - share) * np.asarray(a, np.float64)[:, None] + share * np.asarray(b, np.float64)[:, None]
    frame = _round_frame(energy, symbol)
    path = straight @ np.linalg.inv(frame).T
    best, lowest = straight, np.full(len(straight), np.inf)
    reach = 0.5 * np.linalg.norm(path[:, 1] - path[:, 0], axis=1)[:, None, None]
    for _ in range(steps):
        z = path @ frame.T
        value, grad = energy.energy_and_grad(z.reshape(-1, energy.dim), symbol)
        top = value.reshape(path.shape[:2]).max(axis=1)
        best = np.where((top < lowest)[:, None, None], z, best)
        lowest = np.minimum(top, lowest)
        pull = -(grad @ frame).reshape(path.shape)
        pull[:, [0, -1]] = 0
        pull *= np.minimum(0.15, reach / np.maximum(np.linalg.norm(pull, axis=2, keepdims=True), 1e-12))
        path = np.stack([_spread(string) for string in path + pull])
    return straight, best


def barrier_figure(energy: SavedEnergy, symbol: str, straight: Array, relaxed: Array, names: tuple[str, str]) -> go.Figure:
    """Energy along both paths; the barrier as seen from each end is in the legend."""
    figure = go.Figure()
    for name, path, color, dash in (("straight", straight, style.OKABE_ITO[5], "dot"), ("relaxed", relaxed, style.OKABE_ITO[0], "solid")):
        value = energy.energy(path, symbol)
        step = np.linalg.norm(np.diff(path, axis=0), axis=1)
        way = np.append(0, np.cumsum(step)) / max(step.sum(), 1e-12)
        up, down = barrier(value)
        label = f"{name}: {up:.2f} nats from {in_figure(names[0], 24)}, {down:.2f} from {in_figure(names[1], 24)}"
        figure.add_trace(
            go.Scatter(
                x=way,
                y=value,
                mode="lines",
                name=label,
                line={"color": color, "dash": dash, "width": 2.5},
                hovertemplate="%{y:.2f} nats<extra></extra>",
            )
        )
        top = int(np.argmax(value))
        figure.add_trace(
            go.Scatter(x=[way[top]], y=[value[top]], mode="markers", marker={"color": color, "size": 9}, showlegend=False, hoverinfo="skip")
        )
    figure.update_xaxes(
        title_text="share of the way between the two task means",
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        ticktext=[in_figure(names[0], 24), "¼", "½", "¾", in_figure(names[1], 24)],
    )
    figure.update_yaxes(title_text=f"U of {in_figure(symbol, 30)} in nats")
    return figure.update_layout(height=340, legend={"orientation": "h"})


def barrier(value: Array) -> tuple[float, float]:
    """The highest energy on the way, above its first and above its last point, in nats."""
    return float(value.max() - value[0]), float(value.max() - value[-1])


def barrier_table(energy: SavedEnergy, symbol: str, points: Mapping[str, Array]) -> pd.DataFrame:
    """Barriers between every two points {task: mean}: one row a pair."""
    names = list(points)
    pairs = [(first, second) for i, first in enumerate(names) for second in names[i + 1 :]]
    if not pairs:
        return pd.DataFrame(columns=["from", "to", "straight (nats)", "relaxed (nats)", "relaxed, way back (nats)"])
    straight, relaxed = paths_between(
        energy, symbol, np.stack([points[first] for first, _ in pairs]), np.stack([points[second] for _, second in pairs])
    )
    rows = []
    for k, (first, second) in enumerate(pairs):
        up, down = barrier(energy.energy(relaxed[k], symbol))
        direct = barrier(energy.energy(straight[k], symbol))[0]
        rows.append({"from": first, "to": second, "straight (nats)": direct, "relaxed (nats)": up, "relaxed, way back (nats)": down})
    return pd.DataFrame(rows)


def _round_frame(energy: SavedEnergy, symbol: str) -> Array:
    """A linear frame [d, d] in which the reference (for the mixture: the mean of their covariances) is round."""
    if symbol != MIXTURE:
        return energy.chol[energy.index(symbol)]
    return np.linalg.cholesky(np.einsum("sij,skj->ik", energy.chol, energy.chol) / len(energy.chol))


def _apart(energy: SavedEnergy, symbol: str, a: Array, b: Array) -> float:
    """Distance of two points in whitened coordinates: of the task, or of the task whose region the first is in."""
    name = symbol if symbol != MIXTURE else energy.symbols[int(energy.owner(a[None])[0])]
    return float(np.linalg.norm(energy.to_w(a[None], name) - energy.to_w(b[None], name)))


def _spread(path: Array) -> Array:
    """The same polyline with its points evenly spaced."""
    step = np.linalg.norm(np.diff(path, axis=0), axis=1)
    way = np.append(0, np.cumsum(step))
    even = np.linspace(0, way[-1], len(path))
    after = np.clip(np.searchsorted(way, even, side="right"), 1, len(path) - 1)
    share = ((even - way[after - 1]) / np.maximum(way[after] - way[after - 1], 1e-12))[:, None]
    return (1 - share) * path[after - 1] + share * path[after]
