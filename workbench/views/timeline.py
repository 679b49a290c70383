"""When what happened in a run: its tasks in order, when each was learnt, and the iterations something was saved at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

# A pandas DataFrame. pandas annotates `frame[...]` as half a dozen types at once, which no checker can use.
Frame = Any

# Folders whose files are snapshots named by nine digits of iteration.
SNAPSHOT_FOLDERS = ("chains", "latents", "weights")


def remembered(run: Any, name: str, tables: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """make(), kept by runs that keep results until one of the tables changes (the app's do); do not change what comes back."""
    keep = getattr(run, "remember", None)
    return keep(name, tables, make) if keep else make()


def tasks(run: Any) -> list[str]:
    """Task names in the order of training: colours, panels and matrices follow it."""
    return list(run.info.tasks) or tasks_of(run.table("eval"))


def tasks_of(frame: Frame) -> list[str]:
    """Task names of an eval table: those trained, in order, then those only evaluated."""
    if frame.empty:
        return []
    trained = frame[frame["trained_task"].fillna("") != ""].sort_values("iteration", kind="stable")["trained_task"]
    return list(dict.fromkeys([*trained.astype(str), *frame["eval_task"].astype(str)]))


def task_ends(frame: Frame, names: list[str] | None = None) -> dict[str, int]:
    """Last iteration of each task that has begun, from an eval (or metrics) table; in order of training.

    Iteration 0 is the state before the first update and belongs to no task.
    """
    column = "trained_task" if "trained_task" in frame else "task"
    rows = frame[(frame["iteration"] > 0) & (frame[column].fillna("") != "")]
    last = rows.groupby(column, sort=False, observed=True)["iteration"].max().sort_values(kind="stable")
    ends = {str(task): int(end) for task, end in last.items()}
    return {task: ends[task] for task in names if task in ends} if names else ends


def ends(run: Any) -> dict[str, int]:
    """`task_ends` of a run's evaluations, in its own task order."""
    return remembered(run, "ends", ("eval",), lambda: task_ends(run.table("eval"), tasks(run)))


def snapshots(path: Path) -> dict[str, list[int]]:
    """Saved iterations of each snapshot folder, from file names alone."""
    found: dict[str, list[int]] = {}
    for folder in SNAPSHOT_FOLDERS:
        place = Path(path) / folder
        names = [entry.stem for entry in place.glob("*.safetensors")] if place.is_dir() else []
        pieces = {piece for name in names for piece in name.split("_") if len(piece) == 9 and piece.isdigit()}
        found[folder] = sorted(int(piece) for piece in pieces)
    return found


def saved_iterations(run: Any) -> list[int]:
    """Every iteration something can be looked at: snapshots, replay samples, task ends, and 0; sorted."""
    found = {0}
    for iterations in snapshots(run.path).values():
        found.update(iterations)
    evaluated, samples = run.table("eval"), run.table("samples")
    if not evaluated.empty:
        found.update(ends(run).values())
    if not samples.empty:
        found.update(int(value) for value in samples["iteration"].unique())
    return sorted(found)


def last_iteration(run: Any) -> int:
    """The last iteration that was evaluated or logged; 0 for a run that has not begun."""
    return max((int(frame["iteration"].max()) for frame in (run.table("eval"), run.table("metrics")) if not frame.empty), default=0)
