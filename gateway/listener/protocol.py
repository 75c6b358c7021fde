"""One connection of a visitor.

aiohttp's request handler with time limits on headers, its errors answered in our own words, and
an end that leaves the client time to read the answer. Nothing that a visitor sent is logged here:
the token could be in any of it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.http import HttpRequestParser
from aiohttp.web_protocol import _ErrInfo

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.listener.faults import fault_response, without_texts
from gateway.listener.framing import RequestFraming
from gateway.listener.request import VisitorRequest
from gateway.listener.serving import Answer, ServingProtocol
from gateway.proxy.response import BareResponse, expects_continue, reset_connection
from gateway.proxy.watch import ON_LEAVING

if TYPE_CHECKING:
    from gateway.listener.server import VisitorServer

log = logging.getLogger(__name__)

Refuse = Callable[[Reason, str], tuple[int, list[tuple[str, str]], bytes]]
"""Status, header fields and body for a refusal that no request stands behind."""

IDLE_TIMEOUT = 75.0
"""Seconds that a connection is kept between two requests."""
LINGER = 2.0
"""Seconds that a client is read, and ignored, after an answer that ends its connection early."""
HALF_CLOSED_TIMEOUT = 30.0
"""Seconds for the answer to a client that has said that it will send no more."""
STALLED_TIMEOUT = 60.0
"""Seconds for a client to take up what is waiting to be sent to it."""
MAX_FIELDS = 128
MAX_QUEUED = 8
READ_BUFFER = 64 * 1024


class VisitorProtocol(ServingProtocol):
    """Serves one connection, request after request."""

    __slots__ = (
        "_framing",
        "_gone",
        "_half_closed",
        "_server",
        "_stalled",
        "_timer",
        "_turned_away",
        "serving",
    )

    def __init__(self, server: VisitorServer) -> None:
        limit = server.limits.max_header_size
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_TIMEOUT,
            logger=log,
            access_log=None,  # type: ignore[arg-type] # it takes None, its types do not
            max_line_size=limit,
            max_field_size=limit,
            max_headers=MAX_FIELDS,
            read_bufsize=READ_BUFFER,
            auto_decompress=False,
        )
        self._server = server
        self._max_msg_queue_size = MAX_QUEUED
        self._msg_queue_resume_size = MAX_QUEUED // 2
        parser = cast(HttpRequestParser, self._parser)
        self._framing = RequestFraming(
            parser, self, max_head=limit, max_fields=MAX_FIELDS, max_queued=MAX_QUEUED
        )
        self._parser = self._framing  # type: ignore[assignment] # it has what is called of a parser
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] | None = None
        self._half_closed = False
        self._turned_away = False
        self.serving: asyncio.Task[None] | None = None

    # The connection's life.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the client, or turn it away when there are too many."""
        if self._server.is_full:
            self._turn_away(cast(asyncio.Transport, transport))
            return
        super().connection_made(transport)
        self.serving = self._task_handler
        self._start_timer(self._server.limits.header_timeout, self._end_if_idle)

    def _turn_away(self, transport: asyncio.Transport) -> None:
        """Answer without reading: a flood of connections must cost less than requests would."""
        self.transport = transport
        self._turned_away = True
        answer = self._server.turn_away(self)
        if answer is None:
            transport.abort()
            return
        transport.write(answer)
        if transport.can_write_eof():
            transport.write_eof()
        self._start_timer(LINGER, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is over, whoever ended it."""
        self._tell_handler()
        self._stop_timer()
        self._end_stall()
        self._wake_linger()
        if self._turned_away:
            self._server.turned_away.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._turned_away:
            return
        super().data_received(data)
        self._time_head()

    def eof_received(self) -> bool | None:  # type: ignore[override] # aiohttp declares None
        """The client sends no more; True keeps our side open.

        A client may close its side after a whole request and wait for the answer (RFC 9112
        section 9.6 has nothing against it). One that has left altogether looks the same until
        something is written to it, so the answer has a time limit from here on.
        """
        self._wake_linger()
        if self._is_idle or self._upgraded or self._framing.in_body:
            return None
        self._half_closed = True
        self._stop_timer()
        self._start_timer(HALF_CLOSED_TIMEOUT, self.force_close)
        return True

    def force_close(self) -> None:
        """Close now; an answer that is half sent must not look whole."""
        if self._current_request is not None:
            self.reset_if_half_sent(self._current_request)
        self._bound_close()
        super().force_close()
        self._tell_handler()

    def _tell_handler(self) -> None:
        """Whoever waits for the backend need not wait any longer."""
        request = self._current_request
        if request is not None and (on_leaving := request.get(ON_LEAVING)) is not None:
            on_leaving()

    async def start(self) -> None:
        """Serve the connection's requests, and see that it ends."""
        await super().start()
        self._bound_close()

    # Time limits.

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to; it may, but not for ever."""
        super().pause_writing()
        transport = self.transport
        if transport is not None:
            self._stalled = self._loop.call_later(STALLED_TIMEOUT, transport.abort)

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        self._end_stall()

    def _end_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _bound_close(self) -> None:
        """A connection that closes waits until the client has read all; see that this ends."""
        transport = self.transport
        if self._stalled is None and transport is not None and transport.get_write_buffer_size():
            self._stalled = self._loop.call_later(STALLED_TIMEOUT, transport.abort)

    @property
    def _is_idle(self) -> bool:
        """Whether no request waits for its answer. Between two requests, `_waiter` is there."""
        return not self._messages and (self._waiter is not None or self._request_count == 0)

    def _start_timer(self, seconds: float, then: Callable[[], object]) -> None:
        self._timer = self._loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_head(self) -> None:
        """Bound the time of a header that has begun, once nothing else keeps the client waiting."""
        if self._half_closed:
            return
        if not self._is_idle:
            self._stop_timer()
        elif self._timer is None and self._framing.in_head:
            self._start_timer(self._server.limits.header_timeout, self._end_if_idle)

    def _end_if_idle(self) -> None:
        self._timer = None
        if self._is_idle:
            self.force_close()

    def _process_keepalive(self) -> None:
        """The idle time is over; a header that has begun has its own limit."""
        if self._framing.in_head:
            self._keepalive_handle = None
        else:
            super()._process_keepalive()

    # Draining.

    def end_if_unused(self) -> None:
        """Close a connection on which no request has begun."""
        if self._is_idle and not self._framing.in_head:
            self.force_close()

    def may_go_on_after(self, request: VisitorRequest) -> bool:
        """Whether the connection can carry another request after this one."""
        return not (self._is_last(request) or self._must_end_after(request))

    def _is_last(self, request: VisitorRequest) -> bool:
        """Whether either side has said that no request follows."""
        return request.wants_close or self._server.is_draining or self._half_closed

    def _must_end_after(self, request: VisitorRequest) -> bool:
        """Whether it is not clear, or not known in time, where the next request would begin.

        The last: a client that waited for `100 Continue` in vain may or may not send its body
        (RFC 9110 section 10.1.1).
        """
        return (
            request.is_unparsed
            or (self._framing.broken and not self._messages)
            or expects_continue(request)
        )

    # Answers.

    @property
    def holds_body(self) -> bool:
        """Whether the reader of the running body has enough for now."""
        return self._reading_paused

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, and decide whether the connection goes on; True ends it."""
        assert isinstance(request, VisitorRequest)
        # A handler may return anything at run time, whatever its type says.
        if not isinstance(resp, web.StreamResponse):
            log.error("A request could not be served: the handler returned no response.")  # type: ignore[unreachable]
            resp = fault_response()
        if self._upgraded:  # and declined: aiohttp reads on in what it took for another protocol
            resp, reset = await super().finish_response(request, resp, start_time)
        else:
            reset = await _is_lost(request, resp)
        if reset:
            return resp, True
        if self._must_end_after(request):
            await self._linger()
            return resp, True
        if self._is_last(request):
            resp.force_close()  # decided after the answer began, or it would say so
        elif not self._messages and self._framing.in_head:
            self._start_timer(self._server.limits.header_timeout, self._end_if_idle)
        return resp, False

    async def _linger(self) -> None:
        """Say that nothing follows, and ignore what the client still sends, for a while.

        Closing at once, with bytes unread, would reset the connection, and the reset can
        overtake the answer (RFC 9112 section 9.6).
        """
        transport = self.transport
        if transport is None or transport.is_closing() or self._half_closed:
            return
        self._framing.close()
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()
        self._gone = self._loop.create_future()
        await asyncio.wait([self._gone], timeout=LINGER)

    def _wake_linger(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    # Faults.

    def _make_error_handler(self, err_info: _ErrInfo) -> Answer:
        async def refuse(request: web.BaseRequest) -> web.StreamResponse:
            assert isinstance(err_info.exc, Refusal)
            return self._refuse(err_info.exc)

        return refuse

    def _refuse(self, refusal: Refusal) -> BareResponse:
        status, headers, body = self._server.refuse(refusal.reason, refusal.detail)
        response = BareResponse(status, headers, body=body)
        response.force_close()
        return response

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to an exception that left the handler.

        Raises ConnectionError, which ends the connection, where no answer can be sent any more.
        """
        error = exc or sys.exception()
        if self.transport is None and isinstance(error, ConnectionError):
            raise ConnectionError("The visitor has left.")
        self.log_exception("A request could not be served.", exc_info=error)
        if request.writer.output_size > 0:
            reset_connection(request)
            raise ConnectionError("The answer had begun.")
        if isinstance(error, Refusal):
            return self._refuse(error)
        return fault_response()

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log where an exception came from and its type, never its text or the request's."""
        error = kw.get("exc_info") or sys.exception()
        if isinstance(error, Refusal):
            return  # the visitor's fault, and answered
        if isinstance(error, BaseException):
            log.error("A request could not be served:\n%s", without_texts(error))


async def _is_lost(request: web.BaseRequest, response: web.StreamResponse) -> bool:
    """Send what is left of the answer; whether there is nobody any more to take it."""
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return True
    return False
