"""The whole gateway for a test: in this process, on free ports, before a backend that records."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, DummyCookieJar
from yarl import URL

from config.models import Part, Settings
from gateway.app import Running, running
from tests.echo_backend import EchoBackend

ADMIN_KEY = "the-key-of-the-tests-0123456789"
LINKS = "/v1/workorder-portal-link"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def reason(self) -> str | None:
        """The gateway's reason; None where the backend answered."""
        return self.headers.get("X-Portal-Reason")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the answer sets (not those that it deletes)."""
        return {name: value for name, value in self.cookie_changes.items() if value is not None}

    @property
    def cookie_changes(self) -> dict[str, str | None]:
        """Each cookie that the answer names: its new value, or None if it is deleted."""
        found: dict[str, str | None] = {}
        for line in self.headers.getall("Set-Cookie", ()):
            # The standard library's parser does not know `Partitioned`, and reads nothing then.
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            found[name] = None if "Max-Age=0" in attributes else value
        return found


@dataclass
class Visitor:
    """A client that keeps cookies by name, and sends exactly what it is told."""

    http: ClientSession
    origin: str
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, url: str, *, navigate: bool = False, **more: Any) -> Answer:
        """Send a request to `url` (an address, or a path of the gateway), follow nothing."""
        headers = {**self.headers, **more.pop("headers", {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if navigate:
            headers |= {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
        target = url if url.startswith("http") else self.origin + url
        async with self.http.request(
            method, URL(target, encoded=True), headers=headers, allow_redirects=False, **more
        ) as response:
            answer = await _read(response)
        for name, value in answer.cookie_changes.items():
            if value is None:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    async def get(self, url: str, **more: Any) -> Answer:
        """GET `url`."""
        return await self.ask("GET", url, **more)

    async def post(self, url: str, data: Any = None, **more: Any) -> Answer:
        """POST `data` to `url`."""
        return await self.ask("POST", url, data=data, **more)


async def _read(response: ClientResponse) -> Answer:
    return Answer(response.status, response.headers, await response.read())


@dataclass
class Portal:
    """A running gateway, its backend, and the clients of both listeners."""

    process: Running
    origin: str
    admin: str
    http: ClientSession
    backend: EchoBackend
    mails: list[str]
    settings: Settings

    def visitor(self, **headers: str) -> Visitor:
        """Somebody new."""
        return Visitor(self.http, self.origin, {k.replace("_", "-"): v for k, v in headers.items()})

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str = ADMIN_KEY, **headers: str
    ) -> tuple[int, Any]:
        """Call the admin API: the status and the JSON."""
        sent = {"Authorization": f"Bearer {key}", **headers}
        async with self.http.request(
            method, f"{self.admin}{path}", json=body, headers=sent
        ) as response:
            return response.status, await response.json()

    async def link(self, **body: Any) -> dict[str, Any]:
        """Make a link; for the work order 42 unless `workorder` says otherwise."""
        status, answer = await self.call("POST", LINKS, {"workorder": "42", **body})
        assert status == 201, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def change(self, link: dict[str, Any], **body: Any) -> dict[str, Any]:
        """Change a link by PATCH."""
        status, answer = await self.call("PATCH", f"{LINKS}/{link['_id']}", body)
        assert status == 200, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def act(self, link: dict[str, Any], verb: str) -> dict[str, Any]:
        """`regenerate`, `activate`, `deactivate` or `unlock` a link."""
        status, answer = await self.call("POST", f"{LINKS}/{link['_id']}/{verb}")
        assert status == 200, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def log(self, link: dict[str, Any]) -> list[dict[str, Any]]:
        """The access log of a link, oldest first, once all that was entered is stored."""
        await self.settled()
        status, answer = await self.call("GET", f"{LINKS}/{link['_id']}/access-log?per_page=100")
        assert status == 200, answer
        entries: list[dict[str, Any]] = answer["data"]
        return entries[::-1]

    async def delivered(self) -> None:
        """Return once every mail that was asked for has left."""
        async with asyncio.timeout(10):
            while (await self.process.stores.outbox.backlog()).mails:
                await asyncio.sleep(0.005)

    async def settled(self) -> None:
        """Return once the database holds all that is in the journal."""
        assert self.process.drain is not None
        await self.process.drain()


@asynccontextmanager
async def running_portal(
    folder: Path,
    *,
    backend: EchoBackend | None = None,
    prints_mails: bool = True,
    part: Part = "all",
    **settings: Any,
) -> AsyncIterator[Portal]:
    """The gateway before `backend` (or a new one), with `settings` over the embedded defaults.

    Mails are collected in `Portal.mails` unless `smtp_url` is set; without `prints_mails` there is
    no way to send any.
    """
    own_backend = backend or EchoBackend()
    if backend is None:
        await own_backend.start()
    port = free_port()
    mails: list[str] = []
    values: dict[str, Any] = {
        "public_url": f"http://127.0.0.1:{port}",
        "listen": f"127.0.0.1:{port}",
        "admin_listen": "127.0.0.1:0",
        "upstream": {"url": own_backend.origin},
        "database_url": f"sqlite:///{folder / 'portal.db'}",
        "data_dir": folder / "data",
        "admin_key": ADMIN_KEY,
        "secret_keys": ("a" * 32,),
    } | settings
    made = Settings.model_validate(values)
    try:
        async with (
            ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as http,
            running(made, part, printer=mails.append if prints_mails else None) as process,
        ):
            yield Portal(
                process,
                f"http://127.0.0.1:{port}",
                process.admin_url,
                http,
                own_backend,
                mails,
                made,
            )
    finally:
        if backend is None:
            await own_backend.stop()
