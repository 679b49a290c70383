"""Run folders from elsewhere: whatever is in them is a sentence, opened is what is a regular file inside, and no run hides another."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.runs import ratings
from workbench.runs.check import check_run, warning
from workbench.runs.reader import Run, list_runs, unlisted
from workbench.runs.schema import RunError
from workbench.runs.synthetic import write_run
from workbench.runs.writer import RunWriter
from workbench.views.energy import snapshots

SMALL = {"tasks": 2, "iterations": 60, "chains": 2, "chain_count": 4, "dim": 4, "hidden": 4, "steps": 3, "latents": 3}
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"), **SMALL)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(whole, tmp_path / "runs" / whole.name))


def _rewrite(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def _null_rows(path: Path) -> None:
    table = pq.read_table(path)
    column = pa.array([None, *range(1, table.num_rows)], pa.int64())
    pq.write_table(table.set_column(0, "row", column), path)
    manifest = path.parent / "manifest.jsonl"
    manifest.write_text("".join(line + "\n" for line in manifest.read_text().splitlines() if path.name not in line))


FILES = ("config.yaml", "events.jsonl", "manifest.jsonl", "run.json", "summary.json", "eval.parquet", "samples.parquet",
         "weights/energy_000000060.safetensors", "chains/000000060_news.safetensors", "ratings/ana.jsonl", "metrics/seg-0000.arrows")  # fmt: skip
DAMAGES: dict[str, Callable[[Path], object]] = {
    f"{how.__name__[1:]} behind {name}": lambda run, how=how, name=name: how(run / name)
    for name in FILES
    for how in (_fifo, _device, _folder)
} | {
    "null in row": lambda run: _null_rows(run / "eval.parquet"),
    "deep YAML": lambda run: (run / "config.yaml").write_text("a: " + DEEP),
    "deep event line": lambda run: (run / "events.jsonl").write_text(DEEP + "\n"),
    "deep run.json": lambda run: (run / "run.json").write_text(DEEP),
    "references that grow": lambda run: (run / "config.yaml").write_text(
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))
    ),
    "a date that is none": lambda run: (run / "config.yaml").write_text("a: 2001-99-99"),
    "manifest names a path outside": lambda run: (run / "manifest.jsonl").write_text('{"file": "chains/../../x", "bytes": 1}\n'),
    "manifest names no path": lambda run: (run / "manifest.jsonl").write_text('{"file": "a\\u0000b"}\n{"file": "%s"}\n' % ("x" * 5000)),
    "a link out behind a table": lambda run: ((run / "eval.parquet").unlink(), (run / "eval.parquet").symlink_to("/etc/hostname")),
    "a folder of arrays is a file": lambda run: (shutil.rmtree(run / "chains"), (run / "chains").write_text("x")),
    "events of a wrong kind": lambda run: (run / "events.jsonl").write_text('{"time": "x", "kind": ["finished"]}\n'),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_f34_check_never_raises_and_never_hangs(run: Path, damage: str) -> None:
    DAMAGES[damage](run)
    began = time.monotonic()
    verdicts = check_run(run)
    assert any(not verdict.ok for verdict in verdicts), verdicts
    assert all("\n" not in verdict.verdict and len(verdict.verdict) < 600 for verdict in verdicts)
    assert warning(run) or all(verdict.ok for verdict in verdicts if verdict.file in ("run.json", "config.yaml", "summary.json"))
    (info,) = list_runs(run.parent)
    assert info.status in ("finished", "broken")
    ratings.read(run)
    assert time.monotonic() - began < 5


def test_f34_a_folder_that_may_not_be_read_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refuse(path: object = ".") -> object:
        if Path(str(path)).name == "chains":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", refuse)
    faults = [verdict for verdict in check_run(run) if not verdict.ok]
    assert [(fault.file, fault.verdict) for fault in faults] == [("chains/", "cannot be read (Permission denied)")]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"average_score": 99.9}, "average_score is 99.9, the eval table gives"),
        ({"scores": {"news": 100.0}}, "scores of news is 100, the eval table gives"),
        ({"forgetting": 0.0}, "forgetting is 0, the eval table gives"),
        ({"backward_transfer": 7.0}, "backward_transfer is 7, the eval table gives"),
        ({"iterations": 9}, "iterations is 9, the eval table gives 60"),
        ({"tasks_done": 9}, "tasks_done is 9, the eval table gives 2"),
        ({"seconds": 1.0}, "changed"),
        ({"min_acc": 88.0}, "changed"),
    ],
)
def test_f14_a_summary_that_the_tables_do_not_give_is_found(run: Path, values: dict[str, object], sentence: str) -> None:
    scores = json.loads((run / "summary.json").read_text())["scores"]
    if "scores" in values:
        values = {"scores": {**scores, next(iter(scores)): 100.0}}
        sentence = sentence.replace("news", next(iter(scores)))
    _rewrite(run / "summary.json", **values)
    faults = [verdict for verdict in check_run(run) if not verdict.ok]
    assert [fault.file for fault in faults] == ["summary.json"] and sentence in faults[0].verdict
    assert f"{run.name}: summary.json differs from what the run wrote" in warning(run)
    assert f"{run.name}: summary.json differs from what the run wrote" in warning(run, recount=False)


def test_f14_the_summary_is_counted_again_without_any_hash(run: Path) -> None:
    (run / "manifest.jsonl").write_text(
        "".join(line + "\n" for line in (run / "manifest.jsonl").read_text().splitlines() if "summary" not in line)
    )
    assert all(verdict.ok for verdict in check_run(run))
    _rewrite(run / "summary.json", average_score=99.9)
    assert "summary.json differs" in warning(run, recount=False)


def test_f14_an_edited_run_json_is_found(run: Path) -> None:
    _rewrite(run / "run.json", seed=5)
    assert [verdict.file for verdict in check_run(run) if not verdict.ok] == ["run.json"]


def test_f14_the_sample_runs_are_whole() -> None:
    for path in (Path(__file__).parents[2] / "data/runs").iterdir():
        assert [verdict for verdict in check_run(path) if not verdict.ok] == []


NAMES = ("新闻", "對話", "x" * 90 + "1", "x" * 90 + "2", "a b", "a-b", "a/b", "", "-", "_", "a.b", ".a", "a" * 80, "a" * 81)


def test_f22_each_task_has_its_own_chain_file(writer: RunWriter) -> None:
    for number, task in enumerate(NAMES):
        arrays = {"z": np.full((3, 2, 2), number, np.float32), "energy": np.zeros((3, 2), np.float32)}
        assert writer.arrays("chains", f"000000007_{task}", arrays, {"task": task, "iteration": 7})
    run = Run(writer.path)
    assert len(run.array_names("chains")) == len(NAMES)
    for number, task in enumerate(NAMES):
        assert snapshots.chain_iterations(run, task) == [7]
        assert float(snapshots.load_chains(run, 7, task).z.max()) == number
    assert all(verdict.ok for verdict in check_run(writer.path))


def test_f22_a_file_of_another_task_is_refused(writer: RunWriter) -> None:
    for task in ("a", "b"):
        writer.arrays("chains", f"000000007_{task}", {"z": np.zeros(2)}, {"task": task, "iteration": 7})
    with pytest.raises(RunError, match=r"^chains/000000007_a\.safetensors: holds the arrays of task 'a', not of 'c'"):
        writer.arrays("chains", "000000007_a", {"z": np.ones(2)}, {"task": "c", "iteration": 7})
    (writer.path / "chains/000000007_b.safetensors").replace(writer.path / "chains/000000007_a.safetensors")
    with pytest.raises(RunError, match="holds the chains of task 'b' at iteration 7, which its name does not say"):
        Run(writer.path).arrays("chains", "000000007_a")


RATING = {"uid": "1", "sample_id": "ab", "rater": "ana", "scale": "fluency", "value": 4, "t": 1.0}


@pytest.mark.parametrize(
    "change",
    [{"undoes": ["1"]}, {"undoes": {}}, {"kind": ["undo"]}, {"item": []}, {"plan": {}}, {"versus": [1]}, {"tab": 3.5}, {"on": "maybe"},
     {"value": 10**400}, {"t": 1e999}, {"repeat": [1]}, {"ms": "soon"}, {"uid": None}],
)  # fmt: skip
def test_f35_a_rating_of_a_wrong_kind_is_one_bad_line(run: Path, change: dict[str, object]) -> None:
    (run / "ratings").mkdir()
    lines = [RATING, RATING | {"uid": "2", "kind": "undo"} | change, RATING | {"uid": "3", "sample_id": "cd"}]
    (run / "ratings/ana.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table, faults = ratings.read_answers([run])
    assert len(faults) == 1 and faults[0].startswith("ratings/ana.jsonl line 2: rating: ")
    assert sorted(table["sample_id"]) == ["ab", "cd"]
    assert [verdict.file for verdict in check_run(run) if not verdict.ok] == ["ratings/ana.jsonl"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: _rewrite(run / "run.json", seed=2**64),
        lambda run: _rewrite(run / "run.json", threads=-(2**80)),
        lambda run: (run / "run.json").write_text('{"schema": 1, "id": "x", "created": "", "updated": "", "seed": ' + "9" * 5000 + "}"),
        lambda run: _rewrite(run / "summary.json", iterations=10**30),
        lambda run: _rewrite(run / "summary.json", average_score=float("inf")),
        lambda run: (_rewrite(run / "run.json", status="running"), (run / "run.lock").unlink(), _folder(run / "events.jsonl"), os.utime(run / "run.json", (0, 0))),
        lambda run: _fifo(run / "summary.json"),
        lambda run: _rewrite(run / "run.json", tasks=["\ud800"]),
    ],
)  # fmt: skip
def test_f81_one_bad_run_hides_no_other(run: Path, spoil: Callable[[Path], object]) -> None:
    from workbench.views.studies import runs_table

    good = Path(shutil.copytree(run, run.with_name("good")))
    spoil(run)
    runs = list_runs(run.parent)
    assert {info.name: info.status for info in runs}["good"] == "finished" and len(runs) == 2
    table = runs_table.table(runs)
    pa.Table.from_pandas(table.drop(columns=["curve"]))  # what the page sends
    assert set(table["name"]) == {good.name, run.name}


def test_f95_runs_that_are_not_listed_are_said(run: Path, tmp_path: Path) -> None:
    root = run.parent
    elsewhere = Path(shutil.copytree(run, tmp_path / "elsewhere"))
    (root / "linked").symlink_to(elsewhere)
    (root / "inside").symlink_to(run)
    shutil.copytree(run, root / "study" / "deeper")
    assert {info.name for info in list_runs(root)} == {run.name, "inside"}
    links, deeper = unlisted(root)
    assert links.startswith("1 runs are links that lead out of") and "(linked)" in links
    assert deeper.startswith("1 folders in") and deeper.endswith(f"accepted: --runs {root / 'study'}")
    assert [info.name for info in list_runs(root / "study")] == ["deeper"] and not unlisted(root / "study")


def test_f95_a_run_given_as_the_runs_folder_is_that_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [info.path for info in list_runs(run)] == [run] and not unlisted(run)
    monkeypatch.chdir(run)
    assert [info.name for info in list_runs(Path())] == [run.name]


def test_f96_what_other_systems_leave_is_no_fault(run: Path) -> None:
    for name in (
        "chains/._000000060_news.safetensors",
        "weights/.nfs000000000a",
        "latents/.DS_Store",
        "ratings/._ana.jsonl",
        "state/._1.pt",
    ):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"\x00\x05\x16\x07")
    assert [verdict for verdict in check_run(run) if not verdict.ok] == []
    assert not [name for name in Run(run).array_names("chains") if name.startswith(".")]
    assert ratings.files(run) == []
