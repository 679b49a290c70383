"""Chains: is K enough, do the chains mix, which chain said what; one chain and one step in the URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.app import energy_panels, frame, latent_space
from workbench.app.store import CachedRun, Signature
from workbench.views.energy import chains as views
from workbench.views.energy import landscape, mixing, slices, snapshots
from workbench.views.energy.mixing import LongRun, Nested
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.snapshots import Chains, Codes

frame.KEYS_HELP.update({"← → on Chains": "Langevin step before, next"})
TABS = ("Traces", "Ranks", "Diagnostics", "Short and long", "Table")


@st.cache_resource(max_entries=16, show_spinner="Running chains in groups that share a start")
def _nested(path: str, weights: Signature, iteration: int, task: str, steps: int, delta: float, kernel: str) -> Nested:
    return mixing.nested(latent_space.energy(CachedRun(Path(path)), iteration), task, steps, delta, kernel)


@st.cache_resource(max_entries=16, show_spinner="Measuring R-hat by step")
def _by_step(*walk: Any) -> pd.DataFrame:
    return mixing.rhat_by_step(_nested(*walk))


@st.cache_resource(max_entries=16, show_spinner="Going on to step 200")
def _long(path: str, files: Signature, iteration: int, chains_at: int, task: str) -> LongRun:
    run = CachedRun(Path(path))
    return mixing.continue_chains(latent_space.energy(run, iteration), latent_space.chains(run, chains_at, task))


class Moment:
    """The chains of the cursor's task, the energy they ran on, and the codes of that time."""

    def __init__(self, here: frame.Cursor, walk: Chains) -> None:
        self.here, self.chains = here, walk
        run = here.run
        at = snapshots.at_or_before(snapshots.energy_iterations(run), walk.iteration)
        found = latent_space.energy(run, at) if at is not None else None
        fits = found is not None and here.task in found.symbols and found.dim == walk.z.shape[2]
        self.energy: SavedEnergy | None = found if fits else None
        self.energy_at = at if at is not None else 0
        moments = snapshots.code_iterations(run)
        near = snapshots.at_or_before(moments, walk.iteration)
        self.codes: Codes | None = latent_space.codes(run, near) if near is not None else None
        self.data = latent_space.data_energy(self.energy, self.codes, here.task) if self.energy is not None else np.empty(0)

    def _walk(self) -> tuple[Any, ...]:
        run, walk = self.here.run, self.chains
        return str(run.path), run.signature("weights"), self.energy_at, walk.task, walk.steps, walk.delta, walk.kernel

    def nested(self) -> Nested | None:
        """Grouped chains on this energy, with the run's own K, step size and kernel."""
        return _nested(*self._walk()) if self.energy is not None and np.isfinite(self.chains.delta) else None

    def rhat_by_step(self) -> pd.DataFrame:
        """Nested R-hat of those chains by the steps counted; only where there are some."""
        return _by_step(*self._walk())


def read(here: frame.Cursor) -> Moment | None:
    """What the cursor points at; None (and the right sentence) where no chains were recorded."""
    if not here.run.array_names("chains"):
        running = here.run.status == "running"
        hint = (
            "The first are saved when the first replay is drawn."
            if running
            else "Only lsebmcl and its controls run chains; lamol, er and finetune have none."
        )
        frame.not_recorded("chains so far" if running else "chains", "recording.chains", "2 MB a snapshot", hint)
        return None
    walk = latent_space.chains_near(here.run, here.iteration, here.task)
    if walk is None:
        others = [task for task in here.tasks if snapshots.chain_iterations(here.run, task)]
        st.info(f"No chains of {here.task} were saved in this run.", icon=":material/block:")
        with st.container(horizontal=True):
            for task in others:
                st.button(f"Show {task}", key=f"other_{task}", on_click=frame.go, kwargs={"task": task})
        return None
    if walk.iteration != here.iteration:
        st.caption(f"Chains of {here.task} were saved at iteration {walk.iteration:,}, the nearest to the cursor's {here.iteration:,}.")
    return Moment(here, walk)


def choose_chain(moment: Moment) -> tuple[int, int]:
    """Chain and step from the URL, with the keys that move the step."""
    walk = moment.chains
    for key, most in (("chain", walk.count - 1), ("t", walk.steps)):
        if isinstance(st.session_state.get(key), int) and st.session_state[key] > most:
            st.session_state[key] = most
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="chain_controls"):
        chain = int(st.number_input("Chain", 0, walk.count - 1, 0, key="chain", bind="query-params", width=120))
        step = int(st.slider("Step t", 0, walk.steps, walk.steps, key="t", bind="query-params", width=320)) if walk.steps else 0
        with st.container(horizontal=True, gap="small", width="content", wrap=False, key="step_buttons"):
            back, on = {"t": max(step - 1, 0)}, {"t": min(step + 1, walk.steps)}
            st.button("‹ step", key="t_back", shortcut="Left", on_click=frame.go, kwargs=back, disabled=step == 0)
            st.button("step ›", key="t_on", shortcut="Right", on_click=frame.go, kwargs=on, disabled=step == walk.steps)
    return chain, step


def picked_step(key: str) -> None:
    """A click on the energy line or on the chain in the map moves the step; a click on a chain's end chooses the chain."""
    points = (st.session_state.get(key) or {}).get("selection", {}).get("points", [])
    data = points[0].get("customdata") if points else None
    data = data[0] if isinstance(data, (list, tuple)) and data else data
    kind, _, number = str(data or "").partition(":")
    if number.isdecimal() and kind in ("step", "chain"):
        frame.go(**{"t" if kind == "step" else "chain": int(number)})


def energy_line(moment: Moment, chain: int, step: int) -> None:
    walk, here = moment.chains, moment.here
    bands = views.energy_bands(walk)
    figure = views.energy_figure(bands, moment.data, walk.energy[:, chain], number=chain, at=step, index=here.task_index, dark=here.dark)
    frame.chart(
        figure,
        key="chain_energy",
        alt=f"Median energy by Langevin step with its 5 to 95 % band, {views.title(walk)}",
        data=bands,
        name=f"{here.run.name}-chain-energy",
        on_select=lambda: picked_step("chain_energy"),
    )
    st.text(views.enough_steps(walk.energy, moment.data))


def chain_map(moment: Moment, chain: int, step: int) -> None:
    """The chain on the landscape of its task."""
    energy, walk = moment.energy, moment.chains
    if energy is None:
        st.info("The energy these chains ran on was not saved, so there is no landscape beneath them.", icon=":material/block:")
        return
    basis = moment.codes if moment.codes is not None else energy_panels.codes_of_reference(energy, walk.iteration)
    mine = basis.of(walk.task)
    plane = slices.principal_plane(mine if len(mine) > 2 else basis.z)
    where = slices.extent(plane, mine if len(mine) else basis.z, walk.z.reshape(-1, energy.dim))
    values = slices.field(energy, plane, *where.axes(81), "U", walk.task)
    colors = slices.color_range([values], "U", include=walk.energy.ravel())
    figure = landscape.heatmap(values, where, plane, "U", colors)
    landscape.add_chain_ends(figure, plane, walk.z)
    way = walk.z[:, chain].astype(np.float64)
    scale = float(np.median(plane.distance(basis.z)))
    landscape.add_trajectory(figure, plane, way, energy.energy(way, walk.task), f"chain {chain}", at=step, scale=scale)
    figure.update_layout(height=430)
    frame.chart(
        figure,
        key="chain_map",
        alt=f"Chain {chain} over the energy of {walk.task}, at step {step}",
        on_select=lambda: picked_step("chain_map"),
        downloads=False,
    )
    st.caption(
        f"{plane.name.replace('the codes', f'the codes of {walk.task}')}; {plane.share:.0%} of their variance. Colour: "
        "true energy; fainter: further from the plane."
    )


def decoded(moment: Moment, chain: int) -> None:
    """The text decoded from the chain, where samples recorded it."""
    rows = views.samples_of(moment.here.run.table("samples"), moment.chains)
    rows = rows[rows["chain"] == chain] if len(rows) else rows
    if not len(rows):
        st.caption(
            f"No text was decoded from chain {chain} at this iteration. The sampler bench on the Energy page decodes any "
            "point while the model's weights are there."
        )
        return
    for _, row in rows.head(3).iterrows():
        said = row["verdict"] if row["verdict"] in ("kept", "spare") else f"refused: {row['verdict']}"
        st.text(f"Decoded from the end of chain {chain}, {said}; U {float(row['energy']):.2f} nats")
        frame.text_block(str(row["text"] or ""))


def traces_tab(moment: Moment, chain: int) -> None:
    walk, here = moment.chains, moment.here
    nested = moment.nested()
    w = np.stack([moment.energy.to_w(z, walk.task) for z in walk.z]) if moment.energy is not None else walk.z
    order = nested.worst if nested is not None else np.argsort(-w[-1].var(axis=0))
    shown = order if st.toggle("Every dimension", key="alldims", bind="query-params") else order[: views.WORST]
    figure = views.traces(walk, w, shown, nested.rhat if nested is not None else None, chosen=chain, index=here.task_index, dark=here.dark)
    words = "worst by nested R̂" if nested is not None else "with the largest spread"
    frame.chart(figure, key="traces", alt=f"Traces of the {len(shown)} dimensions {words}", downloads=False)
    st.caption(
        f"The {len(shown)} dimensions {words} of {walk.z.shape[2]}, in "
        f"{'whitened coordinates' if moment.energy is not None else 'z'}; chain {chain} drawn heavy; at most 48 chains drawn."
    )


def ranks_tab(moment: Moment, chain: int) -> None:
    nested = moment.nested()
    if nested is None or not np.isfinite(nested.rhat).any():
        st.info("Ranks need the saved energy and at least 4 steps.", icon=":material/block:")
        return
    frame.chart(
        mixing.rank_figure(nested, nested.worst[:6]),
        key="ranks",
        alt="Rank counts of draws by start, worst dimensions first",
        downloads=False,
    )
    st.caption(
        f"{mixing.GROUPS} starts with {mixing.PER_GROUP} chains each, run anew on the saved energy; ranks over the last "
        "half of the steps. White everywhere: every start visits low and high values as often as chance gives. A row of "
        "one colour: that start is remembered."
    )


def diagnostics_tab(moment: Moment, chain: int) -> None:
    walk, here, nested = moment.chains, moment.here, moment.nested()
    st.text(
        f"{walk.steps} steps: plain R-hat is not informative (no chain has moved enough within itself). Shown is nested "
        f"R-hat over {mixing.GROUPS} starts of "
        f"{mixing.PER_GROUP} chains each, run anew on the saved energy, and the effective sample size (chains that share a start counted as "
        "such), both over the last half of the steps. Beside each what F = 0 gives: as many steps of this size on a plain Gaussian. "
        "Fine: no worse than that."
    )
    with st.container(horizontal=True, gap="small", key="verdicts"):
        for name, value, fine in views.verdict(nested, walk, moment.energy):
            with st.container(border=True, width=215):
                st.caption(name)
                st.badge(
                    "fine" if fine else "look closer",
                    color="green" if fine else "orange",
                    icon=":material/check:" if fine else ":material/warning:",
                )
                st.text(value)
    if nested is not None and np.isfinite(nested.rhat).any():
        rows = moment.rhat_by_step()
        high = nested.plain.rhat[1]
        figure = mixing.rhat_figure(rows, limit=high, name=f"F = 0 after {walk.steps} steps: {high:.2f}", dark=here.dark)
        frame.chart(figure, key="rhat_by_step", alt="Nested R-hat by Langevin step", data=rows)
    noted = here.run.table("diagnostics")
    noted = noted if walk.kernel == "mala" else noted.head(0)  # ULA takes every step
    figure, rows = views.over_time(here.run.table("chain_stats"), noted, walk.task, index=here.task_index, dark=here.dark)
    frame.chart(
        figure,
        key="chain_diagnostics",
        alt=f"Recorded chain diagnostics of {walk.task} over iterations with their thresholds",
        data=rows,
        name=f"{here.run.name}-chain-diagnostics",
    )
    st.caption(
        "As recorded during the run by chains of their own (16 starts with 8 chains each), at the last Langevin step of each snapshot; "
        "dashed: threshold."
    )


def long_tab(moment: Moment, chain: int) -> None:
    here, walk = moment.here, moment.chains
    if moment.energy is None or not np.isfinite(walk.delta):
        st.info("Going on with the chains needs the saved energy and the step size they ran with.", icon=":material/block:")
        return
    run = _long(str(here.run.path), here.run.signature("weights", "chains"), moment.energy_at, walk.iteration, walk.task)
    w = moment.energy.to_w(moment.codes.draws(walk.task), walk.task) if moment.codes is not None else np.empty((0, 1))
    frame.chart(
        mixing.long_figure(run, moment.data, w, index=here.task_index, dark=here.dark),
        key="long",
        alt="Energy and moments of the chains continued to step 200",
    )
    st.text(mixing.drift_words(run))
    st.caption("The saved chains, gone on with in the same kernel and step size on the saved energy. Band: 5–95 % of the chains.")


def table_tab(moment: Moment, chain: int) -> None:
    rows = views.table(moment.chains, moment.energy, moment.here.run.table("samples"))
    frame.frame_table(
        rows.round(3),
        key="chain_table",
        name=f"{moment.here.run.name}-chains",
        alt="One row a chain",
        on_select=lambda: _row_chosen(),
        selection_mode="single-row",
    )
    st.caption("Choose a row: the chain moves on the map and in the line above. 'moved' is in standard deviations of the task's reference.")


def _row_chosen() -> None:
    rows = (st.session_state.get("chain_table") or {}).get("selection", {}).get("rows", [])
    if rows:
        frame.go(chain=int(rows[0]))


def page() -> None:
    here = frame.header("Chains", code=frame.snippet("energy.chains"))
    moment: Moment | None = None
    with frame.panel("The chains"):
        moment = read(here)
    if moment is None:
        return
    chain, step = choose_chain(moment)
    st.text(views.title(moment.chains))
    with st.container(key="beside_chains"):
        left, right = st.columns([1.15, 1], gap="medium")
    with left, frame.panel("The energy line"):
        energy_line(moment, chain, step)
    with right, frame.panel("The map"):
        chain_map(moment, chain, step)
    with frame.panel("The decoded text"):
        decoded(moment, chain)
        frame.link(
            "energy", f"Chain {chain} on the landscape of every task", icon=":material/terrain:", params={frame.CHAIN_ON_MAP: str(chain)}
        )
    draw: dict[str, Any] = dict(zip(TABS, (traces_tab, ranks_tab, diagnostics_tab, long_tab, table_tab), strict=True))
    for tab, name in zip(st.tabs(list(TABS), key="tab", on_change="rerun", bind="query-params"), TABS, strict=True):
        if tab.open:
            with tab, frame.panel(name):
                draw[name](moment, chain)


page()
