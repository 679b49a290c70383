"""Latent map: real codes and chain ends on one plane, coloured, searched, selected, and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from workbench.app import frame, latent_space
from workbench.app.store import CachedRun, Signature, files_signature
from workbench.runs.schema import RunError
from workbench.views.energy import latent_map as latents
from workbench.views.energy import slices, snapshots
from workbench.views.energy.slices import Slice
from workbench.views.energy.snapshots import Codes

MAP = "latent_map"


class Placed(NamedTuple):
    """Rows and z [n, d] of what is shown, how many there were, the plane of the codes' principal components, and from when they are."""

    rows: pd.DataFrame
    z: np.ndarray
    total: int
    plane: Slice | None
    moments: str


@st.cache_resource(max_entries=8, show_spinner="Placing the points")
def _points(path: str, files: Signature, iteration: int, tasks: tuple[str, ...], drawn: bool) -> Placed:
    run = CachedRun(Path(path))
    means = _codes(run, iteration)
    codes = means.as_draws() if means is not None and drawn else means
    walks = []
    for task in tasks:
        known = [value for value in snapshots.chain_iterations(run, task) if value <= iteration]
        walks += [latent_space.chains(run, max(known), task)] if known else []
    dim = codes.z.shape[1] if codes is not None else (walks[0].z.shape[2] if walks else 0)
    walks = [walk for walk in walks if walk.z.shape[2] == dim]
    rows, z = latents.points(codes, walks, run.table("samples"), latent_space.real_texts(run), latent_space.mean_ratings(run))
    kept = latents.thinned(rows)
    total, rows, z = len(rows), rows.iloc[kept].reset_index(drop=True), z[kept]
    at = snapshots.at_or_before(snapshots.energy_iterations(run), iteration)
    energies = latent_space.energies(run, [at]) if at is not None and len(rows) else []
    rows = latents.with_energy(rows, z, energies[0] if energies else None)
    plane = None
    if len(rows):
        base = means.z if means is not None else z  # the same axes for draws and means
        plane = slices.dims_plane(base, 0, min(1, dim - 1)) if dim <= 2 else slices.principal_plane(base)
    return Placed(
        rows, z, total, plane, _moments(codes.iteration if codes is not None else None, sorted({walk.iteration for walk in walks}))
    )


def _codes(run: CachedRun, iteration: int) -> Codes | None:
    moment = snapshots.at_or_before(snapshots.code_iterations(run), iteration)
    return latent_space.codes(run, moment) if moment is not None else None


def _moments(codes: int | None, chains: list[int]) -> str:
    """From which iterations codes and chain ends are, and what it means where they differ."""
    words = f"Codes of iteration {codes:,}" if codes is not None else "No codes"
    if chains:
        words += f", chain ends of {', '.join(f'{value:,}' for value in chains)}"
        words += ": the encoder may have moved between" if codes is not None and any(value != codes for value in chains) else ""
    return words + "."


def projection(run: Any, rows: pd.DataFrame) -> np.ndarray | None:
    """Coordinates of a UMAP saved with the run, where it has one. Raises RunError for a file that cannot be read."""
    file = run.path / "projections" / "umap.parquet"
    if not file.is_file() or file.is_symlink() or file.parent.is_symlink():
        return None
    return latents.umap_xy(_projection(str(file), files_signature([file])), rows)


@st.cache_resource(max_entries=4, show_spinner=False)
def _projection(file: str, signature: Signature) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise RunError(f"projections/umap.parquet: cannot be read ({str(error)[:120]})") from None


def controls(has_umap: bool, origins: list[str]) -> tuple[str, str, str, list[str]]:
    coloring = (
        st.segmented_control(
            "Colour",
            list(latents.COLORINGS),
            default="task",
            required=True,
            key="by",
            bind="query-params",
        )
        or "task"
    )
    kind = "PCA"
    if has_umap:
        kind = st.segmented_control("Projection", ["PCA", "UMAP"], default="PCA", required=True, key="proj", bind="query-params") or "PCA"
    shown = st.pills(
        "Points",
        origins,
        selection_mode="multi",
        default=origins,
        key="origins",
        bind="query-params",
    )
    words = st.text_input("Search texts", key="find", bind="query-params", placeholder="every word must occur", width=240)
    return coloring, kind, words or "", list(shown or origins)


def selected_ids() -> list[str]:
    points = (st.session_state.get(MAP) or {}).get("selection", {}).get("points", [])
    found = []
    for point in points:
        data = point.get("customdata")
        data = data[0] if isinstance(data, (list, tuple)) and data else data
        if isinstance(data, str):
            found.append(data)
    return list(dict.fromkeys(found))


def selection_panel(rows: pd.DataFrame, z: np.ndarray, chosen: list[str], name: str) -> None:
    """The table of what was selected, its download, and the neighbours of a single point."""
    part: Any = rows[rows["id"].isin(chosen)]
    if part.empty:
        st.caption(
            "Click a point, or draw round some with the lasso or the box of the chart's toolbar: they are listed here and "
            "the rest turns faint."
        )
        return
    st.subheader(f"{len(part):,} selected", anchor=False)
    if len(part) == 1:
        position = int(part.index[0])
        frame.text_block(str(part["text"].iloc[0]) or "no text was decoded from this point")
        st.caption("Its neighbours in the whole space, nearest first: 5 real codes, then 5 chain ends")
        found = latents.neighbours(rows, z, position)
        st.dataframe(
            latents.table_frame(found).round(3),
            key="neighbours",
            hide_index=True,
            column_order=["distance", "origin", "task", "text", "energy", "verdict", "rating"],
        )
    else:
        st.dataframe(
            latents.table_frame(part).round(3),
            key="selection",
            hide_index=True,
            column_order=["task", "origin", "text", "energy", "verdict", "rating", "id"],
        )
        if len(part) > 500:
            st.caption(f"The first 500 of {len(part):,} are listed; the download has all.")
    content = latents.download_frame(part).to_csv(index=False).encode()
    st.download_button(
        "Download selection (CSV)",
        content,
        f"{name}-selection.csv",
        "text/csv",
        key="selection_csv",
        on_click="ignore",
        icon=":material/download:",
    )


def page() -> None:
    here = frame.header("Latent map", code=frame.snippet("energy.latent_map"))
    run = here.run
    with frame.panel("The map"):
        codes = _codes(run, here.iteration)
        row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="map_controls")
        with row:
            drawn = latent_space.codes_choice(codes)
        files = run.signature("latents", "chains", "weights", "samples", "ratings")
        placed = _points(str(run.path), files, here.iteration, tuple(here.tasks), drawn)
        rows, z, total, plane, moments = placed
        if rows.empty or plane is None:
            running = run.status == "running"
            frame.not_recorded(
                "codes so far" if running else "codes",
                "recording.latents",
                "30 kB a task and snapshot",
                "The first are saved when the first task ends." if running else "",
            )
            return
        umap = projection(run, rows)
        present = [name for name in latents.ORIGINS if name in set(rows["origin"])]
        with row:
            coloring, kind, words, origins = controls(umap is not None, present)
        visible = rows["origin"].isin(origins).to_numpy(copy=True)
        xy, labels = (
            (umap, ("UMAP 1", "UMAP 2")) if kind == "UMAP" and umap is not None else (plane.project(z), (plane.x_label, plane.y_label))
        )
        visible &= np.isfinite(xy).all(axis=1)
        part: Any = rows[visible].reset_index(drop=True)
        part_xy = xy[visible]
        hits = latents.matches(part, words)
        chosen = st.session_state.get("picked_ids", [])
        position = part.index[part["id"] == chosen[0]].tolist() if len(chosen) == 1 else []
        figure = latents.draw(
            part,
            part_xy,
            here.tasks,
            coloring=coloring,
            highlighted=hits,
            picked=position[0] if position else None,
            labels=labels,
            dark=here.dark,
        )
        alt = f"Map of {len(part):,} points coloured by {coloring}, {' and '.join(labels)}"
        frame.chart(
            figure,
            key=MAP,
            alt=alt,
            data=lambda: part.assign(x=part_xy[:, 0], y=part_xy[:, 1]),
            name=f"{run.name}-latent-map",
            on_select=keep_selection,
            selection_mode=("points", "box", "lasso"),
            config={"modeBarButtonsToRemove": ["autoScale2d"], "scrollZoom": True},
        )
        found = f" {int(hits.sum()):,} match {words!r}." if words else ""
        axes = (
            f"PCA of the codes: {plane.share:.0%} of their variance"
            if kind == "PCA"
            else "UMAP saved with the run, of the probe codes only"
        )
        st.caption(
            f"{latents.shown_words(len(part), total)}.{found} {axes}. {moments} "
            f"{latent_space.codes_words(codes.as_draws() if codes is not None and drawn else codes)} Distances on a map mislead; neighbours below are by "
            f"distance in all {z.shape[1]} dimensions."
        )
    with frame.panel("The selection"):
        selection_panel(rows, z, st.session_state.get("picked_ids", []), run.name)


def keep_selection() -> None:
    """Remember what was selected by id: positions change with every filter."""
    st.session_state["picked_ids"] = selected_ids()


page()
