"""An answer to the visitor that carries what it is given, and framing that holds.

aiohttp's own response names the server software and invents a `Content-Type`; it lets a body end
before its declared length, and keeps a 1.0 connection open whose body only its end could delimit.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable
from typing import cast

from aiohttp import HttpVersion11, web
from aiohttp.helpers import EMPTY_BODY_STATUS_CODES, must_be_empty_body, rfc822_formatted_time
from aiohttp.http_writer import StreamWriter

# What frames a message on one connection (RFC 9112 sections 6 and 9) is decided here, anew.
_FRAMING = frozenset({"connection", "keep-alive", "transfer-encoding"})
_PHRASE = re.compile(r"[\x20-\x7e]*")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

CONTINUE_SENT = web.RequestKey("continue_sent", bool)


class BareResponse(web.StreamResponse):
    """An answer with the given header fields and nothing more but `Date`, if that is missing.

    A character of a field's value is a byte (ISO-8859-1), so that what a backend sent leaves as it
    came. The body's framing follows from the request and from `Content-Length`: that many bytes;
    else chunks; else, for a 1.0 client, the connection's end. HEAD, 1xx, 204 and 304 have no body,
    whatever is written. With `body`, that is the whole body and leaves in one piece with the
    header; with `body_is_next`, what is written first does. `headers` and `set_cookie` of the base
    class have no effect: it would copy the fields, and write them in another way.
    """

    def __init__(
        self,
        status: int,
        fields: Iterable[tuple[str, str]] = (),
        *,
        reason: str | None = None,
        body: bytes | None = None,
        body_is_next: bool = False,
    ) -> None:
        if reason is not None and not _PHRASE.fullmatch(reason):
            reason = None
        super().__init__(status=status, reason=reason)
        self._fields = fields
        self._whole = body
        self._waits_for_body = body is not None or body_is_next

    async def prepare(self, request: web.BaseRequest) -> StreamWriter | None:
        """Write the header, or, if the body's first piece is about to come, get it ready.

        Raises ValueError for a field with a character that cannot stand in one.
        """
        writer = cast(StreamWriter, request.writer)
        if self._payload_writer is None and not self._eof_sent:
            self._req, self._payload_writer = request, writer
            self._must_be_empty_body = must_be_empty_body(request.method, self._status)
            writer._headers_buf = self._head(request, writer)
            if not self._waits_for_body:
                writer.send_headers()
        return writer

    def _head(self, request: web.BaseRequest, writer: StreamWriter) -> bytes:
        """The header as it is sent, framing included (RFC 9112 section 6.3)."""
        version = request.version
        lines = [f"HTTP/{version.major}.{version.minor} {self._status} {self._reason}"]
        length = None if self._whole is None else len(self._whole)
        keeps_length = length is None and not self._is_empty_by_status
        has_date = False
        for name, value in self._fields:
            lower = name.lower()
            if lower in _FRAMING or (lower == "content-length" and not keeps_length):
                continue
            if lower == "content-length":
                length = int(value)
            elif lower == "date":
                has_date = True
            lines.append(f"{name}: {value}")
        if self._whole is not None and not self._is_empty_by_status:
            lines.append(f"Content-Length: {length}")
        if not has_date:
            lines.append(f"Date: {rfc822_formatted_time()}")
        lines += self._framing(request, writer, length)
        head = "\r\n".join(lines)
        breaks = len(lines) - 1
        if head.count("\n") != breaks or head.count("\r") != breaks or "\0" in head:
            raise ValueError("A header of the answer has a control character.")
        return f"{head}\r\n\r\n".encode("latin-1")

    @property
    def _is_empty_by_status(self) -> bool:
        return self._status in EMPTY_BODY_STATUS_CODES

    def _framing(
        self, request: web.BaseRequest, writer: StreamWriter, length: int | None
    ) -> list[str]:
        """What else tells where the body ends, and whether the connection goes on."""
        keep_alive = request.keep_alive if self._keep_alive is None else self._keep_alive
        is_new = request.version >= HttpVersion11
        lines = []
        if self._must_be_empty_body:
            pass
        elif length is not None:
            writer.length = length
        elif is_new:
            writer.enable_chunking()
            lines.append("Transfer-Encoding: chunked")
        else:
            keep_alive = False
        self._keep_alive = keep_alive
        if not keep_alive:
            lines.append("Connection: close")
        elif not is_new:
            lines.append("Connection: keep-alive")
        return lines

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a part of the body; nothing where the answer has none."""
        if not self._must_be_empty_body:
            assert self._payload_writer is not None, "prepare() comes first"
            await self._payload_writer.write(data)

    async def write_eof(self, data: bytes = b"") -> None:
        """End the body.

        Raises ConnectionResetError, having reset the connection, if bytes of the declared length
        are missing: half an answer must not look like a whole one.
        """
        if self._eof_sent:
            return
        if self._must_be_empty_body:
            data = b""
        elif self._whole is not None:
            data = self._whole
        writer, request = self._payload_writer, self._req
        assert writer is not None
        assert request is not None
        length = None if self._must_be_empty_body else writer.length
        if length is not None and length != len(data):
            reset_connection(request)
            raise ConnectionResetError("The body is not as long as its Content-Length.")
        await super().write_eof(data)


def reset_connection(request: web.BaseRequest) -> None:
    """Cut the visitor's connection so that it cannot be taken for the end of an answer.

    TCP sends a reset; the peer of a unix socket sees its end.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        return
    peer = transport.get_extra_info("socket")
    if peer.family != socket.AF_UNIX:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def expects_continue(request: web.BaseRequest) -> bool:
    """Whether the visitor waits for `100 Continue` (RFC 9110 section 10.1.1) and has not got it."""
    return (
        "Expect" in request.headers
        and request.version >= HttpVersion11
        and CONTINUE_SENT not in request
        and not request.content.is_eof()
    )


async def send_continue(request: web.BaseRequest) -> None:
    """Ask for the body, if the visitor waits to be asked; call it just before the first read.

    Does nothing once the body arrives by itself or an answer has begun.
    """
    transport = request.transport
    if not expects_continue(request) or transport is None or transport.is_closing():
        return
    request[CONTINUE_SENT] = True
    if request.content.total_bytes == 0 and request.writer.output_size == 0:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await request.writer.drain()
