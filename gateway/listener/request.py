"""A visitor's request, as the listener hands it on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.links.model import IPAddress
from gateway.proxy.response import BareResponse
from gateway.request.client_ip import parse_address

if TYPE_CHECKING:
    from gateway.listener.protocol import VisitorProtocol

# Where a request could not be parsed, the answer still needs one to belong to.
_UNPARSED = RawRequestMessage(
    "UNKNOWN", "/", HttpVersion11, CIMultiDictProxy(CIMultiDict()), (), True, None, False, False, URL("/")
)  # fmt: skip


class VisitorRequest(web.BaseRequest):
    """A request that knows whether its connection will outlive it."""

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow, as things stand now."""
        return cast("VisitorProtocol", self._protocol).may_go_on_after(self)

    @property
    def is_unparsed(self) -> bool:
        """Whether this stands for bytes that were no request."""
        return self._message is _UNPARSED

    @property
    def wants_close(self) -> bool:
        """Whether the client said that this is its last request (RFC 9112 section 9.6)."""
        return bool(self._message.should_close)

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Take back what aiohttp's own responses say of the server; ours carry the backend's."""
        if not isinstance(response, BareResponse):
            response.headers.popall("Server", None)


def make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> VisitorRequest:
    """What aiohttp calls for each request; its stand-in for a bad one would answer as HTTP/1.0."""
    if message is ERROR:
        message = _UNPARSED
    # Asking asyncio for the running loop is a system call (getpid) on Python 3.11.
    return VisitorRequest(message, payload, protocol, writer, task, protocol._loop)


def peer_address(request: web.BaseRequest) -> IPAddress | None:
    """The address at the connection's other end; None for a unix socket."""
    peer = request.protocol.peername
    return parse_address(peer[0]) if isinstance(peer, tuple) else None
