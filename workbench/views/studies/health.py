"""What a run was, and whether it is whole: configuration against the defaults, events, environment, files, timings, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.config import ConfigError, RunConfig, build, fields
from workbench.runs.check import check_run
from workbench.runs.schema import RunError
from workbench.views import style, timeline
from workbench.views.scores.curves import mean_score, shorten
from workbench.views.timeline import Frame

PHASES = ("train", "fit", "sample", "decode", "answer", "evaluate", "record", "other")


def config_frame(run: Any) -> Frame:
    """Every setting: key, value, default, differs, meaning; those that differ from the default first."""
    return _config_rows(run.config)


def _config_rows(config: dict[str, Any]) -> Frame:
    found, defaults = _flat(config), _flat(build({}).model_dump())
    meaning = {name: info.description or "" for name, info in fields()}
    keys = list(dict.fromkeys([*defaults, *found]))
    rows = [
        {
            "key": key,
            "value": _words(found[key]) if key in found else "",
            "default": _words(defaults[key]) if key in defaults else "",
            "differs": key in found and (key not in defaults or found[key] != defaults[key]),
            "meaning": meaning.get(key, ""),
        }
        for key in keys
    ]
    frame = pd.DataFrame(rows, columns=["key", "value", "default", "differs", "meaning"])
    return frame.sort_values("differs", ascending=False, kind="stable").reset_index(drop=True)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _words(value: Any) -> str:
    return "null" if value is None else str(value)


def config_of(run: Any) -> RunConfig | None:
    """The typed configuration, or None where it was written by another version."""
    try:
        return build(run.config)
    except (ConfigError, RunError):
        return None


def events_frame(run: Any) -> Frame:
    """events.jsonl as rows: time, kind, what; the newest last."""
    rows = [
        {
            "time": event.get("time", event.get("t", "")),
            "kind": str(event.get("kind", "")),
            "what": ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("time", "t", "kind")),
        }
        for event in run.events()
    ]
    return pd.DataFrame(rows, columns=["time", "kind", "what"])


def environment_frame(run: Any) -> Frame:
    """run.json in rows: what made the run, without a host, a user or a path."""
    values = run.info.model_dump(by_alias=True)
    versions = values.pop("versions", {}) or {}
    hidden = ("tables", "tasks")
    rows = [(key, _words(value)) for key, value in values.items() if key not in hidden] + [
        (f"version of {key}", value) for key, value in versions.items()
    ]
    return pd.DataFrame(rows, columns=["what", "value"])


def files_frame(run: Any) -> Frame:
    """What `workbench check` says of every file: file, rows, schema, verdict, ok."""
    return pd.DataFrame(
        [{"file": v.file, "rows": v.rows, "schema": v.schema, "verdict": v.verdict, "ok": v.ok} for v in check_run(run.path)],
        columns=["file", "rows", "schema", "verdict", "ok"],
    )


def seconds_by_task(run: Any) -> Frame:
    """Seconds that each phase took of each task: task, phase, seconds. All of them together are the run.

    The table `timings` says at the end of each task how long each phase had taken since the run began.
    """
    rows = run.table("timings").dropna(subset=["seconds"]).sort_values(["iteration", "row"], kind="stable")
    before = rows.groupby("phase", sort=False, observed=True)["seconds"].shift(fill_value=0.0)
    # A clock that went back began anew: what it shows was all spent since.
    spent = (rows["seconds"] - before).where(rows["seconds"] >= before, rows["seconds"])
    return rows.assign(seconds=spent).groupby(["task", "phase"], sort=False, observed=True)["seconds"].sum().reset_index()


def timings_figure(run: Any, dark: bool = False) -> go.Figure:
    """Where the time went: seconds of each task in each phase; the bars add up to the run."""
    frame = seconds_by_task(run)
    if frame.empty:
        return style.empty("This run recorded no timings", dark)
    wide = frame.pivot_table(index="task", columns="phase", values="seconds", aggfunc="sum", sort=False).fillna(0.0)
    known = timeline.tasks(run)
    wide = wide.reindex([*(task for task in known if task in wide.index), *(task for task in wide.index if task not in known)])
    figure = go.Figure()
    colors: dict[str, str] = dict(zip(PHASES, style.TOL_MUTED_DARK if dark else style.TOL_MUTED, strict=True))
    for phase in [*(name for name in PHASES if name in wide), *(name for name in wide if name not in PHASES)]:
        figure.add_bar(
            y=[shorten(str(task), 18) for task in wide.index],
            x=wide[phase],
            name=str(phase),
            orientation="h",
            marker={"color": colors.get(str(phase), style.MUTED[dark])},
            hovertemplate="%{x:.1f} s " + str(phase) + "<extra>%{y}</extra>",
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="seconds")
    return style.dress(figure, dark, barmode="stack", height=110 + 34 * len(wide))


def diagnostic(run: Any, name: str, subject: str | None = None) -> Frame:
    """One diagnostic over the run: iteration, task, subject, value. Empty where it was not recorded."""
    frame = run.table("diagnostics")
    chosen = frame[frame["name"] == name]
    return chosen if subject is None else chosen[chosen["subject"] == subject]


@dataclass(frozen=True)
class Gap:
    """An energy gap on the codes of the fit: mean U of short-run samples less that of the codes its energy was fitted to, in nats.

    before: the same task's, after the task before; None where there was none. error: standard error of value, where it is known.
    """

    task: str
    value: float
    before: float | None
    error: float | None = None

    @property
    def within_noise(self) -> bool:
        return self.error is not None and abs(self.value) <= 2 * self.error


def widest_gap(run: Any) -> Gap | None:
    """The gap furthest from 0 over the tasks of the last measurement; a mean would let two signs cancel."""
    rows = diagnostic(run, "energy_gap").dropna(subset=["value"])
    if rows.empty:
        return None
    moments = sorted(rows["iteration"].unique())
    last = rows[rows["iteration"] == moments[-1]].reset_index(drop=True)
    widest = last.loc[last["value"].abs().idxmax()]
    earlier = rows[(rows["iteration"] == moments[-2 if len(moments) > 1 else -1]) & (rows["subject"] == widest["subject"])]["value"]
    before = float(earlier.iloc[-1]) if len(moments) > 1 and len(earlier) else None
    task = str(widest["subject"])
    return Gap(task, float(widest["value"]), before, _gap_error(run, task, int(moments[-1])))


RECORDED_STARTS = 16
"""Starts of the chains whose mean energy makes the recorded gap (8 chains from each); what chains of one start share is not known."""


def _gap_error(run: Any, task: str, iteration: int) -> float | None:
    """Standard error of the chains' mean energy at its largest: every start counted once. That of the codes is small beside it."""
    stats = run.table("chain_stats")
    if "energy_q25" not in stats:
        return None
    last = stats[(stats["iteration"] == iteration) & (stats["task"] == task)].sort_values("step").tail(1)
    if last.empty:
        return None
    # The quartiles of a normal law are 1.349 standard deviations apart.
    error = float((last["energy_q75"] - last["energy_q25"]).iloc[0] / 1.349 / RECORDED_STARTS**0.5)
    return error if np.isfinite(error) else None


@dataclass(frozen=True)
class Progress:
    """Where a run stands. rate: iterations a second over the last 200 logged steps; eta: seconds to the end, an estimate.

    score: the end of `curves.mean_score`, on the fixed subset that is scored with teacher forcing.
    """

    iteration: int
    task: str
    task_number: int
    tasks: int
    share: float
    rate: float | None
    eta: float | None
    loss: float | None
    score: float | None
    energy_gap: Gap | None


def progress(run: Any) -> Progress:
    """Progress of a run from its tables. The last task is taken to be as long as those before it, or as its epochs say."""
    metrics, names = run.table("metrics"), timeline.tasks(run)
    total = max(len(names), 1)
    if metrics.empty:
        return Progress(0, "", 0, total, 0.0, None, None, None, None, None)
    last = metrics.iloc[-1]
    task = str(last["task"])
    number = names.index(task) + 1 if task in names else 1
    inside = _inside_task(run, metrics, task)
    recent = metrics.tail(200)
    seconds = float(recent["seconds"].iloc[-1] - recent["seconds"].iloc[0]) if recent["seconds"].notna().all() else 0.0
    rate = (len(recent) - 1) / seconds if seconds > 0 else None
    share = min((number - 1 + inside) / total, 1.0)
    iteration = int(last["iteration"])
    left = iteration / share - iteration if share > 0 else None
    scores = mean_score(run)["score"]
    return Progress(
        iteration,
        task,
        number,
        total,
        share,
        rate,
        left / rate if rate and left is not None else None,
        _float(last["loss"]),
        _float(scores.iloc[-1]) if len(scores) else None,
        widest_gap(run),
    )


def _inside_task(run: Any, metrics: Frame, task: str) -> float:
    """Share of the current task that is done: by epochs where they are logged, else by the length of the tasks before."""
    rows = metrics[metrics["task"] == task]
    config = config_of(run)
    epoch = rows["epoch"].iloc[-1]
    if config is not None and config.training.max_steps is None and np.isfinite(epoch):
        return float(min(epoch / config.training.epochs, 1.0))
    lengths = metrics[metrics["task"] != task].groupby("task", observed=True).size()
    length = (
        config.training.max_steps if config is not None and config.training.max_steps else lengths.mean() if len(lengths) else len(rows)
    )
    return float(min(len(rows) / length, 1.0))


def _float(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def not_finite(run: Any) -> list[int]:
    """Iterations whose logged loss is no finite number. Every logged step has a loss, so a missing one is not finite either."""
    logged = run.table("metrics")
    if logged.empty or "loss" not in logged:
        return []
    return [int(at) for at in logged.loc[~np.isfinite(logged["loss"].to_numpy(np.float64)), "iteration"]]


def warnings_of(run: Any) -> list[str]:
    """Plain sentences about what needs a look: those the run noted, and those its tables show."""
    sentences = [str(sentence) for sentence in run.summary.warnings]
    sentences += [
        str(event.get("message") or event.get("what") or event.get("text")) for event in run.events() if event.get("kind") == "warning"
    ]
    chains = run.table("chain_stats")
    if len(chains):
        end = chains[chains["iteration"] == chains["iteration"].max()]
        if float(end["stuck"].max()) > 0.5:
            sentences.append(f"More than half of the chains did not move at iteration {int(end['iteration'].iloc[0]):,}.")
    steps = not_finite(run)
    if steps:
        sentences.append(f"The loss was no finite number at {len(steps):,} steps, first at iteration {steps[0]:,}: this run diverged.")
    gap = widest_gap(run)
    if gap is not None and abs(gap.value) > 4:
        sentences.append(
            f"The energy gap of {gap.task} on the codes of the fit is {gap.value:+.1f} nats at the last measurement (beyond 4 either way)."
        )
    return list(dict.fromkeys(sentence for sentence in sentences if sentence and sentence != "None"))
