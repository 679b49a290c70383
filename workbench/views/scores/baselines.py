"""What a model that learnt nothing would score: untrained, silent, or with one answer to every question of a task."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from workbench.tasks.scoring import score
from workbench.views import timeline
from workbench.views.data import stream_of
from workbench.views.replay.samples import reference
from workbench.views.timeline import Frame

COLUMNS = ["task", "n", "untrained", "silent", "commonest", "answer", "trivial"]


def floors(run: Any) -> Frame:
    """A row a task: n test items, scores in its own metric of the untrained model, of saying nothing, and of its commonest training
    answer; trivial is the higher of the last two. NaN where the real examples are not at hand (`why_not` says so) or nothing was scored.
    """
    return timeline.remembered(run, "floors", ("eval", "predictions"), lambda: _floors(run))


def why_not(run: Any) -> str:
    """Why there are no trivial scores; empty where there are."""
    return stream_of(run.config)[1]


def _floors(run: Any) -> Frame:
    stream, _ = stream_of(run.config)
    real = reference(run.config, run.path)
    rows, said = run.table("eval"), run.table("predictions")
    first = rows[(rows["iteration"] == 0) & (rows["kind"] == "generated")].drop_duplicates("eval_task", keep="last").set_index("eval_task")
    table = []
    for task in timeline.tasks(run):
        row: dict[str, Any] = {"task": task}
        if task in first.index:
            row |= {"untrained": float(first.loc[task, "score"]), "n": first.loc[task, "n"]}
        own = next((one for one in stream.tasks if one.name == task), None) if stream is not None else None
        asked = set(said.loc[said["eval_task"] == task, "uid"])
        items = [example for example in own.test if example.uid in asked] if own is not None else []
        if own is not None and items and len(items) == len(asked):
            learnt = real.examples.get(task, ())
            commonest = Counter(example.answers[0] for example in learnt).most_common(1)
            row |= {"n": len(items), "silent": score(own.metric, [""] * len(items), items)}
            if commonest:
                row |= {"answer": commonest[0][0], "commonest": score(own.metric, [commonest[0][0]] * len(items), items)}
            row["trivial"] = max(row["silent"], row.get("commonest", 0.0))
        table.append(row)
    return pd.DataFrame(table, columns=COLUMNS)
