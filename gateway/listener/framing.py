"""Where each request ends.

aiohttp's parser stands behind this and is given one request at a time, to its last byte and not
further. It reads strictly, but a fault makes it forget the good requests before it in the same
segment; it bounds each line of a header and not the whole; a fault within a body reaches nobody;
and what follows a body can be read in the light of that body. All of that ends here: two
readings of the framing have to agree, or the connection is given up.
"""

from __future__ import annotations

import re
from typing import Protocol

from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.listener.chunks import ChunkedBody
from gateway.listener.message import check_message

Message = tuple[RawRequestMessage | _ErrInfo, StreamReader]
Parsed = tuple[list[Message], bool, bytes]

HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(r"[0-9]{1,18}")


class BodySink(Protocol):
    """The connection, as far as it says whether a body may be fed further."""

    @property
    def holds_body(self) -> bool:
        """Whether the reader of the running body has enough for now."""


class _SizedBody:
    """Follows a body of a declared length through its bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def ended(self) -> bool:
        return self._left == 0

    def measure(self, data: bytes) -> int:
        size = min(self._left, len(data))
        self._left -= size
        return size


class RequestFraming:
    """Takes the place of aiohttp's parser in its protocol, and has the parser do the work.

    `max_head` bounds a request line with its header fields, in bytes; `max_fields` their number;
    `max_queued` the requests that wait behind the one that is being answered.
    """

    __slots__ = (
        "_body",
        "_bytes_left",
        "_closed",
        "_closes",
        "_head_lines",
        "_head_size",
        "_head_tail",
        "_line_size",
        "_max_fields",
        "_max_head",
        "_max_queued",
        "_parser",
        "_payload",
        "_queued",
        "_sink",
        "_stalled",
        "_upgraded",
        "broken",
    )

    def __init__(
        self,
        parser: HttpRequestParser,
        sink: BodySink,
        *,
        max_head: int,
        max_fields: int,
        max_queued: int,
    ) -> None:
        self._parser = parser
        self._sink = sink
        self._max_head = max_head
        self._max_fields = max_fields
        self._max_queued = max_queued
        self._bytes_left = b""  # received, and not yet given to the parser
        self._head_size = self._head_lines = self._line_size = 0
        self._head_tail = b""
        self._body: ChunkedBody | _SizedBody | None = None
        self._payload = EMPTY_PAYLOAD
        self._queued = 0
        self._closes = False  # the present request is the connection's last
        self._closed = False  # nothing that still comes is looked at
        self._stalled = False  # the parser holds a part of the body back
        self._upgraded = False
        self.broken = False  # a body's framing was bad after its request had been handed on

    @property
    def in_head(self) -> bool:
        """Whether a request's header has begun to arrive and is not complete."""
        return self._head_size > 0

    @property
    def in_body(self) -> bool:
        """Whether a part of a body has not arrived yet."""
        return self._body is not None

    def close(self) -> None:
        """Ignore whatever arrives from now on."""
        self._closed = True
        self._bytes_left = b""

    # What the protocol calls.

    def feed_data(self, data: bytes) -> Parsed:
        """Parse what has arrived: the requests in their order, and a fault, if any, as the last.

        Never raises. The second value says that a WebSocket's bytes follow, the third holds the
        first of them.
        """
        if self._closed or not (data or self._bytes_left or self._stalled):
            return [], False, b""
        self._bytes_left = self._bytes_left + data if self._bytes_left else data
        messages: list[Message] = []
        try:
            while not (self._closed or self._upgraded) and self._advance(messages):
                pass
        except Refusal as refusal:
            self._fail(refusal, messages)
        except HttpProcessingError:
            self._fail(_bad("The request is not well-formed HTTP."), messages)
        if not self._upgraded:
            return messages, False, b""
        self._upgraded = False
        tail, self._bytes_left = self._bytes_left, b""
        return messages, True, tail

    def message_consumed(self) -> None:
        """One of the queued requests is being answered now."""
        self._queued -= 1
        self._parser.message_consumed()

    def pause_reading(self) -> None:
        """The reader of the body has enough: the parser stops within its present bytes."""
        self._stalled = True
        self._parser.pause_reading()

    def set_upgraded(self, upgraded: bool) -> None:
        """Whether the connection has left HTTP; False: the upgrade was declined."""
        self._parser.set_upgraded(upgraded)

    # The steps.

    def _advance(self, messages: list[Message]) -> bool:
        """Do the next step; whether there may be another one."""
        if self._body is not None:
            return self._feed_body(self._body, messages)
        if self._queued >= self._max_queued:
            return False
        return self._feed_head(messages)

    def _feed_head(self, messages: list[Message]) -> bool:
        data = self._bytes_left
        if not self._head_size:
            # Empty lines before a request are ignored (RFC 9112 section 2.2).
            data = self._bytes_left = data.lstrip(b"\r\n")
        if not data:
            return False
        end = self._find_head_end(data)
        head = data[:end] if 0 < end < len(data) else data
        self._count_head(head)
        self._bytes_left = data[len(head) :]
        emitted, upgraded, _ = self._parser.feed_data(head)
        if not end:
            self._head_tail = (self._head_tail + head)[-len(HEAD_END) + 1 :]
            if emitted:
                raise _bad("The header's end is not clear.")
            return False
        if len(emitted) != 1:
            raise _bad("The header's end is not clear.")
        self._begin_request(*emitted[0], messages)
        self._upgraded = bool(upgraded)
        return bool(self._bytes_left)

    def _find_head_end(self, data: bytes) -> int:
        """The position after the header's end in `data`; 0 while it has not arrived."""
        tail = self._head_tail
        found = (tail + data).find(HEAD_END) if tail else data.find(HEAD_END)
        return 0 if found < 0 else found + len(HEAD_END) - len(tail)

    def _count_head(self, head: bytes) -> None:
        """Bound the header before the parser keeps any of it (431, RFC 6585 section 5)."""
        if not self._head_lines:
            self._line_size += head.find(b"\n") + 1 or len(head)
        self._head_size += len(head)
        self._head_lines += head.count(b"\n")
        if self._head_size > self._max_head:
            raise Refusal(Reason.HEADER_TOO_LARGE, "The request's header is too large.")
        if self._head_lines > self._max_fields + 2:  # the request line and the empty line
            raise Refusal(Reason.HEADER_TOO_LARGE, "The request has too many header fields.")

    def _begin_request(
        self, message: RawRequestMessage, payload: StreamReader, messages: list[Message]
    ) -> None:
        line_size = self._line_size
        self._head_size = self._head_lines = self._line_size = 0
        self._head_tail = b""
        check_message(message)
        if line_size != len(f"{message.method} {message.path} HTTP/1.1\r\n"):
            raise _bad("The request line has more than its three parts and two spaces.")
        body = _body_of(message)
        messages.append((message, payload))
        self._queued += 1
        self._closes = bool(message.should_close)
        if body is None:
            self._end_request()
        else:
            self._body, self._payload = body, payload

    def _end_request(self) -> None:
        self._body = None
        if self._closes:
            self.close()

    def _feed_body(self, body: ChunkedBody | _SizedBody, messages: list[Message]) -> bool:
        """Give the parser what belongs to this body, as long as its reader wants more."""
        if self._sink.holds_body:
            return False
        size = body.measure(self._bytes_left)
        piece, self._bytes_left = self._bytes_left[:size], self._bytes_left[size:]
        if not (piece or self._stalled):
            return False
        self._stalled = False
        upgraded = self._feed_parser(piece)
        if not self._payload.is_eof() and not self._sink.holds_body:
            # A pause that came with the last chunk of the body before is acted upon only now.
            upgraded = self._feed_parser(b"")
        if self._payload.is_eof() and body.ended:
            self._end_request()
            self._upgraded = upgraded
        elif self._payload.is_eof() or (body.ended and not self._sink.holds_body):
            raise _bad("The body's end is not clear.")
        return True

    def _feed_parser(self, piece: bytes) -> bool:
        """Give the parser a part of a body; whether the connection leaves HTTP after it."""
        emitted, upgraded, _ = self._parser.feed_data(piece)
        if emitted:
            raise _bad("The body's end is not clear.")
        return bool(upgraded)

    def _fail(self, refusal: Refusal, messages: list[Message]) -> None:
        """Give the connection up: fail the request that the fault lies in, and read no more.

        A body whose request has been handed on fails at once, whoever waits for it: without
        that, its reader would wait until the client leaves.
        """
        self.close()
        body, self._body = self._body, None
        if body is not None and not (messages and messages[-1][1] is self._payload):
            self.broken = True
            self._payload.set_exception(refusal)
            return
        if body is not None:
            messages.pop()
        messages.append((_ErrInfo(status=400, exc=refusal, message=""), EMPTY_PAYLOAD))
        self._queued += 1


def _body_of(message: RawRequestMessage) -> ChunkedBody | _SizedBody | None:
    """What follows the header (RFC 9112 section 6.3)."""
    if message.chunked:
        return ChunkedBody()
    length = message.headers.get("Content-Length")
    if length is None:
        return None
    if not _LENGTH.fullmatch(length):
        raise _bad("'Content-Length' is not a number.")
    return _SizedBody(int(length)) if int(length) else None


def _bad(detail: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, detail)
