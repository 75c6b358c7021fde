"""WebSockets through the gateway: aiohttp's own client, a real aiohttp backend, raw ones too."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from gateway.proxy.backend_socket import MAX_MESSAGE
from gateway.proxy.cookies import pass_cookies
from tests.echo_backend import Conversation, EchoBackend, answer, simple
from tests.flow.proxy_harness import HOST, Harness, head, until

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


class SocketBackend(EchoBackend):
    """A backend of WebSockets by aiohttp; `talk` decides what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.talk: Talk = repeat
        self.protocols: tuple[str, ...] = ()
        self.headers: list[list[tuple[str, str]]] = []
        self.closed: list[tuple[int | None, str]] = []
        self.autoping = True
        self.set_cookies: tuple[str, ...] = ()

    async def run(self) -> SocketBackend:
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        sock = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
        await web.SockSite(self._runner, sock).start()
        return self

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.headers.append([(n.decode(), v.decode()) for n, v in request.raw_headers])
        self.target = request.path_qs
        response = web.WebSocketResponse(
            protocols=self.protocols, autoping=self.autoping, max_msg_size=2 * MAX_MESSAGE
        )
        for each in self.set_cookies:
            response.headers.add("Set-Cookie", each)
        await response.prepare(request)
        await self.talk(response)
        return response


async def repeat(ws: web.WebSocketResponse) -> None:
    """Send back what comes."""
    async for message in ws:
        await ws.send_frame(
            message.data.encode() if message.type is WSMsgType.TEXT else message.data,
            message.type,
        )


@pytest.fixture
async def backend() -> AsyncIterator[SocketBackend]:
    backend = await SocketBackend().run()
    yield backend
    await backend.stop()


@pytest.fixture
async def harness(backend: SocketBackend) -> AsyncIterator[Harness]:
    harness = await Harness(backend).start()
    yield harness
    await harness.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Host": HOST}) as session:
        yield session


Socket = aiohttp.ClientWebSocketResponse


async def opened(harness: Harness, client: aiohttp.ClientSession, **options: object) -> Socket:
    return await client.ws_connect(f"{harness.url}/workorders/17/live?a=1", **options)  # type: ignore[arg-type]


async def received(ws: Socket) -> aiohttp.WSMessage:
    return await asyncio.wait_for(ws.receive(), 5)


async def test_messages_both_ways(
    harness: Harness, backend: SocketBackend, client: aiohttp.ClientSession
) -> None:
    ws = await opened(harness, client)
    await ws.send_str("Grüße")
    assert (await received(ws)).data == "Grüße"
    await ws.send_bytes(b"\x00\xff")
    assert (await received(ws)).data == b"\x00\xff"
    assert backend.target == "/workorders/17/live?a=1"
    assert harness.traffic == 4
    assert harness.metrics.registry.get_sample_value("portal_websockets_open") == 1
    await ws.close()
    await until(lambda: harness.returned == [101])
    assert harness.metrics.registry.get_sample_value("portal_websockets_open") == 0


async def test_a_large_message(harness: Harness, client: aiohttp.ClientSession) -> None:
    message = bytes(range(256)) * 4096
    ws = await opened(harness, client)
    await ws.send_bytes(message)
    assert (await received(ws)).data == message
    await ws.close()


async def test_a_message_over_the_bound_ends_the_socket(
    harness: Harness, backend: SocketBackend
) -> None:
    backend.talk = _remember(backend)
    visitor = await harness.visitor()
    await visitor.send(_upgrade())
    assert (await visitor.head()).status == 101
    await visitor.send(b"\x82\xff" + (MAX_MESSAGE + 1).to_bytes(8, "big") + b"mask")
    frame = await asyncio.wait_for(visitor.reader.readexactly(4), 5)
    assert (frame[0], int.from_bytes(frame[2:4], "big")) == (0x88, 1009)
    await until(lambda: bool(backend.closed))
    assert backend.closed == [(1001, "")]


def _remember(backend: SocketBackend) -> Talk:
    """Read to the end, and note how it ended."""

    async def talk(ws: web.WebSocketResponse) -> None:
        reason = ""
        while (message := await ws.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            pass
        if message.type is WSMsgType.CLOSE:
            reason = message.extra or ""
        backend.closed.append((ws.close_code, reason))

    return talk


async def test_the_handshake_says_who_asks_and_offers_no_extension(
    harness: Harness, backend: SocketBackend, client: aiohttp.ClientSession
) -> None:
    harness.policy_changes = {"set_cookies": ("portal_v=1",), "keep_cookies": pass_cookies}
    backend.set_cookies = ("portal_x=1", "sid=1; Path=/")
    ws = await opened(harness, client, compress=15, headers={"X_Portal_Link": "forged"})
    names = [name.lower() for name, _ in backend.headers[0]]
    assert "sec-websocket-extensions" not in names
    assert names.count("sec-websocket-key") == names.count("upgrade") == 1
    assert ("X-Portal-Link", "0123456789abcdef01234567") in backend.headers[0]
    assert "x_portal_link" not in names
    headers = ws._response.headers
    assert "Sec-WebSocket-Extensions" not in headers
    assert "Server" not in headers
    assert headers.getall("Set-Cookie") == ["portal_v=1", "sid=1; Path=/"]
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, no-store"
    await ws.close()


@pytest.mark.parametrize(
    ("offered", "known", "chosen"),
    [
        pytest.param(("a", "b"), ("b",), "b", id="the backend chooses"),
        pytest.param(("a", "b"), ("b", "a"), "a", id="by the visitor's order"),
        pytest.param(("a",), (), None, id="none fits"),
        pytest.param((), ("a",), None, id="none offered"),
    ],
)
async def test_subprotocols(
    harness: Harness,
    backend: SocketBackend,
    client: aiohttp.ClientSession,
    offered: tuple[str, ...],
    known: tuple[str, ...],
    chosen: str | None,
) -> None:
    backend.protocols = known
    ws = await opened(harness, client, protocols=offered)
    assert ws.protocol == chosen
    await ws.close()


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "bye"), (4321, "own reason"), (1013, "later")]
)
async def test_the_visitor_s_close_reaches_the_backend(
    harness: Harness,
    backend: SocketBackend,
    client: aiohttp.ClientSession,
    code: int,
    reason: str,
) -> None:
    backend.talk = _remember(backend)
    ws = await opened(harness, client)
    await ws.close(code=code, message=reason.encode())
    await until(lambda: bool(backend.closed))
    assert backend.closed == [(code, reason)]
    assert ws.close_code == code


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4000, "over"), (1011, "broken")])
async def test_the_backend_s_close_reaches_the_visitor(
    harness: Harness,
    backend: SocketBackend,
    client: aiohttp.ClientSession,
    code: int,
    reason: str,
) -> None:
    async def close(ws: web.WebSocketResponse) -> None:
        await ws.send_str("last words")
        await ws.close(code=code, message=reason.encode())

    backend.talk = close
    ws = await opened(harness, client)
    assert (await received(ws)).data == "last words"
    message = await received(ws)
    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, reason)


async def test_a_visitor_who_is_lost_ends_the_backend_s_side(
    harness: Harness, backend: SocketBackend, client: aiohttp.ClientSession
) -> None:
    backend.talk = _remember(backend)
    ws = await opened(harness, client)
    transport = ws._response.connection.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.abort()
    await until(lambda: bool(backend.closed))
    assert backend.closed == [(1001, "")]


async def test_a_backend_that_is_lost_ends_the_visitor_s_side(
    harness: Harness, backend: SocketBackend, client: aiohttp.ClientSession
) -> None:
    async def die(ws: web.WebSocketResponse) -> None:
        transport = ws._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()

    backend.talk = die
    ws = await opened(harness, client)
    message = await received(ws)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)


async def test_pings_reach_the_other_side(
    harness: Harness, backend: SocketBackend, client: aiohttp.ClientSession
) -> None:
    seen: list[tuple[WSMsgType, bytes]] = []

    async def note(ws: web.WebSocketResponse) -> None:
        await ws.ping(b"from the backend")
        while (message := await ws.receive()).type in {WSMsgType.PING, WSMsgType.PONG}:
            seen.append((message.type, bytes(message.data)))
            if message.type is WSMsgType.PING:
                await ws.pong(message.data)

    backend.autoping = False
    backend.talk = note
    ws = await opened(harness, client, autoping=False)
    message = await received(ws)
    assert (message.type, message.data) == (WSMsgType.PING, b"from the backend")
    await ws.pong(message.data)
    await ws.ping(b"from the visitor")
    message = await received(ws)
    assert (message.type, message.data) == (WSMsgType.PONG, b"from the visitor")
    assert seen == [(WSMsgType.PONG, b"from the backend"), (WSMsgType.PING, b"from the visitor")]
    assert harness.traffic == 0
    await ws.close()


async def test_the_lead_can_end_it(
    harness: Harness, backend: SocketBackend, client: aiohttp.ClientSession
) -> None:
    backend.talk = _remember(backend)
    ws = await opened(harness, client)
    (end,) = harness.ends
    end()
    end()
    message = await asyncio.wait_for(ws.receive(), 1)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)
    await until(lambda: bool(backend.closed))
    assert backend.closed == [(1001, "")]
    await until(lambda: harness.returned == [101])
    end()


async def test_a_visitor_who_takes_nothing_is_cut_when_it_ends(
    harness: Harness, backend: SocketBackend
) -> None:
    sent = 0

    async def pour(ws: web.WebSocketResponse) -> None:
        nonlocal sent
        for _ in range(1000):
            await ws.send_bytes(b"x" * 1_000_000)
            sent += 1

    backend.talk = pour
    visitor = await harness.visitor()
    visitor.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await visitor.send(_upgrade())
    await until(lambda: sent > 0)
    before = -1
    async with asyncio.timeout(10):
        while before != sent:  # until the backend is held back
            before = sent
            await asyncio.sleep(0.3)
    assert sent < 100
    harness.ends[0]()
    await until(lambda: harness.returned == [101])


def _upgrade(*fields: str) -> bytes:
    key = base64.b64encode(b"0" * 16).decode()
    return head(
        "GET", "/workorders/17/live", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *fields,
    )  # fmt: skip


@pytest.fixture
async def raw() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


@pytest.fixture
async def raw_harness(raw: EchoBackend) -> AsyncIterator[Harness]:
    harness = await Harness(raw).start()
    yield harness
    await harness.stop()


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        pytest.param("403 Forbidden", [], id="refused"),
        pytest.param("200 OK", [], id="answered as a page"),
        pytest.param("302 Found", ["Location: /workorders/17/login"], id="redirected"),
    ],
)
async def test_a_backend_that_refuses_is_heard(
    raw_harness: Harness, raw: EchoBackend, status: str, fields: list[str]
) -> None:
    raw.behave = answer(simple(b"because", *fields, status=status))
    visitor = await raw_harness.visitor()
    await visitor.send(_upgrade())
    answered = await visitor.answer()
    assert answered.status == int(status[:3])
    assert answered.body == b"because"
    assert answered.one("Location") == (fields[0].split()[1] if fields else None)


def _accepting(*changed: str, accept: bytes | None = None) -> bytes:
    fields = ["Connection: Upgrade", "Upgrade: websocket", *changed]
    lines = ["HTTP/1.1 101 Switching Protocols", *fields, ""]
    accepted = b"Sec-WebSocket-Accept: " + (accept or b"") + b"\r\n\r\n"
    return "\r\n".join(lines).encode() + accepted


@pytest.mark.parametrize(
    ("fields", "right_key"),
    [
        pytest.param([], False, id="a wrong key"),
        pytest.param(["Sec-WebSocket-Extensions: permessage-deflate"], True, id="an extension"),
        pytest.param(["Sec-WebSocket-Protocol: never-offered"], True, id="a protocol"),
    ],
)
async def test_a_handshake_that_is_none_is_a_502(
    raw_harness: Harness, raw: EchoBackend, fields: list[str], right_key: bool
) -> None:
    async def accept(talk: Conversation) -> None:
        key = talk.request.one(b"Sec-WebSocket-Key") or b""
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = base64.b64encode(hashlib.sha1(key + guid).digest())
        await talk.send(_accepting(*fields, accept=digest if right_key else b"AAAA"))
        await talk.wait_closed()

    raw.behave = accept
    visitor = await raw_harness.visitor()
    await visitor.send(_upgrade())
    assert (await visitor.answer()).status == 502


async def test_a_visitor_s_handshake_that_is_none(raw_harness: Harness, raw: EchoBackend) -> None:
    answered = await raw_harness.get(
        "/workorders/17/live", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short",
    )  # fmt: skip
    assert answered.status == 400
    assert raw.requests == []


async def test_a_visitor_who_leaves_during_the_handshake(
    raw_harness: Harness, raw: EchoBackend
) -> None:
    async def hang(talk: Conversation) -> None:
        await talk.wait_closed()

    raw.behave = hang
    visitor = await raw_harness.visitor()
    await visitor.send(_upgrade())
    request = await raw.arrived()
    visitor.leave()
    await asyncio.wait_for(request.over.wait(), 2)
    await until(lambda: raw_harness.returned == [499])


async def test_an_end_during_the_handshake(raw_harness: Harness, raw: EchoBackend) -> None:
    async def hang(talk: Conversation) -> None:
        await talk.wait_closed()

    raw.behave = hang
    visitor = await raw_harness.visitor()
    await visitor.send(_upgrade())
    request = await raw.arrived()
    raw_harness.ends[0]()
    await asyncio.wait_for(request.over.wait(), 2)
    with pytest.raises(ConnectionError):
        await visitor.ended()
