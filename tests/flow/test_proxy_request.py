"""What the backend receives, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from config.models import LimitSettings
from gateway.errors import Refusal
from tests.echo_backend import Conversation, EchoBackend, answer, simple
from tests.flow.proxy_harness import HOST, IDENTITY, ORIGIN, Harness, head, until

TOKEN = "wpl_" + "A1b2C3d4" * 5


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


async def test_the_whole_request_as_it_arrives(harness: Harness, backend: EchoBackend) -> None:
    answered = await harness.get("/workorders/17?a=1", "Accept: text/html", "x-Odd_Name: v")
    own = backend.origin.removeprefix("http://")
    assert backend.last.head == (
        b"GET /workorders/17?a=1 HTTP/1.1\r\n"
        b"Host: " + own.encode() + b"\r\n"
        b"Accept: text/html\r\n"
        b"x-Odd_Name: v\r\n"
        b"X-Portal-Link: 0123456789abcdef01234567\r\n"
        b"X-Portal-Workorder: 17\r\n"
        b"X-Portal-Link-Type: private\r\n"
        b"X-Portal-Permissions: can_add_comments,can_view_details\r\n"
        b"X-Portal-Visitor: visitor-hash\r\n"
        b"X-Request-Id: request-id\r\n"
        b"X-Forwarded-For: 203.0.113.9\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: " + HOST.encode() + b"\r\n"
        b"\r\n"
    )
    assert answered.status == 200
    assert answered.body == backend.last.head


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/workorders/17?", id="bare question mark"),
        pytest.param("/workorders/17??", id="two question marks"),
        pytest.param("/a%20b/%C3%A9/~!$&'()*+,;=:@", id="escapes and delimiters"),
        pytest.param('/a/%7Eb?q=%2F%2e%2E&x=[]{}|^`"<>', id="query with odd characters"),
        pytest.param("/A/b/?a=b=c&&;?", id="trailing slash, odd query"),
        pytest.param("/a/../b/./c//d", id="what a URL library would resolve"),
    ],
)
async def test_the_target_arrives_as_it_was_judged(
    harness: Harness, backend: EchoBackend, target: str
) -> None:
    await harness.get(target)
    assert backend.last.request_line == f"GET {target} HTTP/1.1".encode()


async def test_repeated_headers_all_arrive_in_order(harness: Harness, backend: EchoBackend) -> None:
    await harness.get("/", "X-Many: 1", "x-many: 2", "X-MANY: 3", "X-Many: 1")
    assert [f for f in backend.last.fields if f[0].lower() == b"x-many"] == [
        (b"X-Many", b"1"),
        (b"x-many", b"2"),
        (b"X-MANY", b"3"),
        (b"X-Many", b"1"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("caf\xe9", id="Latin-1"),
        pytest.param("caf\xc3\xa9", id="UTF-8"),
        pytest.param("\x80\xff\xfe", id="no encoding at all"),
    ],
)
async def test_bytes_of_a_header_arrive_as_sent(
    harness: Harness, backend: EchoBackend, value: str
) -> None:
    await harness.get("/", f"X-Name: {value}")
    assert backend.last.all(b"X-Name") == [value.encode("latin-1")]


async def test_nothing_is_added_that_was_not_sent(harness: Harness, backend: EchoBackend) -> None:
    await harness.get("/", method="POST", body=b"")
    for name in (b"User-Agent", b"Accept", b"Accept-Encoding", b"Content-Type", b"Connection"):
        assert backend.last.all(name) == []


@pytest.mark.parametrize(
    ("fields", "body", "length", "coding", "arrived"),
    [
        pytest.param([], b"", None, None, b"", id="no body, no framing"),
        pytest.param(["Content-Length: 0"], b"", b"0", None, b"", id="an empty body"),
        pytest.param(["Content-Length: 5"], b"hello", b"5", None, b"hello", id="a length"),
        pytest.param(
            ["Transfer-Encoding: chunked"], b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            None, b"chunked", b"abcde", id="chunks",
        ),
        pytest.param(
            ["Transfer-Encoding: chunked"], b"0\r\n\r\n", None, b"chunked", b"", id="no chunk"
        ),
    ],
)  # fmt: skip
async def test_framing_is_kept(
    harness: Harness,
    backend: EchoBackend,
    fields: list[str],
    body: bytes,
    length: bytes | None,
    coding: bytes | None,
    arrived: bytes,
) -> None:
    answered = await harness.get("/workorders/17/files", *fields, method="POST", body=body)
    assert answered.status == 200
    request = backend.last
    assert request.is_whole
    assert request.one(b"Content-Length") == length
    assert request.one(b"Transfer-Encoding") == coding
    assert _unchunked(request.body) == arrived if coding else request.body == arrived


def _unchunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        body += raw[: int(size, 16)]
        raw = raw[int(size, 16) + 2 :]
    return body


async def test_a_referer_with_a_token_is_the_landing_page_s(
    harness: Harness, backend: EchoBackend
) -> None:
    await harness.get("/", f"Referer: {ORIGIN}/workorder/{TOKEN}", f"Origin: {ORIGIN}")
    assert backend.last.one(b"Referer") == f"{backend.origin}/workorders/17".encode()
    assert backend.last.one(b"Origin") == backend.origin.encode()
    assert TOKEN.encode() not in backend.last.head


async def test_the_operators_headers_replace_the_visitors(backend: EchoBackend) -> None:
    harness = await Harness(backend).start(
        headers={"Authorization": "Bearer s3cret", "X_Account": "{workorder}/{visitor}/{email}"},
        preserve_host=True,
    )
    harness.identity = replace(IDENTITY, email="a@example.com", workorder="Ä1")
    await harness.get("/", "Authorization: Basic abc", "x.account: admin", "X-Account: root")
    request = backend.last
    assert request.all(b"Authorization") == [b"Bearer s3cret"]
    assert request.all(b"X_Account") == ["Ä1/visitor-hash/a@example.com".encode()]
    assert request.all(b"x.account") == request.all(b"X-Account") == []
    assert request.one(b"X-Portal-Workorder") == "Ä1".encode()
    assert request.one(b"X-Portal-Email") == b"a@example.com"
    assert request.one(b"Host") == HOST.encode()
    await harness.stop()


async def test_a_large_upload_is_streamed(harness: Harness, backend: EchoBackend) -> None:
    seen: list[int] = []

    async def measure(talk: Conversation) -> None:
        while len(talk.request.body) < 5_000_000:
            if not seen:
                seen.append(len(await talk.read_some()))
            assert await talk.read_some()
        await talk.send(simple(b"done"))

    backend.behave = measure
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/workorders/17/files", "Content-Length: 5000000"))
    await visitor.send(b"a" * 100_000)
    await until(lambda: bool(seen))
    await visitor.send(b"a" * 4_900_000)
    assert (await visitor.answer()).body == b"done"


async def test_continue_is_said_by_the_gateway_just_before_the_body(
    harness: Harness, backend: EchoBackend
) -> None:
    visitor = await harness.visitor()
    await visitor.send(
        head("POST", "/workorders/17/files", "Content-Length: 3", "Expect: 100-continue")
    )
    assert (await visitor.head()).status == 100
    await visitor.send(b"abc")
    assert (await visitor.answer()).status == 200
    assert backend.last.one(b"Expect") is None
    assert backend.last.body == b"abc"


async def test_no_continue_if_the_backend_cannot_be_reached(backend: EchoBackend) -> None:
    harness = await Harness(backend).start()
    await backend.stop()
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Content-Length: 3", "Expect: 100-continue"))
    assert (await visitor.head()).status == 502
    await harness.stop()


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param(["Content-Length: 11"], b"", id="declared: nothing is sent"),
        pytest.param(
            ["Transfer-Encoding: chunked"], b"6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n", id="counted"
        ),
    ],
)
async def test_a_body_over_the_limit(backend: EchoBackend, fields: list[str], body: bytes) -> None:
    harness = await Harness(backend).start(LimitSettings(max_body=10))
    answered = await harness.get("/", *fields, method="POST", body=body)
    assert answered.status == 413
    assert [request for request in backend.requests if request.is_whole] == []
    if not body:
        assert backend.requests == []
    await harness.stop()


async def test_a_visitor_who_stalls_in_the_body_is_refused(backend: EchoBackend) -> None:
    harness = await Harness(backend).start(LimitSettings(body_timeout=0.2))
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Content-Length: 10") + b"half")
    assert (await visitor.answer()).status == 400
    assert isinstance(harness.errors[0], Refusal)
    request = await backend.arrived()
    await asyncio.wait_for(request.over.wait(), 5)
    assert not request.is_whole
    await harness.stop()


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        pytest.param("Content-Length: 10", b"half", id="with a length"),
        pytest.param("Transfer-Encoding: chunked", b"4\r\nhalf\r\n", id="in chunks"),
    ],
)
async def test_a_visitor_who_leaves_in_the_body_leaves_no_shorter_one(
    harness: Harness, backend: EchoBackend, fields: str, part: bytes
) -> None:
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", fields) + part)
    request = await backend.arrived()
    await until(lambda: b"half" in request.body)
    visitor.leave()
    await asyncio.wait_for(request.over.wait(), 5)
    assert not request.is_whole
    assert _is_only_half(request.body)
    await until(lambda: harness.returned == [499])


def _is_only_half(body: bytes) -> bool:
    return body in {b"half", b"4\r\nhalf\r\n"}


@pytest.mark.parametrize("status", ["413 Content Too Large", "401 Unauthorized", "302 Found"])
async def test_an_early_answer_ends_the_upload(
    harness: Harness, backend: EchoBackend, status: str
) -> None:
    async def refuse(talk: Conversation) -> None:
        await talk.read_some()
        await talk.send(simple(b"no", status=status))
        await talk.wait_closed()

    backend.behave = refuse
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Content-Length: 1000000") + b"x" * 1000)
    answered = await visitor.answer()
    assert answered.status == int(status[:3])
    assert answered.body == b"no"
    assert answered.one("Connection") == "close"
    await asyncio.wait_for(backend.last.over.wait(), 5)
    assert len(backend.last.body) < 1_000_000
    await visitor.send(b"x" * 999_000)  # read and ignored, so that no reset eats the answer
    assert await visitor.ended() == b""


async def test_nothing_follows_half_a_request(harness: Harness, backend: EchoBackend) -> None:
    """The backend would take the next visitor's request for the rest of this one's body."""
    asked_on = asyncio.Event()

    async def refuse_slowly(talk: Conversation) -> None:
        await talk.read_some()
        await talk.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n")
        await asked_on.wait()
        await talk.send(b"no")
        while await talk.read_some():
            await talk.send(simple(b"smuggled"))

    backend.behave = refuse_slowly
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Content-Length: 1000") + b"x" * 10)
    assert (await visitor.head()).status == 401
    # By now the upload has ended, too.
    asked_on.set()
    assert await visitor.reader.readexactly(2) == b"no"
    backend.behave = answer(simple(b"yours"))
    assert (await harness.get("/")).body == b"yours"
    assert backend.requests[0].body == b"x" * 10
    assert [request.connection for request in backend.requests] == [1, 2]


async def test_an_answer_that_streams_beside_the_upload(
    harness: Harness, backend: EchoBackend
) -> None:
    async def mirror(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while b"0\r\n\r\n" not in talk.request.body:
            data = await talk.read_some()
            await talk.send(b"%x\r\n%s\r\n" % (len(data), data))
        await talk.send(b"0\r\n\r\n")

    backend.behave = mirror
    visitor = await harness.visitor()
    await visitor.send(head("POST", "/", "Transfer-Encoding: chunked") + b"3\r\none\r\n")
    assert (await visitor.head()).status == 200
    assert b"one" in await visitor.chunk()
    await visitor.send(b"3\r\ntwo\r\n0\r\n\r\n")
    rest = b""
    while chunk := await visitor.chunk():
        rest += chunk
    assert b"two" in rest


async def test_a_kept_connection_is_used_again(harness: Harness, backend: EchoBackend) -> None:
    await harness.get("/")
    await harness.get("/")
    assert [request.connection for request in backend.requests] == [1, 1]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_nothing_is_sent_twice_when_a_kept_connection_dies(
    harness: Harness, backend: EchoBackend, method: str
) -> None:
    """aiohttp's session would send the GET and the PUT again."""
    await harness.get("/")

    async def die(talk: Conversation) -> None:
        talk.reset()

    backend.behave = die
    answered = await harness.get("/", "Content-Length: 2", method=method, body=b"ab")
    assert answered.status == 502
    assert len(backend.requests) == 2


async def test_a_connection_that_the_backend_closed_is_not_used(
    harness: Harness, backend: EchoBackend
) -> None:
    backend.behave = answer(simple(), close=True)
    for _ in range(3):
        assert (await harness.get("/")).status == 200
        await backend.last.over.wait()
    assert [request.connection for request in backend.requests] == [1, 2, 3]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Late: 1\r\n\r\n"
FIRST_ANSWERS = [
    pytest.param("GET", simple(b"ab"), id="a length"),
    pytest.param("GET", simple(b""), id="no body"),
    pytest.param("GET", CHUNKED, id="chunks and a trailer"),
    pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", id="HEAD"),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
    pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", id="304"),
    pytest.param("GET", b"HTTP/1.1 103 Early Hints\r\n\r\n" + simple(b"ab"), id="103"),
]


@pytest.mark.parametrize(("method", "first"), FIRST_ANSWERS)
@pytest.mark.parametrize(("next_method", "second"), FIRST_ANSWERS)
async def test_an_answer_says_nothing_of_the_one_before(
    harness: Harness,
    backend: EchoBackend,
    method: str,
    first: bytes,
    next_method: str,
    second: bytes,
) -> None:
    """Three in a row on one connection, whose parser may have read the one before."""
    for verb, raw in ((method, first), (next_method, second)):
        backend.behave = answer(raw)
        status = int(raw.rpartition(b"HTTP/1.1 ")[2][:3])
        assert (await harness.get("/", method=verb)).status == status
    backend.behave = answer(simple(b"third", "X-Third: 3"))
    third = await harness.get("/")
    assert (third.status, third.body, third.one("X-Third")) == (200, b"third", "3")
    assert third.one("X-Late") is None
    assert {request.connection for request in backend.requests} == {1}


async def test_an_idle_connection_is_closed_after_a_while(
    harness: Harness, backend: EchoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.proxy.kept.KEPT_FOR", 0.05)
    await harness.get("/")
    await harness.get("/")
    await until(lambda: backend.open_connections == 0)


async def test_what_is_still_kept_at_the_end_is_closed(
    harness: Harness, backend: EchoBackend
) -> None:
    await harness.get("/")
    assert backend.open_connections == 1
    await harness.upstream.close()
    await until(lambda: backend.open_connections == 0)
