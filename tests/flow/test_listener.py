"""The visitors' listener, byte by byte: what reaches the handler, and what never does."""

from __future__ import annotations

import asyncio
import logging
import resource

import pytest
from aiohttp import web

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.listener import peer_address
from gateway.listener import protocol as protocol_module
from gateway.listener.protocol import MAX_QUEUED
from gateway.proxy.response import BareResponse
from tests.flow.listening import Recorder, listening, on_both_loops, until
from tests.raw_client import Answer, connect, exchange, parse_answers

GET = b"GET /w HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /w HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
TOKEN = b"wpl_0123456789abcdefghijABCDEFGHIJ0123456789"


def assert_refused(answer: Answer, status: int = 400, reason: str = "bad_request") -> None:
    assert (answer.version, answer.status) == ("HTTP/1.1", status)
    assert answer.headers["x-portal-reason"] == reason
    assert answer.headers["connection"] == "close"
    assert "server" not in answer.headers


SMUGGLED = [
    pytest.param(
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="CL with TE"
    ),
    pytest.param(
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", id="TE with CL"
    ),
    pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", id="two lengths"),
    pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", id="a length twice"),
    pytest.param(POST + b"Content-Length: 1, 1\r\n\r\na", id="listed lengths"),
    pytest.param(POST + b"Content-Length: +1\r\n\r\na", id="signed length"),
    pytest.param(POST + b"Content-Length: 0x1\r\n\r\na", id="hexadecimal length"),
    pytest.param(POST + b"Content-Length: 1_0\r\n\r\n", id="underscore in length"),
    pytest.param(POST + b"Content-Length: 1 0\r\n\r\n", id="space in length"),
    pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="negative length"),
    pytest.param(POST + b"Content-Length: \r\n\r\n", id="empty length"),
    pytest.param(POST + b"Content-Length: 99999999999999999999\r\n\r\n", id="huge length"),
    pytest.param(POST + b"Content-Length: 9999999999999999999\r\n\r\n", id="length of 19 digits"),
    pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="gzip, chunked"),
    pytest.param(POST + b"Transfer-Encoding: chunked, identity\r\n\r\n", id="chunked, identity"),
    pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n", id="identity"),
    pytest.param(POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", id="chunked, chunked"),
    pytest.param(
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        id="TE twice",
    ),
    pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n", id="xchunked"),
    pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", id="VT before chunked"),
    pytest.param(
        b"POST /w HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        id="TE in 1.0",
    ),
    pytest.param(CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", id="chunk 0x5"),
    pytest.param(CHUNKED + b"5_\r\nhello\r\n0\r\n\r\n", id="chunk 5_"),
    pytest.param(CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", id="chunk after a space"),
    pytest.param(CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", id="chunk before a space"),
    pytest.param(CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", id="chunk +5"),
    pytest.param(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", id="chunk -5"),
    pytest.param(CHUNKED + b"\r\nhello\r\n0\r\n\r\n", id="chunk without a size"),
    pytest.param(CHUNKED + b"fffffffffffffffff\r\nhello", id="chunk of 17 digits"),
    pytest.param(CHUNKED + b"0000000000000005\r\nhello", id="chunk with many zeros"),
    pytest.param(CHUNKED + b"5\nhello\r\n0\r\n\r\n", id="chunk line ends in LF"),
    pytest.param(CHUNKED + b"5\r\nhello\n0\r\n\r\n", id="chunk ends in LF"),
    pytest.param(CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n", id="chunk longer than its size"),
    pytest.param(CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", id="LF in an extension"),
    pytest.param(CHUNKED + b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", id="long extension"),
    pytest.param(CHUNKED + b"5;" + b"a" * 300, id="endless extension"),
    pytest.param(CHUNKED + b"0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n", id="trailer section"),
    pytest.param(
        POST + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="Trailer"
    ),
    pytest.param(b"GET /w HTTP/1.1\nHost: h\n\n", id="bare LF"),
    pytest.param(b"GET /w HTTP/1.1\rHost: h\r\r", id="bare CR"),
    pytest.param(GET + b"A: b\rc: d\r\n\r\n", id="CR in a value"),
    pytest.param(GET + b"A: b\n\r\n", id="one bare LF"),
    pytest.param(GET + b"A: b\r\n c\r\n\r\n", id="obs-fold"),
    pytest.param(GET + b"A: b\r\n\tc\r\n\r\n", id="obs-fold with a tab"),
    pytest.param(b"GET /w HTTP/1.1\r\n Host: h\r\n\r\n", id="space before the first field"),
    pytest.param(GET + b"Host: h\r\n\r\n", id="Host twice"),
    pytest.param(b"GET /w HTTP/1.1\r\nA: b\r\n\r\n", id="no Host"),
    pytest.param(GET + b"A: b\x00c\r\n\r\n", id="NUL in a value"),
    pytest.param(GET + b"A\x00: b\r\n\r\n", id="NUL in a name"),
    pytest.param(GET + b"A: b\x01\r\n\r\n", id="control in a value"),
    pytest.param(GET + b"A : b\r\n\r\n", id="space before the colon"),
    pytest.param(GET + b"Content-Length : 5\r\n\r\nhello", id="space before CL's colon"),
    pytest.param(GET + b"A\t: b\r\n\r\n", id="tab before the colon"),
    pytest.param(GET + b": b\r\n\r\n", id="no name"),
    pytest.param(GET + b"A\r\n\r\n", id="no colon"),
    pytest.param(GET + b"A(b): c\r\n\r\n", id="separator in a name"),
    pytest.param(GET + b"A\xc3\xa9: c\r\n\r\n", id="name that is not ASCII"),
    pytest.param(b"GET /w HTTP/0.9\r\nHost: h\r\n\r\n", id="HTTP/0.9"),
    pytest.param(b"GET /w\r\n\r\n", id="no version"),
    pytest.param(b"GET /w HTTP/2.0\r\nHost: h\r\n\r\n", id="HTTP/2.0"),
    pytest.param(b"GET /w HTTP/1.2\r\nHost: h\r\n\r\n", id="HTTP/1.2"),
    pytest.param(b"GET /w HTTP/1.10\r\nHost: h\r\n\r\n", id="HTTP/1.10"),
    pytest.param(b"GET /w http/1.1\r\nHost: h\r\n\r\n", id="http in lower case"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    pytest.param(b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", id="CONNECT"),
    pytest.param(b"GET  /w HTTP/1.1\r\nHost: h\r\n\r\n", id="two spaces before the target"),
    pytest.param(b"GET /w  HTTP/1.1\r\nHost: h\r\n\r\n", id="two spaces after the target"),
    pytest.param(b"GET /w HTTP/1.1 \r\nHost: h\r\n\r\n", id="space after the version"),
    pytest.param(b"GET\t/w\tHTTP/1.1\r\nHost: h\r\n\r\n", id="tabs in the request line"),
    pytest.param(b"GET /w\x7f HTTP/1.1\r\nHost: h\r\n\r\n", id="DEL in the target"),
    pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", id="target that is not ASCII"),
    pytest.param(b"GET w HTTP/1.1\r\nHost: h\r\n\r\n", id="target without a slash"),
    pytest.param(b"get /w HTTP/1.1\r\nHost: h\r\n\r\n", id="method in lower case"),
    pytest.param(POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", id="unknown expectation"),
    pytest.param(
        POST + b"Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\n", id="listed expectation"
    ),
]


@pytest.mark.parametrize("sent", SMUGGLED)
@on_both_loops
async def test_what_two_programs_could_read_differently_is_refused(sent: bytes) -> None:
    recorder = Recorder()
    async with listening(recorder) as listener:
        [answer] = await exchange(listener.addresses[0], sent)
    assert_refused(answer)
    assert recorder.targets == []


@pytest.mark.parametrize("sent", SMUGGLED)
async def test_it_is_refused_just_so_behind_a_good_request(sent: bytes) -> None:
    recorder = Recorder()
    async with listening(recorder) as listener:
        answers = await exchange(
            listener.addresses[0], b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n" + sent
        )
    assert [answer.status for answer in answers] == [200, 400]
    assert answers[0].text == "/first"
    assert recorder.targets == ["/first"]


@pytest.mark.parametrize("sent", SMUGGLED)
async def test_it_is_refused_just_so_byte_by_byte(sent: bytes) -> None:
    """Cut at every byte, the header may already be with the handler when the body turns bad."""
    recorder = Recorder()
    async with listening(recorder) as listener, connect(listener.addresses[0]) as client:
        head_end = sent.find(b"\r\n\r\n") + 4
        for position in range(min(head_end, len(sent)) if head_end > 3 else len(sent)):
            await client.send(sent[position : position + 1])
        await client.send(sent[head_end:] if head_end > 3 else b"")
        [answer] = parse_answers(await client.read_to_end())
    assert_refused(answer)
    assert recorder.bodies == []


@pytest.mark.parametrize(
    ("line", "target"),
    [
        pytest.param(b"GET http://other/w HTTP/1.1", "http://other/w", id="foreign absolute form"),
        pytest.param(b"GET //w HTTP/1.1", "//w", id="two slashes"),
        pytest.param(b"GET /w#f HTTP/1.1", "/w#f", id="fragment"),
        pytest.param(b"GET /a\\b HTTP/1.1", "/a\\b", id="backslash"),
        pytest.param(b"GET /a/../b?c HTTP/1.1", "/a/../b?c", id="dot segments"),
        pytest.param(b"OPTIONS * HTTP/1.1", "*", id="asterisk form"),
        pytest.param(b"TRACE /w HTTP/1.1", "/w", id="TRACE"),
        pytest.param(b"GET /w HTTP/1.0", "/w", id="HTTP/1.0"),
        pytest.param(b"\r\n\r\nGET /w HTTP/1.1", "/w", id="empty lines first"),
    ],
)
@on_both_loops
async def test_what_the_rules_judge_arrives_as_it_was_sent(line: bytes, target: str) -> None:
    recorder = Recorder()
    async with listening(recorder) as listener:
        [answer] = await exchange(
            listener.addresses[0], line + b"\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
    assert answer.status == 200
    assert recorder.targets == [target]


# Sizes and numbers


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", id="long target"),
        pytest.param(GET + b"A: " + b"a" * 2000 + b"\r\n\r\n", id="long value"),
        pytest.param(GET + b"a" * 2000 + b": a\r\n\r\n", id="long name"),
        pytest.param(GET + b"A: aaaaaaaaaa\r\n" * 80 + b"\r\n", id="many short lines"),
        pytest.param(GET + b"A: aaaaaaaaaa\r\n" * 80, id="many lines, not complete"),
        pytest.param(b"A" * 2000, id="no line at all"),
    ],
)
@on_both_loops
async def test_a_header_over_its_size_is_refused(sent: bytes) -> None:
    recorder = Recorder()
    async with listening(recorder, max_header_size=1000) as listener:
        [answer] = await exchange(listener.addresses[0], sent)
    assert_refused(answer, 431, "header_too_large")
    assert recorder.targets == []


async def test_the_header_may_have_exactly_its_size() -> None:
    filler = 1000 - len(GET + b"Connection: close\r\nA: \r\n\r\n")
    whole = GET + b"Connection: close\r\nA: " + b"a" * filler + b"\r\n\r\n"
    assert len(whole) == 1000
    async with listening(Recorder(), max_header_size=1000) as listener:
        [fits] = await exchange(listener.addresses[0], whole)
        [does_not] = await exchange(listener.addresses[0], whole.replace(b"A: ", b"A: a"))
    assert fits.status == 200
    assert_refused(does_not, 431, "header_too_large")


async def test_128_fields_pass_and_129_do_not() -> None:
    fields = b"".join(b"A%d: b\r\n" % number for number in range(126))
    async with listening(Recorder()) as listener:
        [fits] = await exchange(
            listener.addresses[0], GET + b"Connection: close\r\n" + fields + b"\r\n"
        )
        [does_not] = await exchange(
            listener.addresses[0], GET + b"Connection: close\r\nB: c\r\n" + fields + b"\r\n"
        )
    assert fits.status == 200
    assert_refused(does_not, 431, "header_too_large")


async def test_a_refused_client_that_goes_on_sending_can_read_the_answer() -> None:
    async with listening(Recorder()) as listener, connect(listener.addresses[0]) as client:
        await client.send(GET + b"A: " + b"a" * 1_000_000)
        received = await client.read_until(b"}")
    [answer] = parse_answers(received)
    assert_refused(answer, 431, "header_too_large")


@on_both_loops
async def test_connections_over_the_limit_are_turned_away() -> None:
    async with listening(Recorder(), max_connections=2) as listener:
        address = listener.addresses[0]
        async with connect(address) as first, connect(address) as second:
            await first.send(GET + b"\r\n")
            await second.send(GET + b"\r\n")
            assert (await first.read_answer()).status == 200
            assert (await second.read_answer()).status == 200
            [third] = await exchange(address, LAST)
            assert_refused(third, 503, "overloaded")
            assert third.headers["retry-after"] == "5"
            assert listener.open_connections == 2
        await until(lambda: listener.open_connections == 0)
        [fourth] = await exchange(address, LAST)
    assert fourth.status == 200


# Time


@on_both_loops
async def test_a_header_that_does_not_come_to_its_end_is_given_up() -> None:
    async with listening(Recorder(), header_timeout=0.05) as listener:
        for sent in (b"", GET, GET + b"A: b"):
            async with connect(listener.addresses[0]) as client:
                await client.send(sent)
                assert await client.read_to_end() == b""


async def test_the_time_of_the_next_header_begins_with_its_first_byte() -> None:
    async with (
        listening(Recorder(), header_timeout=0.05) as listener,
        connect(listener.addresses[0]) as client,
    ):
        await client.send(GET + b"\r\n")
        assert (await client.read_answer()).status == 200
        with pytest.raises(TimeoutError):
            await client.read_to_end(deadline=0.2)  # idle: nothing has begun
        await client.send(b"G")
        assert await client.read_to_end() == b""


async def test_a_half_header_behind_a_slow_answer_waits_for_the_answer() -> None:
    release = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return BareResponse(200, body=b"slow")

    async with (
        listening(slow, header_timeout=0.05) as listener,
        connect(listener.addresses[0]) as client,
    ):
        await client.send(GET + b"\r\n" + b"GET /half")
        with pytest.raises(TimeoutError):
            await client.read_to_end(deadline=0.2)
        release.set()
        assert (await client.read_answer()).body == b"slow"
        assert await client.read_to_end() == b""


async def test_many_slow_headers_are_all_given_up_and_nobody_else_waits() -> None:
    async def dribble(address: str) -> bytes:
        async with connect(address) as client:
            for byte in GET:
                await client.send(bytes([byte]))
            return await client.read_to_end()

    async with listening(Recorder(), header_timeout=0.3) as listener:
        address = listener.addresses[0]
        slow = [asyncio.create_task(dribble(address)) for _ in range(200)]
        await until(lambda: listener.open_connections >= 200)
        [answer] = await exchange(address, LAST)
        assert answer.status == 200
        assert set(await asyncio.gather(*slow)) == {b""}
        await until(lambda: listener.open_connections == 0)


@on_both_loops
async def test_an_idle_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "IDLE_TIMEOUT", 0.1)
    async with listening(Recorder()) as listener, connect(listener.addresses[0]) as client:
        await client.send(GET + b"\r\n")
        assert (await client.read_answer()).status == 200
        assert await client.read_to_end() == b""


async def test_a_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_module, "STALLED_TIMEOUT", 0.2)
    outcome: list[BaseException] = []

    async def pour(request: web.BaseRequest) -> web.StreamResponse:
        response = BareResponse(200)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"a" * 65536)
        except ConnectionError as error:
            outcome.append(error)
            raise

    async with listening(pour) as listener, connect(listener.addresses[0]) as client:
        await client.send(GET + b"\r\n")
        await client.read_until(b"\r\n\r\n")
        await until(lambda: listener.open_connections == 0)
    assert len(outcome) == 1


# Bodies


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"zz\r\n", id="bad size"),
        pytest.param(b"0\r\nA: b\r\n\r\n", id="trailer section"),
        pytest.param(b"2\r\nabc", id="longer than its size"),
    ],
)
@on_both_loops
async def test_a_bad_chunk_fails_the_running_body_at_once(rest: bytes) -> None:
    recorder = Recorder()
    async with listening(recorder) as listener, connect(listener.addresses[0]) as client:
        await client.send(CHUNKED + b"5\r\nhello\r\n")
        await recorder.started.wait()
        await client.send(rest)
        [answer] = parse_answers(await client.read_to_end())
    assert_refused(answer)
    assert recorder.targets == ["/w"]
    assert recorder.bodies == []


@on_both_loops
async def test_a_body_that_breaks_off_fails_at_once() -> None:
    failures: list[BaseException] = []

    async def read(request: web.BaseRequest) -> web.StreamResponse:
        try:
            await request.content.read()
        except BaseException as error:
            failures.append(error)
            raise
        return BareResponse(200)

    async with listening(read) as listener, connect(listener.addresses[0]) as client:
        await client.send(POST + b"Content-Length: 10\r\n\r\nhello")
        client.half_close()
        assert await client.read_to_end() == b""
        await until(lambda: failures != [])
    assert isinstance(failures[0], ConnectionError)


@on_both_loops
async def test_chunks_cut_anywhere_make_the_same_body() -> None:
    body = b"5\r\nhello\r\nA;name=value\r\n, visitor!\r\n1\r\n\n\r\n0\r\n\r\n"
    recorder = Recorder()
    async with listening(recorder) as listener, connect(listener.addresses[0]) as client:
        for size in (1, 2, 3, 7, 64):
            sent = CHUNKED + body
            for position in range(0, len(sent), size):
                await client.send(sent[position : position + size])
                await asyncio.sleep(0)
            assert (await client.read_answer()).status == 200
    assert recorder.bodies == [b"hello, visitor!\n"] * 5


async def test_a_trailer_never_becomes_a_header_of_the_next_request() -> None:
    recorder = Recorder()
    async with listening(recorder) as listener, connect(listener.addresses[0]) as client:
        await client.send(CHUNKED)
        await recorder.started.wait()
        await client.send(b"0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n" + LAST)
        [answer] = parse_answers(await client.read_to_end())
    assert_refused(answer)
    assert recorder.targets == ["/w"]


@pytest.mark.parametrize(
    "size", [pytest.param(1, id="one byte each"), pytest.param(17, id="17 bytes each")]
)
async def test_a_flood_of_tiny_chunks_costs_little_memory(size: int) -> None:
    count = 300_000
    seen = 0
    most_waiting = 0

    async def measure(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal seen, most_waiting
        while data := await request.content.readany():
            seen += len(data)
            most_waiting = max(most_waiting, len(data))
        return BareResponse(200, body=b"done")

    before = resource.getrusage(resource.RUSAGE_SELF)
    async with listening(measure) as listener, connect(listener.addresses[0]) as client:
        chunk = b"%x\r\n%s\r\n" % (size, b"a" * size)
        await client.send(CHUNKED)
        for _ in range(300):
            await client.send(chunk * (count // 300))
        await client.send(b"0\r\n\r\n")
        assert (await client.read_answer()).body == b"done"
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert seen == count * size
    assert most_waiting <= 256 * 1024
    # The rise of the peak, in KiB; without a bound the chunks alone are some 30 MiB.
    assert after.ru_maxrss - before.ru_maxrss < 16 * 1024
    assert after.ru_utime - before.ru_utime < 10


async def test_a_body_that_nobody_reads_stops_the_client() -> None:
    release = asyncio.Event()

    async def ignore(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return BareResponse(200, body=b"unread")

    async with listening(ignore) as listener, connect(listener.addresses[0]) as client:
        await client.send(POST + b"Content-Length: 100000000\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.send(b"a" * 100_000_000)
        release.set()
        assert (await client.read_answer()).body == b"unread"
        client.reset()


async def test_a_gzip_body_arrives_as_it_is() -> None:
    recorder = Recorder()
    async with listening(recorder) as listener:
        [answer] = await exchange(
            listener.addresses[0],
            POST
            + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nno gzip",
        )
    assert answer.status == 200
    assert recorder.bodies == [b"no gzip"]


# Expect: 100-continue (RFC 9110 section 10.1.1)

EXPECTING = POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"


@on_both_loops
async def test_continue_is_sent_when_the_body_is_wanted() -> None:
    recorder = Recorder()
    async with listening(recorder) as listener, connect(listener.addresses[0]) as client:
        for _ in range(2):
            await client.send(EXPECTING)
            assert await client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"hello")
            assert (await client.read_answer()).status == 200
    assert recorder.bodies == [b"hello", b"hello"]


async def test_continue_is_not_sent_when_the_body_came_by_itself() -> None:
    async with listening(Recorder()) as listener, connect(listener.addresses[0]) as client:
        await client.send(EXPECTING + b"hello" + LAST)
        answers = parse_answers(await client.read_to_end())
    assert [answer.status for answer in answers] == [200, 200]


async def test_continue_is_not_sent_to_a_1_0_client() -> None:
    async with listening(Recorder()) as listener, connect(listener.addresses[0]) as client:
        await client.send(EXPECTING.replace(b"1.1", b"1.0") + b"hello")
        [answer] = parse_answers(await client.read_to_end())
    assert answer.status == 200


@on_both_loops
async def test_an_answer_instead_of_continue_ends_the_connection() -> None:
    async def refuse_body(request: web.BaseRequest) -> web.StreamResponse:
        return BareResponse(413, body=b"too large")

    async with listening(refuse_body) as listener, connect(listener.addresses[0]) as client:
        await client.send(EXPECTING)
        [answer] = parse_answers(await client.read_to_end())
    assert (answer.status, answer.headers["connection"]) == (413, "close")


# One after the other


@on_both_loops
async def test_pipelined_requests_are_answered_in_their_order() -> None:
    recorder = Recorder()
    count = MAX_QUEUED * 5
    sent = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(count))
    async with listening(recorder) as listener:
        answers = await exchange(listener.addresses[0], sent + LAST)
    wanted = [f"/{number}" for number in range(count)] + ["/last"]
    assert [answer.text for answer in answers] == wanted
    assert recorder.targets == wanted


async def test_a_huge_pipeline_waits_in_the_network() -> None:
    release = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return BareResponse(204)

    async with listening(slow) as listener, connect(listener.addresses[0]) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.send((GET + b"\r\n") * 1_000_000)
        assert listener._server is not None
        [connection] = listener._server.visitors
        assert len(connection._messages) <= MAX_QUEUED
        client.reset()
        release.set()


@on_both_loops
async def test_bytes_after_close_are_ignored() -> None:
    recorder = Recorder()
    async with listening(recorder) as listener:
        answers = await exchange(
            listener.addresses[0], GET + b"Connection: close\r\n\r\n" + LAST + b"\x00garbage"
        )
    assert [answer.text for answer in answers] == ["/w"]
    assert recorder.targets == ["/w"]


async def test_the_rest_of_an_unread_body_is_not_the_next_request() -> None:
    async def refuse_body(request: web.BaseRequest) -> web.StreamResponse:
        return BareResponse(403, body=request._message.path.encode())

    hidden = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
    async with listening(refuse_body) as listener, connect(listener.addresses[0]) as client:
        await client.send(POST + b"Content-Length: %d\r\n\r\n" % (2 * len(hidden)) + hidden)
        assert (await client.read_answer()).text == "/w"
        await client.send(hidden + LAST)
        answers = parse_answers(await client.read_to_end())
    assert [answer.text for answer in answers] == ["/last"]


@pytest.mark.parametrize(
    "upgrade",
    [
        pytest.param(b"h2c", id="h2c"),
        pytest.param(b"websocket", id="a WebSocket, declined"),
        pytest.param(b"TLS/1.0", id="TLS"),
    ],
)
@on_both_loops
async def test_an_upgrade_that_is_not_made_is_a_request(upgrade: bytes) -> None:
    recorder = Recorder()
    async with listening(recorder) as listener:
        answers = await exchange(
            listener.addresses[0],
            GET
            + b"Connection: Upgrade\r\nUpgrade: "
            + upgrade
            + b"\r\n\r\n"
            + GET
            + b"\r\n"
            + LAST,
        )
    assert [answer.text for answer in answers] == ["/w", "/w", "/last"]


@on_both_loops
async def test_a_websocket_takes_the_connection_over() -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket

    handshake = (
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    masked_hi = b"\x81\x82\x00\x00\x00\x00hi"
    async with listening(echo) as listener, connect(listener.addresses[0]) as client:
        await client.send(handshake + masked_hi)
        head = await client.read_until(b"\r\n\r\n")
        assert b" 101 " in head
        assert b"\r\nServer:" not in head
        assert await client.read_until(b"hi") == b"\x81\x02hi"
        await client.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
        assert await client.read_to_end() == b"\x88\x02\x03\xe8"


# The client's own end


@on_both_loops
async def test_a_client_that_has_closed_its_side_gets_its_answers() -> None:
    release = asyncio.Event()
    recorder = Recorder()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return await recorder(request)

    async with listening(slow) as listener, connect(listener.addresses[0]) as client:
        await client.send(POST + b"Content-Length: 5\r\n\r\nhello")
        client.half_close()
        await until(lambda: _half_closed(listener))
        release.set()
        [answer] = parse_answers(await client.read_to_end())
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert recorder.bodies == [b"hello"]


def _half_closed(listener: object) -> bool:
    return any(each._half_closed for each in listener._server.visitors)  # type: ignore[attr-defined]


async def test_a_client_that_has_closed_its_side_waits_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol_module, "HALF_CLOSED_TIMEOUT", 0.1)
    never = asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        await never.wait()
        return BareResponse(200)

    async with listening(hang) as listener, connect(listener.addresses[0]) as client:
        await client.send(GET + b"\r\n")
        client.half_close()
        assert await client.read_to_end() == b""
        never.set()


async def test_a_client_that_leaves_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    gone = asyncio.Event()
    ended = asyncio.Event()

    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = BareResponse(200)
        await response.prepare(request)
        await gone.wait()
        try:
            while True:
                await response.write(b"a" * 65536)
        finally:
            ended.set()

    async with listening(stream) as listener:
        async with connect(listener.addresses[0]) as client:
            await client.send(GET + b"\r\n")
            await client.read_until(b"\r\n\r\n")
            client.reset()
        await until(lambda: listener._server is not None and not _transports(listener._server))
        gone.set()
        await ended.wait()
        await until(lambda: listener.open_connections == 0)
    assert caplog.records == []


def _transports(server: object) -> list[object]:
    return [each for each in server.visitors if each.transport is not None]  # type: ignore[attr-defined]


# Faults


@on_both_loops
async def test_a_fault_of_the_handler_is_a_500_that_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(request: web.BaseRequest) -> web.StreamResponse:
        try:
            int(request._message.path)
        except ValueError as error:
            raise LookupError(request._message.path) from error
        return BareResponse(200)

    caplog.set_level(logging.DEBUG)
    async with listening(fail) as listener:
        [answer] = await exchange(
            listener.addresses[0], b"GET /workorder/" + TOKEN + b" HTTP/1.1\r\nHost: h\r\n\r\n"
        )
    assert (answer.status, answer.headers["connection"]) == (500, "close")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert TOKEN.decode() not in answer.text
    assert TOKEN.decode() not in caplog.text
    assert "LookupError" in caplog.text
    assert "in fail" in caplog.text


@pytest.mark.parametrize(
    "result",
    [pytest.param(None, id="nothing"), pytest.param(TOKEN.decode(), id="something else")],
)
async def test_a_handler_without_an_answer_is_a_500(
    result: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def forget(request: web.BaseRequest) -> web.StreamResponse:
        return result  # type: ignore[return-value]

    async with listening(forget) as listener:
        [answer] = await exchange(listener.addresses[0], LAST)
    assert answer.status == 500
    assert "server" not in answer.headers
    assert TOKEN.decode() not in caplog.text
    assert "returned no response" in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /workorder/" + TOKEN + b" HTTP/1.1\nHost: h\n\n", id="bare LF"),
        pytest.param(b"GET /workorder/" + TOKEN + b"\x01 HTTP/1.1\r\n\r\n", id="bad target"),
        pytest.param(b"GET /" + TOKEN * 1000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", id="too long"),
        pytest.param(GET + b"Cookie: " + TOKEN + b"\x00\r\n\r\n", id="bad cookie"),
        pytest.param(TOKEN + b" / HTTP/1.1\r\n\r\n", id="bad method"),
    ],
)
async def test_no_byte_of_a_bad_request_is_logged_or_answered(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening(Recorder()) as listener, connect(listener.addresses[0]) as client:
        await client.send(sent)
        received = await client.read_to_end()
    assert received.startswith(b"HTTP/1.1 4")
    assert TOKEN not in received
    assert TOKEN.decode() not in caplog.text


async def test_a_fault_within_an_answer_resets_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def break_off(request: web.BaseRequest) -> web.StreamResponse:
        response = BareResponse(200)
        await response.prepare(request)
        await response.write(b"half")
        raise LookupError

    async with listening(break_off) as listener, connect(listener.addresses[0]) as client:
        await client.send(b"GET /w HTTP/1.0\r\n\r\n")
        await client.read_to_end()
        assert client.was_reset
    assert "LookupError" in caplog.text


async def test_a_refusal_that_leaves_the_handler_is_answered() -> None:
    async def refuse_late(request: web.BaseRequest) -> web.StreamResponse:
        raise Refusal(Reason.BAD_REQUEST, "Too late.")

    async with listening(refuse_late) as listener:
        [answer] = await exchange(listener.addresses[0], LAST)
    assert_refused(answer)


# Draining


@on_both_loops
async def test_draining_lets_requests_end_and_closes_the_rest() -> None:
    release = asyncio.Event()
    recorder = Recorder()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        response = await recorder(request)
        await release.wait()
        return response

    async with listening(slow) as listener:
        address = listener.addresses[0]
        async with connect(address) as busy, connect(address) as unused:
            await busy.send(POST + b"Content-Length: 5\r\n\r\nhe")
            await recorder.started.wait()
            await until(lambda: listener.open_connections == 2)
            listener.begin_drain()
            assert await unused.read_to_end() == b""
            with pytest.raises(ConnectionRefusedError):
                await exchange(address, LAST)
            closing = asyncio.create_task(listener.close(timeout=10))
            await busy.send(b"llo")
            release.set()
            [answer] = parse_answers(await busy.read_to_end())
            await closing
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert recorder.bodies == [b"hello"]
    assert listener.open_connections == 0


@on_both_loops
async def test_what_outlives_the_drain_is_cut_and_does_not_look_whole() -> None:
    cancelled = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = BareResponse(200)
        await response.prepare(request)
        await response.write(b"half")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return response

    async with listening(endless) as listener, connect(listener.addresses[0]) as client:
        await client.send(b"GET /w HTTP/1.0\r\n\r\n")
        await client.read_until(b"half")
        await listener.close(timeout=0.05)
        assert cancelled.is_set()
        assert await client.read_to_end() == b""
        assert client.was_reset


# Where a request comes from


@pytest.mark.parametrize(
    ("listen", "peer"),
    [
        pytest.param("127.0.0.1:0", "127.0.0.1", id="IPv4"),
        pytest.param("[::1]:0", "::1", id="IPv6"),
        pytest.param("unix:{tmp}/visitors.sock", "None", id="unix"),
    ],
)
@on_both_loops
async def test_the_peer_address(listen: str, peer: str, tmp_path: object) -> None:
    async def tell(request: web.BaseRequest) -> web.StreamResponse:
        return BareResponse(200, body=str(peer_address(request)).encode())

    async with listening(tell, listen=listen.format(tmp=tmp_path)) as listener:
        [answer] = await exchange(listener.addresses[0], LAST)
    assert answer.text == peer


def test_the_client_of_these_tests_is_strict() -> None:
    with pytest.raises(AssertionError):
        parse_answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf")
