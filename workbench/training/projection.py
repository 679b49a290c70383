"""A UMAP of the probe codes, made once when a run ends: it takes seconds, so no page makes one on a click."""

from __future__ import annotations

import json
import warnings

from workbench.runs.reader import Run
from workbench.runs.writer import RunWriter

SEED = 0


def save_umap(writer: RunWriter) -> None:
    """projections/umap.parquet (uid, task, x, y) of the last probe codes, and umap.json with its parameters; nothing where there are few codes."""
    run = Run(writer.path)
    names = run.array_names("latents")
    if not names:
        return
    codes, about = run.arrays("latents", names[-1]), run.metadata("latents", names[-1])
    neighbours = min(15, len(codes["z"]) - 1)
    if neighbours < 3:
        return
    import numpy as np
    import pandas as pd
    from umap import UMAP

    parameters = {"n_neighbors": neighbours, "min_dist": 0.1, "random_state": SEED, "n_jobs": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xy = np.asarray(UMAP(**parameters).fit_transform(codes["z"]))
    tasks = json.loads(about["tasks"])
    frame = pd.DataFrame(
        {"uid": json.loads(about["uids"]), "task": [tasks[index] for index in codes["task_index"]], "x": xy[:, 0], "y": xy[:, 1]}
    )
    writer.save("projections/umap.parquet", lambda path: frame.to_parquet(path, index=False))
    content = json.dumps({**parameters, "fitted_on": f"latents/{names[-1]}", "codes": len(frame)}, indent=1)
    writer.save("projections/umap.json", lambda path: path.write_text(content, encoding="utf-8"))
