"""What a backend's answer may look like before any parser reads it. Pure.

aiohttp's parser is lenient with answers: it takes bare line feeds, folded lines, control
characters and statuses that are none, and hides from its caller that it did. Two programs that
disagree on where an answer ends can be made to give one visitor another's answer, so what is not
plain HTTP/1.1 (RFC 9112) does not get as far as that parser.
"""

from __future__ import annotations

import re

MAX_HEAD = 65536
"""Bytes of an answer's head, interim answers before it included."""

_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: " + _TEXT + rb")?\r\n"
    rb"(?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*\r\n"
)
# In a head in lower case.
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r)")
_CODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*(?=\r)")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_WITHOUT_BODY = frozenset({204, 304})
BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class BadAnswer(Exception):
    """The backend's answer is not HTTP/1.1; the text says what is wrong with it."""


def check_head(head: bytes) -> tuple[int, int | None]:
    """The status of a complete head, the empty line included, and the declared length of its body
    in bytes; None if something else tells where that ends. Raises BadAnswer.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        raise BadAnswer("the head of the answer is malformed")
    lower = head.lower()
    lengths = _LENGTH.findall(lower)
    codings = _CODING.findall(lower) if b"transfer-encoding" in lower else []
    if len(lengths) > 1 or (lengths and codings):
        raise BadAnswer("the answer has two lengths")
    if lengths and not _DIGITS.fullmatch(lengths[0]):
        raise BadAnswer("the answer's length is no number")
    if codings and (match[1] == b"0" or codings != [b"chunked"]):
        raise BadAnswer("the answer's transfer coding is unknown")
    status = int(match[2])
    return status, int(lengths[0]) if lengths and status not in _WITHOUT_BODY else None
