"""The controls of the Energy page: what is drawn, on which slice, how; all in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from workbench.app import frame
from workbench.views import landscape, slices
from workbench.views.energy import MIXTURE, SavedEnergy
from workbench.views.slices import PARTS, Slice
from workbench.views.snapshots import Chains, Codes

SLICES = {"pc12": "Principal components", "means": "Task means", "dims": "Two dimensions", "points": "Two points"}
OF = {"all": "All tasks", "task": "This task", "each": "Each task"}
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
    pair: tuple[int, int] = (0, 1)
    ends: tuple[str, str] = ("", "")

    def plane(self, energy: SavedEnergy, basis: Codes, walk: Chains | None) -> Slice:
        """The slice that was chosen, through the codes of `basis`."""
        if energy.dim <= 2:
            return slices.dims_plane(basis.z, 0, min(1, energy.dim - 1))
        if self.kind == "means":
            return slices.means_plane(basis.means, basis.z)
        if self.kind == "dims":
            return slices.dims_plane(basis.z, *self.pair)
        if self.kind == "points":
            first, second = (_end(name, energy, basis, walk) for name in self.ends)
            if np.linalg.norm(first - second) > 1e-9:
                return slices.points_plane(first, second, basis.z, self.ends)
        return slices.principal_plane(basis.z, *(self.pair if self.kind == "pc12" else (0, 1)))


def choose(here: frame.Cursor, energy: SavedEnergy, codes: Codes, saved: list[int], at: int) -> Choice:
    """Draw the controls and read them."""
    known = here.task in energy.symbols
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="energy_controls"):
        part = _segments(
            "Part", list(PARTS), "part", lambda name: {"U": "U", "F": "F", "reference": "Reference"}[name], "U = −F + reference"
        )
        of = _segments("Energy of", list(OF), "of", OF.__getitem__, f"All tasks: the mixture. This task: {here.task}, as the cursor has it")
        kind = st.selectbox("Slice", list(SLICES), key="slice", bind="query-params", format_func=SLICES.__getitem__, width=190) or "pc12"
        pair, ends = _slice_details(kind, energy, codes)
        view = _segments("View", ["2D", "3D"], "view", str)
        camera = _segments("Camera", list(landscape.CAMERAS), "cam", str) if view == "3D" and of != "each" else "Iso"
        more = _more(saved, at)
    if of == "task" and not known:
        st.info(f"{here.task} was not learnt yet at iteration {at:,}: shown are all tasks together.", icon=":material/info:")
    symbol = here.task if of == "task" and known else MIXTURE
    return Choice(part, symbol, of == "each", kind, view, camera, moments=tuple(saved), pair=pair, ends=ends, **more)


def _segments(label: str, options: list[str], key: str, words: Any, help_: str | None = None) -> str:
    return (
        st.segmented_control(label, options, default=options[0], required=True, key=key, bind="query-params", format_func=words, help=help_)
        or options[0]
    )


def _slice_details(kind: str, energy: SavedEnergy, codes: Codes) -> tuple[tuple[int, int], tuple[str, str]]:
    most = max(min(energy.dim, len(codes.z)) - 1, 1)
    if kind == "pc12":
        first = int(st.number_input("PC across", 1, most + 1, 1, key="pcx", bind="query-params", width=110)) - 1
        second = int(st.number_input("PC up", 1, most + 1, 2, key="pcy", bind="query-params", width=110)) - 1
        return (first, second if second != first else (first + 1) % (most + 1)), ("", "")
    if kind == "dims":
        first = int(st.number_input("z across", 0, energy.dim - 1, 0, key="dimx", bind="query-params", width=110))
        second = int(st.number_input("z up", 0, energy.dim - 1, min(1, energy.dim - 1), key="dimy", bind="query-params", width=110))
        return (first, second if second != first else (first + 1) % energy.dim), ("", "")
    if kind == "points":
        names = [*(f"mean of {task}" for task in codes.means), "chain start", "chain end"]
        names += [f"pin {pin}" for pin in ("A", "B") if f"pin_{pin}" in st.session_state]
        first = st.selectbox("From", names, index=0, key="from", bind="query-params", width=170)
        second = st.selectbox("To", names, index=min(1, len(names) - 1), key="to", bind="query-params", width=170)
        return (0, 1), (first or names[0], second or names[-1])
    return (0, 1), ("", "")


def _more(saved: list[int], at: int) -> dict[str, Any]:
    with st.popover("More", icon=":material/tune:"):
        shown = st.pills(
            "Drawn on it", list(OVERLAYS), selection_mode="multi", default=["codes", "one chain"], key="marks", bind="query-params"
        )
        zoom = st.slider("Zoom", 0.4, 4.0, 1.0, 0.1, key="zoom", bind="query-params", help="1: the codes fill the picture")
        others = ["nothing", *(str(value) for value in saved if value != at)]
        if st.session_state.get("vs") not in (None, *others):
            del st.session_state["vs"]
        against = st.selectbox(
            "Less the energy at iteration", others, key="vs", bind="query-params", help="Draws the difference of two moments of the run"
        )
        color = _segments("Colour range", ["run", "picture"], "color", {"run": "fixed over the run", "picture": "this picture"}.__getitem__)
        axes = _segments("Axes from", ["last", "now"], "axes", {"last": "the run's last codes", "now": "this moment's codes"}.__getitem__)
        points = _segments("Points a side", [str(size) for size in (81, 121, 41)], "grid", str)
    return {
        "shown": tuple(shown or ()),
        "zoom": zoom,
        "against": int(against) if against and against != "nothing" else None,
        "color": color,
        "fixed": axes == "last",
        "points": int(points),
    }


def _end(name: str, energy: SavedEnergy, basis: Codes, walk: Chains | None) -> np.ndarray:
    """The point a chosen end names; the mean of all codes where it is not there any more."""
    kind, _, rest = name.partition(" of ")
    if kind == "mean" and rest in basis.means:
        return np.asarray(basis.means[rest], np.float64)
    if name in ("chain start", "chain end") and walk is not None:
        chain = int(st.session_state.get("chain") or 0) % walk.count
        return np.asarray(walk.z[0 if name == "chain start" else -1, chain], np.float64)
    pinned = st.session_state.get(name.replace("pin ", "pin_"))
    if isinstance(pinned, np.ndarray) and len(pinned) == energy.dim:
        return pinned
    return basis.z.mean(axis=0).astype(np.float64)


def pin(name: str, z: np.ndarray) -> None:
    """Keep a point for the slice through two points (this session only)."""
    st.session_state[f"pin_{name}"] = z
