"""Raw bytes through the whole gateway, judged by what the backend received.

The sender holds a good session for work order 42, whose link may do everything, and wants anything
else: another record, another method, another identity, a second request that nobody judged. The
backend gets nothing, or exactly one well-formed request for what was judged.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from tests.echo_backend import Behaviour, Conversation, Recorded, answer, simple
from tests.flow.doors import Link, admitted, path
from tests.portal import Portal
from tests.raw_client import connect, parse_answers

EVERYTHING = dict.fromkeys(
    ("can_view_history", "can_upload_files", "can_add_comments", "can_approve_reject"), True
)
MARK = b"evil-7f3a"
HEAD = b"Host: HOST\r\nCookie: COOKIE\r\n"
LAST = HEAD + b"Connection: close\r\n"
GET = b"GET /workorders/42 HTTP/1.1\r\n" + HEAD
POST = b"POST /workorders/42/comments HTTP/1.1\r\n" + HEAD
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /workorders/43 HTTP/1.1\r\n" + LAST + b"\r\n"
ONLY = b"GET /workorders/42 HTTP/1.1\r\n" + LAST
# Seconds after which a server that goes on waiting is told that nothing follows.
PATIENCE = 0.3
_REQUEST_LINE = re.compile(rb"(GET|HEAD|POST) (/[\x21-\x7e]*) HTTP/1\.1")


class Attacker:
    """Somebody with a session for work order 42, and a socket."""

    def __init__(self, portal: Portal, link: Link, cookies: dict[str, str]) -> None:
        self.portal = portal
        self.link = link
        self.address = portal.origin.removeprefix("http://")
        self._cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())

    def fill(self, raw: bytes) -> bytes:
        """`raw` with the real Host and cookie in it."""
        return raw.replace(b"HOST", self.address.encode()).replace(b"COOKIE", self._cookie.encode())

    async def send(self, raw: bytes) -> tuple[list[Any], list[Recorded]]:
        """Send bytes, and read to the end: the answers, and what the backend received.

        Whoever wants an end sends `Connection: close` with the last request. A server that was
        made to wait for more is told, after a while, that no more follows.
        """
        before = len(self.portal.backend.requests)
        async with connect(self.address) as connection:
            await connection.send(self.fill(raw))
            reading = asyncio.create_task(connection.read_to_end())
            if not (await asyncio.wait({reading}, timeout=PATIENCE))[0]:
                connection.half_close()
            received = await reading
        answers = [] if connection.was_reset else parse_answers(received)
        return answers, self.portal.backend.requests[before:]


async def attacker_of(portal: Portal) -> Attacker:
    link = await portal.link(permissions=EVERYTHING)
    visitor = await admitted(portal, link)
    return Attacker(portal, link, visitor.cookies)


def assert_well_formed(request: Recorded) -> None:
    """One request that no two programs read differently."""
    assert _REQUEST_LINE.fullmatch(request.request_line), request.head
    text = request.head.replace(b"\r\n", b"")
    assert b"\n" not in text, request.head
    assert b"\r" not in text, request.head
    assert len(request.all(b"Host")) == 1
    framing = request.all(b"Content-Length") + request.all(b"Transfer-Encoding")
    assert len(framing) < 2, request.head
    assert request.all(b"Transfer-Encoding") in ([], [b"chunked"])


# ---- framing

FRAMINGS = {
    "CL with TE": POST
    + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SECOND,
    "TE with CL": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1a\r\n"
    + SECOND,
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 70\r\n\r\nx" + SECOND,
    "listed lengths": POST + b"Content-Length: 1, 70\r\n\r\nx" + SECOND,
    "signed length": POST + b"Content-Length: +1\r\n\r\nx" + SECOND,
    "TE twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + SECOND,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE in 1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "TE folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunk size 0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk size with a plus": CHUNKED + b"+1\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk size that overflows": CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk line ends in LF": CHUNKED + b"1\na\r\n0\r\n\r\n" + SECOND,
    "LF in an extension": CHUNKED + b"1;x\ny\r\na\r\n0\r\n\r\n" + SECOND,
    "chunk longer than its size": CHUNKED + b"1\r\nabc\r\n0\r\n\r\n" + SECOND,
    "trailer section": CHUNKED + b"0\r\nX-Portal-Email: " + MARK + b"\r\n\r\n" + SECOND,
    "bare LF": GET.replace(b"\r\n", b"\n") + b"\n" + SECOND,
    "bare CR": GET + b"A: b\rX-Portal-Email: " + MARK + b"\r\n\r\n" + SECOND,
    "one bare LF": GET + b"A: b\nX-Portal-Email: " + MARK + b"\r\n\r\n" + SECOND,
    "obs-fold": GET + b"A: b\r\n X-Portal-Email: " + MARK + b"\r\n\r\n" + SECOND,
    "NUL in a value": GET + b"A: b\x00" + MARK + b"\r\n\r\n" + SECOND,
    "no version": b"GET /workorders/42\r\n" + HEAD + b"\r\n" + SECOND,
    "HTTP/0.9": GET.replace(b"HTTP/1.1", b"HTTP/0.9") + b"\r\n" + SECOND,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "CONNECT": b"CONNECT HOST HTTP/1.1\r\n" + HEAD + b"\r\n" + SECOND,
    "a length that never comes": POST + b"Content-Length: 999999\r\n\r\n" + SECOND,
    "a body in a GET": GET + b"Content-Length: 70\r\n\r\n" + SECOND,
    "a second request line in the target": b"GET /workorders/42 HTTP/1.1\r\n\tx: y\r\n"
    + HEAD + b"\r\n" + SECOND,
    "space in the target": b"GET /workorders/42 /workorders/43 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "LF in the target": b"GET /workorders/42\n/workorders/43 HTTP/1.1\r\n" + HEAD + b"\r\n",
}  # fmt: skip


async def test_framing_that_programs_read_differently(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for name, raw in FRAMINGS.items():
        answers, received = await attacker.send(raw)
        assert len(received) <= 1, name
        for request in received:
            assert_well_formed(request)
            assert request.request_line.split(b" ")[1] in {
                b"/workorders/42",
                b"/workorders/42/comments",
            }, name
            assert MARK not in request.head, name
        served = [each for each in answers if each.status == 200]
        assert all(b"GET /workorders/43" not in each.body.split(b"\r\n")[0] for each in served)


async def test_a_request_is_sent_on_whole_with_one_framing(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for raw in (
        POST + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n",
    ):
        answers, (request,) = await attacker.send(raw)
        assert [each.status for each in answers] == [200]
        assert_well_formed(request)
        assert request.body in {b"hello", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"} or (
            request.body.endswith(b"0\r\n\r\n") and b"ext" not in request.body
        )


# ---- paths

PATHS = (
    "/workorders/42/../43",
    "/workorders/42/..",
    "/workorders/42/.",
    "/workorders/42/%2e%2e/43",
    "/workorders/42/.%2E/43",
    "/workorders/42%2f..%2f43",
    "/workorders/42%2F43",
    "/workorders/42%5c..%5c43",
    "/workorders/42\\..\\43",
    "/workorders/42\\43",
    "/workorders//42",
    "//workorders/42",
    "//evil.example/workorders/42",
    "/workorders/42//",
    "/workorders/42//43",
    "/workorders/42/..;/43",
    "/workorders/42/;/43",
    "/workorders/42;x=/../43",
    "/workorders/42;.css",
    "/workorders/43;/../42",
    "/static/../workorders/43",
    "/static/%2e%2e/workorders/43",
    "/static/..%2fworkorders/43",
    "/static/..%252fworkorders%252f43",
    "/static/..%c0%af..%c0%afworkorders/43",
    "/static/%e0%80%af../workorders/43",
    "/static/..%5cworkorders%5c43",
    "/static/..;/workorders/43",
    "/static/%00/../workorders/43",
    "/static/x%00.css",
    "/static/x%0d%0aX-Portal-Email:%20evil",
    "/workorders/42/files/../../43",
    "/workorders/42/files/..%2f..%2f43",
    "/workorders/42%00",
    "/workorders/42%0a",
    "/workorders/42%20",
    "/workorders/42#/../43",
    "/workorders/43#/workorders/42",
    "/workorders/43?/workorders/42",
    "/workorders/43?workorder=42",
    "/WORKORDERS/42",
    "/workorders/%34%33",
    "/workorders/42%2",
    "/workorders/42%zz",
    "/workorders/42%252e",
    "/workorders/\xe9".encode("latin-1").decode("latin-1"),
    "/workorders/٤٢",
    "/workorders/042",
    "/workorders/42.",
    "/workorders/42.json",
    "workorders/42",
    "*",
    "http://evil.example/workorders/42",
    "http://HOST@evil.example/workorders/42",
    "https://HOST/workorders/43",
    "ftp://HOST/workorders/42",
)
ALLOWED_AS_THEY_ARE = (
    "/workorders/42?next=/../43",
    "/workorders/42?a=1&a=2;b=%2e%2e%2f",
    "/workorders/4%32",
    "/workorders/42/files/a%20b/c;v=1",
    "/static/~x/a.b-c_d.css?v=..",
)


def readings(target: str) -> set[str]:
    """The paths that a careless backend might make of a target."""
    path = target.partition("?")[0].partition("#")[0]
    found: set[str] = set()
    for _ in range(3):
        path = unquote(path, errors="replace").replace("\\", "/")
        found |= {path, re.sub(r";[^/]*", "", path), path.partition(";")[0]}
    return {posixpath.normpath(re.sub(r"/+", "/", each.partition("\0")[0])) for each in found}


@pytest.mark.parametrize("below_the_portal_url", [False, True], ids=["session", "portal URL"])
async def test_no_spelling_of_a_path_reaches_another_record(
    portal: Portal, below_the_portal_url: bool
) -> None:
    attacker = await attacker_of(portal)
    prefix = path(attacker.link) if below_the_portal_url else ""
    for target in (*PATHS, *ALLOWED_AS_THEY_ARE):
        if below_the_portal_url and not target.startswith("/"):
            continue
        raw = b"GET %s HTTP/1.1\r\n%s\r\n" % ((prefix + target).encode(), LAST)
        answers, received = await attacker.send(raw)
        assert len(received) <= 1, target
        for request in received:
            assert_well_formed(request)
            sent = request.request_line.split(b" ")[1].decode()
            for reading in readings(sent):
                assert re.fullmatch(r"/(workorders/42|static)(/.*)?", reading), (target, reading)
        if not received:
            reasons = {each.headers["x-portal-reason"] for each in answers}
            assert reasons <= {"bad_request", "no_route", "not_permitted"}, target


async def test_what_is_allowed_arrives_byte_for_byte(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for target in ALLOWED_AS_THEY_ARE:
        _, (request,) = await attacker.send(b"GET %s HTTP/1.1\r\n%s\r\n" % (target.encode(), LAST))
        assert request.request_line == b"GET %s HTTP/1.1" % target.encode()
    absolute = b"GET http://HOST/workorders/42 HTTP/1.1\r\n" + LAST + b"\r\n"
    _, (request,) = await attacker.send(absolute)
    assert request.request_line == b"GET /workorders/42 HTTP/1.1"


# ---- headers

OURS = (
    "X-Portal-Link", "X-Portal-Workorder", "X-Portal-Link-Type", "X-Portal-Permissions",
    "X-Portal-Visitor", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
)  # fmt: skip
REMOVED = (
    *OURS, "X-Portal-Email", "X-Portal-Anything", "Forwarded", "X-Forwarded-User",
    "X-Forwarded-Prefix", "X-Real-IP", "True-Client-IP", "X-Client-IP", "CF-Connecting-IP",
    "X-Original-URL", "X-Original-Host", "X-Rewrite-URL", "X-HTTP-Method", "X-HTTP-Method-Override",
    "X-Method-Override", "Remote-User", "X-Remote-User", "X-Auth-Request-Email", "Proxy",
    "Authorization", "api-key", "Proxy-Authorization", "Keep-Alive", "TE", "Proxy-Connection",
)  # fmt: skip
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "underscores": lambda name: name.replace("-", "_"),
    "dots": lambda name: name.replace("-", ".").lower(),
    "one underscore": lambda name: name.replace("-", "_", 1),
    "doubled hyphens": lambda name: name.replace("-", "--"),
    "no hyphens": lambda name: name.replace("-", ""),
    "a trailing hyphen": lambda name: f"{name}-",
    "odd signs": lambda name: name.replace("-", "!"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_nobody_else_says_who_asks(portal: Portal, spelling: str) -> None:
    attacker = await attacker_of(portal)
    for name in REMOVED:
        spelled = SPELLINGS[spelling](name).encode()
        twice = b"%s: %s\r\n%s: %s\r\n" % (spelled, MARK, spelled.swapcase(), MARK)
        answers, received = await attacker.send(ONLY + twice + b"\r\n")
        assert len(received) <= 1
        for request in received:
            assert_well_formed(request)
            assert request.request_line == b"GET /workorders/42 HTTP/1.1"
            assert MARK not in request.head, spelled
            assert all(request.one(each.encode()) for each in OURS)
        assert received or [each.status for each in answers] == [400], spelled


async def test_connection_takes_away_nothing_of_ours(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for name in (*OURS, "Host", "Content-Length", "x_portal_link", "X-PORTAL-LINK"):
        listed = b"Connection: close, %s\r\n" % name.encode()
        _, (request,) = await attacker.send(POST + listed + b"Content-Length: 2\r\n\r\nhi")
        assert_well_formed(request)
        assert all(request.one(each.encode()) for each in OURS), name
        assert request.one(b"X-Portal-Link") == attacker.link["_id"].encode()
        assert request.body == b"hi"


async def test_a_header_cannot_turn_a_get_into_an_approval(portal: Portal) -> None:
    link = await portal.link()
    attacker = Attacker(portal, link, (await admitted(portal, link)).cookies)
    override = b"X-HTTP-Method-Override: POST\r\nX-Original-URL: /workorders/42/approve\r\n"
    _, (request,) = await attacker.send(ONLY + override + b"\r\n")
    assert request.request_line == b"GET /workorders/42 HTTP/1.1"
    assert b"approve" not in request.head.replace(b"can_approve_reject", b"")
    raw = b"POST /workorders/42/approve HTTP/1.1\r\n" + LAST + b"Content-Length: 0\r\n\r\n"
    (refused,), received = await attacker.send(raw)
    assert (refused.headers["x-portal-reason"], received) == ("not_permitted", [])


HOSTS = {
    "foreign": b"Host: evil.example\r\n",
    "twice": b"Host: HOST\r\nHost: evil.example\r\n",
    "twice the same": b"Host: HOST\r\nHost: HOST\r\n",
    "listed": b"Host: HOST, evil.example\r\n",
    "user part": b"Host: HOST@evil.example\r\n",
    "user part before": b"Host: evil.example@HOST\r\n",
    "path": b"Host: HOST/x\r\n",
    "other port": b"Host: 127.0.0.1:1\r\n",
    "no port": b"Host: 127.0.0.1\r\n",
    "port that is none": b"Host: 127.0.0.1:x\r\n",
    "trailing dot": b"Host: HOST.\r\n",
    "space within": b"Host: HOST evil.example\r\n",
    "empty": b"Host:\r\n",
    "none": b"",
    "other name of the address": b"Host: localhost\r\n",
    "percent": b"Host: %31%32%37.0.0.1\r\n",
    "forwarded": b"Host: evil.example\r\nX-Forwarded-Host: HOST\r\n",
    "folded": b"Host:\r\n HOST\r\n",
}


async def test_only_our_host_is_served(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for name, host in HOSTS.items():
        for target in (b"/workorders/42", path(attacker.link).encode()):
            raw = b"GET %s HTTP/1.1\r\n%sCookie: COOKIE\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
            answers, received = await attacker.send(raw % (target, host))
            assert received == [], name
            for refused in answers:
                assert refused.headers["x-portal-reason"] in {"bad_request", "misdirected"}, name
                assert "location" not in refused.headers
                assert b"evil.example" not in refused.body


# ---- one connection, several requests


async def test_pipelined_requests_are_judged_each_for_itself(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    other = await portal.link(workorder="43")
    theirs = Attacker(portal, other, (await admitted(portal, other)).cookies)
    mine, foreign = GET + b"\r\n", SECOND.replace(LAST, HEAD)
    answers, received = await attacker.send(
        mine
        + foreign
        + b"GET /workorders/42 HTTP/1.1\r\nHost: HOST\r\n\r\n"
        + theirs.fill(foreign)
        + ONLY
        + b"\r\n"
    )
    assert [each.status for each in answers] == [200, 403, 401, 200, 200]
    assert [each.one(b"X-Portal-Link") for each in received] == [
        each["_id"].encode() for each in (attacker.link, other, attacker.link)
    ]
    assert [each.one(b"X-Portal-Workorder") for each in received] == [b"42", b"43", b"42"]


async def test_an_unfinished_upgrade_does_not_open_a_tunnel(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    websocket = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://HOST\r\n"
    )
    answers, received = await attacker.send(GET + h2c + b"\r\n" + SECOND)
    assert [each.request_line for each in received] == [b"GET /workorders/42 HTTP/1.1"]
    assert received[0].one(b"Upgrade") is None
    answers, received = await attacker.send(GET + websocket + b"\r\n" + SECOND)
    assert received == []
    assert {each.headers["x-portal-reason"] for each in answers} <= {"no_route", "not_permitted"}


# ---- hostile answers


async def _hang_up_in_the_middle(talk: Conversation) -> None:
    await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    talk.close()


async def _stop_between_chunks(talk: Conversation) -> None:
    await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    talk.close()


BAD_HEADS: dict[str, bytes] = {
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "CL with TE": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "huge headers": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 50_000,
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: b=c\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "a status that is none": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "endless interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5_000,
}


async def test_an_answer_that_is_no_answer_is_502(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for name, raw in BAD_HEADS.items():
        portal.backend.behave = answer(raw, close=True)
        answers, received = await attacker.send(ONLY + b"\r\n")
        assert len(received) == 1, name
        assert [each.status for each in answers] == [502], name
        assert answers[0].headers["x-portal-reason"] == "upstream_unavailable"


CUT: dict[str, Behaviour] = {
    "short body": _hang_up_in_the_middle,
    "chunks without an end": _stop_between_chunks,
    "bad chunk": answer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", close=True
    ),
}


async def test_half_an_answer_is_never_a_whole_one(portal: Portal) -> None:
    attacker = await attacker_of(portal)
    for name, behave in CUT.items():
        portal.backend.behave = behave
        async with connect(attacker.address) as connection:
            await connection.send(attacker.fill(ONLY + b"\r\n"))
            received = await connection.read_to_end()
        whole = received.endswith(b"0\r\n\r\n") or b"half" not in received
        assert connection.was_reset or not whole or b" 502 " in received, name


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(simple(MARK), id="an answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Evil: evil-7f3a\r\nX-Rest: ", id="half a head"),
        pytest.param(b"HTTP/1.1 403 Forbidden\r\n", id="a status"),
        pytest.param(simple(MARK)[:-4], id="half a body"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n", id="an interim answer"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(b"H", id="one byte"),
    ],
)
async def test_bytes_after_an_answer_are_nobodys_answer(portal: Portal, rest: bytes) -> None:
    """What a backend sends unasked must not reach the next visitor, nor a part of it."""
    attacker = await attacker_of(portal)
    portal.backend.behave = answer(simple(b"mine") + rest)
    answers, received = await attacker.send(ONLY + b"\r\n")
    assert [each.body for each in answers] == [b"mine"]
    spoilt = received[0].connection
    portal.backend.behave = answer(simple(b"yours", status="203 Checked"))
    results = await asyncio.gather(*(attacker.send(ONLY + b"\r\n") for _ in range(5)))
    answers = [each for answers, _ in results for each in answers]
    assert {(each.status, each.body) for each in answers} == {(203, b"yours")}
    assert all({"x-evil", "x-rest"}.isdisjoint(each.headers) for each in answers)
    assert all(each.connection != spoilt for each in portal.backend.requests[-5:])
