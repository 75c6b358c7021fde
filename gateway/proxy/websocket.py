"""A WebSocket between the visitor and the backend, message by message.

The visitor's handshake is answered only after the backend has accepted its own. No compression is
negotiated on either side, so that a message costs a copy. Pings are passed on: each side learns
whether the other is alive, not whether the gateway is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType, web
from multidict import CIMultiDict

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.proxy.answers import own_headers
from gateway.proxy.backend_socket import CLOSE_TIMEOUT, MAX_MESSAGE, BackendSocket
from gateway.proxy.body import VisitorGone
from gateway.proxy.caching import NO_STORE
from gateway.proxy.forward import Passage, deliver, headers_for, nobody_left
from gateway.proxy.headers import holds_token
from gateway.proxy.watch import Watch

_MESSAGES = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})
_PROBES = frozenset({WSMsgType.PING, WSMsgType.PONG})


@dataclass(frozen=True, slots=True)
class _Closed:
    """How one side ended: `code` 1006 is an end without a close (RFC 6455 section 7.1.5)."""

    code: int
    reason: bytes = b""


_LOST = _Closed(WSCloseCode.ABNORMAL_CLOSURE)
_ENDED = _Closed(WSCloseCode.POLICY_VIOLATION)


class VisitorSocket(web.WebSocketResponse[bool]):
    """The visitor's side; its handshake says what the backend chose, and nothing of the library."""

    def __init__(self, offered: tuple[str, ...]) -> None:
        super().__init__(
            timeout=CLOSE_TIMEOUT,
            autoclose=False,
            autoping=False,
            protocols=offered,
            compress=False,
            max_msg_size=MAX_MESSAGE,
            decode_text=False,
        )
        self.chosen: str | None = None

    def _handshake(
        self, request: web.BaseRequest
    ) -> tuple[CIMultiDict[str], str | None, int, bool]:
        headers, _, compress, notakeover = super()._handshake(request)
        headers.popall("Sec-WebSocket-Protocol", None)
        if self.chosen is not None:
            headers["Sec-WebSocket-Protocol"] = self.chosen
        return headers, self.chosen, compress, notakeover

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)
        self.headers.popall("Content-Type", None)


class _Relay:
    """Both sides of one open WebSocket."""

    def __init__(
        self,
        visitor: VisitorSocket,
        backend: BackendSocket,
        cut_visitor: Callable[[], None],
        on_traffic: Callable[[], None],
    ) -> None:
        self._visitor = visitor
        self._backend = backend
        self._cut_visitor = cut_visitor
        self._on_traffic = on_traffic
        self._ended: asyncio.Future[_Closed] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Close it: a rule stopped holding."""
        if not self._ended.done():
            self._ended.set_result(_ENDED)

    async def run(self) -> None:
        """Pass on messages until a side closes, is lost, or `end` is called."""
        loop = asyncio.get_running_loop()
        upward = loop.create_task(self._pump(self._visitor, self._backend.messages))
        downward = loop.create_task(self._pump(self._backend.messages, self._visitor))
        try:
            await asyncio.wait({upward, downward, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            over = next(each for each in (self._ended, upward, downward) if each.done())
            # aiohttp's server side waits for the answer to a close only if nobody else reads.
            await _cancelled(upward)
            await self._close(over.result())
        finally:
            await _cancelled(upward)
            await _cancelled(downward)

    async def _close(self, closed: _Closed) -> None:
        """Tell each side how it ended."""
        code, reason = closed.code, closed.reason
        to_visitor = to_backend = code
        if closed is _LOST:
            to_visitor, to_backend = WSCloseCode.INTERNAL_ERROR, WSCloseCode.GOING_AWAY
        elif closed is _ENDED:
            to_backend = WSCloseCode.GOING_AWAY
        await asyncio.gather(
            _bounded(self._visitor.close(code=to_visitor, message=reason), self._cut_visitor),
            _bounded(
                self._backend.messages.close(code=to_backend, message=reason), self._backend.abort
            ),
        )

    async def _pump(
        self,
        source: VisitorSocket | ClientWebSocketResponse[bool],
        sink: VisitorSocket | ClientWebSocketResponse[bool],
    ) -> _Closed:
        """Pass on what `source` sends; how it ended. A sink that is gone ends it, too."""
        while True:
            message = await source.receive()
            kind = message.type
            if kind is WSMsgType.CLOSE:
                return _Closed(message.data or WSCloseCode.OK, (message.extra or "").encode())
            if kind not in _MESSAGES and kind not in _PROBES:
                return _LOST
            try:
                await sink.send_frame(message.data, kind)
            except ConnectionError:
                return _LOST
            if kind in _MESSAGES:
                self._on_traffic()


async def relay(request: web.BaseRequest, passage: Passage) -> web.StreamResponse:
    """Open a WebSocket to the backend, then to the visitor, and relay until one of them ends.

    A backend that will not gets its answer delivered. Raises Refusal (`bad_request`) for a
    handshake that is none, and what `forward` raises.
    """
    offered = _offered(request)
    visitor = VisitorSocket(offered)
    if not visitor.can_prepare(request):
        raise Refusal(Reason.BAD_REQUEST, "The WebSocket's handshake is malformed.")
    ending = _Ending(Watch(request))
    passage.on_open(ending.end)
    try:
        with ending.watch:
            backend = await passage.upstream.open_websocket(
                passage.target, headers_for(request, passage), offered
            )
            if not isinstance(backend, BackendSocket):
                return await deliver(request, passage, backend)
    except VisitorGone:
        return nobody_left(request)
    try:
        return await _accept(request, passage, visitor, backend, ending)
    except ConnectionError:
        return nobody_left(request)
    finally:
        backend.close()


async def _accept(
    request: web.BaseRequest,
    passage: Passage,
    visitor: VisitorSocket,
    backend: BackendSocket,
    ending: _Ending,
) -> web.StreamResponse:
    """Answer the visitor's handshake, and relay."""

    def cut_visitor() -> None:
        if request.transport is not None:
            request.transport.abort()

    visitor.chosen = backend.protocol
    visitor.headers.extend(own_headers(passage.policy, backend.set_cookies))
    visitor.headers["Cache-Control"] = NO_STORE
    await visitor.prepare(request)
    ending.relay = relay = _Relay(visitor, backend, cut_visitor, passage.on_traffic)
    gauge = passage.upstream.metrics.websockets_open
    gauge.inc()
    try:
        await relay.run()
    finally:
        gauge.dec()
    return visitor


@dataclass(slots=True)
class _Ending:
    """What ends the exchange from outside: before the socket is open, and then."""

    watch: Watch
    relay: _Relay | None = None

    def end(self) -> None:
        """End it, whatever it is by now."""
        if self.relay is None:
            self.watch.end()
        else:
            self.relay.end()


def _offered(request: web.BaseRequest) -> tuple[str, ...]:
    """The subprotocols that the visitor offers, in order (RFC 6455 section 11.3.4).

    Some scripts send a secret as one; a token of ours is none of the backend's business.
    """
    listed = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return tuple(
        name for name in map(str.strip, listed.split(",")) if name and not holds_token(name)
    )


async def _bounded(closing: Awaitable[object], cut: Callable[[], None]) -> None:
    """Let a side close; `cut` it if it does not even take the close."""
    try:
        async with asyncio.timeout(2 * CLOSE_TIMEOUT):
            await closing
    except TimeoutError:
        cut()


async def _cancelled(task: asyncio.Task[_Closed]) -> None:
    """Cancel a task and wait until it is over."""
    task.cancel()
    await asyncio.wait({task})
