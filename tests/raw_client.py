"""A client that sends exactly the bytes it is told, for what no HTTP library would send."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

DEADLINE = 10.0
"""Seconds after which a test has failed: the server should have answered, or closed."""

# What an answer may hold several times; of those, the last one is kept.
_REPEATED = frozenset({"set-cookie", "content-security-policy"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, decoded; the names of `headers` are in lower case."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class RawConnection:
    """A connection to a listener, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.was_reset = False

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Leave without a word: a TCP reset."""
        peer = self._writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def read_until(self, marker: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self._reader.readuntil(marker)

    async def read_to_end(self, deadline: float = DEADLINE) -> bytes:
        """Everything until the server closes; TimeoutError if it does not."""
        received = bytearray()
        async with asyncio.timeout(deadline):
            try:
                while data := await self._reader.read(65536):
                    received += data
            except ConnectionResetError:
                self.was_reset = True
        return bytes(received)

    async def read_answer(self) -> Answer:
        """The next answer; the connection may stay open after it."""
        head = await self.read_until(b"\r\n\r\n")
        version, status, headers = _parse_head(head)
        async with asyncio.timeout(DEADLINE):
            if "content-length" in headers:
                body = await self._reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                body = await self._read_chunks()
            else:
                body = b""
        return Answer(version, status, headers, body)

    async def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return bytes(body)

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            self.was_reset = True


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[RawConnection]:
    """Connect to `host:port`, `[v6]:port` or `unix:/path`."""
    if address.startswith("unix:"):
        streams = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        streams = await asyncio.open_connection(host.strip("[]"), int(port))
    connection = RawConnection(*streams)
    try:
        yield connection
    finally:
        await connection.close()


async def exchange(address: str, data: bytes) -> list[Answer]:
    """Send `data`, and read answers until the server closes."""
    async with connect(address) as connection:
        await connection.send(data)
        return parse_answers(await connection.read_to_end())


def parse_answers(received: bytes) -> list[Answer]:
    """All answers in `received`; the last one without a length reaches to the end."""
    answers = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, f"half an answer: {head!r}"
        version, status, headers = _parse_head(head + end)
        body, received = _take_body(status, headers, received)
        answers.append(Answer(version, status, headers, body))
    return answers


def _take_body(status: int, headers: dict[str, str], received: bytes) -> tuple[bytes, bytes]:
    if status < 200 or status in {204, 304}:
        return b"", received
    if "content-length" in headers:
        length = int(headers["content-length"])
        assert len(received) >= length, "the body is shorter than its length"
        return received[:length], received[length:]
    if headers.get("transfer-encoding") != "chunked":
        return received, b""
    body = bytearray()
    while True:
        line, end, received = received.partition(b"\r\n")
        assert end, "a chunked body without its end"
        size = int(line, 16)
        body += received[:size]
        received = received[size + 2 :]
        if size == 0:
            return bytes(body), received


def _parse_head(head: bytes) -> tuple[str, int, dict[str, str]]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    pairs = [line.partition(":") for line in lines]
    headers: dict[str, str] = {}
    for name, _, value in pairs:
        assert name.lower() not in headers or name.lower() in _REPEATED, f"{name} twice"
        headers[name.lower()] = value.strip()
    return version, int(status), headers
