"""A real webhook receiver on a free port, which verifies with the published library.

async with running_receiver() as receiver:
    ...  # notification_webhooks: receiver.settings()
    webhook = await receiver.next_webhook()
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

PATH = "/hooks/a-secret-in-the-path"


def new_secret() -> str:
    """A secret as receivers hand it out."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


@dataclass(frozen=True)
class Received:
    """One try, verified."""

    id: str
    timestamp: int
    document: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Receiver:
    """The running receiver. `answers` are the next ones, after which all is taken with 204.

    While `hangs`, nothing is answered. A try whose signature does not hold fails the test: it is
    kept in `faults`.
    """

    secret: str = field(default_factory=new_secret)
    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    hangs: bool = False
    received: list[Received] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    other_paths: list[str] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    taken: int = 0

    @property
    def url(self) -> str:
        """Where it wants its webhooks."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """The settings of a webhook that leads here."""
        return {"url": self.url, "secret": self.secret, "allow_private_addresses": True} | more

    async def next_webhook(self, deadline: float = 15.0) -> Received:
        """The oldest try not taken yet; waits for one, at most `deadline` seconds."""
        async with asyncio.timeout(deadline), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) > self.taken)
        self.taken += 1
        return self.received[self.taken - 1]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path != PATH:
            self.other_paths.append(request.path)
            return web.Response(status=404)
        body = await request.read()
        try:
            document = Webhook(self.secret).verify(body, dict(request.headers))
        except Exception as error:  # told by the test
            self.faults.append(repr(error))
            return web.Response(status=400)
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self.arrived:
            self.received.append(
                Received(
                    headers["webhook-id"], int(headers["webhook-timestamp"]), document, headers
                )
            )
            self.arrived.notify_all()
        if self.hangs:
            await asyncio.Event().wait()
        status, more = self.answers.pop(0) if self.answers else (204, {})
        return web.Response(status=status, headers=more)


@asynccontextmanager
async def running_receiver(port: int = 0, secret: str | None = None) -> AsyncIterator[Receiver]:
    """Receive until the block ends; what was not signed as it has to be is a failure."""
    receiver = Receiver() if secret is None else Receiver(secret)
    server = web.Server(receiver.answer)  # type: ignore[arg-type] - a Request is a BaseRequest here
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert site._server is not None
    receiver.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield receiver
    finally:
        await runner.cleanup()
    assert receiver.faults == []
