"""Saved Langevin chains looked at: energy by step, traces, recorded diagnostics with their thresholds, a row a chain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from workbench.views import style
from workbench.views.energy.mixing import Nested, change_of_median
from workbench.views.energy.saved import SavedEnergy
from workbench.views.energy.snapshots import Chains, at_or_before, chain_iterations, energy_iterations, load_chains, load_energy
from workbench.views.text import in_figure, shorten

Array = NDArray[Any]

WORST = 12
THRESHOLDS = {"stuck": 0.05, "acceptance": 0.5}


RECORDED_RHAT = "start remembered at the last step (mean over dimensions, one draw a chain)"
"""The number that a run records under rhat_nested. It is not the nested R-hat of the page, which is over half of the steps and a dimension."""


def stuck_share(chains: Chains) -> float:
    """Share of the chains that never moved, or whose every step was refused."""
    moved = np.linalg.norm(chains.z[-1] - chains.z[0], axis=1)
    refused = (chains.accept.mean(axis=0) == 0) if len(chains.accept) else np.zeros(chains.count, bool)
    return float(np.mean((moved < 1e-6) | refused))


def distance_moved(chains: Chains, energy: SavedEnergy | None = None) -> Array:
    """Distance from start to end of each chain [n]: in standard deviations of the task's reference, or in z where there is no energy."""
    if energy is None or chains.task not in energy.symbols:
        return np.linalg.norm(chains.z[-1] - chains.z[0], axis=1)
    return np.linalg.norm(energy.to_w(chains.z[-1], chains.task) - energy.to_w(chains.z[0], chains.task), axis=1) / energy.sigma


def energy_bands(chains: Chains) -> pd.DataFrame:
    """Energy by Langevin step over the chains: columns step, q05, q25, q50, q75, q95."""
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    values = np.nanquantile(np.where(np.isfinite(chains.energy), chains.energy, np.nan), levels, axis=1)
    return pd.DataFrame(
        {"step": np.arange(chains.steps + 1), **{f"q{round(100 * level):02d}": row for level, row in zip(levels, values, strict=True)}}
    )


def recorded_bands(stats: pd.DataFrame, iteration: int, task: str) -> pd.DataFrame:
    """The same from the table chain_stats (all chains of that moment, not only those kept whole)."""
    everything: Any = stats
    rows = everything[(stats["iteration"] == iteration) & (stats["task"] == task)].sort_values("step")
    return rows.rename(columns={f"energy_{q}": q for q in ("q05", "q25", "q50", "q75", "q95")}).reset_index(drop=True)


def energy_figure(
    bands: pd.DataFrame, data_energy: Array, chain: Array | None = None, *, number: int = 0, at: int = 0, index: int = 0, dark: bool = False
) -> go.Figure:
    """Median energy by step with the 5-95 and 25-75 % bands, the data's energy as a line, one chain [steps+1], a dot at step `at`."""
    color, ink, data = style.task_color(index, dark), style.INK[dark], style.MUTED[dark]
    steps = bands["step"].to_numpy()
    # Plain dicts, made into a figure once at the end: several times faster than plotly's own additions.
    traces, layout = [], {"height": 400, "xaxis": {"title": {"text": "Langevin step"}, "dtick": max(1, len(steps) // 10)}}
    layout["yaxis"] = {"title": {"text": "U in nats (lower = more probable)"}}
    for low, high, alpha, name in (("q05", "q95", 0.15, "5–95 % of chains"), ("q25", "q75", 0.25, "25–75 % of chains")):
        x, y = np.concatenate([steps, steps[::-1]]), np.concatenate([bands[high], bands[low][::-1]])
        look = {"fill": "toself", "fillcolor": style.faded(color, alpha), "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append({"type": "scatter", "x": x, "y": y, "name": name, **look})
    median = {"mode": "lines+markers", "line": {"color": color, "width": 2.5}, "marker": {"size": 6}}
    told = {"customdata": [f"step:{k}" for k in steps], "hovertemplate": "step %{x}: median %{y:.2f} nats<extra></extra>"}
    traces.append({"type": "scatter", "x": steps, "y": bands["q50"].to_numpy(), "name": "median", **median, **told})
    if len(data_energy):
        low, middle, high = (float(value) for value in np.quantile(data_energy, [0.05, 0.5, 0.95]))
        across = {"xref": "x domain", "x0": 0, "x1": 1}
        layout["shapes"] = [
            {"type": "rect", **across, "y0": low, "y1": high, "fillcolor": data, "opacity": 0.12, "line": {"width": 0}},
        ]
        dashed = {"mode": "lines", "line": {"color": data, "width": 2, "dash": "dash"}, "hoverinfo": "skip"}
        ends = {"x": [steps[0], steps[-1]], "y": [middle, middle]}
        traces.append({"type": "scatter", **ends, "name": f"data codes: median {middle:.2f}", **dashed})
    if chain is not None:
        line = {"mode": "lines", "line": {"color": ink, "width": 1.5}, "hovertemplate": "step %{x}: %{y:.2f} nats<extra>chain</extra>"}
        ring = {"size": 14, "color": ink, "symbol": "circle-open", "line": {"width": 3}}
        traces.append({"type": "scatter", "x": steps, "y": chain, "name": f"chain {number}", **line})
        here = {"x": [at], "y": [chain[at]], "mode": "markers", "name": f"step {at}", "marker": ring, "hoverinfo": "skip"}
        traces.append({"type": "scatter", **here})
    return go.Figure({"data": traces, "layout": layout})


def enough_steps(energy: Array, data_energy: Array) -> str:
    """Is K enough? In one or two sentences from the medians of energy [steps + 1, chains], each against its own standard error.

    Levelled off is said only where a change as large as a tenth of the whole way (at least 0.25 nats) would have been seen.
    """
    steps = len(energy) - 1
    if steps < 4:
        return "Too few steps to tell."
    moved, error = change_of_median(energy[-1 - max(steps // 4, 1)], energy[-1])
    total = abs(float(np.nanmedian(energy[-1]) - np.nanmedian(energy[0])))
    allowed = max(0.1 * total, 0.25)
    if abs(moved) > max(2 * error, allowed):
        said = "is still changing"
    elif abs(moved) + 2 * error <= allowed:
        said = "has levelled off"
    else:
        said = f"changes no more than its own noise, and {energy.shape[1]} chains are too few to say that it has levelled off"
    words = f"At step {steps} the median energy {said} ({moved:+.2f} ± {error:.2f} nats over the last quarter of the steps; ±: one standard error). "
    if len(data_energy):
        away, noise = median_apart(energy[-1], data_energy)
        words += (
            f"It ends {abs(away):.2f} ± {noise:.2f} nats {'above' if away > 0 else 'below'} the data's median"
            f"{'' if abs(away) > 2 * noise else ', within the noise'}."
        )
    return words


def median_apart(ends: Array, data: Array, draws: int = 400) -> tuple[float, float]:
    """Median of ends [n] less that of data [m], and its standard error by a bootstrap over both."""
    rng = np.random.default_rng(0)
    own, other = (values[np.isfinite(values)].astype(np.float64) for values in (ends, data))
    if not len(own) or not len(other):
        return float("nan"), float("nan")
    drawn = [np.median(values[rng.integers(len(values), size=(draws, len(values)))], axis=1) for values in (own, other)]
    return float(np.median(own) - np.median(other)), float((drawn[0] - drawn[1]).std())


def traces(
    chains: Chains, w: Array, dims: Array, rhat: Array | None, *, chosen: int | None = None, index: int = 0, dark: bool = False
) -> go.Figure:
    """Every chain by step in the given dimensions, w [steps+1, n, d] whitened; the chosen chain dark, the rest faint."""
    columns, gap = 3, 0.03
    rows = -(-len(dims) // columns)
    between = 0.11 if rows < 5 else 0.06
    width, height = (1 - gap * (columns - 1)) / columns, (1 - between * (rows - 1)) / rows
    steps = np.arange(len(w), dtype=np.float32)
    count = min(w.shape[1], 48)
    x = np.tile(np.append(steps, np.nan), count).astype(np.float32)
    faint = {"color": style.faded(style.task_color(index, dark), 0.35), "width": 0.8}
    # Plain dicts, made into a figure once at the end: several times faster than plotly's own subplots.
    data, notes, axes = [], [], {}
    for k, d in enumerate(dims):
        (row, column), suffix = divmod(k, columns), "" if k == 0 else str(k + 1)
        left, top = column * (width + gap), 1 - row * (height + between)
        first, lowest = "" if row == 0 else str(row * columns + 1), k + columns >= len(dims)
        axes[f"xaxis{suffix}"] = {"domain": [left, left + width], "anchor": f"y{suffix}", "showticklabels": lowest}
        axes[f"xaxis{suffix}"] |= {"matches": "x"} if k else {}
        axes[f"xaxis{suffix}"] |= {"title": {"text": "step"}} if lowest else {}
        axes[f"yaxis{suffix}"] = {"domain": [max(top - height, 0.0), top], "anchor": f"x{suffix}", "showticklabels": column == 0}
        axes[f"yaxis{suffix}"] |= {"matches": f"y{first}"} if column else {}
        title = f"w[{d}]" + ("" if rhat is None or not np.isfinite(rhat[d]) else f"  R̂ {rhat[d]:.2f}")
        notes.append({"text": title, "x": left + width / 2, "y": top, "xref": "paper", "yref": "paper", "showarrow": False})
        notes[-1] |= {"xanchor": "center", "yanchor": "bottom", "font": {"size": 12}}
        shared = {"type": "scatter", "mode": "lines", "xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        y = np.concatenate([w[:, :count, d], np.full((1, count), np.nan)]).T.ravel().astype(np.float32)
        data.append({**shared, "x": x, "y": y, "line": faint, "hoverinfo": "skip"})
        if chosen is not None and chosen < w.shape[1]:
            line = {"color": style.INK[dark], "width": 2}
            data.append({**shared, "x": steps, "y": w[:, chosen, d], "line": line, "name": f"chain {chosen}"})
    layout = {"height": 110 + 170 * rows, "showlegend": False, "margin": {"t": 40}, "annotations": notes, **axes}
    return style.dress(go.Figure({"data": data, "layout": layout}), dark)


def over_time(
    stats: pd.DataFrame, diagnostics: pd.DataFrame, task: str, *, index: int = 0, dark: bool = False
) -> tuple[go.Figure, pd.DataFrame]:
    """Recorded diagnostics of the last Langevin step over iterations, each with its threshold, and their rows."""
    rows: Any = stats[stats["task"] == task]
    recorded: Any = diagnostics
    last = rows.sort_values("step").groupby("iteration", as_index=False).last() if len(rows) else rows
    named = recorded[(recorded["name"] == "acceptance") & recorded["subject"].isin([task, ""])] if len(recorded) else recorded
    frame = last[["iteration", "rhat_nested", "stuck", "moved_mean"]].copy()
    if len(named):
        frame = frame.merge(_last_values(named), on="iteration", how="left")
    names = {"rhat_nested": RECORDED_RHAT, "stuck": "stuck share", "moved_mean": "distance moved", "acceptance": "acceptance"}
    shown = [name for name in names if name in frame and frame[name].notna().any()]
    if not shown:
        return style.empty("No chain diagnostics were recorded for this task."), frame
    figure = make_subplots(len(shown), 1, shared_xaxes=True, vertical_spacing=0.07, subplot_titles=[names[name] for name in shown])
    for row, name in enumerate(shown, 1):
        figure.add_trace(
            go.Scatter(
                x=frame["iteration"],
                y=frame[name],
                mode="lines+markers",
                line={"color": style.task_color(index, dark), "width": 2},
                name=names[name],
                hovertemplate="iteration %{x}: %{y:.3g}<extra></extra>",
            ),
            row,
            1,
        )
        if name in THRESHOLDS:
            figure.add_hline(y=THRESHOLDS[name], line={"color": style.OKABE_ITO[5], "dash": "dash", "width": 1.5}, row=row, col=1)  # pyright: ignore[reportArgumentType]
    figure.update_xaxes(title_text="iteration", row=len(shown))
    return figure.update_layout(height=80 + 150 * len(shown), showlegend=False), frame


def _last_values(rows: Any) -> Any:
    return rows.groupby("iteration", as_index=False)["value"].last().rename(columns={"value": "acceptance"})


def verdict(nested_: Nested | None, chains: Chains, energy: SavedEnergy | None) -> list[tuple[str, str, bool]]:
    """(name, value with its threshold, whether it is fine) of each diagnostic at this moment."""
    rows = []
    if nested_ is not None and np.isfinite(nested_.rhat).any():
        worst, (low, high) = float(np.nanmax(nested_.rhat)), nested_.plain.rhat
        rows.append(("Nested R̂, worst dimension", f"{worst:.2f}; F = 0 gives {low:.2f} to {high:.2f}", worst <= high))
        least, most = nested_.plain.ess
        rows.append(
            (
                "Effective sample size",
                f"{nested_.effective:,.0f} of {nested_.w.shape[0] * max(nested_.steps // 2, 4):,} draws; F = 0 gives {least:,.0f} to {most:,.0f}",
                nested_.effective >= least,
            )
        )
    stuck = stuck_share(chains)
    rows.append(("Stuck chains", f"{stuck:.0%} (below {THRESHOLDS['stuck']:.0%})", stuck < THRESHOLDS["stuck"]))
    moved = float(distance_moved(chains, energy).mean())
    rows.append(("Distance moved", f"{moved:.2f} {'σ' if energy is not None else 'in z'} on average", moved > 0.5))
    if chains.kernel == "mala":
        rate = float(chains.accept.mean())
        rows.append(
            (
                "Acceptance (MALA)",
                f"{rate:.0%} (above {THRESHOLDS['acceptance']:.0%}; 57 % is best in theory)",
                rate > THRESHOLDS["acceptance"],
            )
        )
    return rows


def table(chains: Chains, energy: SavedEnergy | None, samples: pd.DataFrame) -> pd.DataFrame:
    """A row a chain: energies, distance moved, the task whose region it ends in, the text decoded from it (as text)."""
    frame = pd.DataFrame(
        {
            "chain": np.arange(chains.count),
            "U start": chains.energy[0].astype(float),
            "U end": chains.energy[-1].astype(float),
            "moved": distance_moved(chains, energy),
            "accepted": chains.accept.mean(axis=0) if len(chains.accept) else np.nan,
        }
    )
    if energy is not None:
        frame["ends in region of"] = [energy.symbols[k] for k in energy.owner(chains.z[-1])]
    decoded = samples_of(samples, chains)
    if len(decoded):
        first = decoded.drop_duplicates("chain").set_index("chain")
        frame["text"] = [shorten(str(first["text"].get(k, "")), 160) for k in frame["chain"]]
        frame["verdict"] = [str(first["verdict"].get(k, "")) for k in frame["chain"]]
    return frame


def samples_of(samples: Any, chains: Chains) -> Any:
    """The rows of the table samples that were decoded from these chains."""
    if samples.empty:
        return samples
    return samples[(samples["iteration"] == chains.iteration) & (samples["task"] == chains.task) & samples["chain"].notna()]


def title(chains: Chains) -> str:
    return (
        f"{in_figure(chains.task, 40)} at iteration {chains.iteration:,}: {chains.count} chains of {chains.steps} steps, "
        f"{chains.kernel.upper()}, δ = {chains.delta:g}"
    )


def figure(run: Any, task: str | None = None, iteration: int | None = None) -> go.Figure:
    """The energy by step of a run's chains in one call: the last saved ones of a task (default: the first task that has any)."""
    energies = energy_iterations(run)
    known = load_energy(run, energies[-1]).symbols if energies else ()
    chosen = task or next((name for name in known if chain_iterations(run, name)), "")
    moments = chain_iterations(run, chosen)
    at = at_or_before(moments, moments[-1] if iteration is None and moments else iteration or 0)
    if at is None:
        return style.empty("This run saved no chains.")
    walk = load_chains(run, at, chosen)
    return energy_figure(energy_bands(walk), np.empty(0), walk.energy[:, 0]).update_layout(title_text=title(walk))
