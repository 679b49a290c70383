"""The commands as a user types them, each in a process of its own; in a new interpreter only a few, for its imports take longer than its work."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests import mini
from tests.processes import command
from workbench.cli import app

COMMANDS = ("train", "resume", "list", "show", "check", "table", "fit", "sample", "tasks", "pretrain", "bench", "app", "report")


def interpreter(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same as `command`, in an interpreter that has imported nothing yet."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "workbench", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def trained(mini_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished LSEBMCL run, made by the command."""
    folder = tmp_path_factory.mktemp("cli")
    settings = mini.config(mini_backbone, "lsebmcl", stream="bundled").model_dump(exclude={"data"})
    (folder / "small.yaml").write_text(json.dumps(settings))
    done = interpreter("train", "small.yaml", "--order", "2,1,3,4,5", "--set", "training.max_steps=2", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["method"] == "lsebmcl"
    assert row["order"] == "2,1,3,4,5"
    assert set(row["scores"]) == {"sentiment", "srl", "dialogue", "sql", "reading"}
    return folder


def test_help_teaches() -> None:
    runner = CliRunner()
    for name in COMMANDS:
        shown = runner.invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert "Usage:" in shown.stdout
    assert all(name in runner.invoke(app, ["--help"]).stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", "--method", "lsebmc"), "did you mean 'lsebmcl'"),
        (("train", "--set", "energy.delt=1"), "did you mean 'energy.delta'"),
        (("train", "--stream", "sst,wozz", "--data", "."), "wozz"),
        (("train", "--data", "nowhere"), "--data: no folder nowhere"),
        (("train", "--order", "1,2"), "--order"),
        (("train", "--device", "cuda"), "device"),
        (("train", "--backbone", "./nowhere"), "backbone.name"),
        (("show", "nothing"), "nothing"),
        (("resume", "nothing"), "nothing"),
        (("list", "--runs", "nowhere"), "--runs: no folder nowhere"),
        (("app", "--runs", "nowhere"), "--runs: no folder nowhere"),
        (("table", "nowhere.json"), "no such file"),
        (("bench", "steps"), "did you mean 'step'"),
    ],
)
def test_bad_input_is_one_sentence_and_no_trace(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("words", "sentence"), [(("train", "--device", "cuda"), "device"), (("list", "--runs", "nowhere"), "--runs: no folder nowhere")]
)
def test_a_new_interpreter_says_it_alike(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    fresh, forked = interpreter(*words, cwd=tmp_path), command(*words, cwd=tmp_path)
    assert sentence in fresh.stderr
    assert (fresh.returncode, fresh.stdout, fresh.stderr) == (forked.returncode, forked.stdout, forked.stderr)


def test_messages_name_the_file_and_folder_given(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/rows.json").write_text("{}")
    (tmp_path / "kept/small.yaml").write_text("training:\n  max_step: 2\n")
    assert "error: kept/rows.json: found no list" in command("table", "kept/rows.json", cwd=tmp_path).stderr
    assert "error: kept/small.yaml: training.max_step: unknown key" in command("train", "kept/small.yaml", cwd=tmp_path).stderr
    assert f"under {tmp_path.name};" in command("show", "x", "--runs", ".", cwd=tmp_path).stderr


def test_looking_at_runs(trained: Path) -> None:
    (row,) = json.loads(command("list", "--json", cwd=trained).stdout)
    assert row["status"] == "finished"
    run = row["run"]
    (table,) = json.loads(command("table", run, "--json", cwd=trained).stdout)
    assert {
        "run",
        "stream",
        "method",
        "seed",
        "order",
        "gamma",
        "average_score",
        "scores",
        "backward_transfer",
        "forgetting",
        "seconds",
    } <= table.keys()
    (trained / "kept.json").write_text(json.dumps([table]))
    assert run in command("table", "kept.json", "--markdown", cwd=trained).stdout
    shown = json.loads(command("show", run, "--json", cwd=trained).stdout)
    fitted = json.loads(command("fit", run, "--json", cwd=trained).stdout)
    assert fitted and {row["task"] for row in fitted} <= set(shown["info"]["tasks"]) and all(row["code_variance"] > 0 for row in fitted)
    assert shown["config"]["replay"]["gamma"] == 0.25
    assert {"started", "task_started", "finished"} <= {event["kind"] for event in shown["events"]}


def test_check_finds_a_flipped_byte(trained: Path) -> None:
    (run,) = (path for path in (trained / "runs").iterdir())
    assert command("check", run.name, cwd=trained).returncode == 0
    weights = next((run / "weights").glob("energy_*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    faulty = command("check", run.name, "--json", cwd=trained)
    weights.write_bytes(content)
    assert faulty.returncode == 1
    assert [row["file"] for row in json.loads(faulty.stdout) if not row["ok"]] == [f"weights/{weights.name}"]


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("damaged", ["weights/last.safetensors", "state/final.pt"])
def test_damaged_weights_are_not_sampled_from(damaged: str, trained: Path) -> None:
    (run,) = (path for path in (trained / "runs").iterdir())
    flip(run / damaged)
    done = command("sample", run.name, "--task", "srl", "-n", "1", cwd=trained)
    flip(run / damaged)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {run.name}/{damaged}: its content changed")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("damaged", ["eval.parquet", "config.yaml"])
def test_looking_at_a_changed_run_warns(damaged: str, trained: Path) -> None:
    (run,) = (path for path in (trained / "runs").iterdir())
    sentence = f"{run.name}: {damaged} differs from what the run wrote; see `workbench check {run.name}`"
    content = (run / damaged).read_bytes()
    (run / damaged).write_bytes(content.replace(b"seed: 0", b"seed: 1") if damaged == "config.yaml" else content[:-1] + b"?")
    done = [command(*words, run.name, cwd=trained) for words in (("show",), ("table",), ("report",))]
    listed = command("list", cwd=trained)
    (run / damaged).write_bytes(content)
    assert [each.stderr for each in done] == [f"warning: {sentence}\n"] * 3
    assert sentence in (trained / "report.html").read_text()
    assert (listed.returncode, listed.stderr) == (0, f"warning: {sentence}\n")
    assert not command("show", run.name, cwd=trained).stderr


def test_ctrl_c_says_how_to_go_on(mini_backbone: Path, tmp_path: Path) -> None:
    settings = mini.config(mini_backbone, "finetune", training={"epochs": 999, "max_steps": 100_000}).model_dump(exclude={"data"})
    (tmp_path / "long.yaml").write_text(json.dumps(settings))
    words = [sys.executable, "-m", "workbench", "train", "long.yaml", "--name", "halted", "--json"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")} | {"OMP_NUM_THREADS": "1"}
    # Tests that run in the background have Ctrl-C switched off, and a child would inherit that.
    listening: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, text=True, **pipes, **listening) as training:
        assert training.stderr is not None
        name = training.stderr.readline().removeprefix("run ").strip()
        run, until = tmp_path / "runs" / name, time.monotonic() + 60
        while not list((run / "state").glob("*.pt")) and time.monotonic() < until:
            time.sleep(0.05)
        training.send_signal(signal.SIGINT)
        said = training.stderr.read().strip()
    assert training.returncode == 130
    assert re.fullmatch(rf"stopped at iteration \d+; go on with: workbench resume {name}", said), said
    shown = command("show", name, cwd=tmp_path).stdout
    assert re.search(r"^status +interrupted *$", shown, re.MULTILINE)
    (weights,) = (run / "state").glob("*.safetensors")
    flip(weights)
    refused = command("resume", name, cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {name}/state/{weights.name}: its content changed")


def test_sampling_from_a_finished_run_changes_nothing(trained: Path) -> None:
    (run,) = (path for path in (trained / "runs").iterdir())
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = command("sample", run.name, "--task", "srl", "-n", "3", "--json", cwd=trained)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["task"] for row in rows} == {"srl"}
    assert all(isinstance(row["energy"], float) for row in rows)
    again = command("sample", run.name, "--task", "srl", "-n", "3", "--json", cwd=trained)
    assert json.loads(again.stdout) == rows
    assert "has not learnt a task 'tea'" in command("sample", run.name, "--task", "tea", cwd=trained).stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"} == {
        path: content for path, content in before.items() if path.name != "run.lock"
    }


def test_decoding_given_latents(trained: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    (run,) = (path for path in (trained / "runs").iterdir())
    save_file({"z": np.zeros((2, 4), dtype=np.float32)}, trained / "z.safetensors")
    rows = json.loads(command("sample", run.name, "--z", "z.safetensors", "--json", cwd=trained).stdout)
    assert [row["index"] for row in rows] == [0, 1]
    save_file({"z": np.zeros((2, 3), dtype=np.float32)}, trained / "bad.safetensors")
    assert "accepted: [n, 4]" in command("sample", run.name, "--z", "bad.safetensors", cwd=trained).stderr


def test_a_finished_run_is_not_resumed(trained: Path) -> None:
    (run,) = (path for path in (trained / "runs").iterdir())
    assert "finished; accepted" in command("resume", run.name, cwd=trained).stderr


def test_no_runs_says_what_to_do(tmp_path: Path) -> None:
    assert "workbench train" in command("list", cwd=tmp_path).stdout


def test_what_stops_the_app_command_stops_the_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "workbench", "app", "--runs", str(tmp_path), "--port", str(port)], cwd=tmp_path)
    until = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until:
        time.sleep(0.1)
    assert socket.socket().connect_ex(("127.0.0.1", port)) == 0
    server.terminate()
    server.wait(20)
    assert socket.socket().connect_ex(("127.0.0.1", port)) != 0
