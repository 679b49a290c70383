"""What was replayed: how much was asked, generated, kept and refused, how good the texts are, and what each one is nearest to.

`samples` everywhere is the run's table of that name; `Reference` the real examples the run learnt from, where they are at hand.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from rapidfuzz import fuzz, process

from workbench.tasks import Example, Stream, TaskError
from workbench.views.data import stream_of
from workbench.views.style import MUTED, TOL_MUTED, TOL_MUTED_DARK, dress, empty, task_color, task_dash, task_symbol
from workbench.views.text import in_figure, words
from workbench.views.timeline import Frame

NEAR_COPY = 90.0
"""Similarity (0..100, rapidfuzz ratio) from which a text counts as a near-copy of a real example."""

ANY_TASK = "any"
WELL_FORMED = ("kept", "spare", "disagreed")
MEASURES = {
    "label_valid": ("valid answers, %", [0, 100]),
    "commonest_answer": ("commonest answer, %", [0, 100]),
    "different_words": ("different words", None),
    "near_copies": ("near-copies, %", [0, 100]),
    "distinct_1": ("distinct words, share", [0, 1]),
    "distinct_2": ("distinct pairs, share", [0, 1]),
    "self_chrf": ("self-chrF", [0, 100]),
    "length": ("words a text", None),
}
MOST_DRAWS = 24
_TEXTS, _CHRF_TEXTS = 64, 20


class Reference(NamedTuple):
    """Training examples and closed answer sets by task; `sentence` says why they are missing where they are."""

    examples: Mapping[str, tuple[Example, ...]]
    labels: Mapping[str, tuple[str, ...] | None]
    sentence: str = ""


TRAINING_UIDS = "training_uids.json"
"""File of a run folder: {task: [uid of each training example]}."""

SUBSET_SEED = 0
"""Training draws its examples with this seed, whatever the run's own; runs without TRAINING_UIDS are taken to have done so."""


def reference(config: Mapping[str, Any], run: Path | None = None) -> Reference:
    """The real examples that a run learnt from, by its plain config and its folder. Never goes to the network and never opens a path
    the run names.

    Bundled streams are read from the repository, others from the folder in WORKBENCH_DATA; which examples: TRAINING_UIDS of the run.
    """
    limits = config.get("tasks") or {}
    file = run / TRAINING_UIDS if run is not None else None
    stamp = file.stat().st_mtime_ns if file is not None and file.is_file() and not file.is_symlink() else None
    where = str(file) if stamp is not None else None
    return _reference(str(config.get("stream", "")), os.environ.get("WORKBENCH_DATA"), limits.get("train_limit"), where, stamp)


@lru_cache(maxsize=8)
def _reference(spec: str, folder: str | None, train_limit: int | None, uids: str | None, stamp: int | None) -> Reference:
    stream, sentence = stream_of({"stream": spec})
    if stream is None:
        return Reference({}, {}, sentence)
    try:
        examples = _learnt(stream, Path(uids)) if uids else {}
        if not examples:
            examples = {task.name: task.train for task in stream.limited(train_limit, None, SUBSET_SEED).tasks}
    except (TaskError, OSError, ValueError) as error:
        return Reference({}, {}, f"The real examples could not be read: {error}")
    return Reference(examples, {task.name: task.labels for task in stream.tasks})


def _learnt(stream: Stream, file: Path) -> dict[str, tuple[Example, ...]]:
    """The training examples of the uids in a file. Raises ValueError where it is none, or names uids that the stream does not have."""
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not all(isinstance(uids, list) for uids in found.values()):
        raise ValueError(f"{TRAINING_UIDS}: found no mapping of tasks to lists of uids")
    learnt: dict[str, tuple[Example, ...]] = {}
    for task in stream.tasks:
        by_uid = {example.uid: example for example in task.train}
        uids = [str(uid) for uid in found.get(task.name, [])]
        if missing := sum(uid not in by_uid for uid in uids):
            raise ValueError(f"{TRAINING_UIDS}: {missing} of {len(uids)} uids of {task.name!r} are not in the stream as it is here")
        learnt[task.name] = tuple(by_uid[uid] for uid in uids)
    return learnt


def asked(samples: Frame, tasks: Sequence[str], gamma: float | None, real: Reference) -> dict[tuple[int, str], int]:
    """How many samples each draw had to keep, by (iteration, task), as LAMOL counts; empty where the training sizes are not known."""
    wanted: dict[tuple[int, str], int] = {}
    if gamma is None:
        return wanted
    for (iteration, task, trained), _ in samples.groupby(["iteration", "task", "trained_task"]):
        if trained in tasks and trained in real.examples and (old := list(tasks).index(trained)):
            each = math.ceil(gamma * len(real.examples[trained]) - 1e-9) // old
            wanted[int(iteration), str(task)] = each * old if task == ANY_TASK else each
    return wanted


def counts(samples: Frame, wanted: Mapping[tuple[int, str], int] | None = None) -> Frame:
    """One row a draw (iteration, trained_task, task): asked, generated, kept, refused, spare, and seconds."""
    rows = []
    for (iteration, trained, task), own in samples.groupby(["iteration", "trained_task", "task"], sort=True, dropna=False):
        kept, spare = int(own["kept"].sum()), int((own["verdict"] == "spare").sum())
        rows.append(
            {
                "iteration": int(iteration),
                "trained_task": trained,
                "task": task,
                "asked": (wanted or {}).get((int(iteration), str(task))),
                "generated": len(own),
                "kept": kept,
                "refused": len(own) - kept - spare,
                "spare": spare,
                "seconds": float(own["seconds"].sum()),
            }
        )
    frame = pd.DataFrame(rows, columns=["iteration", "trained_task", "task", "asked", "generated", "kept", "refused", "spare", "seconds"])
    return frame.astype({"asked": "Int64"})


def reasons(samples: Frame) -> Frame:
    """Verdicts by task: task, verdict, n; 'kept' first, then by how frequent."""
    table = samples.groupby(["task", "verdict"], dropna=False).size().rename("n").reset_index()
    order = {"kept": 0, "spare": 1}
    return table.sort_values(["n"], ascending=False).sort_values(
        "verdict", key=lambda names: names.map(lambda name: order.get(name, 2)), kind="stable", ignore_index=True
    )


def reasons_figure(samples: Frame, tasks: Sequence[str], dark: bool = False) -> go.Figure:
    """A bar a task, from kept to the reasons of refusal. Kept is green, spare grey; reasons take the others: none is a task's colour."""
    if samples.empty:
        return empty("No sample was drawn here.", dark)
    rows, palette = reasons(samples), TOL_MUTED_DARK if dark else TOL_MUTED
    present = [task for task in (*tasks, ANY_TASK) if task in set(rows["task"])]
    others = [verdict for verdict in rows["verdict"].drop_duplicates() if verdict not in ("kept", "spare")]
    colors = {"kept": palette[2], "spare": MUTED[dark]} | {
        verdict: palette[(1, 5, 3, 0, 7, 4, 6)[i % 7]] for i, verdict in enumerate(others)
    }
    bars = []
    for verdict in [name for name in ("kept", "spare", *others) if name in set(rows["verdict"])]:
        n = rows[rows["verdict"] == verdict].set_index("task")["n"].reindex(present, fill_value=0)
        bars.append(
            {
                "type": "bar",
                "y": [in_figure(task, 24) for task in present],
                "x": n.to_numpy(dtype=float),
                "name": in_figure(verdict or "no verdict", 40),
                "orientation": "h",
                "marker": {"color": colors.get(verdict, MUTED[dark]), "line": {"width": 0}},
                "hovertemplate": "%{y}: %{x} " + in_figure(verdict, 40) + "<extra></extra>",
            }
        )
    height = max(260, 110 + 34 * len(present))
    layout = {
        "barmode": "stack",
        "bargap": 1 - min(0.68, 36 * len(present) / (height - 90)),
        "legend": {"traceorder": "normal"},
        "xaxis": {"title": {"text": "texts generated"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "showgrid": False},
        "height": height,
        "margin": {"t": 40},
    }
    return dress(go.Figure({"data": bars, "layout": layout}), dark)


def body(row: Mapping[str, Any]) -> str:
    """What of a sample is compared with real examples: its context, or its question where it has none, or the raw text."""
    return str(row.get("context") or row.get("question") or row.get("text") or "")


def nearest(samples: Frame, real: Reference) -> Frame:
    """similarity (0..100) and position of the nearest real example, of the task asked, or of any; index as `samples`.

    Columns: similarity, nearest_task, nearest_at (position in real.examples[nearest_task]); NaN, '' and -1 where nothing is at hand.
    """
    found = pd.DataFrame({"similarity": np.nan, "nearest_task": "", "nearest_at": -1}, index=samples.index)
    for task, own in samples.groupby("task", dropna=False):
        names = [str(task)] if task in real.examples else (list(real.examples) if task == ANY_TASK else [])
        places = [(name, at) for name in names for at in range(len(real.examples[name]))]
        if not places:
            continue
        texts = [body(row) for row in own[["context", "question", "text"]].to_dict("records")]
        choices = [example.context or example.question for name in names for example in real.examples[name]]
        scores = process.cdist([text[:2000] for text in texts], choices, scorer=fuzz.ratio, dtype=np.uint8)
        best = scores.argmax(axis=1)
        found.loc[own.index, "similarity"] = scores[np.arange(len(texts)), best].astype(float)
        found.loc[own.index, "nearest_task"] = [places[at][0] for at in best]
        found.loc[own.index, "nearest_at"] = [places[at][1] for at in best]
    return found


def different_words(samples: Frame) -> int:
    """How many different words stand in all contexts, questions and answers together."""
    parts = samples[["context", "question", "answer"]].fillna("").to_numpy().ravel()
    return len({word for text in parts for word in words(str(text).casefold())})


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams of words over all of them (Li et al. 2016); NaN where there is none."""
    grams = [gram for text in texts for gram in _grams(words(text.casefold()), n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def _grams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def self_chrf(texts: Sequence[str]) -> float:
    """Mean chrF of each text against the next one, the last against the first; 100: all alike. NaN for fewer than two."""
    from sacrebleu.metrics.chrf import CHRF

    texts = [text[:600] for text in texts if text.strip()]
    if len(texts) < 2:
        return float("nan")
    metric = CHRF()
    return float(np.mean([metric.sentence_score(text, [texts[(at + 1) % len(texts)]]).score for at, text in enumerate(texts)]))


def near_copies(samples: Frame, real: Reference, task: str) -> float:
    """Share of texts, in percent, with a real example of the task (any task, where none was asked) at NEAR_COPY or above."""
    names = [task] if task in real.examples else (list(real.examples) if task == ANY_TASK else [])
    choices = [example.context or example.question for name in names for example in real.examples[name]]
    if not choices or samples.empty:
        return float("nan")
    texts = [body(row)[:2000] for row in samples[["context", "question", "text"]].to_dict("records")]
    return 100 * float((process.cdist(texts, choices, scorer=fuzz.ratio, score_cutoff=NEAR_COPY, dtype=np.uint8) > 0).any(axis=1).mean())


def some_draws(samples: Frame, most: int = MOST_DRAWS) -> Frame:
    """The samples of at most `most` iterations, evenly spaced, first and last included."""
    at = np.unique(samples["iteration"].to_numpy())
    if len(at) <= most:
        return samples
    return samples[samples["iteration"].isin(at[np.unique(np.linspace(0, len(at) - 1, most).round().astype(int))])]


def quality(samples: Frame, real: Reference) -> Frame:
    """One row a draw (iteration, task): the MEASURES over its kept texts (commonest_answer and different_words over all of them, others over
    at most 64, 20 for self-chrF, drawn by a fixed seed). Of a long run, MOST_DRAWS iterations.
    """
    rows = []
    columns = ["iteration", "task", "kept", "context", "question", "text", "answer", "answer_generated", "answer_relabelled", "verdict"]
    for (iteration, task), own in some_draws(samples[columns]).groupby(["iteration", "task"]):
        kept = own[own["kept"]]
        some = kept.sample(_TEXTS, random_state=0) if len(kept) > _TEXTS else kept
        texts = [body(row) for row in some[["context", "question", "text"]].to_dict("records")]
        labels = real.labels.get(str(task))
        formed = own[own["answer_generated"].fillna("").ne("") | own["verdict"].isin(WELL_FORMED)]
        real_one = formed["answer_generated"].fillna("").eq("") & formed["answer_relabelled"].fillna("").eq("")
        given = formed["answer_generated"].mask(real_one, formed["answer"])
        rows.append(
            {
                "iteration": int(iteration),
                "task": str(task),
                "texts": len(own),
                "label_valid": 100 * float(given.isin(labels).mean()) if labels and len(formed) else float("nan"),
                "commonest_answer": 100 * float(kept["answer"].fillna("").value_counts(normalize=True).max())
                if len(kept)
                else float("nan"),
                "different_words": different_words(kept) if len(kept) else float("nan"),
                "near_copies": near_copies(some, real, str(task)),
                "distinct_1": distinct(texts, 1),
                "distinct_2": distinct(texts, 2),
                "self_chrf": self_chrf(texts[:_CHRF_TEXTS]),
                "length": float(np.mean([len(words(text)) for text in texts])) if texts else float("nan"),
            }
        )
    return pd.DataFrame(rows, columns=["iteration", "task", "texts", *MEASURES])


def quality_figure(rows: Frame, tasks: Sequence[str], dark: bool = False, columns: int = 3) -> go.Figure:
    """The quality strip: one small panel a measure over iterations, a line a task."""
    shown = [name for name in MEASURES if name in rows and rows[name].notna().any()]
    if not shown:
        return empty("No text was kept, so there is nothing to measure.", dark)
    lines, gap = math.ceil(len(shown) / columns), 0.07
    plot = 175 * lines - 73  # pixels: panels of 102, 73 between them
    width, height = (1 - gap * (columns - 1)) / columns, 102 / plot
    names = [task for task in (*tasks, ANY_TASK) if task in set(rows["task"])]
    by_task = {task: rows[rows["task"] == task].sort_values("iteration") for task in names}
    # Plain dicts, made into a figure once at the end: several times faster than plotly's own subplots.
    traces, notes, axes = [], [], {}
    for place, measure in enumerate(shown):
        row, column = divmod(place, columns)
        suffix = str(place + 1) if place else ""
        left, top = column * (width + gap), 1 - row * (height + 73 / plot)
        traces += [
            _line(own, measure, task, tasks, dark) | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": place == 0}
            for task, own in by_task.items()
        ]
        where = {"xref": "paper", "x": left, "xanchor": "left", "yref": "paper", "y": top, "yanchor": "bottom", "yshift": 2}
        notes.append({"text": MEASURES[measure][0], "showarrow": False, "font": {"size": 12}, **where})
        bounds = MEASURES[measure][1]
        span = {"rangemode": "tozero"} if bounds is None else {"range": [bounds[0] - 0.04 * bounds[1], bounds[1] * 1.04]}
        axes[f"xaxis{suffix}"] = {"domain": [left, min(left + width, 1)], "anchor": f"y{suffix}", "nticks": 4}
        axes[f"yaxis{suffix}"] = {"domain": [max(top - height, 0), top], "anchor": f"x{suffix}", "nticks": 4, **span}
    legend = {"y": 1 + 36 / plot}
    layout = {"height": 112 + plot, "margin": {"t": 76, "b": 36}, "legend": legend, "annotations": notes, **axes}
    return dress(go.Figure({"data": traces, "layout": layout}), dark)


def _line(own: Frame, measure: str, task: str, tasks: Sequence[str], dark: bool) -> dict[str, Any]:
    index = list(tasks).index(task) if task in tasks else 0
    color = task_color(index, dark) if task in tasks else MUTED[dark]
    name = in_figure(task, 24)
    return {
        "type": "scatter",
        "x": own["iteration"].to_numpy(),
        "y": own[measure].to_numpy(),
        "mode": "lines+markers",
        "name": name,
        "legendgroup": task,
        "line": {"color": color, "width": 2, "dash": task_dash(index)},
        "marker": {"color": color, "size": 6, "symbol": task_symbol(index)},
        "hovertemplate": f"%{{y:.3g}} at %{{x:,}}<extra>{name}</extra>",
    }


ORDERS = {
    "as drawn": ("chain", True),
    "energy, low first": ("energy", True),
    "energy, high first": ("energy", False),
    "similarity, high first": ("similarity", False),
    "similarity, low first": ("similarity", True),
    "rating, low first": ("rating", True),
    "rating, high first": ("rating", False),
}


def choose(
    samples: Frame,
    *,
    task: str = "",
    verdicts: Sequence[str] = (),
    recognised: Sequence[str] = (),
    words_in: str = "",
    order: str = "as drawn",
) -> Frame:
    """The samples that pass the filters, in an order of ORDERS (rows without the value come last)."""
    rows = samples
    if task:
        rows = rows[rows["task"] == task]
    if verdicts:
        rows = rows[rows["verdict"].isin(list(verdicts))]
    if recognised:
        rows = rows[rows["recognised"].fillna("").isin(list(recognised))]
    if words_in.strip():
        whole = (
            rows["text"].fillna("")
            + "\n"
            + rows["context"].fillna("")
            + "\n"
            + rows["question"].fillna("")
            + "\n"
            + rows["answer"].fillna("")
        )
        rows = rows[whole.str.contains(words_in.strip(), case=False, regex=False)]
    column, ascending = ORDERS.get(order, ORDERS["as drawn"])
    return rows.sort_values(column, ascending=ascending, kind="stable", na_position="last") if column in rows else rows


def figure(run: Any, dark: bool = False) -> go.Figure:
    """The quality strip of a run."""
    samples = run.table("samples")
    tasks = list(run.info.tasks)
    return (
        quality_figure(quality(samples, reference(run.config, run.path)), tasks, dark)
        if len(samples)
        else empty("This run replayed nothing.", dark)
    )


def energy_figure(samples: Frame, tasks: Sequence[str], dark: bool = False) -> go.Figure:
    """Energies of the texts drawn, kept against refused, for samples that have one."""
    known = samples.dropna(subset=["energy"])
    if known.empty:
        return empty("These texts were not drawn from an energy.", dark)
    bars = []
    palette = TOL_MUTED_DARK if dark else TOL_MUTED
    for kept, name, color in ((True, "kept", palette[2]), (False, "refused or spare", palette[1])):
        own = known[known["kept"] == kept]
        if len(own):
            look = {"name": name, "marker": {"color": color}, "opacity": 0.65, "nbinsx": 40}
            bars.append({"type": "histogram", "x": own["energy"].to_numpy(), **look})
    axes = {"xaxis": {"title": {"text": "energy U(z), nats"}}, "yaxis": {"title": {"text": "texts"}}}
    layout = {"barmode": "overlay", "height": 260, "margin": {"t": 36}, **axes}
    return dress(go.Figure({"data": bars, "layout": layout}), dark)
