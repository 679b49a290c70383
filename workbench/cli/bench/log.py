"""What logging a row costs: RunWriter against a bare pyarrow loop and Python's CSV writer. Microseconds a row, medians of rounds."""

from __future__ import annotations

import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.runs.schema import COLUMNS, table_schema
from workbench.runs.writer import FLUSH_ROWS, RunWriter

ROWS = 10_000
ROUNDS = 7


def rows() -> list[dict[str, Any]]:
    """name, ours, baseline, ratio: the metrics of 10,000 iterations appended and flushed every 500, the three in turn in each round."""
    data = [_row(iteration) for iteration in range(ROWS)]
    taken: dict[str, list[float]] = {"ours": [], "pyarrow": [], "csv": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        writer = RunWriter.create(root, "seed: 0\n", {"label": "bench"})
        ways: dict[str, Callable[[Path], None]] = {
            "ours": lambda path: _ours(writer, data),
            "pyarrow": lambda path: _pyarrow(path, data),
            "csv": lambda path: _csv(path, data),
        }
        for repeat in range(-1, ROUNDS):  # round -1 warms up
            for name, way in ways.items():
                begun = time.perf_counter()
                way(root / f"{name}{repeat}")
                if repeat >= 0:
                    taken[name].append((time.perf_counter() - begun) / ROWS * 1e6)
        writer.close()
    ours, arrow, text = (statistics.median(taken[name]) for name in ways)
    return [
        {"name": "log a row, against a bare pyarrow loop (us)", "ours": ours, "baseline": arrow, "ratio": ours / arrow},
        {"name": "log a row, against csv.DictWriter (us)", "ours": ours, "baseline": text, "ratio": ours / text},
    ]


def _row(iteration: int) -> dict[str, Any]:
    values = {name: 0.001 * iteration + place for place, name in enumerate(COLUMNS["metrics"])}
    return {**values, "iteration": iteration, "task": "reading", "step": iteration, "loss_answer": None, "grad_cosine": None}


def _ours(writer: RunWriter, data: list[dict[str, Any]]) -> None:
    for row in data:
        writer.append("metrics", row)
    writer.flush()


def _pyarrow(path: Path, data: list[dict[str, Any]]) -> None:
    schema = pa.schema(list(table_schema("metrics"))[1:])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        pending: list[dict[str, Any]] = []
        for row in data:
            pending.append(row)
            if len(pending) == FLUSH_ROWS:
                stream.write_batch(pa.RecordBatch.from_pylist(pending, schema))
                pending = []
        stream.write_batch(pa.RecordBatch.from_pylist(pending, schema))


def _csv(path: Path, data: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS["metrics"]))
        writer.writeheader()
        for count, row in enumerate(data, 1):
            writer.writerow(row)
            if count % FLUSH_ROWS == 0:
                file.flush()
