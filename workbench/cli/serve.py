"""The command that serves the app."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import RUNS, RunsFolder, existing_runs
from workbench.config import ConfigError

APP = Path(__file__).parents[2] / "app.py"
NETWORK = """\
warning: {address} is reached from other machines. Everyone with this link sees every run, the texts in it and can rate them, and nothing is
encrypted on the way. Safer: leave --address out and come through a tunnel, ssh -L {port}:127.0.0.1:{port} THIS_MACHINE"""


def register(app: typer.Typer) -> None:
    app.command("app")(serve)


def serve(
    runs: RunsFolder = RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own (127.0.0.1) asks for the token in the printed link.")
    ] = "127.0.0.1",
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", help="A further name the app is reached by, as behind a proxy; may be repeated.", metavar="NAME"),
    ] = None,
    base_path: Annotated[
        str, typer.Option(help="Path before every page, where a proxy (JupyterHub, nginx) passes it on.", metavar="PATH")
    ] = "",
) -> None:
    """Show the runs of a folder in a browser, on this machine only unless --address says otherwise. Stop with Ctrl-C.

    From another machine: ssh -L 8501:127.0.0.1:8501 THAT_MACHINE, then open http://127.0.0.1:8501 here.
    """
    from workbench.app.door import is_local

    if not APP.is_file():
        raise ConfigError(f"app: {APP.name} is not beside the package; accepted: an editable install of the project (pip install -e .)")
    folder = existing_runs(runs).resolve()
    _hold_free(address, port)
    token = "" if is_local(address) else secrets.token_urlsafe(24)
    command, environment = served(port, address, hosts or [], base_path, token)
    shown = socket.gethostname() if address in ("0.0.0.0", "::") else f"[{address}]" if ":" in address else address
    path = _plain_path(base_path)
    print(f"http://{shown}:{port}{f'/{path}' if path else ''}{f'/?token={token}' if token else ''}", flush=True)
    if token:
        print(NETWORK.format(address=address, port=port), file=sys.stderr, flush=True)
    os.chdir(APP.parent)
    os.execve(
        sys.executable, command, environment | {"WORKBENCH_RUNS": str(folder)}
    )  # this becomes the server: what stops the command stops it


def served(
    port: int, address: str = "127.0.0.1", hosts: Sequence[str] = (), base_path: str = "", token: str = "", python: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """(command line, environment) of the server. Streamlit's settings are given here too: it reads .streamlit of the folder it is started in.

    Raises ConfigError for a host or path that is none.
    """
    from workbench.app import door

    for host in hosts:
        if not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:]+", host):
            raise ConfigError(f"--host: found {host[:80]!r}; accepted: a name without scheme, port and path, like hub.example.org")
    own = [*door.LOCAL, *hosts] if door.is_local(address) else [door.OPEN]
    flags = {"server.port": [str(port)], "server.address": [address], "server.headless": ["true"], "browser.gatherUsageStats": ["false"]}
    flags |= {"server.allowedHosts": own, "client.showErrorDetails": ["none"], "server.fileWatcherType": ["none"]}
    if hosts:
        flags["server.corsAllowedOrigins"] = [f"{scheme}://{host}" for host in hosts for scheme in ("https", "http")]
    if path := _plain_path(base_path):
        flags["server.baseUrlPath"] = [path]
    words = [word for name, values in flags.items() for value in values for word in (f"--{name}", value)]
    given = list(hosts) if door.is_local(address) else [*hosts, door.OPEN]
    environment = os.environ | {door.HOSTS: ",".join(given), door.TOKEN: token, "PYTHONPATH": _with_project()}
    return [sys.executable, *python, "-m", "workbench.app.door", str(APP), *words], environment


def _plain_path(base_path: str) -> str:
    path = base_path.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~@/-]*", path) or ".." in path or "//" in path:
        raise ConfigError(f"--base-path: found {base_path[:80]!r}; accepted: a path of letters, digits and ._~@- like user/ada/proxy")
    return path


def _with_project() -> str:
    return os.pathsep.join([str(APP.parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def _hold_free(address: str, port: int) -> None:
    """Raises ConfigError where nothing can listen there: known before an address is printed that would open another program."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(place)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"--port {port}: {address} cannot be listened on ({reason}); accepted: a free port, like --port {port % 65535 + 1}"
        ) from None
