"""Two-dimensional slices through the latent space, and the energy on them.

A slice is a plane, centre + x axes[0] + y axes[1]; a high-dimensional energy is drawn ON it, codes and chains are drawn as
their PROJECTION to it. Every slice says which it is and how much of the codes' variance lies in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.views.energy.saved import MIXTURE, SavedEnergy, combine

Array = NDArray[Any]

PARTS = {"U": "Energy U", "F": "Negative energy F", "reference": "Reference"}
PHRASES = {"U": "energy U", "F": "negative energy F", "reference": "reference"}
SIGNS = {
    "U": "U in nats: lower = more probable",
    "F": "F in nats: higher = more probable",
    "reference": "|w|²/2σ² in nats: lower = more probable",
}


@dataclass(frozen=True)
class Slice:
    """A plane: centre [d], orthonormal axes [2, d]. `share`: share of the variance of the codes in the plane."""

    centre: Array
    axes: Array
    name: str
    x_label: str
    y_label: str
    share: float = float("nan")

    def project(self, z: Array) -> Array:
        """Coordinates in the plane: [..., d] to [..., 2]."""
        return (np.asarray(z, np.float64) - self.centre) @ self.axes.T

    def lift(self, xy: Array) -> Array:
        """Points of the plane: [..., 2] to [..., d]."""
        return self.centre + np.asarray(xy, np.float64) @ self.axes

    def distance(self, z: Array) -> Array:
        """Distance of z [..., d] from the plane, [...]."""
        away = np.asarray(z, np.float64) - self.lift(self.project(z))
        return np.linalg.norm(away, axis=-1)


class Range(NamedTuple):
    """What of the plane is drawn."""

    x0: float
    x1: float
    y0: float
    y1: float

    def axes(self, points: int) -> tuple[Array, Array]:
        return np.linspace(self.x0, self.x1, points), np.linspace(self.y0, self.y1, points)


def principal_plane(codes: Array, first: int = 0, second: int = 1) -> Slice:
    """The plane of two principal components of the codes [n, d] through their mean (0-based; signs fixed)."""
    centre = codes.mean(axis=0)
    directions = _components(codes - centre)
    axes = np.stack([_row(directions, first), _row(directions, second)])
    return _slice(
        centre, axes, f"principal components {first + 1} and {second + 1} of the codes", f"PC {first + 1}", f"PC {second + 1}", codes
    )


def means_plane(means: Mapping[str, Array], codes: Array) -> Slice:
    """The plane through two or three task means; the best plane (PCA of the means) for more; one mean gives the codes' own plane."""
    names, points = list(means), np.stack([np.asarray(point, np.float64) for point in means.values()])
    if len(names) < 2:
        return principal_plane(codes)
    centre = points.mean(axis=0)
    if len(names) == 2:
        first = points[1] - points[0]
        axes = _orthonormal([first, *_components(codes - codes.mean(axis=0))])
        return _slice(
            centre,
            axes,
            f"plane through the means of {names[0]} and {names[1]}",
            f"{names[0]} → {names[1]}",
            "main spread across it",
            codes,
        )
    if len(names) == 3:
        axes = _orthonormal([points[1] - points[0], points[2] - points[0], *np.eye(points.shape[1])])
        return _slice(
            centre, axes, f"plane through the means of {', '.join(names)}", f"{names[0]} → {names[1]}", f"towards {names[2]}", codes
        )
    axes = _components(points - centre)[:2]
    return _slice(centre, axes, f"best plane through the means of {len(names)} tasks", "mean direction 1", "mean direction 2", codes)


def dims_plane(codes: Array, i: int, j: int) -> Slice:
    """Two dimensions of z through the mean of the codes; with d = 2 the whole space."""
    centre, dim = codes.mean(axis=0), codes.shape[1]
    axes = np.stack([np.eye(dim)[i], np.eye(dim)[j] if dim > 1 else np.zeros(dim)])
    return _slice(centre, axes, f"dimensions {i} and {j}", f"z[{i}]", f"z[{j}]", codes)


def points_plane(a: Array, b: Array, codes: Array, names: tuple[str, str] = ("A", "B")) -> Slice:
    """The plane through two points; its second axis is the codes' main spread across the line."""
    axes = _orthonormal([np.asarray(b, np.float64) - a, *_components(codes - codes.mean(axis=0)), *np.eye(len(a))])
    return _slice(
        (np.asarray(a, np.float64) + b) / 2,
        axes,
        f"plane through {names[0]} and {names[1]}",
        f"{names[0]} → {names[1]}",
        "main spread across it",
        codes,
    )


def extent(slice_: Slice, *points: Array, margin: float = 0.12, zoom: float = 1.0) -> Range:
    """A square that holds the projections of the points (each [n, d]), their outermost 1 % aside; zoom 2 halves it."""
    xy = np.concatenate([slice_.project(z).reshape(-1, 2) for z in points if len(z)] or [np.zeros((1, 2))])
    low, high = np.quantile(xy, 0.005, axis=0), np.quantile(xy, 0.995, axis=0)
    middle = (low + high) / 2
    half = max(float((high - low).max()) / 2 * (1 + 2 * margin), 1e-3) / zoom
    return Range(middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)


def field(energy: SavedEnergy, slice_: Slice, xs: Array, ys: Array, part: str = "U", symbol: str = MIXTURE) -> Array:
    """One part of the energy on the slice: float32 [len(ys), len(xs)]. part: U, F or reference; symbol: a task or MIXTURE."""
    one = symbol != MIXTURE
    f, reference = energy.on_plane(slice_.centre, slice_.axes, xs, ys, [symbol] if one else None)
    if one:
        return _part(part, reference[0] - f[0], f[0], reference[0])
    u = combine(reference - f, energy.log_det)
    whole = combine(reference, energy.log_det) + np.float32(np.log(len(energy.symbols)))
    return _part(part, u, whole - u, whole)


def each_field(energy: SavedEnergy, slice_: Slice, xs: Array, ys: Array, part: str = "U") -> Array:
    """The part of every task apart, float32 [S, len(ys), len(xs)]."""
    f, reference = energy.on_plane(slice_.centre, slice_.axes, xs, ys)
    return _part(part, reference - f, f, reference)


def color_range(fields: Sequence[Array], part: str = "U", top: float = 0.85, include: Array | None = None) -> tuple[float, float]:
    """One colour range for the fields [ny, nx] given. The reference grows without bound, so U and it are cut at the quantile `top`.

    include [n]: true values of points to be drawn in these colours; nine in ten of them fit in, too.
    """
    values = np.concatenate([np.asarray(value, np.float64).ravel() for value in fields])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = (
        (float(values.min()), float(np.quantile(values, top)))
        if part != "F"
        else (float(np.quantile(values, 1 - top)), float(values.max()))
    )
    if include is not None and len(include):
        low, high = min(low, float(np.quantile(include, 0.05))), max(high, float(np.quantile(include, 0.95)))
    return (low, high) if high - low > 1e-6 else (low - 0.5, low + 0.5)


def caption(slice_: Slice, energy: SavedEnergy, part: str, symbol: str, iteration: int) -> str:
    """What the picture is, in one line of plain text."""
    which = "mixture over all tasks, −log Σ exp(−U_j − log|det chol_j|)" if symbol == MIXTURE else f"task {symbol} alone"
    within = f"{slice_.share:.0%} of probe variance in the plane" if np.isfinite(slice_.share) else "share of probe variance unknown"
    return f"{energy.dim}-D {PHRASES[part]} ({SIGNS[part]}), {which}, saved at iteration {iteration:,}; slice: {slice_.name}; {within}."


def _part(part: str, u: Array, f: Array, reference: Array) -> Array:
    if part not in PARTS:
        raise ValueError(f"part: found {part!r}; accepted: {', '.join(PARTS)}")
    return {"U": u, "F": f, "reference": reference}[part]


def _slice(centre: Array, axes: Array, name: str, x_label: str, y_label: str, codes: Array) -> Slice:
    centred = np.asarray(codes, np.float64) - codes.mean(axis=0)
    total = float((centred**2).sum())
    share = float(((centred @ axes.T) ** 2).sum()) / total if total > 0 else float("nan")
    return Slice(np.asarray(centre, np.float64), axes, name, x_label, y_label, share)


def _components(centred: Array) -> Array:
    """Principal directions of centred rows, strongest first, [k, d]; the largest coordinate of each is made positive."""
    directions = np.linalg.svd(np.asarray(centred, np.float64), full_matrices=False)[2]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    return directions * np.sign(np.where(largest == 0, 1, largest))


def _row(directions: Array, index: int) -> Array:
    return directions[index] if index < len(directions) else np.zeros(directions.shape[1])


def _orthonormal(directions: Sequence[Array]) -> Array:
    """The first two orthonormal directions of the given ones (Gram-Schmidt), [2, d]; zeros where there are not two."""
    found: list[Array] = []
    for direction in directions:
        rest = np.array(direction, np.float64)
        for axis in found:
            rest -= (rest @ axis) * axis
        if np.linalg.norm(rest) > 1e-9 * max(np.linalg.norm(direction), 1e-9) and np.linalg.norm(rest) > 1e-12:
            found.append(rest / np.linalg.norm(rest))
        if len(found) == 2:
            break
    return np.stack(found + [np.zeros(len(directions[0]))] * (2 - len(found)))
