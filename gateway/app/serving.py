"""Serves until the process is told to end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal

from config.models import Part, Settings
from gateway.app.process import running
from gateway.systemd import notify

log = logging.getLogger(__name__)


async def serve(settings: Settings, part: Part = "all") -> None:
    """Serve until SIGTERM or SIGINT, then end without losing anything. Raises as `running`."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(settings, part) as process:
        if process.visitors is not None:
            log.info("visitors: %s", ", ".join(process.visitors.addresses))
        log.info("admin API, metrics and health: %s", process.admin_url)
        notify("READY=1")
        _tune_collection()
        await ended.wait()
        log.info("draining")
        notify("STOPPING=1")
    log.info("ended")


def _tune_collection() -> None:
    """Keep the cycle collector from what lives as long as the process.

    Requests leave hardly any cycles behind, but their objects set it off hundreds of times a
    second, and its full passes over everything that was imported cost 100 ms each: docs/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
