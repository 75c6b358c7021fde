"""Ends an exchange when the visitor leaves, or when somebody else ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from aiohttp import web

from gateway.proxy.body import VisitorGone
from gateway.proxy.response import reset_connection

# What the listener calls when the connection is over. aiohttp tells its handlers only when they
# write, and an event stream may be silent for long.
ON_LEAVING: web.RequestKey[Callable[[], None]] = web.RequestKey("on_leaving")


class Watch:
    """Around whatever waits for the backend or the visitor: `with Watch(request)`.

    Raises VisitorGone out of the block when the visitor's connection is over, whether the visitor
    closed it or `end` did.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._has_left = False

    def __enter__(self) -> Watch:
        # The connection's own task (gateway.listener.serving); asking asyncio for the running one
        # is a system call on Python 3.11.
        self._task = task = self._request.task
        self._cancelling = task.cancelling()
        self._request[ON_LEAVING] = self._leave
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self._leave()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        assert task is not None
        del self._request[ON_LEAVING]
        # A cancellation from elsewhere goes on its way.
        is_ours = self._has_left and task.uncancel() <= self._cancelling
        if is_ours and kind is asyncio.CancelledError:
            raise VisitorGone from None

    def end(self) -> None:
        """Cut the visitor's connection: never a clean end of half an answer."""
        reset_connection(self._request)
        self._leave()

    def _leave(self) -> None:
        # Not at once: who tells of it may be the task itself, in the midst of a step.
        if self._task is not None:
            self._task.get_loop().call_soon(self._cut)

    def _cut(self) -> None:
        if self._task is not None and not self._has_left:
            self._has_left = True
            self._task.cancel()
