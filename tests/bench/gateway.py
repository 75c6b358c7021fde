"""The gateway itself, as an operator would start it, with a link and a session."""

from __future__ import annotations

import http.client
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import START_TIMEOUT, Server, serving
from tests.portal import LINKS, free_port

WORKORDER = "42"
PAGE = f"/workorders/{WORKORDER}"
# Seconds for an answer, of a program that is perhaps being counted.
TIMEOUT = 60
UNKNOWN = "/workorder/wpl_" + "0" * 43


@dataclass(frozen=True)
class Gateway:
    """A gateway with one open link. `cookie` is that of a session; `path` carries the token."""

    server: Server
    cookie: str
    path: str


@contextmanager
def serving_gateway(
    folder: Path,
    backend: str,
    *,
    core: int,
    prefix: Sequence[str] = (),
    start_timeout: float = START_TIMEOUT,
) -> Iterator[Gateway]:
    """`portal-gateway serve` on embedded defaults: SQLite, the journal, every rule.

    `prefix` is what runs the command, if it is not run by itself.
    """
    port, admin_port, key = free_port(), free_port(), secrets.token_urlsafe(24)
    environment = {
        "PORTAL_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PORTAL_LISTEN": f"127.0.0.1:{port}",
        "PORTAL_ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
        "PORTAL_UPSTREAM__URL": backend,
        "PORTAL_DATABASE_URL": f"sqlite:///{folder / 'portal.db'}",
        "PORTAL_DATA_DIR": str(folder / "data"),
        "PORTAL_ADMIN_KEY": key,
        "PORTAL_LOG_LEVEL": "warning",
    }
    command = [*prefix, str(Path(sys.executable).with_name("portal-gateway")), "serve"]
    with serving(
        command,
        port,
        core=core,
        environment=environment,
        folder=folder,
        other_ports=[admin_port],
        start_timeout=start_timeout,
    ) as server:
        path = _make_link(admin_port, key)
        yield Gateway(server, _open_session(port, path), path)


def _make_link(port: int, key: str) -> str:
    """The path of a new link without gates, which may do everything."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    link = {
        "workorder": WORKORDER,
        "permissions": {"can_view_details": True, "can_upload_files": True},
    }
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    client.request("POST", LINKS, json.dumps(link), headers)
    answer = json.load(client.getresponse())
    client.close()
    return "/" + answer["data"]["full_url"].split("/", 3)[3]


def _open_session(port: int, path: str) -> str:
    """The `Cookie` of a visitor who has opened the link."""
    return "; ".join(_cookies_set(port, path, {}))


def logged_in(gateway: Gateway) -> str:
    """The `Cookie` of a visitor whom the backend has logged in, too: with two sealed cookies."""
    port, headers = gateway.server.port, {"Cookie": gateway.cookie}
    return "; ".join([gateway.cookie, *_cookies_set(port, f"{PAGE}/comments", headers)])


def _cookies_set(port: int, path: str, headers: dict[str, str]) -> list[str]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return [line.partition(";")[0] for line in answer.headers.get_all("Set-Cookie") or ()]
