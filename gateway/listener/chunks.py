"""Where a chunked body ends (RFC 9112 section 7.1).

The parser decodes the chunks; this finds their end beforehand, so that the parser never sees a
trailer section. It would take the last trailer field for the first header of the connection's
next request, and behind a front proxy that request can be another visitor's.
"""

from __future__ import annotations

import re

from gateway.errors import Refusal
from gateway.links.verdict import Reason

# Extensions have no meaning here and no bound in the RFC. 15 digits fit any body there is.
_MAX_LINE = 256
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")

# Chunks looked at in one go: a flood of tiny ones is cut into pieces, between which the reader
# of the body can say that it has enough.
CHUNKS_AT_ONCE = 1024


class ChunkedBody:
    """Follows one chunked body through its bytes."""

    __slots__ = ("_after_last", "_left", "_line", "ended")

    def __init__(self) -> None:
        self._left = 0  # bytes of the present chunk and of the CRLF after it
        self._line = b""  # a line whose end has not arrived
        self._after_last = False
        self.ended = False

    def measure(self, data: bytes) -> int:
        """How many of the bytes, from the first, belong to this body; 0 once it has ended.

        Less than all also after many chunks. Raises Refusal (`bad_request`) for a bad size, an
        endless line, or a trailer section.
        """
        position, size = 0, len(data)
        for _ in range(CHUNKS_AT_ONCE):
            step = min(self._left, size - position)
            self._left -= step
            position += step
            if self.ended or position == size:
                break
            position = self._take_line(data, position)
        return position

    def _take_line(self, data: bytes, position: int) -> int:
        """Read the line that begins at `position`, as far as it is there; the position after it."""
        end = data.find(b"\n", position) + 1
        line = self._line + data[position : end or len(data)]
        if len(line) > _MAX_LINE:
            raise _bad("A chunk's size line is too long.")
        if not end:
            self._line = line
            return len(data)
        self._line = b""
        if self._after_last:
            if line != b"\r\n":
                raise _bad("Trailers are not accepted.")
            self.ended = True
        else:
            self._begin_chunk(line)
        return end

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise _bad("A chunk's size is not a hexadecimal number.")
        length = int(match[1], 16)
        if length == 0:
            self._after_last = True
        else:
            self._left = length + 2


def _bad(detail: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, detail)
