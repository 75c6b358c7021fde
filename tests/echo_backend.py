"""A live backend that sees the bytes of each request as they arrived, and answers what it is told.

Written on plain streams: an HTTP library would tidy up what the tests are about. Without other
orders it answers 200 with the whole request, head and body, as it came.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Recorded:
    """One request. `body` is what followed the head, its framing included."""

    head: bytes
    connection: int
    body: bytes = b""
    is_whole: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def request_line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.split(b"\r\n")[1:-2]
        return [
            (name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)
        ]

    def all(self, name: bytes) -> list[bytes]:
        """The values of every field of this name, whatever its case."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def one(self, name: bytes) -> bytes | None:
        values = self.all(name)
        assert len(values) < 2, f"{name!r} arrived {len(values)} times"
        return values[0] if values else None


class Conversation:
    """A request that has arrived, and the connection to answer it on."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Recorded
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.request = request
        self.keep_alive = True

    async def read_some(self) -> bytes:
        """What arrives next of the body; b"" if the gateway has closed the connection."""
        try:
            data = await self.reader.read(65536)
        except ConnectionError:
            data = b""
        self.request.body += data
        return data

    async def read_body(self) -> None:
        """The body to its end, by its framing."""
        request = self.request
        length = request.one(b"Content-Length")
        if request.one(b"Transfer-Encoding") is not None:
            while not request.body.endswith(b"0\r\n\r\n"):
                if not await self.read_some():
                    return
        elif length is not None:
            while len(request.body) < int(length):
                if not await self.read_some():
                    return
        request.is_whole = True

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait_closed(self) -> None:
        """Read until the gateway closes the connection."""
        while await self.read_some():
            pass

    def close(self) -> None:
        """Close the connection after this request."""
        self.keep_alive = False

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        self.keep_alive = False
        peer = self.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Conversation], Awaitable[None]]


def answer(raw: bytes, *, close: bool = False) -> Behaviour:
    """Read the body, then send exactly these bytes."""

    async def behave(talk: Conversation) -> None:
        await talk.read_body()
        await talk.send(raw)
        if close:
            talk.close()

    return behave


def simple(body: bytes = b"ok", *fields: str, status: str = "200 OK") -> bytes:
    """A complete answer with a length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def echo(talk: Conversation) -> None:
    """Answer with the request."""
    await talk.read_body()
    await talk.send(simple(talk.request.head + talk.request.body))


class EchoBackend:
    """The server. `behave` decides for each request; `requests` are all that arrived."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.behave: Behaviour = echo
        self.connections = 0
        self.origin = ""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrival = asyncio.Event()

    async def start(
        self, *, unix: Path | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> EchoBackend:
        if unix is not None:
            self._server = await asyncio.start_unix_server(self._serve, unix)
            self.origin = f"http+unix://{str(unix).replace('/', '%2F')}"
            return self
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        port = self._server.sockets[0].getsockname()[1]
        self.origin = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{port}"
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    @property
    def last(self) -> Recorded:
        return self.requests[-1]

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return len(self._writers)

    async def arrived(self, count: int = 1) -> Recorded:
        """Wait until `count` requests have arrived."""
        async with asyncio.timeout(5):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.requests[count - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._converse(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
            self._writers.discard(writer)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        keep_alive = True
        while keep_alive:
            request = Recorded(await reader.readuntil(b"\r\n\r\n"), number)
            self.requests.append(request)
            self._arrival.set()
            talk = Conversation(reader, writer, request)
            try:
                await self.behave(talk)
            finally:
                request.over.set()
            keep_alive = talk.keep_alive
