"""The visitor's body, counted and timed as it is read."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from config.models import LimitSettings
from gateway.errors import GatewayError, Refusal
from gateway.links.verdict import Reason
from gateway.proxy.response import send_continue


class VisitorGone(GatewayError):
    """The visitor has left, or was made to: nobody waits for an answer any more."""


class VisitorBody:
    """A body on its way from the visitor; `length` is its declared length, None for chunks.

    `is_whole` is true once its last byte has been read.
    """

    def __init__(self, request: web.BaseRequest, length: int | None, limits: LimitSettings) -> None:
        self._request = request
        self._limits = limits
        self._seen = 0
        self._asked = False
        self.length = length
        self.is_whole = length == 0

    async def read(self) -> bytes:
        """What has arrived since the last call, at least one byte; b"" at the end.

        Raises Refusal (`body_too_large`, `bad_request`) and VisitorGone.
        """
        if self.is_whole:
            return b""
        if not self._asked:
            self._asked = True
            await send_continue(self._request)
        chunk = await self._receive()
        self._seen += len(chunk)
        check_size(self._seen, self._limits)
        if self.length is None:
            self.is_whole = not chunk
        else:
            self.is_whole = self._seen == self.length
            if not chunk:
                raise VisitorGone
        return chunk

    async def _receive(self) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                return await self._request.content.readany()
        except TimeoutError:
            raise Refusal(Reason.BAD_REQUEST, "The request's body stopped arriving.") from None
        except (web.RequestPayloadError, HttpProcessingError):
            raise Refusal(Reason.BAD_REQUEST, "The request's body is malformed.") from None
        except (OSError, ClientError) as error:
            raise VisitorGone from error


def visitor_body(request: web.BaseRequest, limits: LimitSettings) -> VisitorBody | None:
    """The body of a request, or None if it has none (RFC 9112 section 6.3).

    Raises Refusal (`body_too_large`) if its declared length is more than `limits.max_body`.
    """
    if "Transfer-Encoding" in request.headers:
        return VisitorBody(request, None, limits)
    declared = request.headers.get("Content-Length")
    if declared is None:
        return None
    length = int(declared)
    check_size(length, limits)
    return VisitorBody(request, length, limits)


def check_size(size: int, limits: LimitSettings) -> None:
    """Raise Refusal (`body_too_large`) for more bytes than `limits.max_body` (0: no limit)."""
    if 0 < limits.max_body < size:
        raise Refusal(Reason.BODY_TOO_LARGE, "The request's body is too large.")
