"""The backend of every measurement: `python -m tests.bench.backend PORT`.

It is as fast as a backend in Python can be, so that what is measured is the proxy before it. GET
is answered with 1 KiB, or below `/files/` with as many bytes as the last segment says; POST with
how many bytes arrived and their SHA-256. `/comments` sets the cookies of a login.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import cast

import uvloop

BLOCK = bytes(range(256)) * 1024
_PAGE = bytes(range(32, 96)) * 16
_PAGE_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b'ETag: "a-page"\r\nVary: Accept-Encoding\r\n'
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 1024\r\n\r\n" + _PAGE
)


_LOGIN_ANSWER = _PAGE_ANSWER.replace(
    b"Content-Length",
    b"Set-Cookie: sessionid=" + b"s" * 32 + b"; Path=/; HttpOnly\r\n"
    b"Set-Cookie: csrftoken=" + b"c" * 64 + b"; Path=/\r\nContent-Length",
    1,
)


class Backend(asyncio.Protocol):
    """One connection, request after request."""

    def __init__(self) -> None:
        self._head = b""
        self._left = self._received = 0
        self._digest = hashlib.sha256()
        self._to_send = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._may_write = True

    def data_received(self, data: bytes) -> None:
        while data:
            data = self._take_body(data) if self._left else self._take_head(data)

    def _take_head(self, data: bytes) -> bytes:
        head, end, rest = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head = head
            return b""
        self._head = b""
        if head.startswith(b"POST"):
            self._left = _content_length(head)
            self._received, self._digest = 0, hashlib.sha256()
        elif b"/files/" in head.partition(b"\r\n")[0]:
            self._send_file(int(head.split(b" ", 2)[1].rpartition(b"/")[2]))
        elif b"/comments " in head.partition(b"\r\n")[0]:
            self._transport.write(_LOGIN_ANSWER)
        else:
            self._transport.write(_PAGE_ANSWER)
        return rest

    def _take_body(self, data: bytes) -> bytes:
        piece, rest = data[: self._left], data[self._left :]
        self._digest.update(piece)
        self._received += len(piece)
        self._left -= len(piece)
        if not self._left:
            said = {"bytes": self._received, "sha256": self._digest.hexdigest()}
            body = json.dumps(said).encode()
            self._transport.write(_head_of(len(body)) + body)
        return rest

    def _send_file(self, size: int) -> None:
        self._transport.write(_head_of(size))
        self._to_send = size
        self._send_on()

    def _send_on(self) -> None:
        while self._to_send and self._may_write:
            block = BLOCK[: self._to_send]
            self._to_send -= len(block)
            self._transport.write(block)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._send_on()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("a body without a length")


def _head_of(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
