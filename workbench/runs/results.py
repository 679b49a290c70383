"""One row a run, as tables, published results and the README show it; and groups of runs that differ by seed or order alone.

A row says what it is a row of: stream and its hash, settings, code, threads, versions. Rows meet in one group, and a row is held against
another, only where these agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics as numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.runs.reader import Run, RunError
from workbench.runs.schema import REPLAYS_NOTHING
from workbench.runs.statistics import spread as spreads

Row = Mapping[str, Any]
UPPER_BOUND = "multitask"
"""Learns all tasks at once: the order of tasks is nothing to it."""
MEASURES = (
    "average_score",
    "min_acc",
    "wc_acc",
    "backward_transfer",
    "forward_transfer",
    "forgetting",
    "seconds",
    "decoded",
    "stored_bytes",
)
"""Numbers of a row beside the scores of the tasks. Seconds and texts decoded are the cost."""
OWN_SETTINGS = {
    "backbone": ("conditioning", "prefix_length"),
    "training": ("generation_weight", "latent_lr", "checkpoint_every"),
}
"""Settings that a method without replay does not read: two runs may differ in them and have the same bound."""


def run_row(path: Path) -> dict[str, Any]:
    """The row of one run. Scores are 0..100; a run without scores yet has nulls."""
    run = Run(path)
    info, summary = run.info, run.summary
    more, about = summary.model_extra or {}, info.model_extra or {}
    return {
        "run": info.id,
        "stream": info.stream,
        "method": info.label,
        "seed": info.seed,
        "order": info.order or ",".join(info.tasks),
        "gamma": info.gamma,
        "average_score": summary.average_score,
        "scores": dict(summary.scores),
        "backward_transfer": summary.backward_transfer,
        "forward_transfer": more.get("forward_transfer"),
        "forgetting": summary.forgetting,
        "min_acc": summary.min_acc,
        "wc_acc": summary.wc_acc,
        "seconds": summary.seconds,
        "iterations": summary.iterations,
        "decoded": _decoded(run),
        "stored_bytes": more.get("stored_bytes"),
        "status": run.status,
        "group": info.group_hash,
        "regime": _regime(run),
        "tasks": list(info.tasks),
        "stream_hash": info.stream_hash,
        "commit": info.git_commit,
        "code": about.get("code"),
        "method_code": about.get("method_code"),
        "threads": info.threads,
        "device": info.device,
        "versions": dict(info.versions),
        "study": about.get("study"),
        "cell": about.get("cell"),
        "cell_hash": about.get("cell_hash"),
    }


def _decoded(run: Run) -> int | None:
    """Texts decoded to be replayed, kept or refused; None where the table cannot be read."""
    try:
        counts = Counter(run.arrow("samples").column("trained_task").to_pylist())
        origins = Counter(run.arrow("samples").column("origin").to_pylist())
    except RunError:
        return None
    drawn = sum(count for trained, count in counts.items() if trained)
    return 0 if origins and set(origins) <= {"real"} else drawn


def _regime(run: Run) -> str | None:
    """Hash of the settings that any method reads (examples, language model, training): a bound must share them. None where unreadable."""
    try:
        config = run.config
    except RunError:
        return None
    read = {}
    for section in ("tasks", "backbone", "training"):
        values = config.get(section)
        if isinstance(values, Mapping):
            read[section] = {key: value for key, value in values.items() if key not in OWN_SETTINGS.get(section, ())}
    return hashlib.sha256(json.dumps(read, sort_keys=True, default=str).encode()).hexdigest()[:12]


def read_results(path: Path) -> list[dict[str, Any]]:
    """Rows kept in a results file. Raises RunError where it is none."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; accepted: a file that `workbench table --json` wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read as results ({str(error)[:200]})") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"run", "method", "scores"} <= row.keys() for row in rows):
        raise RunError(f"{path}: found no list of rows with run, method and scores; accepted: what `workbench table --json` prints")
    return rows


def whole(row: Row) -> bool:
    """Whether a row is of a run that came to its end; a mean over others would mix scores of different moments."""
    return row.get("status", "finished") == "finished"


def code_of(row: Row) -> str | None:
    """The code that made a row: the hash of what decides scores, else the commit; None in rows older than both."""
    return row.get("code") or row.get("commit")


def order_of(row: Row) -> str:
    """Names of the tasks in order of training, joined by commas: an order given by numbers and by names is one order."""
    return ",".join(row.get("tasks") or ()) or str(row.get("order") or "")


def value(row: Row, measure: str) -> float | None:
    """A measure of MEASURES or the score of a task; None where the row has no finite number there."""
    found = row.get(measure) if measure in MEASURES else row["scores"].get(measure)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found) else None


def tasks_of(rows: Iterable[Row]) -> list[str]:
    """Every task that some row has a score of, in the order in which they first come."""
    return list(dict.fromkeys(task for row in rows for task in row["scores"]))


def group_rows(rows: Iterable[Row]) -> list[list[Row]]:
    """Finished rows that differ by seed and order alone: one stream, method, gamma, settings and code. A run named twice counts once.

    Rows of one order with unlike stream hashes are of two streams of one name, and are told apart.
    """
    known = {str(row["run"]): row for row in rows if whole(row)}
    groups: dict[tuple[Any, ...], list[Row]] = {}
    hashes: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in known.values():
        key = (
            row.get("stream"),
            row["method"],
            replay_ratio(row),
            row.get("group"),
            row.get("regime"),
            code_of(row),
            row.get("method_code"),
        )
        if "tasks" not in row:  # kept before an order was no setting: the hash of its settings holds its order, its row no stream hash
            key += (order_of(row),)
        versions = hashes.setdefault(key, [])
        at = next(
            (at for at, seen in enumerate(versions) if seen.get(order_of(row), row.get("stream_hash")) == row.get("stream_hash")), None
        )
        if at is None:
            versions.append({})
            at = len(versions) - 1
        versions[at][order_of(row)] = row.get("stream_hash")
        groups.setdefault((*key, at), []).append(row)
    return list(groups.values())


def same_stream(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Whether two groups have an order with one stream hash in common. Hashes of rows that keep none are not known to agree."""
    return bool({row.get("stream_hash") for row in one if row.get("stream_hash")} & {row.get("stream_hash") for row in other})


def comparable(one: Row, other: Row) -> bool:
    """Whether two rows are of the same stream name, settings that any method reads, and code that is known."""
    code = code_of(one)
    alike = one.get("stream") == other.get("stream") and one.get("regime") == other.get("regime")
    return alike and one.get("regime") is not None and code is not None and code == code_of(other)


def bound_of(group: Sequence[Row], groups: Iterable[Sequence[Row]]) -> float | None:
    """Mean of the upper bound of the same stream, settings and code. None where there is none, or more than one."""
    bounds = [
        other for other in groups if other[0]["method"] == UPPER_BOUND and comparable(group[0], other[0]) and same_stream(group, other)
    ]
    return mean(row["average_score"] for row in bounds[0]) if len(bounds) == 1 else None


def grouped(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row a group: means with the spread over seeds and over orders apart, and the share of the upper bound.

    Runs that did not finish are left out.
    """
    groups = group_rows(rows)
    result = []
    for members in groups:
        first = members[0]
        apart = spreads({(order_of(row), row["seed"]): score for row in members if (score := value(row, "average_score")) is not None})
        average, bound = mean(row["average_score"] for row in members), bound_of(members, groups)
        result.append(
            {
                "stream": first["stream"],
                "method": first["method"],
                "settings": differing(members, groups),
                "gamma": replay_ratio(first),
                "n": len(members),
                "seeds": sorted({row["seed"] for row in members}),
                "orders": sorted({order_of(row) for row in members}),
                "average_score": average,
                "deviation": spread(row["average_score"] for row in members),
                "seed_deviation": apart.seeds,
                "order_deviation": apart.orders,
                "order_part": apart.order_part,
                "of_upper_bound": None if not bound or average is None else 100 * average / bound,
                "scores": {task: mean(value(row, task) for row in members) for task in tasks_of(members)},
                **{name: mean(value(row, name) for row in members) for name in MEASURES[1:]},
                "code": code_of(first),
                "commits": sorted({row["commit"] for row in members if row.get("commit")}),
                "runs": [row["run"] for row in members],
            }
        )
    return result


def differing(members: Sequence[Row], groups: Iterable[Sequence[Row]]) -> dict[str, Any]:
    """What a study set in these rows and not in all others of the same method and gamma: {dotted key: value}."""
    cell = _cell_of(members)
    alike = [other for other in groups if other[0]["method"] == members[0]["method"]]
    return {
        key: found
        for key, found in cell.items()
        if key not in ("method", "replay.gamma") and any(_cell_of(other).get(key) != found for other in alike)
    }


def _cell_of(members: Sequence[Row]) -> dict[str, Any]:
    cell = members[0].get("cell")
    return dict(cell) if isinstance(cell, Mapping) else {}


def replay_ratio(row: Row) -> float | None:
    """gamma of a row, None where the method replays nothing."""
    return None if row["method"] in REPLAYS_NOTHING else row.get("gamma")


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return numbers.fmean(known) if known else None


def spread(values: Iterable[float | None]) -> float | None:
    """Standard deviation over runs, n - 1; null for one run."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return numbers.stdev(known) if len(known) > 1 else None


def markdown(rows: Iterable[Row]) -> str:
    """Grouped rows as a Markdown table: what the README shows."""
    from workbench.runs.tables import as_markdown, table_of

    return as_markdown(table_of(list(rows)))
