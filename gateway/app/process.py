"""One process of the gateway, whatever its part: what is built, in which order, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from config.models import Part, Settings
from gateway.app.admin import admin_jobs, start_admin
from gateway.app.background import Background
from gateway.app.foundation import lay_foundation
from gateway.app.stores import Stores
from gateway.app.visitors import Visitors
from gateway.app.worker import worker_jobs
from gateway.health import PROBE_EVERY, Health
from gateway.listener import Listener
from gateway.worker import Job, Worker


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that serves. `drain` stores all that is in the journal by now.

    `visitors` and `drain` are None in a process that serves no visitors.
    """

    settings: Settings
    stores: Stores
    health: Health
    admin_url: str
    visitors: Listener | None = None
    drain: Callable[[], Awaitable[None]] | None = None


@asynccontextmanager
async def running(
    settings: Settings, part: Part = "all", *, printer: Callable[[str], None] | None = None
) -> AsyncIterator[Running]:
    """Build and start everything; on leaving, drain and end it in order.

    `printer` gets the mails where no mail server is set (the demo). Raises CannotStart, LockHeld,
    ListenError, StoreUnavailable or SettingsError, each with a sentence for the operator.
    """
    async with AsyncExitStack() as stack:
        process = await _start(settings, part, printer, stack)
        yield process
        process.health.is_draining = True
        if process.visitors is not None:
            await asyncio.sleep(settings.drain.delay)


async def _start(
    settings: Settings, part: Part, printer: Callable[[str], None] | None, stack: AsyncExitStack
) -> Running:
    """Build and start what `part` needs. What is pushed last on `stack` ends first."""
    foundation = await lay_foundation(settings, stack, printer)
    health, stores = foundation.health, foundation.stores
    background = Background(stack)
    jobs = [Job("The look at the parts", health.probe, PROBE_EVERY)]
    visitors: Visitors | None = None
    if part in {"all", "gateway"}:
        visitors = Visitors(foundation, stack)
        jobs += visitors.start(background)
    if part in {"all", "worker"}:
        jobs += worker_jobs(foundation, stack)
    if part in {"all", "admin"}:
        jobs += admin_jobs(foundation)
    # Every part has an admin listener, for its metrics and its health; only the part that is
    # the admin API knows the database well enough to answer the rest, which needs keys.
    admin_url = await start_admin(foundation, stack)
    background.run(Worker(jobs, foundation.metrics).run())
    await health.probe()
    if visitors is None:
        return Running(settings, stores, health, admin_url)
    # Last, and so the first to end: while visitors finish, their entries are still flushed and
    # drained, and metrics and health are still there to be asked.
    listener = await visitors.listen()
    return Running(settings, stores, health, admin_url, listener, visitors.journal.drain.drain_all)
