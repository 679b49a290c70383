"""The map of the latent space: real codes and chain ends as points, coloured by task, origin, energy or rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.views import style
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.slices import principal_plane
from workbench.views.energy.snapshots import Chains, Codes, at_or_before, code_iterations, load_codes
from workbench.views.text import in_figure, shorten

Array = NDArray[Any]

MOST = 20_000
"""Points of one map; more are thinned, the same share of every task and origin."""
SVG_POINTS = 2000
"""Points up to which a map is drawn as SVG: without a graphics card, to make ready a WebGL canvas takes longer than that."""
REAL, GENERATED = "real codes", "chain ends"
ORIGINS = (REAL, GENERATED)
COLORINGS = ("task", "origin", "energy", "rating")
ORIGIN_COLORS = {REAL: "#0072B2", GENERATED: "#D55E00"}
GREY = {False: "#B9C0C8", True: "#4A525E"}


def points(
    codes: Codes | None, chains: Sequence[Chains], samples: Any, texts: Mapping[str, str], ratings: Mapping[str, float]
) -> tuple[pd.DataFrame, Array]:
    """One row a point and its z [n, d]: probe codes, then the end of every chain.

    Columns: id (stable: code:UID or chain:ITERATION:TASK:K), task, origin, text, sample_id, energy (as recorded, of chains), rating,
    verdict.
    texts: {uid: text} of real examples where known; ratings: {sample_id: mean rating}. Codes without a text show their uid.
    """
    rows, blocks = [], []
    if codes is not None:
        blocks.append(codes.z)
        for uid, task in zip(codes.uids, codes.names, strict=True):
            rows.append((f"code:{uid}", task, REAL, texts.get(uid, uid), "", np.nan, np.nan, ""))
    for chain in chains:
        blocks.append(chain.z[-1])
        decoded = samples[(samples["iteration"] == chain.iteration) & (samples["task"] == chain.task)] if len(samples) else samples
        by_chain = dict(zip(decoded["chain"].fillna(-1).astype(int), decoded.itertuples(), strict=True)) if len(decoded) else {}
        for k in range(chain.count):
            row: Any = by_chain.get(k)
            text, sample, said = (str(row.text), str(row.sample_id), str(row.verdict)) if row is not None else ("", "", "not decoded")
            key = f"chain:{chain.iteration}:{chain.task}:{k}"
            rows.append((key, chain.task, GENERATED, text, sample, float(chain.energy[-1, k]), ratings.get(sample, np.nan), said))
    frame = pd.DataFrame(rows, columns=["id", "task", "origin", "text", "sample_id", "energy", "rating", "verdict"])
    return frame, np.concatenate(blocks) if blocks else np.empty((0, 2), np.float32)


def thinned(frame: pd.DataFrame, most: int = MOST, seed: int = 0) -> Array:
    """Positions of at most `most` rows, the same share of every task and origin (at least one of each), in order."""
    if len(frame) <= most:
        return np.arange(len(frame))
    rng, kept = np.random.default_rng(seed), []
    for positions in frame.groupby(["task", "origin"], sort=False, observed=True).indices.values():
        count = max(1, int(most * len(positions) / len(frame)))
        kept.append(rng.choice(positions, count, replace=False))
    return np.sort(np.concatenate(kept))


def shown_words(shown: int, total: int) -> str:
    """'n shown of N'."""
    return f"{shown:,} points shown of {total:,}" + (", stratified by task and origin" if shown < total else "")


def with_energy(frame: pd.DataFrame, z: Array, energy: SavedEnergy | None) -> pd.DataFrame:
    """The frame with the energy of every point whose task the saved energy knows, each under its own task."""
    if energy is None:
        return frame
    frame = frame.copy()
    for symbol in energy.symbols:
        mine = (frame["task"] == symbol).to_numpy()
        if mine.any() and z.shape[1] == energy.dim:
            frame.loc[mine, "energy"] = energy.energy(z[mine], symbol)
    return frame


def matches(frame: pd.DataFrame, words: str) -> Array:
    """Which rows hold every one of the words in their text or id, [n] bool; all for no words. Plain text, no pattern."""
    found = np.ones(len(frame), bool)
    content = (frame["text"] + " " + frame["id"]).str.casefold()
    for word in words.casefold().split():
        found &= content.str.contains(word, regex=False).to_numpy()
    return found


def neighbours(frame: pd.DataFrame, z: Array, position: int, count: int = 5) -> pd.DataFrame:
    """The nearest real codes and the nearest generated ones to the point at a position, by distance in the whole space."""
    distance = np.linalg.norm(z - z[position], axis=1)
    distance[position] = np.inf
    kept = []
    for origin in (REAL, GENERATED):
        mine = np.flatnonzero((frame["origin"] == origin).to_numpy() & np.isfinite(distance))
        kept.append(mine[np.argsort(distance[mine], kind="stable")[:count]])
    chosen = np.concatenate(kept)
    found = frame.iloc[chosen].copy()
    found.insert(0, "distance", distance[chosen])
    return found


def draw(
    frame: pd.DataFrame,
    xy: Array,
    tasks: Sequence[str],
    *,
    coloring: str = "task",
    highlighted: Array | None = None,
    picked: int | None = None,
    labels: tuple[str, str] = ("PC 1", "PC 2"),
    dark: bool = False,
) -> go.Figure:
    """The map: xy [n, 2]. coloring: a key of COLORINGS; highlighted [n] bool: the rest is grey; picked: position drawn with a ring.

    Real codes are small dots, generated points diamonds. Points carry their id as customdata.
    """
    highlighted = np.ones(len(frame), bool) if highlighted is None else highlighted
    drawing = go.Figure()
    if (~highlighted).any():
        grey = {"color": GREY[dark], "size": 5, "opacity": 0.35}
        drawing.add_trace(_scatter(frame, xy, np.flatnonzero(~highlighted), "not matching", grey))
    continuous = coloring in ("energy", "rating")
    values = frame[coloring].to_numpy(float) if continuous else np.array([])
    for origin, marker in ((REAL, {"symbol": "circle", "size": 6}), (GENERATED, {"symbol": "diamond", "size": 8})):
        mine = highlighted & (frame["origin"] == origin).to_numpy()
        if continuous:
            known = mine & np.isfinite(values)
            unknown = mine & ~np.isfinite(values)
            if unknown.any():
                drawing.add_trace(
                    _scatter(
                        frame, xy, np.flatnonzero(unknown), f"{origin}, no {coloring}", {**marker, "color": GREY[dark], "opacity": 0.5}
                    )
                )
            if known.any():
                look = {**marker, "color": values[known].astype(np.float32), "coloraxis": "coloraxis"}
                drawing.add_trace(_scatter(frame, xy, np.flatnonzero(known), origin, look))
        elif coloring == "origin":
            if mine.any():
                drawing.add_trace(_scatter(frame, xy, np.flatnonzero(mine), origin, {**marker, "color": ORIGIN_COLORS[origin]}))
        else:
            for task in dict.fromkeys([*tasks, *frame["task"]]):
                here = mine & (frame["task"] == task).to_numpy()
                if here.any():
                    index = list(tasks).index(task) if task in tasks else len(tasks)
                    edge = {"line": {"width": 1, "color": style.INK[dark]}} if origin == GENERATED else {}
                    drawing.add_trace(
                        _scatter(
                            frame,
                            xy,
                            np.flatnonzero(here),
                            f"{task}{', chain ends' if origin == GENERATED else ''}",
                            {**marker, **edge, "color": style.task_color(index, dark)},
                        )
                    )
    if picked is not None:
        ring = {"size": 18, "symbol": "circle-open", "color": style.INK[dark], "line": {"width": 3}}
        drawing.add_trace(
            _kind(frame)(
                x=xy[[picked], 0], y=xy[[picked], 1], mode="markers", marker=ring, name="picked", hoverinfo="skip", showlegend=False
            )
        )
    if continuous:
        finite = values[np.isfinite(values)]
        low, high = (np.quantile(finite, [0.01, 0.99]) if coloring == "energy" else (1, 5)) if len(finite) else (0, 1)
        unit = "U in nats, each under its own task" if coloring == "energy" else "mean rating"
        drawing.update_layout(
            coloraxis={
                "cmin": low,
                "cmax": high,
                "colorscale": style.SEQUENTIAL,
                "colorbar": {"title": {"text": unit, "side": "right"}, "thickness": 12, "outlinewidth": 0},
            }
        )
    drawing.update_xaxes(title_text=labels[0], zeroline=False)
    drawing.update_yaxes(title_text=labels[1], zeroline=False)
    return drawing.update_layout(height=620, dragmode="pan")


def download_frame(frame: Any) -> pd.DataFrame:
    """What a selection is saved as: ids, sample ids and the whole text."""
    return frame[["id", "sample_id", "task", "origin", "energy", "rating", "verdict", "text"]].reset_index(drop=True)


def table_frame(frame: pd.DataFrame, most: int = 500) -> pd.DataFrame:
    """What a table shows of it: texts cut to a line."""
    shown = frame.head(most).copy()
    shown["text"] = [shorten(str(text), 160) for text in shown["text"]]
    return shown


def umap_xy(projection: pd.DataFrame, frame: pd.DataFrame) -> Array | None:
    """Coordinates [n, 2] from a saved UMAP (columns uid, x, y), NaN where a point has none; None where the file does not fit."""
    if not {"uid", "x", "y"} <= set(projection.columns):
        return None
    where = {f"code:{uid}": (x, y) for uid, x, y in zip(projection["uid"], projection["x"], projection["y"], strict=True)}
    return np.array([where.get(key, (np.nan, np.nan)) for key in frame["id"]], float).reshape(-1, 2)


def _kind(frame: pd.DataFrame) -> type[go.Scatter] | type[go.Scattergl]:
    return go.Scatter if len(frame) <= SVG_POINTS else go.Scattergl


def _scatter(frame: pd.DataFrame, xy: Array, rows: Array, name: str, marker: dict[str, Any]) -> go.Scatter | go.Scattergl:
    part = frame.iloc[rows]
    texts = [in_figure(text, 110) for text in part["text"]]
    unselected = {"marker": {"opacity": 0.12}}
    return _kind(frame)(
        x=xy[rows, 0].astype(np.float32),
        y=xy[rows, 1].astype(np.float32),
        mode="markers",
        name=in_figure(name, 40),
        marker=marker,
        customdata=part["id"].tolist(),
        text=texts,
        hovertemplate="%{text}<extra>" + in_figure(name, 40) + "</extra>",
        unselected=unselected,
    )


def figure(run: Any, iteration: int | None = None) -> go.Figure:
    """The map of a run in one call: the last (or the given) saved codes on their first two principal components."""
    moments = code_iterations(run)
    at = at_or_before(moments, moments[-1] if iteration is None and moments else iteration or 0)
    if at is None:
        return style.empty("This run saved no codes.")
    codes = load_codes(run, at)
    rows, z = points(codes, [], pd.DataFrame(), {}, {})
    kept = thinned(rows)
    plane = principal_plane(codes.z)
    return draw(rows.iloc[kept].reset_index(drop=True), plane.project(z[kept]), codes.tasks, labels=(plane.x_label, plane.y_label))
