"""Ends an exchange when the visitor leaves, or when somebody else ends it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from aiohttp import web

from gateway.proxy.body import VisitorGone
from gateway.proxy.response import reset_connection

# Seconds between two looks at the visitor's connection. aiohttp tells its handlers only when they
# write, and an event stream may be silent for long.
LOOK_EVERY = 0.2


class Watch:
    """Around whatever waits for the backend or the visitor: `async with Watch(request)`.

    Raises VisitorGone out of the block when the visitor's connection is over, whether the visitor
    closed it or `end` did.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._scope = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Watch:
        await self._scope.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise VisitorGone from None

    def end(self) -> None:
        """Cut the visitor's connection: never a clean end of half an answer."""
        reset_connection(self._request)
        if self._timer is not None:
            self._stop()
            self._look()

    def _look(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self._timer = None
            self._scope.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(LOOK_EVERY, self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
