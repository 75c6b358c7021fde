"""A listener with a handler that writes down what reaches it, on either event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from aiohttp import web

from config.models import LimitSettings
from gateway.links.verdict import Reason
from gateway.listener import Listener, open_sockets
from gateway.proxy.response import BareResponse, send_continue
from tests.raw_client import DEADLINE

STATUS = {Reason.BAD_REQUEST: 400, Reason.HEADER_TOO_LARGE: 431, Reason.OVERLOADED: 503}


def refuse(reason: Reason, detail: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """The refusals of a listener on its own."""
    headers = [("X-Portal-Reason", reason.value), ("Content-Type", "application/json")]
    if reason is Reason.OVERLOADED:
        headers.append(("Retry-After", "5"))
    return STATUS[reason], headers, f'{{"reason": "{reason.value}"}}'.encode()


@dataclass
class Recorder:
    """Writes down each request, reads its body and answers with the target as the body."""

    targets: list[str] = field(default_factory=list)
    requests: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.targets.append(request._message.path)
        self.requests.append(request)
        self.started.set()
        await send_continue(request)
        self.bodies.append(await request.content.read())
        return BareResponse(200, body=request._message.path.encode())


@asynccontextmanager
async def listening(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    *,
    listen: str = "127.0.0.1:0",
    **limits: Any,
) -> AsyncIterator[Listener]:
    """A listener on a free port, closed at the end."""
    listener = Listener(handler, refuse, LimitSettings(**limits))
    await listener.start(await open_sockets(listen))
    try:
        yield listener
    finally:
        await listener.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the loop is about to bring about."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on asyncio's own event loop and on uvloop."""

    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **values: Any) -> None:
        async def whole() -> None:
            await test(**values)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(whole())

    signature = inspect.signature(test)
    chosen = inspect.Parameter("loop_factory", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[chosen, *signature.parameters.values()], return_annotation=None
    )
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
    both = pytest.mark.parametrize(
        "loop_factory",
        [
            pytest.param(asyncio.new_event_loop, id="asyncio"),
            pytest.param(uvloop.new_event_loop, id="uvloop"),
        ],
    )
    both_run: Callable[..., None] = both(run)
    return both_run
