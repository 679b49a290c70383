"""The controls of the Energy page: what is drawn, on which slice, how; all in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from workbench.app import frame
from workbench.views.energy import landscape, slices
from workbench.views.energy.saved import MIXTURE, SavedEnergy
from workbench.views.energy.slices import PARTS, Slice
from workbench.views.energy.snapshots import Chains, Codes

# The options are what the URL carries, so they are short words and stay as they are.
SLICES = ("PCA", "task means", "dimensions", "two points")
OF = ("all tasks", "this task", "each task")
OVERLAYS = ("codes", "chain ends", "one chain", "task means", "minima")


@dataclass(frozen=True)
class Choice:
    """What the reader chose. symbol: a task or MIXTURE; apart: one panel a task; against: iteration to subtract; moments: iterations
    with a saved energy; fixed: axes from the last codes of the run, the same at every iteration."""

    part: str
    symbol: str
    apart: bool
    kind: str
    view: str
    camera: str
    zoom: float
    points: int
    color: str
    fixed: bool
    against: int | None
    shown: tuple[str, ...]
    moments: tuple[int, ...]
    chain: int = 0
    pair: tuple[int, int] = (0, 1)
    ends: tuple[str, str] = ("", "")

    def plane(self, energy: SavedEnergy, basis: Codes, walk: Chains | None) -> Slice:
        """The slice that was chosen, through the codes of `basis`."""
        if energy.dim <= 2:
            return slices.dims_plane(basis.z, 0, min(1, energy.dim - 1))
        if self.kind == "task means":
            return slices.means_plane(basis.means, basis.z)
        if self.kind == "dimensions":
            return slices.dims_plane(basis.z, *self.pair)
        if self.kind == "two points":
            first, second = (_end(name, energy, basis, walk, self.chain) for name in self.ends)
            if np.linalg.norm(first - second) > 1e-9:
                return slices.points_plane(first, second, basis.z, self.ends)
        return slices.principal_plane(basis.z, *(self.pair if self.kind == "PCA" else (0, 1)))


def choose(here: frame.Cursor, energy: SavedEnergy, codes: Codes, walk: Chains | None, saved: list[int], at: int) -> Choice:
    """Draw the controls and read them."""
    known = here.task in energy.symbols
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="energy_controls"):
        part = _segments("Part", list(PARTS), "part", "U = −F + reference")
        of = _segments("Energy of", list(OF), "of", f"All tasks: the mixture. This task: {here.task}, as the cursor has it")
        kind = st.selectbox("Slice", SLICES, key="slice", bind="query-params", width=150) or SLICES[0]
        pair, ends = _slice_details(kind, energy, codes)
        view = _segments("View", ["2D", "3D"], "view")
        camera = _segments("Camera", list(landscape.CAMERAS), "cam") if view == "3D" and of != "each task" else "Iso"
        more, components = _more(saved, at, max(min(energy.dim, len(codes.z)), 2), walk.count if walk is not None else 1)
    pair = components if kind == "PCA" else pair
    if of == "this task" and not known:
        st.info(f"{here.task} was not learnt yet at iteration {at:,}: shown are all tasks together.", icon=":material/info:")
    symbol = here.task if of == "this task" and known else MIXTURE
    return Choice(part, symbol, of == "each task", kind, view, camera, moments=tuple(saved), pair=pair, ends=ends, **more)


def _segments(label: str, options: list[str], key: str, help_: str | None = None) -> str:
    return st.segmented_control(label, options, default=options[0], required=True, key=key, bind="query-params", help=help_) or options[0]


def _slice_details(kind: str, energy: SavedEnergy, codes: Codes) -> tuple[tuple[int, int], tuple[str, str]]:
    if kind == "dimensions":
        first = int(st.number_input("z across", 0, energy.dim - 1, 0, key="dimx", bind="query-params", width=110))
        second = int(st.number_input("z up", 0, energy.dim - 1, min(1, energy.dim - 1), key="dimy", bind="query-params", width=110))
        return (first, second if second != first else (first + 1) % energy.dim), ("", "")
    if kind == "two points":
        names = [*(f"mean of {task}" for task in codes.means), "chain start", "chain end"]
        names += [f"pin {pin}" for pin in ("A", "B") if f"pin_{pin}" in st.session_state]
        first = st.selectbox("From", names, index=0, key="from", bind="query-params", width=170)
        second = st.selectbox("To", names, index=min(1, len(names) - 1), key="to", bind="query-params", width=170)
        return (0, 1), (first or names[0], second or names[-1])
    return (0, 1), ("", "")


def _more(saved: list[int], at: int, most: int, chains: int) -> tuple[dict[str, Any], tuple[int, int]]:
    with st.popover("More", icon=":material/tune:"):
        shown = st.pills(
            "Drawn on it", list(OVERLAYS), selection_mode="multi", default=["codes", "one chain"], key="marks", bind="query-params"
        )
        if isinstance(st.session_state.get(frame.CHAIN_ON_MAP), int) and st.session_state[frame.CHAIN_ON_MAP] >= chains:
            st.session_state[frame.CHAIN_ON_MAP] = chains - 1
        chain = int(st.number_input("Chain", 0, max(chains - 1, 1), 0, key=frame.CHAIN_ON_MAP, bind="query-params", width=130))
        zoom = st.slider("Zoom", 0.4, 4.0, 1.0, 0.1, key="zoom", bind="query-params", help="1: the codes fill the picture")
        with st.container(horizontal=True):
            first = int(st.number_input("PC across", 1, most, 1, key="pcx", bind="query-params", width=130)) - 1
            second = int(st.number_input("PC up", 1, most, 2, key="pcy", bind="query-params", width=130)) - 1
        others = ["nothing", *(str(value) for value in saved if value != at)]
        if st.session_state.get("vs") not in (None, *others):
            del st.session_state["vs"]
        against = st.selectbox(
            "Less the energy at iteration", others, key="vs", bind="query-params", help="Draws the difference of two moments of the run"
        )
        color = _segments("Colour range", ["run", "picture"], "color", "Fixed over the run's saved moments, or of this picture alone")
        axes = _segments("Axes from", ["last", "now"], "axes", "The run's last codes, the same at every iteration; or this moment's")
        points = _segments("Points a side", [str(size) for size in (81, 121, 41)], "grid")
    chosen = {
        "shown": tuple(shown or ()),
        "chain": chain,
        "zoom": zoom,
        "against": int(against) if against and against != "nothing" else None,
        "color": color,
        "fixed": axes == "last",
        "points": int(points),
    }
    return chosen, (first, second if second != first else (first + 1) % most)


def _end(name: str, energy: SavedEnergy, basis: Codes, walk: Chains | None, chain: int) -> np.ndarray:
    """The point a chosen end names; the mean of all codes where it is not there any more."""
    kind, _, rest = name.partition(" of ")
    if kind == "mean" and rest in basis.means:
        return np.asarray(basis.means[rest], np.float64)
    if name in ("chain start", "chain end") and walk is not None:
        return np.asarray(walk.z[0 if name == "chain start" else -1, chain % walk.count], np.float64)
    pinned = st.session_state.get(name.replace("pin ", "pin_"))
    if isinstance(pinned, np.ndarray) and len(pinned) == energy.dim:
        return pinned
    return basis.z.mean(axis=0).astype(np.float64)


def pin(name: str, z: np.ndarray) -> None:
    """Keep a point for the slice through two points (this session only)."""
    st.session_state[f"pin_{name}"] = z
