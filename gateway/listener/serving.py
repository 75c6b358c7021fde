"""One connection's requests, answered one after the other.

In place of aiohttp's own loop, which makes a task for each request so that each has a context of
its own. Nothing here keeps anything in one, and the task, with its way through the event loop,
was a twentieth of what a whole request costs (docs/performance.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, _ErrInfo

from gateway.proxy.response import reset_connection

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

UNREAD_BODY_TIMEOUT = 5.0
"""Seconds for the rest of a body that the answer did not need."""


class ServingProtocol(web.RequestHandler):
    """aiohttp's protocol, with a loop of our own."""

    __slots__ = ()

    async def start(self) -> None:
        """Serve requests until the connection ends, or is to end."""
        goes_on = True
        while goes_on and not self._force_close:
            if not self._messages:
                await self._wait_for_message()
            goes_on = await self._serve_next()
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _wait_for_message(self) -> None:
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    async def _serve_next(self) -> bool:
        """Answer the next request; whether the connection can carry another one."""
        message, payload = self._messages.popleft()
        self._make_room()
        request, answer = self._take(message, payload)
        try:
            if not await self._answer(request, answer):
                return False
            if not payload.is_eof():
                await self._skip_body(payload)
        except ConnectionError:
            return False
        except asyncio.CancelledError:
            self.reset_if_half_sent(request)
            self.force_close()
            raise
        except Exception as error:
            self.log_exception("A request could not be served.", exc_info=error)
            self.force_close()
            return False
        finally:
            # A cycle that would keep the request, and what it holds, for the collector.
            request._task = None  # type: ignore[assignment]
        if not self._keepalive or self._close or self._force_close:
            return False
        self._expect_another()
        return True

    def _make_room(self) -> None:
        """One request less is queued: read on, if there were too many."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _take(
        self, message: RawRequestMessage | _ErrInfo, payload: StreamReader
    ) -> tuple[web.BaseRequest, Answer]:
        """The request, and what answers it: for what could not be read, the refusal."""
        assert self._request_factory is not None
        assert self._request_handler is not None
        assert self._task_handler is not None
        writer, task = StreamWriter(self, self._loop), self._task_handler
        if not isinstance(message, _ErrInfo):
            request = self._request_factory(message, payload, self, writer, task)
            return request, self._request_handler
        request = self._request_factory(ERROR, payload, self, writer, task)
        return request, self._make_error_handler(message)

    async def _answer(self, request: web.BaseRequest, answer: Answer) -> bool:
        """Have the request answered, and send the answer; False if the connection was lost."""
        self._request_in_progress = True
        try:
            self._current_request = request
            try:
                response = await answer(request)
            except Exception as error:
                response = self.handle_error(request, 500, error)
            finally:
                self._current_request = None
            response, is_reset = await self.finish_response(request, response, None)
        finally:
            self._request_in_progress = False
            # Whoever shuts down waits for this.
            if self._handler_waiter is not None and not self._handler_waiter.done():
                self._handler_waiter.set_result(None)
        self._keepalive = bool(response.keep_alive)
        return not is_reset

    def reset_if_half_sent(self, request: web.BaseRequest) -> None:
        """Cut the connection if the answer has begun and not ended: it must not look whole."""
        writer = cast(StreamWriter, request.writer)
        if writer.output_size and not writer._eof and self._payload_parser is None:
            reset_connection(request)

    async def _skip_body(self, payload: StreamReader) -> None:
        """Read what is left of the body, for a while.

        The next request stands behind it; and a client that is still sending when the connection
        is closed would not see the answer (RFC 9112 section 9.6).
        """
        try:
            async with asyncio.timeout(UNREAD_BODY_TIMEOUT):
                while not (payload.is_eof() or self._force_close):
                    await payload.readany()
        except TimeoutError:
            self.close()

    def _expect_another(self) -> None:
        """Keep the connection for its idle time, which one timer looks after."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
