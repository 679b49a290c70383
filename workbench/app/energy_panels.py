"""The panels beneath the map of the Energy page, and what they are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.app import frame, latent_space
from workbench.app.slice_controls import Choice, pin
from workbench.app.store import CachedRun, Signature
from workbench.views import style
from workbench.views.energy import fit, landscape, minima, slices, snapshots
from workbench.views.energy.minima import Minima
from workbench.views.energy.saved import MIXTURE, SavedEnergy
from workbench.views.energy.slices import Range, Slice
from workbench.views.energy.snapshots import Chains, Codes


@dataclass(frozen=True)
class Scene:
    """Everything the panels of the page draw from. basis: the codes that fix the axes; codes: those of this moment."""

    here: frame.Cursor
    energy: SavedEnergy
    iteration: int
    codes: Codes | None
    basis: Codes
    chains: Chains | None
    choice: Choice
    slice: Slice
    where: Range

    @property
    def symbol(self) -> str:
        return self.choice.symbol


def picked(at: Scene) -> np.ndarray | None:
    """The point the address names, z [d]."""
    return latent_space.point_named(str(st.session_state.get("at") or ""), at.slice, at.codes, at.chains)


def codes_of_reference(energy: SavedEnergy, iteration: int) -> Codes:
    """Draws from the references, to stand in for codes a run did not save."""
    rng = np.random.default_rng(0)
    blocks = [energy.to_z(energy.sigma * rng.standard_normal((100, energy.dim)), name) for name in energy.symbols]
    z = np.concatenate(blocks).astype(np.float32)
    index = np.repeat(np.arange(len(energy.symbols)), 100)
    return Codes(z, index, energy.symbols, tuple(f"reference {k}" for k in range(len(z))), iteration)


@st.cache_data(max_entries=256, show_spinner=False)
def _colors(
    path: str, weights: Signature, iterations: tuple[int, ...], plane: tuple[np.ndarray, np.ndarray], where: Range, part: str, symbol: str
) -> tuple[float, float]:
    run = CachedRun(Path(path))
    slice_ = Slice(*plane, "", "", "")
    xs, ys = where.axes(25)
    known = latent_space.energies(run, iterations)
    return slices.color_range(
        [slices.field(one, slice_, xs, ys, part, symbol) for one in known if symbol == MIXTURE or symbol in one.symbols], part
    )


def colors(run: Any, slice_: Slice, where: Range, part: str, symbol: str, iterations: tuple[int, ...]) -> tuple[float, float]:
    """One colour range for these iterations on this slice."""
    return _colors(str(run.path), run.signature("weights"), iterations, (slice_.centre, slice_.axes), where, part, symbol)


def energy_groups(run: Any, energy: SavedEnergy, codes: Codes | None, walk: Chains | None, task: str) -> dict[str, np.ndarray]:
    """Energies of a task for the histogram: data codes, short-run samples, replay kept, replay refused."""
    groups = {"data codes": latent_space.data_energy(energy, codes, task)}
    if walk is not None and walk.task == task:
        groups["short-run samples"] = walk.energy[-1].astype(float)
    if walk is not None and walk.task == task and not walk.anew:
        samples = run.table("samples")
        rows = samples[(samples["task"] == task) & (samples["iteration"] == walk.iteration)] if len(samples) else samples
        if len(rows):
            kept = rows["kept"].fillna(False).astype(bool)
            groups["replay kept"], groups["replay refused"] = (
                rows.loc[which, "energy"].dropna().to_numpy(float) for which in (kept, ~kept)
            )
    return groups


def answer_figure(here: frame.Cursor) -> tuple[go.Figure, pd.DataFrame]:
    """Answer energy in nats a token of each task over iterations, and its rows."""
    table = here.run.table("eval")
    rows = table[(table["kind"] == "teacher_forced") & table["loss"].notna()][["iteration", "eval_task", "loss"]] if len(table) else table
    if not len(rows):
        return style.empty("No answer energies were recorded: evaluation saved no losses."), pd.DataFrame()
    figure = go.Figure()
    for index, task in enumerate(here.tasks):
        mine = rows[rows["eval_task"] == task].sort_values("iteration")
        chosen = style.thin(mine["iteration"], mine["loss"])
        line = {"color": style.task_color(index, here.dark), "dash": style.task_dash(index), "width": 2}
        figure.add_trace(
            go.Scatter(x=mine["iteration"].to_numpy()[chosen], y=mine["loss"].to_numpy()[chosen], mode="lines", name=task, line=line)
        )
    figure.update_xaxes(title_text="iteration")
    figure.update_yaxes(title_text="E(x, y) in nats a token (lower = more probable)")
    return figure.update_layout(height=460), rows


def point_input() -> None:
    """The field that names the picked point; a click on the map fills it in."""
    st.text_input(
        "Point",
        key="at",
        bind="query-params",
        placeholder="x, y or code:UID or chain:7",
        width=230,
        help="A click on the map fills this in",
    )


def point_panel(at: Scene) -> None:
    """The clicked point: coordinates, energies, the nearest texts, and what to do with it."""
    point = picked(at)
    if point is None:
        st.caption("Click on the map, or write a point: its energies and the texts nearest to it appear here.")
        return
    xy, away = at.slice.project(point), float(at.slice.distance(point))
    st.text(f"{at.slice.x_label} {xy[0]:.3f}, {at.slice.y_label} {xy[1]:.3f}; {away:.2f} from the plane; |z| = {np.linalg.norm(point):.2f}")
    with st.container(key="beside_point"):
        left, right = st.columns([1, 1.6], gap="medium")
    with left:
        frame.frame_table(
            energies_at(at.energy, point), key="point_energies", downloads=False, alt="Energies of the picked point under each task"
        )
        with st.container(horizontal=True):
            st.button("Pin as A", key="pin_a", on_click=pin, args=("A", point), help="For the slice through two points")
            st.button("Pin as B", key="pin_b", on_click=pin, args=("B", point))
            st.button("Start the bench here", key="bench_here", on_click=_to_bench)
    with right:
        moments = [
            (chain_at, task)
            for task in at.energy.symbols
            if (chain_at := snapshots.at_or_before(snapshots.chain_iterations(at.here.run, task), at.here.iteration)) is not None
        ]
        for what, task, text, distance in latent_space.nearest_texts(at.here.run, point, at.codes, moments):
            st.caption(f"{what}, {distance:.2f} away")
            st.text(task)
            frame.text_block(text, limit=1200)


def _to_bench() -> None:
    st.session_state["detail"] = "Sampler bench"
    # The bench is not on the page yet, so its widget cannot write the address.
    st.session_state["start"] = st.query_params["start"] = "picked point"


def energies_at(energy: SavedEnergy, z: np.ndarray) -> pd.DataFrame:
    """U, F and the reference of a point z [d] under each task, and its share of the mixture."""
    rows = []
    for name in energy.symbols:
        rows.append(
            {
                "task": name,
                "U": energy.energy(z[None], name)[0],
                "F": energy.neg_energy(z[None], name)[0],
                "reference": energy.reference_energy(z[None], name)[0],
            }
        )
    frame_ = pd.DataFrame(rows).round(3)
    logs = -(frame_["U"].to_numpy() + energy.log_det)
    share = np.exp(logs - logs.max())
    frame_["share of mixture"] = (share / share.sum()).round(3)
    return frame_


@st.cache_resource(max_entries=32, show_spinner="Descending from many starts")
def _minima(path: str, weights: Signature, iteration: int, symbol: str) -> tuple[Minima, np.ndarray]:
    run = CachedRun(Path(path))
    energy = latent_space.energy(run, iteration)
    found = snapshots.at_or_before(snapshots.code_iterations(run), iteration)
    codes = latent_space.codes(run, found) if found is not None else codes_of_reference(energy, iteration)
    starts, names = minima.starts_for(energy, {task: codes.of(task) for task in energy.symbols})
    return minima.find_minima(energy, symbol, starts), names


def minima_of(run: Any, iteration: int, symbol: str) -> Minima:
    """The minima of an energy, found once."""
    return _minima(str(run.path), run.signature("weights", "latents"), iteration, symbol)[0]


@st.cache_resource(max_entries=64, show_spinner="Relaxing the path")
def _paths(path: str, weights: Signature, iteration: int, symbol: str, pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    energy = latent_space.energy(CachedRun(Path(path)), iteration)
    a, b = (energy.mean[[energy.index(name)]] for name in pair)
    straight, relaxed = minima.paths_between(energy, symbol, a, b)
    return straight[0], relaxed[0]


@st.cache_data(max_entries=32, show_spinner="Relaxing the path of every pair")
def _barriers(path: str, weights: Signature, iteration: int, symbol: str) -> pd.DataFrame:
    energy = latent_space.energy(CachedRun(Path(path)), iteration)
    return minima.barrier_table(energy, symbol, {name: energy.mean[k] for k, name in enumerate(energy.symbols)})


def minima_panel(at: Scene) -> None:
    """Minima with their basins, and the barrier between two tasks."""
    run, energy = at.here.run, at.energy
    weights = run.signature("weights", "latents")
    found, names = _minima(str(run.path), weights, at.iteration, at.symbol)
    still = int((found.label < 0).sum())
    st.text(
        f"{len(found.z)} minima of {at.symbol} from {len(found.starts)} starts (codes of every task, the reference means "
        "and draws from the references)" + (f"; {still} starts had not settled." if still else "; every start settled.")
    )
    frame.frame_table(
        minima.basin_table(found, names, energy),
        key="basins",
        name=f"{run.name}-minima",
        alt="Minima with the share of starts of each task that flow into them",
    )
    st.caption(
        "A basin is what flows into a minimum: 1 under 'from' a task says that every start of that task ends there. Choose "
        "'minima' under More to see them on the map (projected)."
    )
    if len(energy.symbols) < 2:
        st.info("A barrier needs two tasks; this energy knows one.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox("Barrier from", energy.symbols, index=0, key="bfrom", bind="query-params", width=200)
        second = st.selectbox("to", energy.symbols, index=1, key="bto", bind="query-params", width=200)
    if first and second and first != second:
        straight, relaxed = _paths(str(run.path), weights, at.iteration, at.symbol, (first, second))
        figure = minima.barrier_figure(energy, at.symbol, straight, relaxed, (first, second))
        frame.chart(
            figure,
            key="barrier",
            alt=f"Energy along the straight and the relaxed path from {first} to {second}",
            data=lambda: _path_rows(energy, at.symbol, {"straight": straight, "relaxed": relaxed}),
        )
        st.caption(
            "Between the reference means of both tasks. The relaxed path is a string that slid downhill with its ends "
            "held; the lowest crest it had on the way is shown, so the true barrier is at most that."
        )
    if st.toggle("Every pair", key="pairs", bind="query-params"):
        frame.frame_table(
            _barriers(str(run.path), weights, at.iteration, at.symbol).round(2),
            key="barriers",
            name=f"{run.name}-barriers",
            alt="Barrier of every pair of tasks",
        )


def _path_rows(energy: SavedEnergy, symbol: str, paths: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame({"path": name, "point": np.arange(len(z)), "nats": energy.energy(z, symbol)}) for name, z in paths.items()],
        ignore_index=True,
    )


def moments_panel(at: Scene) -> None:
    """The same slice at every saved moment: does a later task erase an earlier one's basin?"""
    run, part, symbol = at.here.run, at.choice.part, at.symbol
    known = {value: found[0] for value in at.choice.moments if (found := latent_space.energies(run, [value]))}
    moments = [value for value, energy in known.items() if symbol == MIXTURE or symbol in energy.symbols]
    if len(moments) > 6:
        moments = [moments[int(k)] for k in np.linspace(0, len(moments) - 1, 6).round()]
    xs, ys = at.where.axes(41)
    fields = np.stack([slices.field(known[value], at.slice, xs, ys, part, symbol) for value in moments])
    shared = colors(run, at.slice, at.where, part, symbol, tuple(moments))
    names = [f"iteration {value:,}" + (" (cursor)" if value == at.iteration else "") for value in moments]
    figure = landscape.side_by_side(fields, names, at.where, at.slice, part, shared)
    frame.chart(
        figure,
        key="moments",
        alt=f"{slices.PARTS[part]} of {symbol} at {len(moments)} moments on the same axes and colours",
        name=f"{run.name}-moments",
    )
    st.caption(
        f"{slices.PARTS[part]} of {symbol} ({slices.SIGNS[part]}) on one slice and one colour range: {at.slice.name}, axes "
        f"from the codes of iteration {at.basis.iteration:,}."
    )


def fit_panel(at: Scene) -> None:
    """Held-out codes against the ends of the chains, at every saved moment."""
    run = at.here.run
    found = run.remember("fit", ("weights", "latents", "chains"), lambda: fit.measures(run))
    frame.frame_table(
        found,
        key="fit",
        name=f"{run.name}-fit",
        alt="Energy at the chains' ends against held-out codes, by moment and task",
        column_config={
            name: st.column_config.NumberColumn(help=words, format=None if name in ("iteration", "codes", "chains") else "%.2f")
            for name, words in fit.COLUMNS.items()
            if name != "task"
        },
    )
    st.caption(
        "Each row under the energy of that moment. f_gap above 0: F prefers places where no real text is. A growing code_distance: the "
        "encoder has moved, and the place of the task is no longer where its real texts are."
    )
