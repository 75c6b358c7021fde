"""The scanner of a multipart form (RFC 2046 section 5.1): what begins where, in any pieces.

It reads less than the grammar allows: no preamble, no epilogue, no padding after a boundary. And
where the boundary stands without being one (after a bare line feed, before other text) it refuses:
some programs would see a part there that others do not.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from gateway.bodies.fitting import ambiguous
from gateway.bodies.part_head import PartHead, parse_part_head
from gateway.errors import Refusal
from gateway.links.parameters import MAX_PARAMETERS
from gateway.links.verdict import Reason

MAX_PART_HEAD = 4096
_LINE_END = b"\r\n"
_HEAD_END = b"\r\n\r\n"


class PartReader(Protocol):
    """Who is told of the parts, in order. What it raises comes out of `feed`."""

    def begin_part(self, head: PartHead) -> None: ...

    def take_data(self, data: bytes) -> None: ...

    def end_part(self) -> None: ...


class _Stage(Enum):
    """What the next byte belongs to."""

    DATA = 1
    HEAD = 2
    CLOSED = 3


class MultipartScanner:
    """Scans one body. It keeps a part's head, or as much as a boundary has, and nothing else."""

    def __init__(self, boundary: bytes, reader: PartReader) -> None:
        self._marker = b"--" + boundary
        self._reader = reader
        self._stage = _Stage.DATA
        self._parts = 0
        # As if a line had ended before the first byte: so has it before every other boundary.
        self._rest = _LINE_END

    def feed(self, data: bytes) -> None:
        """The next bytes of the body. Raises Refusal (`bad_request`), and what the reader raises."""
        self._rest += data
        while self._step():
            pass

    def finish(self) -> None:
        """The body is over. Raises Refusal (`bad_request`) if the form is not."""
        if self._stage is not _Stage.CLOSED or self._rest not in (b"", _LINE_END):
            raise Refusal(Reason.BAD_REQUEST, "The form is not whole.")

    def _step(self) -> bool:
        """Read on as far as what is there tells; whether there may be more to read."""
        if self._stage is _Stage.DATA:
            return self._step_in_data()
        if self._stage is _Stage.HEAD:
            return self._step_in_head()
        if not _LINE_END.startswith(self._rest):
            raise ambiguous()
        return False

    def _step_in_data(self) -> bool:
        marker, rest = self._marker, self._rest
        at = rest.find(marker)
        if at < 0:
            # The boundary may have begun, and the line's end before it is needed then.
            self._take(max(0, len(rest) - len(marker) - 1))
            return False
        after = rest[at + len(marker) : at + len(marker) + 2]
        if rest[max(0, at - 2) : at] != _LINE_END or not (
            _LINE_END.startswith(after) or b"--".startswith(after)
        ):
            raise ambiguous()
        if len(after) < 2:
            return False
        self._take(at - 2)
        self._rest = self._rest[len(_LINE_END) + len(marker) + len(after) :]
        if self._parts:
            self._reader.end_part()
        self._stage = _Stage.HEAD if after == _LINE_END else _Stage.CLOSED
        return True

    def _take(self, size: int) -> None:
        """Let the first `size` bytes of what is kept be data."""
        data, self._rest = self._rest[:size], self._rest[size:]
        if not data:
            return
        if not self._parts:
            raise ambiguous()
        self._reader.take_data(data)

    def _step_in_head(self) -> bool:
        head, end, rest = self._rest.partition(_HEAD_END)
        # Of an end that has not come whole, all but one byte may be here.
        if len(head) > MAX_PART_HEAD + (0 if end else len(_HEAD_END) - 1) or self._marker in head:
            raise ambiguous()
        if not end:
            return False
        self._parts += 1
        if self._parts > MAX_PARAMETERS:
            raise Refusal(Reason.BAD_REQUEST, "The form has too many parts.")
        self._reader.begin_part(parse_part_head(head))
        self._rest = rest
        self._stage = _Stage.DATA
        return True
