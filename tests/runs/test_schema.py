from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.runs import schema
from workbench.runs.check import check_run
from workbench.runs.reader import Run, list_runs
from workbench.runs.schema import SCHEMA, SchemaError, parse_rating, parse_run, sample_id

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


@pytest.mark.parametrize("version", range(1, SCHEMA + 1))
def test_golden_runs_of_every_version_open(version: int) -> None:
    finished = GOLDEN / f"schema-{version}" / "20260101-000000_lsebmcl_golden_s1"
    run = Run(finished)
    assert run.status == "finished" and run.info.tasks == ["sentiment", "roles"] and run.config["energy"]["dim"] == 4
    assert all(verdict.ok for verdict in check_run(finished)), check_run(finished)
    assert {name: len(run.table(name)) for name in schema.COLUMNS} == {
        "metrics": 40, "eval": 88, "predictions": 16, "energy_fit": 80, "diagnostics": 21, "chain_stats": 8, "samples": 6, "timings": 12,
    }  # fmt: skip
    assert run.table("metrics")["iteration"].tolist() == list(range(1, 41))
    assert run.table("samples")["text"].str.contains(" __ans__ ").all()
    names = run.array_names("chains")
    assert len(names) == 2 and run.arrays("chains", names[0])["z"].shape == (4, 4, 4)
    assert json.loads(run.metadata("weights", "energy_000000040")["symbols"]) == ["sentiment", "roles"]


@pytest.mark.parametrize("version", range(1, SCHEMA + 1))
def test_golden_segments_open(version: int) -> None:
    killed = Run(GOLDEN / f"schema-{version}" / "20260101-000000_lsebmcl_golden_s1-2")
    rows = killed.table("metrics")
    assert len(rows) >= 4 and rows["iteration"].tolist() == list(range(1, len(rows) + 1))
    assert len(killed.table("eval")) > 0 and len(list_runs(killed.path.parent)) == 2


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"schema": 1, "id": "x", "created": "2026", "updated": "2026"}
    assert parse_run(values).schema_version == 1
    with pytest.raises(SchemaError, match=r"^written by a newer version \(2\); this one reads up to 1$"):
        parse_run(values | {"schema": 2})
    for wrong in (None, "1", 1.5, True):
        with pytest.raises(SchemaError, match="schema is"):
            parse_run(values | {"schema": wrong})
    with pytest.raises(SchemaError, match="no upgrade from schema 0"):
        parse_run(values | {"schema": 0})
    with pytest.raises(SchemaError, match="tasks: "):
        parse_run(values | {"tasks": "a"})
    monkeypatch.setitem(schema.UPGRADES, 0, lambda old: old | {"schema": 1, "label": "er"})
    assert parse_run(values | {"schema": 0}).label == "er"


def test_tables_begin_with_the_row_number() -> None:
    assert all(table.names[0] == "row" and str(table.types[0]) == "int64" for table in schema.TABLES.values())


def test_sample_ids_are_stable() -> None:
    assert sample_id("20260101-000000_lsebmcl_s0", 100, 3, 7) == sample_id("20260101-000000_lsebmcl_s0", 100, 3, 7)
    ids = {sample_id("run", iteration, chain, index) for iteration in range(10) for chain in range(10) for index in range(10)}
    assert len(ids) == 1000 and all(len(known) == 12 for known in ids)


def test_rating_lines() -> None:
    line = parse_rating(
        {"v": 1, "uid": "u", "sample_id": "s", "rater": "ana", "scale": "fluency", "value": 4, "t": 1.5, "ms": 1830, "more": 1}
    )
    assert line.value == 4 and line.blind is None
