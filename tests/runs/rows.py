"""Rows of runs that never ran, for tests of tables: two tasks, one stream, one code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

OWN_ORDER = ("sentiment", "srl")


def row(method: str, score: float, seed: int = 0, tasks: Sequence[str] = OWN_ORDER, **changes: Any) -> dict[str, Any]:
    """A finished row. Its stream hash depends on the order of the tasks, as a run's does."""
    return {
        "run": f"{method}-{seed}-{'-'.join(tasks)}-{changes.get('code', 'c0de')}-{changes.get('gamma', 0.2)}",
        "stream": "bundled",
        "method": method,
        "seed": seed,
        "order": None,
        "gamma": None if method in ("multitask", "finetune") else 0.2,
        "average_score": score,
        "scores": dict.fromkeys(OWN_ORDER, score),
        "backward_transfer": -1.0,
        "forgetting": 1.0,
        "min_acc": score / 2,
        "seconds": 10.0,
        "decoded": 5,
        "status": "finished",
        "group": f"settings of {method}",
        "regime": "nine epochs",
        "tasks": list(tasks),
        "stream_hash": f"hash of {'-'.join(tasks)}",
        "commit": "abc",
        "code": "c0de",
        "method_code": f"code of {method}",
        "threads": 1,
        "versions": {"torch": "2"},
        "study": "ladder",
        "cell": {"method": method},
        "cell_hash": "0",
        **changes,
    }
