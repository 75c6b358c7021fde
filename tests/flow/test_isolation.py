"""Many visitors at once, of whom many leave, before a backend with every bad habit.

Whatever happens to one request, another one's answer holds nothing of it, and the backend never
takes a part of one request for a part of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.echo_backend import Conversation, EchoBackend, Recorded
from tests.flow.proxy_harness import Answer, Harness, Visitor, head

VISITORS = 120
AT_ONCE = 20
# A second answer, or its beginning, behind the one that was asked for.
STRAY = (
    b"HTTP/1.1 200 OK\r\nX-Number: 0\r\nX-Rest: ",
    b"HTTP/1.1 200 OK\r\nX-Number: 0\r\nContent-Length: 3\r\n\r\n<0>",
)


async def body_of(talk: Conversation) -> bytes:
    """The request's body, and not a byte of what follows. Raises IncompleteReadError."""
    length = talk.request.one(b"Content-Length")
    if length is not None:
        return await talk.reader.readexactly(int(length))
    body = b""
    if talk.request.one(b"Transfer-Encoding") is not None:
        while size := int(await talk.reader.readuntil(b"\r\n"), 16):
            body += (await talk.reader.readexactly(size + 2))[:-2]
        await talk.reader.readexactly(2)
    return body


@dataclass
class Crowd:
    """The backend's habits and the visitors' doings, by chance; `strange` is what was mixed up."""

    chance: Random
    harness: Harness
    strange: list[object] = field(default_factory=list)
    asked: int = 0
    answered: int = 0

    async def behave(self, talk: Conversation) -> None:
        number = self._number(talk.request)
        early = self.chance.random() < 0.3
        if not early:
            await self._take(talk, number)
        habit: Callable[[Conversation, bytes, str], Awaitable[None]] = self.chance.choice(
            [self._sized, self._chunked, self._slowly, self._and_more, self._half, self._nothing]
        )
        status = self.chance.choice(["200 OK", "302 Found", "413 Content Too Large"])
        fields = f"HTTP/1.1 {status}\r\nX-Number: {number.decode()}\r\n"
        if talk.request.head.startswith(b"HEAD"):
            await talk.send(fields.encode() + b"Content-Length: 5\r\n\r\n")
        else:
            await habit(talk, b"<%s>" % number * self.chance.choice([0, 1, 2000]), fields)
        if early and talk.keep_alive:
            await self._take(talk, number)

    def _number(self, request: Recorded) -> bytes:
        method, target, version = request.request_line.split(b" ")
        if method not in {b"GET", b"HEAD", b"POST"} or version != b"HTTP/1.1":
            self.strange.append(request.head)
        return target.strip(b"/")

    async def _take(self, talk: Conversation, number: bytes) -> None:
        if (await body_of(talk)).replace(b"(%s)" % number, b""):
            self.strange.append(talk.request.head)

    async def _pause(self) -> None:
        """Let others in between, for a number of turns of the loop."""
        for _ in range(self.chance.randrange(20)):
            await asyncio.sleep(0)

    async def _sized(self, talk: Conversation, body: bytes, fields: str) -> None:
        await talk.send(f"{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def _chunked(self, talk: Conversation, body: bytes, fields: str) -> None:
        await talk.send(f"{fields}Transfer-Encoding: chunked\r\n\r\n".encode())
        if body:
            await talk.send(b"%x\r\n%s\r\n" % (len(body), body))
        await self._pause()
        await talk.send(b"0\r\n\r\n")

    async def _slowly(self, talk: Conversation, body: bytes, fields: str) -> None:
        await talk.send(f"{fields}Content-Length: {len(body)}\r\n\r\n".encode())
        for part in (body[:1], body[1:]):
            await self._pause()
            await talk.send(part)

    async def _and_more(self, talk: Conversation, body: bytes, fields: str) -> None:
        whole = f"{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body
        await talk.send(whole + self.chance.choice(STRAY))

    async def _half(self, talk: Conversation, body: bytes, fields: str) -> None:
        await talk.send(f"{fields}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
        talk.close()

    async def _nothing(self, talk: Conversation, body: bytes, fields: str) -> None:
        talk.reset()

    async def visit(self) -> None:
        visitor = await self.harness.visitor()
        try:
            while await self._ask(visitor):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the backend's fault, or half an answer
        finally:
            visitor.leave()

    async def _ask(self, visitor: Visitor) -> bool:
        """One request; whether the visitor stays for another."""
        self.asked += 1
        number, method = self.asked, self.chance.choice(["GET", "HEAD", "POST", "POST"])
        raw = self._request(method, number)
        cut = self.chance.randrange(len(raw))
        await visitor.send(raw[:cut])
        await self._pause()
        if self.chance.random() < 0.1:
            return False
        await visitor.send(raw[cut:])
        if self.chance.random() < 0.1:
            await self._pause()
            return False
        answer = await visitor.answer(method)
        self._look_at(answer, number)
        return answer.one("Connection") != "close" and self.chance.random() < 0.8

    def _request(self, method: str, number: int) -> bytes:
        target, body = f"/{number}/", b"(%d)" % number * self.chance.choice([1, 100, 20_000])
        if method != "POST":
            return head(method, target)
        if self.chance.random() < 0.5:
            return head(method, target, f"Content-Length: {len(body)}") + body
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        return head(method, target, "Transfer-Encoding: chunked") + chunk

    def _look_at(self, answer: Answer, number: int) -> None:
        self.answered += 1
        if answer.one("X-Number") not in {str(number), None} or answer.one("X-Rest"):
            self.strange.append((number, answer.fields))
        if answer.one("X-Number") is None and answer.status not in {400, 502}:
            self.strange.append((number, answer.status))
        if answer.body.replace(b"<%d>" % number, b""):
            self.strange.append((number, answer.body[:100]))


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_gets_a_part_of_anybody_elses(backend: EchoBackend, seed: int) -> None:
    harness = await Harness(backend).start()
    crowd = Crowd(Random(seed), harness)
    backend.behave = crowd.behave
    for _ in range(VISITORS // AT_ONCE):
        async with asyncio.timeout(20):
            await asyncio.gather(*(crowd.visit() for _ in range(AT_ONCE)))
    await harness.stop()
    assert crowd.strange == []
    assert crowd.answered > VISITORS
    # Connections were shared, or nothing could have been mixed up.
    assert backend.connections < len(backend.requests)
