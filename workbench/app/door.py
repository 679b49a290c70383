"""Who may come in: the server of the app, behind a check of every request. `workbench app` starts it.

    python -m workbench.app.door APP.py --server.port 8501 ...        the flags are Streamlit's

A page of a foreign site must not read runs through the browser of the one who runs this. So a request's Host must be a name of this
machine (a foreign name that is made to lead here, DNS rebinding, is not), a browser's Origin must be that very host and port (another
program on another local port is foreign too), and where the app listens to the network a token from the printed link is asked for,
as Jupyter does: kept in a cookie from then on. Streamlit itself checks Host and Origin of its socket alone, and takes any local port.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

HOSTS, TOKEN = "WORKBENCH_APP_HOSTS", "WORKBENCH_APP_TOKEN"
"""Environment variables: names beside those of this machine, joined by commas; the token. A command line is seen by every user."""
LOCAL = ("127.0.0.1", "localhost", "::1")
OPEN = "*"
"""Any host: where the app listens to the network the names of this machine are many, and the token decides."""

HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def is_local(address: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class Door:
    """ASGI middleware: answers 403 to whom it does not let in."""

    def __init__(self, app: Any, hosts: tuple[str, ...], token: str = "") -> None:
        self.app, self.token = app, token
        self.given = {host.lower() for host in hosts}
        self.hosts = {*LOCAL, *self.given}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        reason = self.refusal(headers)
        if reason:
            await _refuse(scope, send, reason)
        elif not self.token or self._has_cookie(scope, headers) or scope["path"].endswith("/_stcore/health"):
            await self.app(scope, receive, send)
        elif scope["type"] == "http" and self._has_token(scope):
            await self._let_in(scope, send)
        else:
            await _refuse(scope, send, "This app asks for the token of its link: open the address that `workbench app` printed.")

    def refusal(self, headers: list[tuple[bytes, str]]) -> str:
        """Why a request with these headers is refused, or nothing."""
        found = [value for name, value in headers if name == b"host"]
        name = _hostname(f"//{found[0]}") if len(found) == 1 and HOST.fullmatch(found[0]) else ""
        if not name or (OPEN not in self.hosts and name not in self.hosts):
            return "This app does not answer to that name; accepted: 127.0.0.1, localhost, or names given with workbench app --host."
        for origin in (value for header, value in headers if header == b"origin"):
            same = _place(origin) == found[0].lower()
            if not same and _hostname(origin) not in self.given - {OPEN}:
                return "This app answers to its own pages alone, not to those of another address or port."
        return ""

    def _cookie(self, scope: Scope) -> str:
        server = scope.get("server") or ("", 0)
        return f"workbench_{server[1]}"  # cookies know no ports

    def _has_cookie(self, scope: Scope, headers: list[tuple[bytes, str]]) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        for name, value in headers:
            if name == b"cookie":
                try:
                    cookies.load(value)
                except CookieError:
                    continue
        morsel = cookies.get(self._cookie(scope))
        return morsel is not None and secrets.compare_digest(morsel.value.encode(), self.token.encode())

    def _has_token(self, scope: Scope) -> bool:
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token", "")
        return secrets.compare_digest(given.encode(), self.token.encode())

    async def _let_in(self, scope: Scope, send: Send) -> None:
        """To the same page without the token, which is in a cookie from now on."""
        rest = urlencode([(name, value) for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name != "token"])
        page = "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")  # never //host
        cookie = f"{self._cookie(scope)}={self.token}; Path=/; HttpOnly; SameSite=Strict"
        headers = [(b"location", page.encode("ascii", "ignore")), (b"set-cookie", cookie.encode()), (b"referrer-policy", b"no-referrer")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _place(url: str) -> str | None:
    """host:port of an origin as a Host header would say it."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})  # before it was accepted: 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"{reason}\n".encode()})


def main() -> None:
    """Streamlit's server with the door before everything that it serves."""
    from starlette.middleware import Middleware
    from streamlit.web import cli
    from streamlit.web.server.starlette import starlette_app

    hosts = tuple(name for name in os.environ.pop(HOSTS, "").split(",") if name)
    token = os.environ.pop(TOKEN, "")
    inner = starlette_app.create_streamlit_middleware  # an AttributeError in another version: better no app than one without a door

    def with_door() -> list[Middleware]:
        return [Middleware(Door, hosts=hosts, token=token), *inner()]

    starlette_app.create_streamlit_middleware = with_door
    sys.argv = ["streamlit", "run", *sys.argv[1:]]
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
