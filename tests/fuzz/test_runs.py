"""Damaged run folders, rating files and JSON: no exception but the project's own, no hang, and no damage that `check` misses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.profile import FUZZ
from workbench.runs import ratings
from workbench.runs.check import check_run, warning
from workbench.runs.files import parse_json, parse_yaml
from workbench.runs.reader import Run, list_runs
from workbench.runs.schema import COLUMNS, FOLDERS, RunError, SchemaError, parse_rating, parse_run, parse_summary
from workbench.runs.synthetic import write_run

Within = Callable[[Callable[[], object]], None]
SMALL = {"tasks": 2, "iterations": 20, "chains": 1, "chain_count": 2, "dim": 2, "hidden": 2, "steps": 2, "latents": 2}
HASHED = (".parquet", ".safetensors", "config.yaml", "summary.json", "run.json")
"""Files whose every byte `check` stands for while the manifest is as it was."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("runs"), **SMALL)
    (path / "ratings").mkdir()
    lines = [{"uid": str(n), "sample_id": "ab", "rater": "ana", "scale": "fluency", "value": 4, "t": float(n)} for n in range(3)]
    (path / "ratings/ana.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def names(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and path.name != "run.lock")


def damage(path: Path, how: str, place: float, data: bytes) -> None:
    content = path.read_bytes()
    at = int(place * max(len(content) - 1, 0))
    if how == "flip":
        path.write_bytes(content[:at] + bytes(byte ^ 1 for byte in content[at : at + 1]) + content[at + 1 :])
    elif how == "cut":
        path.write_bytes(content[:at])
    elif how == "put":
        path.write_bytes(content[:at] + data + content[at:])
    elif how == "over":
        path.write_bytes(content[:at] + data + content[at + len(data) :])
    elif how == "replace":
        path.write_bytes(data)
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "pipe":
            os.mkfifo(path)
        elif how == "device":
            path.symlink_to("/dev/zero")
        elif how == "loop":
            path.symlink_to(path.name)


def read_everything(run: Path) -> None:
    """What the app, the commands and the notebooks read; each part may only refuse in the project's own words."""
    known = Run(run)
    parts: list[Callable[[], object]] = [lambda: known.info, lambda: known.summary, lambda: known.config, known.events, known.table_names]
    parts += [lambda name=name: known.table(name) for name in COLUMNS]
    for folder in FOLDERS:
        parts.append(lambda folder=folder: [known.arrays(folder, name) for name in known.array_names(folder)])
    for part in parts:
        with suppress(RunError, OSError):
            part()
    warning(run)
    ratings.read_answers([run])
    list_runs(run.parent)


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1000),
            st.sampled_from(["flip", "flip", "cut", "put", "over", "replace", "remove", "folder", "pipe", "device", "loop"]),
            st.floats(0, 1),
            st.binary(min_size=1, max_size=40),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_damaged_run_folders(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, within: Within, damages: list[tuple[int, str, float, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    run = Path(shutil.copytree(whole, folder / whole.name))
    try:
        touched = set()
        for number, how, place, data in damages:
            name = names(whole)[number % len(names(whole))]
            if (run / name).is_file() and not (run / name).is_symlink():
                damage(run / name, how, place, data)
                touched.add(name)
        same = (
            {name for name in names(whole) if (run / name).is_file() and (run / name).read_bytes() == (whole / name).read_bytes()}
            if all(not (run / name).is_symlink() for name in names(whole))
            else set()
        )

        def look() -> None:
            verdicts = check_run(run)
            assert verdicts and all("\n" not in verdict.verdict for verdict in verdicts)
            changed = [name for name in touched - same if name.endswith(HASHED)]
            if changed and "manifest.jsonl" not in touched and "run.json" not in touched:
                faults = {verdict.file for verdict in verdicts if not verdict.ok}
                assert set(changed) <= faults, (changed, faults)
            read_everything(run)

        within(look)
    finally:
        shutil.rmtree(folder)


NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([2**64, -(2**70), 10**400, float("inf")]))
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), NUMBERS, st.text(st.characters(), max_size=20)), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)  # fmt: skip
RUN = {"schema": 1, "id": "x", "created": "c", "updated": "u"}
RATING = {"uid": "1", "sample_id": "ab", "rater": "ana", "scale": "fluency", "value": 4, "t": 1.0}
FIELDS = (
    "schema",
    "id",
    "status",
    "created",
    "label",
    "tasks",
    "seed",
    "gamma",
    "versions",
    "threads",
    "tables",
    "rows",
    "incomplete",
    "order",
)
RATED = tuple(name for name in ratings.COLUMNS if name != "run")
SHOWN = ("average_score", "scores", "forgetting", "iterations", "seconds", "size_bytes", "tasks_done", "phases", "warnings", "curve")


@FUZZ
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3), st.dictionaries(st.sampled_from(SHOWN), VALUES, max_size=3))
def test_run_and_summary_files_of_any_content(
    tmp_path_factory: pytest.TempPathFactory, within: Within, run: dict[str, object], summary: dict[str, object]
) -> None:
    import pyarrow as pa

    from workbench.views.studies import runs_table

    root = tmp_path_factory.mktemp("any")
    for name in ("good", "any"):
        (root / name).mkdir()
        (root / name / "run.json").write_text(json.dumps(RUN | (run if name == "any" else {})))
        (root / name / "summary.json").write_text(json.dumps(summary if name == "any" else {}))

    def look() -> None:
        for parse, values in ((parse_run, RUN | run), (parse_summary, summary)):
            try:
                parse(values)
            except SchemaError as error:
                assert "\n" not in str(error)
        runs = list_runs(root)
        assert len(runs) == 2 and {info.name for info in runs if info.info} >= {"good"}
        pa.Table.from_pandas(runs_table.table(runs).drop(columns=["curve"]))
        check_run(root / "any")

    try:
        within(look)
    finally:
        shutil.rmtree(root)


@FUZZ
@given(st.lists(st.dictionaries(st.sampled_from(RATED), VALUES, max_size=3), max_size=4), st.binary(max_size=30))
def test_rating_files_of_any_content(
    tmp_path_factory: pytest.TempPathFactory, within: Within, changes: list[dict[str, object]], tail: bytes
) -> None:
    run = tmp_path_factory.mktemp("rated")
    (run / "ratings").mkdir()
    lines = [RATING | {"uid": str(number)} | change for number, change in enumerate(changes)]
    (run / "ratings/ana.jsonl").write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode() + tail)

    def look() -> None:
        answers, faults = ratings.read_answers([run])
        assert all("\n" not in fault for fault in faults)
        for line in lines:
            try:
                parse_rating(line)
            except SchemaError:
                continue
        assert len(answers) <= len(lines) + 1 and ratings.count(run) <= len(lines) + 1
        done = ratings.append(run, "ana", [RATING | {"uid": "new"}])
        assert done.fault is None or done.new == 0

    try:
        within(look)
    finally:
        shutil.rmtree(run)


@FUZZ
@given(st.one_of(st.binary(max_size=200), st.text(st.sampled_from("{}[]:,-*&!<>#|'\"% \n\tab19.e~?"), max_size=120).map(str.encode)))
def test_settings_and_json_of_any_bytes(within: Within, data: bytes) -> None:
    def look() -> None:
        for parse in (parse_yaml, parse_json):
            with suppress(ValueError):
                parse(data)

    within(look)
