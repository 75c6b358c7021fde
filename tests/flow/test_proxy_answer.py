"""What the visitor receives: streamed, whole or cut, never half an answer that looks whole."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.models import LimitSettings
from gateway.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from gateway.proxy.answer_head import MAX_HEAD
from tests.echo_backend import Conversation, EchoBackend, answer, simple
from tests.flow.proxy_harness import Harness, head, until


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


@pytest.fixture
async def harness(backend: EchoBackend) -> AsyncIterator[Harness]:
    harness = await Harness(backend).start()
    yield harness
    await harness.stop()


async def test_an_answer_arrives_as_it_was_sent(harness: Harness, backend: EchoBackend) -> None:
    body = bytes(range(256)) * 3
    backend.behave = answer(
        simple(body, "Content-Type: text/x; q=1", "Content-Encoding: gzip", "ETag: \"a\"",
               "X-Two: 1", "x-two: 2", "Vary: Accept", "Date: Tue, 01 Jan 2030 00:00:00 GMT")
    )  # fmt: skip
    answered = await harness.get()
    assert answered.status == 200
    assert answered.body == body
    assert answered.fields == [
        ("Content-Type", "text/x; q=1"),
        ("Content-Encoding", "gzip"),
        ("ETag", '"a"'),
        ("X-Two", "1"),
        ("x-two", "2"),
        ("Vary", "Accept"),
        ("Date", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("Content-Length", "768"),
        ("Referrer-Policy", "same-origin"),
        ("X-Robots-Tag", "noindex, nofollow"),
        ("Content-Security-Policy", "frame-ancestors 'self'"),
        ("X-Frame-Options", "SAMEORIGIN"),
        ("Cache-Control", "private, no-store"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("na\xefve.txt", id="Latin-1"),
        pytest.param("na\xc3\xafve.txt", id="UTF-8"),
        pytest.param("\x80\xff", id="no encoding at all"),
    ],
)
async def test_bytes_of_a_header_arrive_as_sent(
    harness: Harness, backend: EchoBackend, value: str
) -> None:
    backend.behave = answer(simple(b"", f"Content-Disposition: attachment; filename={value}"))
    answered = await harness.get()
    assert answered.one("Content-Disposition") == f"attachment; filename={value}"


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        pytest.param(simple(b"x" * 10), 200, b"x" * 10, id="a length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
            200, b"abcde", id="chunks, with trailers that are dropped",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", 200, b"to the end",
            id="the connection's end",
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old", id="HTTP/1.0"),
        pytest.param(
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/9\r\n"
            b"Content-Length: 3\r\n\r\ncde", 206, b"cde", id="a range",
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="204"),
        pytest.param(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 304, b"", id="304"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + simple(b"late"), 200, b"late", id="103",
        ),
        pytest.param(
            b"HTTP/1.1 500 \r\nContent-Length: 3\r\n\r\nbad", 500, b"bad", id="no phrase"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_framings(
    harness: Harness, backend: EchoBackend, raw: bytes, status: int, body: bytes, version: str
) -> None:
    ends = b"Connection: close" in raw or b"HTTP/1.0" in raw
    backend.behave = answer(raw, close=ends)
    answered = await harness.get(version=version)
    assert answered.status == status
    assert answered.body == body
    assert answered.one("Trailer") is None
    assert answered.one("Transfer-Encoding") in ({None} if version == "1.0" else {None, "chunked"})


async def test_head_keeps_the_length(harness: Harness, backend: EchoBackend) -> None:
    backend.behave = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    visitor = await harness.visitor()
    for _ in range(2):
        await visitor.send(head("HEAD", "/workorders/17"))
        assert (await visitor.answer("HEAD")).one("Content-Length") == "12345"
    assert [request.connection for request in backend.requests] == [1, 1]


async def test_events_arrive_one_by_one(harness: Harness, backend: EchoBackend) -> None:
    more = asyncio.Event()

    async def trickle(talk: Conversation) -> None:
        await talk.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for byte in b"data":
            await asyncio.wait_for(more.wait(), 5)
            more.clear()
            await talk.send(b"1\r\n%c\r\n" % byte)
        await talk.send(b"0\r\n\r\n")

    backend.behave = trickle
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/workorders/17/events"))
    assert (await visitor.head()).status == 200  # before any event
    for byte in b"data":
        more.set()
        assert await asyncio.wait_for(visitor.chunk(), 5) == bytes([byte])
    assert await visitor.chunk() == b""


async def test_a_slow_reader_holds_the_backend_back(harness: Harness, backend: EchoBackend) -> None:
    sent = 0

    async def pour(talk: Conversation) -> None:
        nonlocal sent
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(2000):
            await talk.send(b"x" * 100_000)
            sent += 100_000

    backend.behave = pour
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/workorders/17/files/a"))
    await visitor.head()
    await _stands_still(lambda: sent)
    assert sent < 50_000_000
    visitor.leave()
    await asyncio.wait_for(backend.last.over.wait(), 5)


async def _stands_still(count: object) -> None:
    assert callable(count)
    before = -1
    async with asyncio.timeout(10):
        while before != count() or before == 0:
            before = count()
            await asyncio.sleep(0.3)


BAD_ANSWERS = [
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n", id="obs-fold"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="bare line feeds"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\n\r\n", id="one bare line feed"
    ),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", id="bare CR"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n", id="NUL"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX: a\x1bb\r\nContent-Length: 0\r\n\r\n", id="escape"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n", id="space in a name"),
    pytest.param(b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n", id="no name"),
    pytest.param(b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n", id="no colon"),
    pytest.param(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", id="status 999"),
    pytest.param(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", id="status 099"),
    pytest.param(b"HTTP/1.1 20 Odd\r\nContent-Length: 0\r\n\r\n", id="status 20"),
    pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="HTTP/2.0"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", id="unasked 101"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n", id="a length and chunks",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two lengths"
    ),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", id="a list of lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", id="a signed length"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip, chunked"
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks in 1.0"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD + b"\r\nContent-Length: 0\r\n\r\n",
        id="a huge field",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\n" + b"X: abcdefgh\r\n" * 6000 + b"\r\n", id="fields without end"
    ),
    pytest.param(b"HTTP/1.1 103 Early\r\nX: aaaaaaaa\r\n\r\n" * 2000, id="hints without end"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        id="a bad chunk at once",
    ),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol, closed"),
    pytest.param(b"", id="nothing, closed"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Len", id="half a head, closed"),
]  # fmt: skip


@pytest.mark.parametrize("raw", BAD_ANSWERS)
async def test_what_is_no_answer_is_a_502(
    harness: Harness, backend: EchoBackend, raw: bytes
) -> None:
    backend.behave = answer(raw, close=True)
    answered = await harness.get()
    assert answered.status == 502
    assert answered.one("X-Portal-Reason") == "upstream_unavailable"
    kind = harness.errors[0].kind if isinstance(harness.errors[0], UpstreamError) else None
    assert kind in {"protocol", "reset"}
    assert _errors_counted(harness, str(kind)) == 1


def _errors_counted(harness: Harness, kind: str) -> float | None:
    return harness.metrics.registry.get_sample_value("portal_upstream_errors_total", {"kind": kind})


async def test_many_and_long_headers_pass(harness: Harness, backend: EchoBackend) -> None:
    many = [f"X-Many-{n}: v" for n in range(500)]
    backend.behave = answer(simple(b"", "X-Long: " + "a" * 40_000, *many))
    answered = await harness.get()
    assert answered.status == 200
    assert len(answered.one("X-Long") or "") == 40_000
    assert answered.one("X-Many-499") == "v"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", id="a short body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            id="no last chunk",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", id="half a chunk"
        ),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_half_an_answer_never_ends_cleanly(
    harness: Harness, backend: EchoBackend, raw: bytes, version: str
) -> None:
    backend.behave = answer(raw, close=True)
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/workorders/17", version=version))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await visitor.answer_until_the_end()
    await until(lambda: harness.returned == [499])


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        pytest.param("Connection: close", None, id="a reset where only the end delimits"),
        pytest.param("Content-Length: 9", None, id="a reset before the length"),
        pytest.param("Transfer-Encoding: chunked", b"zz\r\n", id="a bad chunk"),
        pytest.param("Transfer-Encoding: chunked", b"-1\r\n", id="a negative chunk"),
    ],
)
async def test_what_breaks_later_never_ends_cleanly(
    harness: Harness, backend: EchoBackend, fields: str, rest: bytes | None
) -> None:
    begun = asyncio.Event()
    first = b"4\r\nhalf\r\n" if "chunked" in fields else b"half"

    async def half(talk: Conversation) -> None:
        await talk.send(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + first)
        await asyncio.wait_for(begun.wait(), 5)
        if rest is None:
            talk.reset()
        else:
            await talk.send(rest)
            await talk.wait_closed()

    backend.behave = half
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/workorders/17"))
    await visitor.head()
    await visitor.reader.readuntil(b"half")
    begun.set()
    with pytest.raises(ConnectionError):
        await visitor.ended()
    await until(lambda: harness.returned == [499])


async def test_bytes_beyond_an_answer_reach_nobody(harness: Harness, backend: EchoBackend) -> None:
    backend.behave = answer(simple(b"mine") + simple(b"poison"))
    for _ in range(3):
        assert (await harness.get()).body == b"mine"
    assert [request.connection for request in backend.requests] == [1, 2, 3]


async def test_bytes_on_an_idle_connection_reach_nobody(
    harness: Harness, backend: EchoBackend
) -> None:
    talks: list[Conversation] = []

    async def keep(talk: Conversation) -> None:
        talks.append(talk)
        await talk.send(simple(b"mine"))

    backend.behave = keep
    assert (await harness.get()).body == b"mine"
    await talks[0].send(simple(b"poison"))
    await until(lambda: talks[0].reader.at_eof() or talks[0].reader.exception() is not None)
    assert (await harness.get()).body == b"mine"
    assert backend.connections == 2


@pytest.mark.parametrize("silent_after", ["", "HTTP/1.1 200 OK\r\nX: "])
async def test_a_silent_backend_is_a_504(backend: EchoBackend, silent_after: str) -> None:
    async def hang(talk: Conversation) -> None:
        await talk.send(silent_after.encode())
        await talk.wait_closed()

    backend.behave = hang
    harness = await Harness(backend).start(LimitSettings(upstream_read_timeout=0.3))
    assert (await harness.get()).status == 504
    assert isinstance(harness.errors[0], UpstreamTimeout)
    assert harness.errors[0].kind == "read_timeout"
    await asyncio.wait_for(backend.last.over.wait(), 5)
    await harness.stop()


async def test_a_backend_silent_in_mid_body_cuts_the_visitor(backend: EchoBackend) -> None:
    async def hang(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await talk.wait_closed()

    backend.behave = hang
    harness = await Harness(backend).start(LimitSettings(upstream_read_timeout=0.3))
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/"))
    await visitor.head()
    with pytest.raises(ConnectionError):
        await visitor.ended()
    await harness.stop()


async def test_a_backend_that_takes_no_body_is_a_504(backend: EchoBackend) -> None:
    release = asyncio.Event()

    async def deaf(talk: Conversation) -> None:
        await asyncio.wait_for(release.wait(), 10)

    backend.behave = deaf
    harness = await Harness(backend).start(LimitSettings(upstream_read_timeout=0.3))
    visitor = await harness.visitor()
    sending = asyncio.create_task(
        visitor.send(head("POST", "/", "Content-Length: 100000000") + b"x" * 20_000_000)
    )
    assert (await visitor.head()).status == 504
    release.set()
    visitor.leave()
    await asyncio.wait({sending})
    sending.exception()
    await harness.stop()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://127.0.0.1:1", "connect", id="nobody listens"),
        pytest.param("http://no-such-host.invalid", "dns", id="no such host"),
        pytest.param("http+unix://%2Fno%2Fsuch.sock", "connect", id="no such socket"),
    ],
)
async def test_an_unreachable_backend_is_a_502(backend: EchoBackend, url: str, kind: str) -> None:
    harness = await Harness(backend).start(url=url)
    assert (await harness.get()).status == 502
    assert isinstance(harness.errors[0], UpstreamUnavailable)
    assert harness.errors[0].kind == kind
    assert _errors_counted(harness, kind) == 1
    await harness.stop()


async def test_a_body_that_grows_too_large_under_an_answer_cuts_it(backend: EchoBackend) -> None:
    async def early(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await talk.wait_closed()

    backend.behave = early
    harness = await Harness(backend).start(LimitSettings(max_body=4))
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Transfer-Encoding: chunked") + b"2\r\nab\r\n")
    assert (await visitor.head()).status == 200
    assert await visitor.chunk() == b"a"
    await visitor.send(b"8\r\ncdefghij\r\n")
    with pytest.raises(ConnectionError):
        await visitor.ended()
    await until(lambda: harness.returned == [499])
    await asyncio.wait_for(backend.last.over.wait(), 1)
    await harness.stop()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_visitor_who_leaves_ends_the_backend_s_work(
    harness: Harness, backend: EchoBackend, silent: bool
) -> None:
    async def stream(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        while silent:
            if not await talk.read_some():
                return
        while True:
            await talk.send(b"1\r\na\r\n")
            await asyncio.sleep(0.01)

    backend.behave = stream
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/workorders/17/events"))
    await visitor.head()
    _cut(visitor.writer)
    await asyncio.wait_for(backend.last.over.wait(), 1)


async def test_a_visitor_who_leaves_before_the_answer_ends_the_request(
    harness: Harness, backend: EchoBackend
) -> None:
    async def hang(talk: Conversation) -> None:
        await talk.wait_closed()

    backend.behave = hang
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Content-Length: 2") + b"ab")
    request = await backend.arrived()
    _cut(visitor.writer)
    await asyncio.wait_for(request.over.wait(), 1)
    await until(lambda: harness.returned == [499])


def _cut(writer: asyncio.StreamWriter) -> None:
    """Leave with a reset, as a client does that is killed while data waits for it."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("begun", [False, True])
async def test_an_exchange_can_be_ended_from_outside(
    harness: Harness, backend: EchoBackend, begun: bool
) -> None:
    async def hang(talk: Conversation) -> None:
        if begun:
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await talk.wait_closed()

    backend.behave = hang
    visitor = await harness.visitor()
    await visitor.send(head("GET", "/workorders/17/events"))
    await backend.arrived()
    if begun:
        await visitor.head()
    (end,) = harness.ends
    end()
    end()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await visitor.ended()
    await asyncio.wait_for(backend.last.over.wait(), 1)
    await until(lambda: harness.returned == [499])
    end()


async def test_cookies_of_the_backend_reach_nobody_and_are_not_kept(
    harness: Harness, backend: EchoBackend
) -> None:
    backend.behave = answer(simple(b"", "Set-Cookie: sid=1; Path=/", "Set-Cookie: portal_x=1"))
    assert (await harness.get()).all("Set-Cookie") == []
    await harness.get()
    assert backend.last.all(b"Cookie") == []


async def test_redirects_are_not_followed(harness: Harness, backend: EchoBackend) -> None:
    location = f"Location: {backend.origin}/workorders/17/a"
    backend.behave = answer(simple(b"", location, status="302 Found"))
    answered = await harness.get()
    assert answered.status == 302
    assert answered.one("Location") == "http://portal.example.com/workorders/17/a"
    assert len(backend.requests) == 1


async def test_a_unix_socket(tmp_path: Path) -> None:
    backend = await EchoBackend().start(unix=tmp_path / "backend.sock")
    harness = await Harness(backend).start()
    assert (await harness.get("/workorders/17?")).status == 200
    assert backend.last.request_line == b"GET /workorders/17? HTTP/1.1"
    assert backend.last.one(b"Host") == b"localhost"
    await harness.stop()
    await backend.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, and so is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def _server_tls(folder: Path, *, mutual: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    if mutual:
        context.load_verify_locations(folder / "cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_tls_with_a_ca_and_a_client_certificate(certificates: Path) -> None:
    backend = await EchoBackend().start(tls=_server_tls(certificates, mutual=True))
    harness = await Harness(backend).start(
        ca_file=certificates / "cert.pem",
        client_cert_file=certificates / "cert.pem",
        client_key_file=certificates / "key.pem",
    )
    assert (await harness.get()).status == 200
    await harness.stop()
    await backend.stop()


async def test_a_certificate_that_nobody_signed_is_refused(certificates: Path) -> None:
    backend = await EchoBackend().start(tls=_server_tls(certificates, mutual=False))
    harness = await Harness(backend).start()
    assert (await harness.get()).status == 502
    assert isinstance(harness.errors[0], UpstreamUnavailable)
    assert harness.errors[0].kind == "tls"
    assert backend.requests == []
    await harness.stop()
    await backend.stop()


async def test_answers_are_counted(harness: Harness, backend: EchoBackend) -> None:
    await harness.get()
    sample = harness.metrics.registry.get_sample_value
    assert sample("portal_upstream_responses_total", {"code_class": "2xx"}) == 1
    assert sample("portal_upstream_duration_seconds_count") == 1
