"""Energy: the latent energy on any slice, with what lies on it, a sampler bench, minima and barriers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.app import energy_panels, frame, latent_space
from workbench.app.energy_panels import Scene, picked
from workbench.app.sampler_bench import bench_panel
from workbench.app.slice_controls import choose
from workbench.views.energy import histogram as energies
from workbench.views.energy import landscape, slices, snapshots
from workbench.views.energy.saved import MIXTURE
from workbench.views.studies import health
from workbench.views.text import in_markdown

MAP = "energy_map"
DETAIL = ("Point", "Sampler bench", "Minima and barriers", "Moments", "Fit")


def scene(here: frame.Cursor, switch: Any) -> Scene | None:
    """Read what the cursor points at; None (and the right sentence) where nothing was recorded. switch: where draws or means are chosen."""
    saved = snapshots.energy_iterations(here.run)
    at = here.nearest(saved)
    if at is None:
        words = "so far; the first is written after the first task" if here.run.status == "running" else ""
        frame.not_recorded(
            f"latent energy {words}".strip(),
            hint="Methods with a latent energy save it after every task; lamol, er and finetune have none.",
        )
        return None
    energy = latent_space.energy(here.run, at)
    moments = snapshots.code_iterations(here.run)
    now, last = here.nearest(moments), max(moments, default=None)
    codes = latent_space.codes(here.run, now) if now is not None else None
    with switch:
        drawn = latent_space.codes_choice(codes)
    reference = codes if codes is not None else energy_panels.codes_of_reference(energy, at)
    walk = latent_space.chains_on(here.run, at, here.iteration, here.task) if here.task else None
    choice = choose(here, energy, reference, walk, saved, at)
    basis = latent_space.codes(here.run, last) if choice.fixed and last is not None else reference
    plane = choice.plane(energy, basis, walk)
    means = (latent_space.energies(here.run, saved)[-1] if choice.fixed else energy).mean
    where = slices.extent(plane, basis.z, means, zoom=choice.zoom)
    return Scene(here, energy, at, codes.as_draws() if codes is not None and drawn else codes, basis, walk, choice, plane, where)


def picture(at: Scene) -> None:
    """The landscape with what lies on it, clickable."""
    choice, here = at.choice, at.here
    if choice.against is not None:
        difference(at)
        return
    if choice.apart:
        each_task(at)
        return
    xs, ys = at.where.axes(choice.points)
    values = slices.field(at.energy, at.slice, xs, ys, choice.part, at.symbol)
    colors = energy_panels.colors(
        here.run, at.slice, at.where, choice.part, at.symbol, tuple(choice.moments) if choice.color == "run" else (at.iteration,)
    )
    title = landscape.moment_title(choice.part, at.symbol, at.iteration) + (
        "" if choice.color == "run" else ", colours of this picture only"
    )
    flat = choice.view == "2D"
    if flat:
        figure = landscape.heatmap(values, at.where, at.slice, choice.part, colors, title=title)
    else:
        figure = landscape.surface(values, at.where, at.slice, choice.part, colors, camera=choice.camera, title=title)
    lay_on(at, figure, flat)
    if flat:
        landscape.add_click_grid(figure, at.where, values, at.slice)
    alt = slices.caption(at.slice, at.energy, choice.part, at.symbol, at.iteration)
    frame.chart(
        figure,
        key=MAP,
        alt=alt,
        data=lambda: landscape.grid_frame(values, at.where),
        name=f"{here.run.name}-energy-{at.iteration}",
        on_select=clicked if flat else "ignore",
    )
    solid = "" if flat else " Chains are drawn at their true energy, codes at theirs: they need not lie on the surface."
    st.caption(f"{alt}{solid} {latent_space.codes_words(at.codes) if 'codes' in choice.shown else ''}")


def lay_on(at: Scene, figure: Any, flat: bool) -> None:
    """Codes, chains, means and minima, as chosen."""
    shown, part, here = at.choice.shown, at.choice.part, at.here
    if "codes" in shown and at.codes is not None:
        heights = None if flat else landscape.value_at(at.energy, at.codes.z, part, at.symbol)
        landscape.add_codes(figure, at.slice, at.codes, here.tasks, heights=heights, texts=latent_space.real_texts(here.run))
    if at.chains is not None and at.chains.z.shape[2] == at.energy.dim:
        if "chain ends" in shown and flat:
            landscape.add_chain_ends(figure, at.slice, at.chains.z)
        chain = at.choice.chain % at.chains.count
        if "one chain" in shown:
            way = at.chains.z[:, chain].astype(np.float64)
            scale = float(np.median(at.slice.distance(at.basis.z)))
            landscape.add_trajectory(
                figure, at.slice, way, landscape.value_at(at.energy, way, part, at.symbol), f"chain {chain}", scale=scale, height=not flat
            )
    if not flat:
        return
    if "task means" in shown:
        landscape.add_marks(figure, at.slice, {name: at.energy.mean[k] for k, name in enumerate(at.energy.symbols)}, "reference mean")
    if "minima" in shown:
        found = energy_panels.minima_of(at.here.run, at.iteration, at.symbol)
        landscape.add_marks(figure, at.slice, {f"M{k + 1}": z for k, z in enumerate(found.z[:12])}, "minimum", "star", "#F0E442")
    point = picked(at)
    if point is not None:
        landscape.add_marks(figure, at.slice, {"picked": point}, "picked point", "circle-open", "#FF2D2D")


def each_task(at: Scene) -> None:
    """Every task's own energy on the same axes and one colour range."""
    xs, ys = at.where.axes(min(at.choice.points, 81))
    fields = slices.each_field(at.energy, at.slice, xs, ys, at.choice.part)
    colors = slices.color_range(list(fields), at.choice.part)
    figure = landscape.side_by_side(fields, at.energy.symbols, at.where, at.slice, at.choice.part, colors, columns=2)
    alt = slices.caption(at.slice, at.energy, at.choice.part, "each", at.iteration)
    frame.chart(figure, key="energy_each", alt=alt, name=f"{at.here.run.name}-energy-each-{at.iteration}")
    st.caption(
        f"Each task's own {slices.PHRASES[at.choice.part]} ({slices.SIGNS[at.choice.part]}), one colour range over "
        f"all; slice: {at.slice.name}."
    )


def difference(at: Scene) -> None:
    """This moment less another, on the same slice."""
    choice, other_at = at.choice, at.choice.against
    assert other_at is not None
    other = latent_space.energy(at.here.run, other_at)
    symbol = at.symbol
    if symbol != MIXTURE and symbol not in other.symbols:
        st.info(f"{symbol} was not learnt yet at iteration {other_at:,}: its energy does not exist there.", icon=":material/block:")
        return
    xs, ys = at.where.axes(choice.points)
    one, two = (slices.field(each, at.slice, xs, ys, choice.part, symbol) for each in (at.energy, other))
    values = one - two
    reach = float(np.quantile(np.abs(values), 0.85)) or 1.0
    title = f"{slices.PARTS[choice.part]} of {symbol}: iteration {at.iteration:,} less iteration {other_at:,}"
    figure = landscape.heatmap(values, at.where, at.slice, choice.part, (-reach, reach), title=title, difference=True)
    if "codes" in choice.shown and at.codes is not None:
        landscape.add_codes(figure, at.slice, at.codes, at.here.tasks)
    landscape.add_click_grid(figure, at.where, values, at.slice)
    alt = f"{title}, in nats, on {at.slice.name}"
    frame.chart(
        figure,
        key="energy_difference",
        alt=alt,
        data=lambda: landscape.grid_frame(values, at.where),
        name=f"{at.here.run.name}-energy-difference",
    )
    st.caption(
        f"Blue: {'higher' if choice.part != 'reference' else 'larger'} now than then; red: lower. Each energy is known up "
        f"to a constant of its own (log Z), so compare places, not the level. Slice: {at.slice.name}."
    )


def clicked() -> None:
    """A click on the map: put what was hit into the address."""
    if name := latent_space.clicked_name(st.session_state.get(MAP)):
        st.session_state["at"] = name


def energies_beside(at: Scene) -> None:
    """The histogram of energies at this moment, with its gap as a number, and the gap that the run measured beside it."""
    task = at.here.task if at.here.task in at.energy.symbols else at.energy.symbols[0]
    groups = energy_panels.energy_groups(at.here.run, at.energy, at.codes, at.chains, task)
    figure = energies.histogram(groups, symbol=task)
    space = energies.gap(groups)
    if np.isfinite(space):
        spread, error = float(np.std(groups["data codes"])) or 1.0, energies.gap_error(groups)
        within = "within its noise" if abs(space) <= 2 * error else f"{space / spread:+.2f} standard deviations of the data"
        st.metric(
            f"Energy gap of {task}",
            f"{space:+.2f} ± {error:.2f} nats",
            delta=within,
            delta_color="off",
            delta_arrow="off",
            help="Mean U of short-run samples less mean U of the data codes, as drawn below (dotted lines), ± one standard error; 0: chains "
            "arrive where the data lie. The data codes are of held-out texts: the energy was not fitted to them",
        )
    noted = health.diagnostic(at.here.run, "energy_gap", task)
    noted = noted[noted["iteration"] == at.iteration]
    if len(noted):
        st.caption(f"On the codes of the fit of {in_markdown(task)}, as measured during the run: {noted['value'].iloc[-1]:+.2f} nats.")
    frame.chart(
        figure,
        key="energy_histogram",
        alt=f"Energies of {task}: data codes, short-run samples, replay kept and refused",
        data=lambda: pd.concat([pd.DataFrame({"group": name, "nats": values}) for name, values in groups.items()], ignore_index=True),
    )
    own = at.chains is not None and not at.chains.anew and at.chains.task == task
    if own and at.chains is not None:
        words = f"Chains are those saved at iteration {at.chains.iteration:,}; replay is what was decoded from that draw."
    else:
        words = "The run saved no chains of this task on this energy: 64 were run here, with its K and step size."
    if at.codes is not None and at.codes.logvar is None and not at.codes.drawn:
        data = "The data codes are means of q(z|x): this run saved no variances, and draws from it would lie at higher U."
    else:
        data = "The data codes are one draw from q(z|x) for each held-out text of the probe."
    st.caption(f"U of {task} under its own energy, in its own whitened coordinates. {data} {words}")


def answer_energy(here: frame.Cursor) -> None:
    """The other energy of the model, on its own axis."""
    figure, rows = energy_panels.answer_figure(here)
    frame.chart(figure, key="answer_energy", alt="Answer energy of each task by iteration", data=rows)
    st.caption(
        "E_Θ(x, y) = −log p(y | x) of the right answer in nats a token, on the fixed evaluation subset: lower = the "
        "answer is more probable. It has no map: it lives on texts, not on z."
    )


def page() -> None:
    here = frame.header("Energy", code=frame.snippet("energy.landscape"))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="energy_top"):
        options = ["latent energy", "answer energy"]
        which = st.segmented_control("Energy", options, default=options[0], required=True, key="which", bind="query-params")
        if which == options[0]:
            energy_panels.point_input()
        switch = st.container(key="energy_codes", width="content")
    if which == options[1]:
        with frame.panel("The answer energy"):
            answer_energy(here)
        return
    at: Scene | None = None
    with frame.panel("The latent energy"):
        at = scene(here, switch)
    if at is None:
        return
    with st.container(key="beside_energy"):
        left, right = st.columns([1.75, 1], gap="medium")
    with left, frame.panel("The landscape"):
        picture(at)
    with right, frame.panel("The histogram of energies"):
        energies_beside(at)
    tabs = st.tabs(list(DETAIL), key="detail", on_change="rerun", bind="query-params")
    panels = {
        "Point": energy_panels.point_panel,
        "Sampler bench": bench_panel,
        "Minima and barriers": energy_panels.minima_panel,
        "Moments": energy_panels.moments_panel,
        "Fit": energy_panels.fit_panel,
    }
    for tab, (name, draw) in zip(tabs, panels.items(), strict=True):
        if tab.open:
            with tab, frame.panel(name):
                draw(at)


page()
