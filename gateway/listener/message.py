"""Request heads that are refused, whatever they ask for.

What is judged here are forms that programs are known to read differently, so that two of them in
a row would not agree on where a request ends or what it is. The parser has refused the worst by
itself: two lengths, a length with `Transfer-Encoding`, bare line feeds, folded lines.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11
from multidict import CIMultiDictProxy

from gateway.errors import Refusal
from gateway.links.verdict import Reason


class RequestHead(Protocol):
    """A parsed request head: aiohttp's raw message, or its request."""

    @property
    def method(self) -> str: ...
    @property
    def version(self) -> HttpVersion: ...
    @property
    def headers(self) -> CIMultiDictProxy[str]: ...


def check_message(head: RequestHead) -> None:
    """Raise Refusal (`bad_request`) for a head that is not plain HTTP/1.0 or HTTP/1.1."""
    headers = head.headers
    if head.version not in (HttpVersion10, HttpVersion11):
        raise _bad("The request's version is neither HTTP/1.0 nor HTTP/1.1.")
    if head.method == "CONNECT":
        raise _bad("This is not a proxy that opens tunnels (CONNECT).")
    if "Transfer-Encoding" in headers:
        _check_transfer_encoding(head)
    if "Trailer" in headers:
        raise _bad("Trailers are not accepted.")
    if "Expect" in headers and head.version == HttpVersion11:
        expectations = [value.lower() for value in headers.getall("Expect")]
        if expectations != ["100-continue"]:
            raise _bad("The only expectation that can be met is '100-continue'.")


def _check_transfer_encoding(head: RequestHead) -> None:
    """RFC 9112 section 6.1: a 1.0 client with this field is faulty framing; we decode chunks only."""
    if head.version == HttpVersion10:
        raise _bad("HTTP/1.0 has no 'Transfer-Encoding'.")
    codings = [value.lower() for value in head.headers.getall("Transfer-Encoding")]
    if codings != ["chunked"]:
        raise _bad("The only 'Transfer-Encoding' that is accepted is 'chunked'.")


def _bad(detail: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, detail)
