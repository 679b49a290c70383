"""A study of 24 runs that take a second each, on the mini backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import mini

COMPARED = ("method", "seed", "order", "gamma", "average_score", "scores", "backward_transfer", "forgetting", "min_acc", "iterations")


def write_study(folder: Path, backbone: Path, **changes: Any) -> Path:
    """Three methods and gammas, four seeds, two orders: 24 cells."""
    base = mini.config(backbone, "er", stream="bundled:sentiment,srl", tasks={"train_limit": 16, "test_limit": 4}).model_dump()
    base = {key: value for key, value in base.items() if key not in ("method", "seed", "order", "name")}
    base["evaluation"] |= {"subset": 4, "gradients_every": 0}
    content = {
        "study": "small",
        "base": base,
        "axes": [{"grid": {"method": ["er"], "replay.gamma": [0.25, 0.5]}}, {"list": [{"method": "finetune"}]}],
        "seeds": 4,
        "orders": [None, "2,1"],
        **changes,
    }
    path = folder / f"{content['study']}.yaml"
    path.write_text(json.dumps(content))
    return path
