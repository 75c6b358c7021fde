"""A worker's delivery in a process that is going to be killed."""

from __future__ import annotations

import asyncio

from gateway.crypto.sealing import Sealer
from gateway.metrics import Metrics
from gateway.notify.delivery import Delivery
from gateway.notify.mail import Mailer
from gateway.store.database import Database
from gateway.store.outbox import SEALED_AS, OutboxStore
from gateway.worker import Worker, mail_jobs


def deliver(database_url: str, key: str, smtp_url: str, sender: str) -> None:
    """Send what is in the outbox until somebody puts an end to it."""
    asyncio.run(_deliver(database_url, key, smtp_url, sender))


async def _deliver(database_url: str, key: str, smtp_url: str, sender: str) -> None:
    outbox = OutboxStore(Database.open(database_url), Sealer([key], SEALED_AS))
    metrics = Metrics()
    await Worker(mail_jobs(Delivery(outbox, Mailer(smtp_url, sender), metrics)), metrics).run()
