"""A report: panels of one run or several, drawn by the views of every room, as one self-contained HTML file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from workbench.config import from_yaml
from workbench.runs import ratings
from workbench.runs.check import warning
from workbench.runs.schema import RunError
from workbench.views import timeline
from workbench.views.energy import chains, landscape, slices, snapshots
from workbench.views.replay import agreement
from workbench.views.replay import samples as replay
from workbench.views.scores import curves, forgetting, forgetting_numbers, matrix
from workbench.views.scores.measures import ABOUT, FORCED, GENERATED, NAMES
from workbench.views.studies import compare, health, paired
from workbench.views.studies.report_html import Chapter, Part, Piece, Text, document
from workbench.views.text import in_figure

log = logging.getLogger("workbench.report")

TEXTS = 12
Pieces = list[Piece]


@dataclass(frozen=True)
class Panel:
    """One thing to tick. `make` draws it for a run (for the comparison: for a list of runs); an empty list: nothing recorded."""

    name: str
    title: str
    about: str
    make: Callable[[Any], Pieces]


def _numbers(run: Any) -> Pieces:
    halves = forgetting_numbers.half_widths(run)
    overall = [
        {
            "measure": NAMES[GENERATED if name in forgetting_numbers.BY_END else FORCED],
            "number": name,
            "value": value,
            "± (95 %)": halves.get(name),
        }
        for name, value in forgetting_numbers.overall(run).items()
    ]
    words = [Text(f"{NAMES[kind].capitalize()}: {ABOUT[kind]}.") for kind in (GENERATED, FORCED)]
    return [pd.DataFrame(overall), words[0], forgetting_numbers.per_task(run), words[1], forgetting_numbers.per_task_by_iteration(run)]


def _forgetting(run: Any) -> Pieces:
    return [forgetting.figure(run), forgetting_numbers.stability_gaps(run)] if len(run.table("eval")) else []


def _curves(run: Any) -> Pieces:
    return [curves.mean_figure(run), curves.loss_figure(run)] if len(run.table("eval")) else []


def _energy(run: Any) -> Pieces:
    """The last saved energy on the plane of the codes' first two principal components."""
    if not snapshots.energy_iterations(run) or not snapshots.code_iterations(run):
        return []
    iteration = snapshots.energy_iterations(run)[-1]
    energy = snapshots.load_energy(run, iteration)
    found = snapshots.at_or_before(snapshots.code_iterations(run), iteration)
    assert found is not None
    codes = snapshots.load_codes(run, found)
    plane = slices.principal_plane(codes.z)
    where = slices.extent(plane, codes.z)
    values = slices.field(energy, plane, *where.axes(81))
    figure = landscape.heatmap(
        values, where, plane, "U", slices.color_range([values]), title=landscape.moment_title("U", slices.MIXTURE, iteration)
    )
    landscape.add_codes(figure, plane, codes, timeline.tasks(run))
    return [figure, Text(slices.caption(plane, energy, "U", slices.MIXTURE, iteration))]


def _chains(run: Any) -> Pieces:
    """Energy by Langevin step at the last recorded moment of each task."""
    stats = run.table("chain_stats")
    pieces: Pieces = []
    for index, task in enumerate(timeline.tasks(run)):
        rows = stats[stats["task"] == task] if len(stats) else stats
        if rows.empty:
            continue
        bands = chains.recorded_bands(stats, int(rows["iteration"].max()), task)
        figure = chains.energy_figure(bands, np.zeros(0), index=index)
        pieces.append(figure.update_layout(title=f"{in_figure(task, 40)}, iteration {int(rows['iteration'].max()):,}", height=300))
    return pieces


def _replay(run: Any) -> Pieces:
    samples = run.table("samples")
    if samples.empty:
        return []
    tasks = timeline.tasks(run)
    return [
        replay.reasons_figure(samples, tasks),
        replay.figure(run),
        replay.counts(samples, replay.asked(samples, tasks, run.info.gamma, replay.reference(run.config, run.path))),
    ]


def _texts(run: Any) -> Pieces:
    """Kept texts of the last draw, spread over tasks, and a few refused ones with their reasons."""
    samples = run.table("samples")
    if samples.empty:
        return []
    last = samples[samples["iteration"] == samples["iteration"].max()]
    kept = last[last["kept"].astype(bool)].groupby("task").head(max(1, TEXTS // max(last["task"].nunique(), 1)))
    refused = last[~last["kept"].astype(bool) & (last["verdict"] != "spare")].drop_duplicates("verdict").head(4)
    pieces: Pieces = []
    for row in [*kept.to_dict("records"), *refused.to_dict("records")]:
        energy = f", energy {row['energy']:.2f}" if row["energy"] == row["energy"] and row["energy"] is not None else ""
        pieces.append(Text(f"{row['task']}: {row['verdict']}{energy} ({row['sample_id']})"))
        parts = [str(row[name]) for name in ("context", "question", "answer") if row.get(name)]
        pieces.append(Text("\n".join(parts) or str(row["text"]), "sample"))
    return pieces


def _ratings(run: Any) -> Pieces:
    answers, faults = ratings.read_answers([run.path])
    pieces: Pieces = []
    for scale in sorted(answers["scale"].dropna().astype(str).unique()) if len(answers) else []:
        found = agreement.agreement(answers, scale)
        numbers = {"question": scale, **{key: value for key, value in found._asdict().items() if key != "sentence"}}
        pieces += [pd.DataFrame([numbers]), Text(found.sentence), agreement.coverage(answers, scale)]
        samples = run.table("samples").drop_duplicates("sample_id").assign(run=run.name)
        means = agreement.sample_means(answers, scale, samples)
        if len(means):
            pieces += [agreement.mean_rating(means, ["task"]), Text(agreement.correlation(means, "energy").sentence)]
            if means["energy"].notna().any():
                pieces.append(agreement.against_figure(means, "energy", timeline.tasks(run)))
    return pieces + [Text(fault) for fault in faults[:5]]


def _config(run: Any) -> Pieces:
    frame = health.config_frame(run)
    path = run.path / "config.yaml"
    from_yaml(path)
    return [frame[frame["differs"]].drop(columns="differs"), Text(path.read_text(encoding="utf-8"), "code", folded="The whole config.yaml")]


def _environment(run: Any) -> Pieces:
    return [health.environment_frame(run), health.timings_figure(run), health.events_frame(run).tail(30)]


PANELS = (
    Panel("numbers", "Numbers", "Scores in points, 0 to 100. A dash: not defined or not evaluated.", _numbers),
    Panel("curves", "Learning curves", "", _curves),
    Panel(
        "forgetting",
        "Forgetting",
        "Score of each task at every evaluation; beneath, each switch and what it cost the older tasks.",
        _forgetting,
    ),
    Panel("matrix", "Scores after each task", "", lambda run: [matrix.figure(run)] if len(run.table("eval")) else []),
    Panel("energy", "Energy", "The latent energy on one plane; the caption says which.", _energy),
    Panel("chains", "Chains", "Median energy by Langevin step, with 5-95 and 25-75 % of the chains.", _chains),
    Panel("replay", "Replay", "What was asked, generated, kept and refused, and how good the kept texts are.", _replay),
    Panel("texts", "Texts", "From the last draw: kept ones of each task, then refused ones with their reason.", _texts),
    Panel("ratings", "Ratings", "What people said of the texts, and whether they meant the same.", _ratings),
    Panel("config", "Configuration", "What differs from the defaults.", _config),
    Panel("environment", "Environment", "Versions, time and events.", _environment),
)


def _compare_curves(runs: Sequence[Any]) -> Pieces:
    groups = compare.group(runs)
    found = compare.curves(groups)
    return [compare.curves_figure(groups, found), Text(found.sentence)] if found.sentence else [compare.curves_figure(groups, found)]


def _compare_bars(runs: Sequence[Any]) -> Pieces:
    groups = compare.group(runs)
    rows = [
        {"run": run.name, "group": one.label, **{name: compare.value_of(run, name) for name in compare.METRICS}}
        for one in groups
        for run in one.runs
    ]
    figures = [
        piece
        for kind, names in compare.BY_MEASURE.items()
        for piece in (Text(NAMES[kind].capitalize()), compare.bars_figure(groups, names))
    ]
    return [*figures, pd.DataFrame(rows)]


def _compare_paired(runs: Sequence[Any]) -> Pieces:
    groups = compare.group(runs)
    if len(groups) < 2:
        return [Text("These runs differ by the seed alone: there is no second group to pair with.")]
    figure = paired.paired_figure(groups, groups[0].key, "average_score")
    return [figure, paired.paired(groups, groups[0].key, "average_score").drop(columns="group")]


def _compare_config(runs: Sequence[Any]) -> Pieces:
    table, _ = compare.differences(compare.group(runs))
    return [table] if len(table) else [Text("No key differs between these runs but the seed.")]


COMPARISON = (
    Panel(
        "compare_curves",
        "Curves by group",
        "Runs that differ by the seed alone are one line; the band is from the lowest to the highest seed.",
        _compare_curves,
    ),
    Panel("compare_bars", "Final numbers", "Bars are means, dots are runs, gaps are missing numbers.", _compare_bars),
    Panel(
        "compare_paired",
        "Paired differences of the average score",
        "Against the first group; pairs share seed, stream and task order.",
        _compare_paired,
    ),
    Panel("compare_config", "Config differences", "", _compare_config),
)


def page(runs: Sequence[Any], chosen: Sequence[str] | None = None, app: str = "http://127.0.0.1:8501") -> str:
    """The report of the runs as HTML. chosen: names of PANELS and COMPARISON, None for all; app: where 'Open in the app' leads."""
    chapters = []
    if len(runs) > 1:
        parts = _parts(COMPARISON, runs, "all", chosen)
        chapters += [Chapter("all", "Comparison", f"{len(runs)} runs.", parts)] if parts else []
    for number, run in enumerate(runs):
        anchor = f"run{number}"
        info = run.info
        what = f"{info.label or 'unknown method'} on {info.stream or 'an unknown stream'}"
        about = f"{what}, seed {info.seed}, {run.status}. Tasks in order: {', '.join(info.tasks)}."
        parts = _parts(PANELS, run, anchor, chosen)
        if sentence := warning(run.path):
            parts.insert(0, Part(f"{anchor}-warning", "Not as the run wrote it", "", [Text(sentence)]))
        chapters.append(Chapter(anchor, run.name, about, parts, f"{app}/overview?run={quote(run.name)}"))
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    packages = ", ".join(f"{name} {version(name)}" for name in ("plotly", "pandas", "numpy", "pyarrow"))
    return document(f"Report: {title}", f"Made {made} with {packages}. This file needs no network.", chapters)


def _parts(panels: Sequence[Panel], subject: Any, anchor: str, chosen: Sequence[str] | None) -> list[Part]:
    parts = []
    for panel in panels:
        if chosen is not None and panel.name not in chosen:
            continue
        try:
            pieces = panel.make(subject) or [Text("This run recorded nothing for this panel.")]
        except RunError as error:
            pieces = [Text(f"This panel could not be made: {_without_paths(error, subject)}")]
        except Exception as error:
            log.error("report panel %s", panel.name, exc_info=error)
            pieces = [Text(f"This panel could not be made ({type(error).__name__}). The log has the trace.")]
        parts.append(Part(f"{anchor}-{panel.name}", panel.title, panel.about, pieces))
    return parts


def _without_paths(error: RunError, subject: Any) -> str:
    """A report is passed on: it names files of the run, not where the run lay."""
    words = str(error)
    for run in subject if isinstance(subject, Sequence) else [subject]:
        for folder in (run.path, run.path.resolve(), run.path.parent, run.path.parent.resolve()):
            words = words.replace(f"{folder}/", "")
    return words
