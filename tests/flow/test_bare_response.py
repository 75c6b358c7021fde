"""An answer holds what it was given, in framing that the client can rely on."""

from __future__ import annotations

import pytest
from aiohttp import web

from gateway.proxy.response import BareResponse
from tests.flow.listening import listening, on_both_loops
from tests.raw_client import connect


async def raw_answer(
    response: BareResponse, parts: tuple[bytes, ...], request_line: bytes
) -> tuple[list[str], bytes, bool]:
    """The header lines without `Date`, the bytes after them, and whether the end was a reset."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    async with listening(answer) as listener, connect(listener.addresses[0]) as client:
        await client.send(request_line + b"\r\nHost: h\r\nConnection: close\r\n\r\n")
        head, _, body = (await client.read_to_end()).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        assert sum(line.startswith("Date: ") for line in lines) == 1
        kept = [line for line in lines if not line.startswith("Date: ")]
        return kept, body, client.was_reset


GET = b"GET / HTTP/1.1"
HEAD = b"HEAD / HTTP/1.1"
OLD = b"GET / HTTP/1.0"


@pytest.mark.parametrize(
    ("request_line", "status", "headers", "parts", "lines", "body"),
    [
        pytest.param(
            GET, 200, [("Content-Length", "5")], (b"he", b"llo"),
            ["HTTP/1.1 200 OK", "Content-Length: 5", "Connection: close"], b"hello", id="length",
        ),
        pytest.param(
            GET, 200, [], (b"he", b"llo"),
            ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Connection: close"],
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", id="chunks",
        ),
        pytest.param(
            GET, 200, [], (), ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Connection: close"],
            b"0\r\n\r\n", id="no chunk",
        ),
        pytest.param(
            OLD, 200, [], (b"he", b"llo"), ["HTTP/1.0 200 OK", "Connection: close"], b"hello",
            id="1.0 without a length",
        ),
        pytest.param(
            HEAD, 200, [("Content-Length", "5")], (b"hello",),
            ["HTTP/1.1 200 OK", "Content-Length: 5", "Connection: close"], b"", id="HEAD",
        ),
        pytest.param(
            HEAD, 200, [], (b"hello",), ["HTTP/1.1 200 OK", "Connection: close"], b"",
            id="HEAD without a length",
        ),
        pytest.param(
            GET, 204, [("Content-Length", "5")], (b"hello",),
            ["HTTP/1.1 204 No Content", "Connection: close"], b"", id="204",
        ),
        pytest.param(
            GET, 304, [("ETag", '"a"')], (b"hello",),
            ["HTTP/1.1 304 Not Modified", 'ETag: "a"', "Connection: close"], b"", id="304",
        ),
        pytest.param(
            GET, 200,
            [("transfer-encoding", "gzip"), ("Keep-Alive", "timeout=9"), ("Connection", "x"),
             ("Content-Length", "0")], (),
            ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"], b"",
            id="framing of another connection",
        ),
        pytest.param(
            GET, 200, [("Content-Length", "0"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], (),
            ["HTTP/1.1 200 OK", "Content-Length: 0", "Set-Cookie: a=1", "Set-Cookie: b=2",
             "Connection: close"], b"", id="a field twice",
        ),
        pytest.param(
            GET, 200, [("Content-Length", "0"), ("X-Name", "caf\xe9")],
            (), ["HTTP/1.1 200 OK", "Content-Length: 0", "X-Name: caf\xe9", "Connection: close"],
            b"", id="bytes that are not UTF-8",
        ),
        pytest.param(
            GET, 599, [("Content-Length", "0")], (),
            ["HTTP/1.1 599 ", "Content-Length: 0", "Connection: close"], b"", id="odd status",
        ),
    ],
)  # fmt: skip
@on_both_loops
async def test_framing(
    request_line: bytes,
    status: int,
    headers: list[tuple[str, str]],
    parts: tuple[bytes, ...],
    lines: list[str],
    body: bytes,
) -> None:
    got = await raw_answer(BareResponse(status, headers), parts, request_line)
    assert got == (lines, body, False)


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        pytest.param("Fine", "HTTP/1.1 200 Fine", id="another phrase"),
        pytest.param("a\r\nX: y", "HTTP/1.1 200 OK", id="one that breaks the line"),
        pytest.param("a\x00", "HTTP/1.1 200 OK", id="one with a control character"),
    ],
)
async def test_the_phrase_is_kept_if_it_is_one(reason: str, line: str) -> None:
    lines, _, _ = await raw_answer(BareResponse(200, reason=reason, body=b"a"), (), GET)
    assert lines[0] == line


async def test_a_date_that_is_given_stays() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return BareResponse(200, [("date", date)], body=b"")

    async with listening(answer) as listener, connect(listener.addresses[0]) as client:
        await client.send(GET + b"\r\nHost: h\r\n\r\n")
        assert (await client.read_answer()).headers["date"] == date


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((), id="nothing"),
        pytest.param((b"half",), id="half"),
    ],
)
@on_both_loops
async def test_a_body_shorter_than_its_length_is_a_reset(parts: tuple[bytes, ...]) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = BareResponse(200, [("Content-Length", "8")])
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    async with listening(answer) as listener, connect(listener.addresses[0]) as client:
        await client.send(GET + b"\r\nHost: h\r\n\r\n")
        await client.read_to_end()
        assert client.was_reset


async def test_a_1_0_client_is_kept_where_the_length_is_known() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return BareResponse(200, body=b"hello")

    async with listening(answer) as listener, connect(listener.addresses[0]) as client:
        for _ in range(2):
            await client.send(OLD + b"\r\nConnection: keep-alive\r\n\r\n")
            got = await client.read_answer()
            assert (got.headers["connection"], got.body) == ("keep-alive", b"hello")


async def test_a_1_0_client_is_not_kept_where_only_the_end_says_so() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = BareResponse(200)
        await response.prepare(request)
        await response.write(b"hello")
        return response

    async with listening(answer) as listener, connect(listener.addresses[0]) as client:
        await client.send(OLD + b"\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.read_to_end()).endswith(b"Connection: close\r\n\r\nhello")
