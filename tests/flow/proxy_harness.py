"""The room `gateway.proxy` alone between a raw client and a raw backend.

The visitors' listener is the real one; in the place of the rules stands a handler that lets
everything pass, and answers an error with its reason.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from config.models import LimitSettings, UpstreamSettings
from gateway.errors import GatewayError, Refusal, UpstreamError, UpstreamTimeout
from gateway.links.model import LinkType
from gateway.links.verdict import Reason
from gateway.listener import Listener
from gateway.metrics import Metrics
from gateway.proxy.answers import AnswerPolicy
from gateway.proxy.forward import End, Passage, forward
from gateway.proxy.headers import Identity
from gateway.proxy.response import BareResponse
from gateway.proxy.upstream import AiohttpUpstream
from gateway.proxy.websocket import relay
from tests.echo_backend import EchoBackend

HOST = "portal.example.com"
ORIGIN = f"http://{HOST}"
LANDING = "/workorders/17"
IDENTITY = Identity(
    link_id="0123456789abcdef01234567",
    workorder="17",
    link_type=LinkType.PRIVATE,
    permissions=("can_view_details", "can_add_comments"),
    visitor="visitor-hash",
    email=None,
    request_id="request-id",
    address="203.0.113.9",
    scheme="http",
    host=HOST,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it arrived; `body` is without its framing."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


class Visitor:
    """One raw connection of a visitor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The head of the next answer."""
        async with asyncio.timeout(5):
            raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = raw.split("\r\n")[:-2]
        fields = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        return Answer(int(line.split()[1]), fields, b"")

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole. Raises IncompleteReadError or ConnectionError if it is not."""
        head = await self.head()
        async with asyncio.timeout(10):
            return replace(head, body=await self._body(head, method))

    async def _body(self, head: Answer, method: str) -> bytes:
        if method == "HEAD" or head.status in {204, 304}:
            return b""
        if head.one("Transfer-Encoding") == "chunked":
            body = b""
            while chunk := await self.chunk():
                body += chunk
            return body
        length = head.one("Content-Length")
        if length is not None:
            return await self.reader.readexactly(int(length))
        return await self.reader.read()

    async def answer_until_the_end(self) -> bytes:
        """The head of the next answer, and all that comes until the connection ends."""
        await self.head()
        return await self.ended()

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; b"" for the last."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def ended(self) -> bytes:
        """All that still comes until the connection ends; raises ConnectionError on a reset."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    def leave(self) -> None:
        self.writer.transport.abort()


class Harness:
    """A listener whose handler forwards to `backend`."""

    def __init__(self, backend: EchoBackend) -> None:
        self.backend = backend
        self.metrics = Metrics()
        self.limits = LimitSettings()
        self.identity = IDENTITY
        self.policy_changes: dict[str, object] = {}
        self.ends: list[End] = []
        self.traffic = 0
        self.errors: list[GatewayError] = []
        self.returned: list[int] = []
        self._visitors: list[Visitor] = []
        self._port = 0

    async def start(self, limits: LimitSettings | None = None, **upstream: object) -> Harness:
        self.limits = limits or self.limits
        settings = UpstreamSettings.model_validate({"url": self.backend.origin, **upstream})
        self.upstream = AiohttpUpstream(settings, self.limits, self.metrics)
        self.listener = Listener(self._handle, _refuse, self.limits)
        sock = socket.create_server(("127.0.0.1", 0))
        self._port = sock.getsockname()[1]
        await self.listener.start([sock])
        return self

    async def stop(self) -> None:
        for visitor in self._visitors:
            visitor.leave()
        await self.listener.close()
        await self.upstream.close()

    async def visitor(self) -> Visitor:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        visitor = Visitor(reader, writer)
        self._visitors.append(visitor)
        return visitor

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def get(
        self,
        target: str = "/workorders/17",
        *fields: str,
        method: str = "GET",
        body: bytes = b"",
        version: str = "1.1",
    ) -> Answer:
        """One request on a connection of its own."""
        visitor = await self.visitor()
        await visitor.send(head(method, target, *fields, version=version) + body)
        return await visitor.answer(method)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        passage = self._passage(request)
        try:
            act = relay if passage.websocket else forward
            response = await act(request, passage)
        except GatewayError as error:
            self.errors.append(error)
            response = _failed(error)
        self.returned.append(response.status)
        return response

    def _passage(self, request: web.BaseRequest) -> Passage:
        policy = AnswerPolicy(
            own_origin=ORIGIN,
            upstream_origin=self.upstream.headers.origin,
            landing=LANDING,
            opens=lambda target: target.startswith("/workorders/17"),
            action="view",
            link_type=self.identity.link_type,
            cacheable=False,
        )
        return Passage(
            upstream=self.upstream,
            method=request.method,
            target=request.raw_path,
            identity=self.identity,
            policy=replace(policy, **self.policy_changes),  # type: ignore[arg-type]
            limits=self.limits,
            websocket=request.headers.get("Upgrade", "").lower() == "websocket",
            on_open=self.ends.append,
            on_traffic=self._count,
        )

    def _count(self) -> None:
        self.traffic += 1


def head(method: str, target: str, *fields: str, version: str = "1.1") -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {HOST}", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _failed(error: GatewayError) -> BareResponse:
    reason = _reason_of(error)
    status = {
        Reason.BODY_TOO_LARGE: 413,
        Reason.BAD_REQUEST: 400,
        Reason.UPSTREAM_UNAVAILABLE: 502,
        Reason.UPSTREAM_TIMEOUT: 504,
    }[reason]
    return BareResponse(status, [("X-Portal-Reason", reason.value)], body=b"")


def _reason_of(error: GatewayError) -> Reason:
    if isinstance(error, Refusal):
        return error.reason
    assert isinstance(error, UpstreamError)
    return (
        Reason.UPSTREAM_TIMEOUT
        if isinstance(error, UpstreamTimeout)
        else Reason.UPSTREAM_UNAVAILABLE
    )


def _refuse(reason: Reason, detail: str) -> tuple[int, Sequence[tuple[str, str]], bytes]:
    return 400, [("X-Portal-Reason", reason.value)], detail.encode()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; fails after five seconds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
