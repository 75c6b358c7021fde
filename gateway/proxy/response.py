"""An answer to the visitor that carries what it is given, and framing that holds.

aiohttp's own response names the server software and invents a `Content-Type`; it lets a body end
before its declared length, and keeps a 1.0 connection open whose body only its end could delimit.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable

from aiohttp import HttpVersion11, web
from aiohttp.helpers import EMPTY_BODY_STATUS_CODES, rfc822_formatted_time
from aiohttp.http_writer import StreamWriter

# What frames a message on one connection (RFC 9112 sections 6 and 9) is decided here, anew.
_FRAMING = frozenset({"connection", "keep-alive", "transfer-encoding"})
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PHRASE = re.compile(r"[\x20-\x7e]*")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

CONTINUE_SENT = web.RequestKey("continue_sent", bool)


class BareResponse(web.StreamResponse):
    """An answer with the given headers and nothing more but `Date`, if that is missing.

    The body's framing follows from the request and from `Content-Length`: that many bytes; else
    chunks; else, for a 1.0 client, the connection's end. HEAD, 1xx, 204 and 304 have no body,
    whatever is written. With `body`, that is the whole body and leaves in one piece with the
    header; with `body_is_next`, what is written first does. Cookies are headers here;
    `set_cookie` has no effect.
    """

    def __init__(
        self,
        status: int,
        headers: Iterable[tuple[str, str]] = (),
        *,
        reason: str | None = None,
        body: bytes | None = None,
        body_is_next: bool = False,
    ) -> None:
        if reason is not None and not _PHRASE.fullmatch(reason):
            reason = None
        kept = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
        super().__init__(status=status, reason=reason, headers=kept)
        self._whole = body
        if body is not None:
            self.content_length = len(body)
        self._send_headers_immediately = body is None and not body_is_next

    async def _prepare_headers(self) -> None:
        request, headers = self._req, self._headers
        assert request is not None
        keep_alive = request.keep_alive if self._keep_alive is None else self._keep_alive
        if not self._frame_body(request) and request.version < HttpVersion11:
            keep_alive = False
        self._keep_alive = keep_alive
        if "Date" not in headers:
            headers["Date"] = rfc822_formatted_time()
        if not keep_alive:
            headers["Connection"] = "close"
        elif request.version < HttpVersion11:
            headers["Connection"] = "keep-alive"

    def _frame_body(self, request: web.BaseRequest) -> bool:
        """Choose the framing; whether the client can tell the body's end from it."""
        writer, headers = self._payload_writer, self._headers
        assert writer is not None
        if self._must_be_empty_body:
            if self.status in EMPTY_BODY_STATUS_CODES:
                headers.popall("Content-Length", None)
            return True
        length = self.content_length
        if length is not None:
            self.content_length = writer.length = length
            return True
        if request.version >= HttpVersion11:
            writer.enable_chunking()
            headers["Transfer-Encoding"] = "chunked"
            return True
        return False

    async def _write_headers(self) -> None:
        """Serialise the header; bytes that are not UTF-8 (surrogates here) leave as they came.

        aiohttp's serialiser is the fast way, and loses these bytes.
        """
        headers = self._headers
        if all(map(str.isascii, headers.values())):
            await super()._write_headers()
            return
        request, writer = self._req, self._payload_writer
        assert request is not None
        assert isinstance(writer, StreamWriter)
        version = request.version
        lines = [f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any(map(_CONTROLS.search, lines)):
            raise ValueError("A header of the answer has a control character.")
        writer._headers_buf = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        if self._send_headers_immediately:
            writer.send_headers()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a part of the body; nothing where the answer has none."""
        if not self._must_be_empty_body:
            await super().write(data)

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
