"""The admin API on its listener, which every part has: health and metrics are asked for there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from admin_api.app import build_app
from admin_api.parts import Parts
from config.models import Settings
from gateway.app.foundation import Foundation
from gateway.app.stores import Stores
from gateway.links.model import is_path_segment, is_query_value
from gateway.listener import open_sockets
from gateway.metrics import Metrics
from gateway.worker import Job

# Seconds between two counts of the links for the metrics: after a change, and without one.
COUNT_PAUSE = 1.0
COUNT_EVERY = 30.0


async def start_admin(foundation: Foundation, stack: AsyncExitStack) -> str:
    """Serve the admin API until `stack` is left; where. Raises ListenError."""
    app = build_app(_parts(foundation))
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    sockets = await open_sockets(foundation.settings.admin_listen, name="admin")
    for each in sockets:
        await web.SockSite(runner, each).start()
    return _url_of(sockets[0])


def _parts(foundation: Foundation) -> Parts:
    settings, stores = foundation.settings, foundation.stores
    admin_key = settings.admin_key
    return Parts(
        links=stores.links,
        keys=stores.keys,
        access_log=stores.access_log,
        deliveries=stores.deliveries,
        throttle=stores.throttle,
        passwords=foundation.passwords,
        public_url=settings.public_url,
        metrics=foundation.metrics.render,
        readiness=foundation.health.probe,
        domain_exists=stores.links.domain_exists,
        admin_key=admin_key.get_secret_value() if admin_key is not None else None,
        is_workorder=is_path_segment if _names_in_paths(settings) else is_query_value,
    )


def admin_jobs(foundation: Foundation) -> list[Job]:
    """What the process that is the admin API does for the metrics."""
    count = _count_links(foundation.stores, foundation.metrics)
    return [Job("The count of the links", count, COUNT_PAUSE)]


def _count_links(stores: Stores, metrics: Metrics) -> Callable[[], Awaitable[None]]:
    changed = asyncio.Event()
    changed.set()
    stores.cache.on_invalidated.append(lambda _: changed.set())

    async def count() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNT_EVERY):
                await changed.wait()
        changed.clear()
        for status, number in (await stores.links.count_by_status(time.time())).items():
            metrics.links.labels(status.value).set(number)

    return count


def _names_in_paths(settings: Settings) -> bool:
    """Whether any backend is told a work order in a path, where it has to be one segment."""
    return any(
        "{workorder}" in pattern.partition("?")[0]
        for upstream in settings.all_upstreams().values()
        for pattern in (upstream.path, *(route.path for route in upstream.route_table().routes))
    )


def _url_of(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
