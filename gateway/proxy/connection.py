"""One connection to a backend: aiohttp's, with a strict gate before its parser."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import cast

from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http import RawResponseMessage, StreamWriter
from aiohttp.streams import StreamReader

from gateway.proxy.answer_head import BARE_LINE_FEED, MAX_HEAD, BadAnswer, check_head
from gateway.proxy.kept import KeptConnections

READ_BUFFER = 65536
MAX_FIELDS = 1024
_END = b"\r\n\r\n"
_SWITCHING_PROTOCOLS = 101
_NEVER = float("inf")


class _Stage(Enum):
    """What the next byte from the backend would be."""

    IDLE = 1
    HEAD = 2
    BODY = 3


class BackendProtocol(ResponseHandler):
    """aiohttp's client protocol, which is given no byte of a head that was not checked.

    Interim answers (103 and the like) end here. Bytes that nobody asked for end the connection:
    the next request on it would take them for its answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._stage = _Stage.IDLE
        self._head = bytearray()
        self._head_bytes = 0
        self._upgrading = False
        # Making a parser is costly. One that has read an answer of a declared length reads the
        # next one, too; after chunks it would take a trailer for the next answer's header.
        self._may_go_on = False
        self._parser_goes_on = False
        # Bytes that are left of an answer whose parser goes on: half a head after it would stay
        # in the parser, and be the beginning of the next answer.
        self._body_left = 0
        self._silent_until = _NEVER

    @property
    def awaits_head(self) -> bool:
        """Whether the answer's head has still to come."""
        return self._stage is _Stage.HEAD

    def expect_answer(self, *, method: str, upgrading: bool, read_timeout: float) -> None:
        """One answer may come; `read_timeout` is in seconds without a byte."""
        self._stage = _Stage.HEAD
        self._head_bytes = 0
        self._upgrading = upgrading
        may_follow = method != "HEAD" and not upgrading
        if may_follow and self._parser_goes_on:
            return
        self._may_go_on, self._parser_goes_on = may_follow, False
        self.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=not upgrading,
            auto_decompress=False,
            read_timeout=read_timeout,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_FIELDS,
        )

    def expect_nothing(self) -> None:
        """The answer was read to its end."""
        self._stage = _Stage.IDLE

    # aiohttp would make a timer, and cancel it, for every piece that arrives. Here one timer is
    # kept as long as the connection is; when it fires it looks how long the silence really was.

    def _reschedule_timeout(self) -> None:
        timeout = self._read_timeout
        self._silent_until = self._loop.time() + timeout if timeout else _NEVER
        if timeout and self._read_timeout_handle is None:
            self._read_timeout_handle = self._loop.call_later(timeout, self._end_silence)

    def _drop_timeout(self) -> None:
        self._silent_until = _NEVER

    def _end_silence(self) -> None:
        self._read_timeout_handle = None
        left = self._silent_until - self._loop.time()
        if left <= 0:
            self._on_read_timeout()
        elif self._silent_until != _NEVER:
            self._read_timeout_handle = self._loop.call_later(left, self._end_silence)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on, if reading was paused; aiohttp would run its parser over nothing each time."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def fail(self, error: Exception) -> None:
        """End the connection; whoever waits for the answer gets `error`."""
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        """Tell whoever waits, for the head or for the body.

        aiohttp tells nobody of a malformed chunk in a body that is being read.
        """
        super().set_exception(exc, exc_cause)
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(exc, exc_cause)

    def data_received(self, data: bytes) -> None:
        """Bytes of the backend; none when aiohttp resumes a parser that it had paused."""
        if self._stage is _Stage.BODY or not data:
            self._take_body(data)
        elif self._stage is _Stage.IDLE:
            if self.transport is not None:
                self.transport.abort()
        else:
            self._head_bytes += len(data)
            self._head += data
            try:
                self._take_heads()
            except BadAnswer as fault:
                self.fail(fault)

    def _take_heads(self) -> None:
        while self._stage is _Stage.HEAD:
            end = self._head.find(_END)
            if end < 0:
                if self._head_bytes > MAX_HEAD or BARE_LINE_FEED.search(self._head):
                    raise BadAnswer("the head of the answer is too large, or malformed")
                return
            end += len(_END)
            head, rest = bytes(self._head[:end]), bytes(self._head[end:])
            if self._head_bytes - len(rest) > MAX_HEAD:
                raise BadAnswer("the head of the answer is too large")
            self._head = bytearray(rest)
            status, length = check_head(head)
            if status == _SWITCHING_PROTOCOLS and not self._upgrading:
                raise BadAnswer("the backend switched protocols unasked")
            if status >= 200 or status == _SWITCHING_PROTOCOLS:
                self._stage = _Stage.BODY
                self._parser_goes_on = self._may_go_on and length is not None
                self._body_left = len(head) + (length or 0)
                self._head.clear()
                self._take_body(head + rest)

    def _take_body(self, data: bytes) -> None:
        """Bytes of the answer; what follows its declared end is not, and ends the connection."""
        if self._parser_goes_on:
            if len(data) > self._body_left:
                self.force_close()
                data = data[: self._body_left]
            self._body_left -= len(data)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is over.

        A body that only the connection's end delimits would seem whole to aiohttp even after a
        reset.
        """
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(ClientPayloadError("the backend reset the connection"))
        super().connection_lost(exc)
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None


class BackendConnection:
    """A connection taken from the pool, for one request. Give it back, or abort it."""

    __slots__ = ("_connection", "_kept", "_loop", "protocol")

    def __init__(
        self, connection: Connection, kept: KeptConnections, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._connection: Connection | None = connection
        self._kept = kept
        self._loop = loop
        self.protocol = cast(BackendProtocol, connection.protocol)

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport, or None once the connection is over."""
        return self.protocol.transport

    def write_head(self, head: bytes) -> None:
        """Send a request's head. Raises ConnectionResetError if the backend has left."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the backend closed the connection")
        transport.write(head)

    def body_writer(self, *, chunked: bool) -> StreamWriter:
        """What writes a body, in chunks or as it is."""
        writer = StreamWriter(self.protocol, self._loop)
        if chunked:
            writer.enable_chunking()
        return writer

    async def read_head(self) -> tuple[RawResponseMessage, StreamReader]:
        """The answer's head and its body, which is still arriving."""
        return await self.protocol.read()

    # From the first of these on the connection is somebody else's: what comes later does nothing.

    def release(self) -> None:
        """Let the next request have the connection, if it can be used again."""
        if (connection := self._let_go()) is not None:
            self.protocol.expect_nothing()
            self._kept.keep(connection)

    def close(self) -> None:
        """End the connection once what was written has left."""
        if (connection := self._let_go()) is not None:
            connection.close()

    def abort(self) -> None:
        """End the connection at once."""
        if (connection := self._let_go()) is not None:
            self.protocol.abort()
            connection.close()

    def _let_go(self) -> Connection | None:
        connection, self._connection = self._connection, None
        return connection
