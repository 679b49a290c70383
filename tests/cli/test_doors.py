"""The app lets in its own pages alone: asked over a real server, as a browser, a foreign page and a stranger would ask."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import command
from workbench.cli import browser
from workbench.cli.serve import served
from workbench.config import ConfigError


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("doors")
    (folder / "runs").mkdir()
    with browser.serve(folder / "runs", folder / "log") as server:
        yield int(server.url.rpartition(":")[2])


def asked(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode("utf-8", "replace")


def socket_status(port: int, path: str = "/_stcore/stream", **headers: str) -> int:
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = [f"GET {path} HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(connection.recv(4096).split()[1])


def own(port: int, name: str = "127.0.0.1") -> dict[str, str]:
    return {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_f40_its_own_page_comes_in(app: int, name: str) -> None:
    assert asked(app, **own(app, name))[0] == 200
    assert asked(app, Host=f"{name}:{app}")[0] == 200
    assert socket_status(app, **own(app, name)) == 101
    assert socket_status(app, Host="localhost:9000", Origin="http://localhost:9000") == 101  # through a tunnel from another port


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "", "a@127.0.0.1:{port}:x", "[::1"]
)
def test_f40_a_foreign_name_that_leads_here_is_refused(app: int, host: str) -> None:
    host = host.format(port=app)
    for path in ("/", "/runs", "/_stcore/health", "/_stcore/host-config", "/media/x", "/static/js/main.js"):
        status, _, text = asked(app, path, Host=host)
        assert status in (400, 403) and "run" not in text.replace("workbench", ""), path
    assert socket_status(app, Host=host, Origin=f"http://{host}") in (400, 403)


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:{other}", "http://localhost:{other}", "https://evil.example", "null", "http://127.0.0.1", "http://[", "file://"],
)
def test_f41_a_page_of_another_port_or_site_is_refused(app: int, origin: str) -> None:
    origin = origin.format(other=app + 1)
    assert socket_status(app, Host=f"127.0.0.1:{app}", Origin=origin) == 403
    status, _, text = asked(app, Host=f"127.0.0.1:{app}", Origin=origin)
    assert status == 403 and "not to those of another address or port" in text


def test_f40_the_command_line_says_it_where_no_settings_file_is() -> None:
    words, environment = served(8501)
    pairs = list(itertools.pairwise(words))
    assert [value for name, value in pairs if name == "--server.allowedHosts"] == ["127.0.0.1", "localhost", "::1"]
    assert environment["WORKBENCH_APP_TOKEN"] == ""
    settings = (Path(__file__).parents[2] / ".streamlit/config.toml").read_text()
    assert 'allowedHosts = ["127.0.0.1", "localhost", "::1"]' in settings


def started(tmp_path: Path, *words: str, port: int) -> Iterator[tuple[str, str]]:
    """(printed address, warning) of `workbench app` in a folder without settings, once it answers."""
    out, err = tmp_path / "out", tmp_path / "err"
    (tmp_path / "runs").mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with out.open("w") as said, err.open("w") as warned:
        line = [sys.executable, "-m", "workbench", "app", "--runs", "runs", "--port", str(port), *words]
        process = subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=said, stderr=warned)
    try:
        until = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        yield out.read_text().splitlines()[0], err.read_text()
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_f41_on_the_network_the_token_of_the_link_is_asked_for(tmp_path: Path) -> None:
    port = free_port()
    for address, warning in started(tmp_path, "--address", "0.0.0.0", port=port):
        assert "is reached from other machines" in warning and "nothing is\nencrypted" in warning
        token = address.partition("/?token=")[2]
        assert len(token) >= 32
        for path in ("/", "/?token=", f"/?token={token[:-1]}", "/_stcore/host-config", "//evil.example/?token=x"):
            assert asked(port, path, Host=f"127.0.0.1:{port}")[0] == 403, path
        assert socket_status(port, **own(port)) == 403
        assert socket_status(port, f"/_stcore/stream?token={token}", **own(port)) == 403
        status, headers, _ = asked(port, f"/replay?run=x&token={token}", Host=f"127.0.0.1:{port}")
        assert (status, headers["location"]) == (303, "/replay?run=x")
        assert asked(port, f"//evil.example/?token={token}", Host=f"127.0.0.1:{port}")[1].get("location", "/x").startswith("/evil.example")
        cookie, _, attributes = headers["set-cookie"].partition(";")
        assert "HttpOnly" in attributes and "SameSite=Strict" in attributes
        assert asked(port, Host=f"127.0.0.1:{port}", Cookie=f"other=1; {cookie}")[0] == 200
        assert socket_status(port, **own(port), Cookie=cookie) == 101
        assert socket_status(port, Host=f"127.0.0.1:{port}", Origin="http://evil.example", Cookie=cookie) == 403
        assert socket_status(port, **own(port), Cookie=cookie[:-1]) == 403


def test_f99_behind_a_proxy_with_a_path_of_its_own(tmp_path: Path) -> None:
    port = free_port()
    for address, warning in started(tmp_path, "--base-path", "/user/ada/", "--host", "hub.example.org", port=port):
        assert address == f"http://127.0.0.1:{port}/user/ada"
        assert "token" not in warning and "warning" not in warning.lower()
        until = time.monotonic() + 30
        while asked(port, "/user/ada/_stcore/health", Host=f"127.0.0.1:{port}")[0] != 200 and time.monotonic() < until:
            time.sleep(0.2)
        assert asked(port, "/user/ada/", Host="hub.example.org")[0] == 200
        assert socket_status(port, "/user/ada/_stcore/stream", Host="hub.example.org", Origin="https://hub.example.org") == 101
        assert socket_status(port, "/user/ada/_stcore/stream", Host=f"127.0.0.1:{port}", Origin="https://hub.example.org") == 101
        assert socket_status(port, "/user/ada/_stcore/stream", Host="hub.example.org", Origin="https://evil.example") == 403


@pytest.mark.parametrize("path", ["../x", "a b", "a?b", "a//b", "<x>"])
def test_f99_a_base_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^--base-path: found"):
        served(8501, base_path=path)


@pytest.mark.parametrize("host", ["http://x", "a/b", "a,b", "*", ""])
def test_f99_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^--host: found"):
        served(8501, hosts=[host])


def test_f97_a_port_that_is_taken_is_known_before_an_address_is_printed(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = command("app", "--runs", ".", "--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: --port {port}: 127.0.0.1 cannot be listened on (Address already in use); accepted: a free port")


@pytest.mark.parametrize("words", [("show", "x" * 5000), ("check", "x" * 5000), ("table", "x" * 5000), ("fit", "x/" * 3000), ("list", "--runs", "x" * 5000),
                                   ("tasks", "--data", "x" * 5000), ("show", "a\x01b"), ("check", "")])  # fmt: skip
def test_f32_a_name_longer_than_a_file_name_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.strip().splitlines()) == 1 and len(done.stderr) < 500


def test_f14_lists_and_tables_warn_of_changed_runs(tmp_path: Path) -> None:
    import shutil

    sample = next((Path(__file__).parents[2] / "data/runs").glob("*finetune*"))
    for name in ("changed", "whole"):
        shutil.copytree(sample, tmp_path / "runs" / name)
    summary = tmp_path / "runs/changed/summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"average_score": 99.9}))
    sentence = "warning: changed: summary.json differs from what the run wrote; see `workbench check changed`\n"
    for words in (("list",), ("table",), ("table", "--group"), ("table", "changed", "whole"), ("show", "changed")):
        done = command(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, sentence), words


def test_f20_f95_the_list_says_what_is_incomplete_or_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    import shutil

    from workbench.runs.synthetic import write_run

    run = write_run(tmp_path / "runs", tasks=2, iterations=20, chains=1, chain_count=2, dim=2, hidden=2, steps=2, latents=2)
    info = json.loads((run / "run.json").read_text())
    shutil.copytree(run, tmp_path / "runs/study/deeper")
    (run / "run.json").write_text(json.dumps(info | {"incomplete": ["3 of 20 rows of metrics"]}))
    lines = (run / "manifest.jsonl").read_text().splitlines()
    (run / "manifest.jsonl").write_text("".join(line + "\n" for line in lines if "run.json" not in line))
    done = command("list", cwd=tmp_path)
    assert "finished, incomplete" in done.stdout
    assert f"warning: {run.name}: the run is finished, incomplete: it lacks 3 of 20 rows of metrics" in done.stderr
    assert "note: 1 folders in runs hold runs of their own (study); accepted: --runs runs/study" in done.stderr
