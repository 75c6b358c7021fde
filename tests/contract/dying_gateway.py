"""A gateway's journal, drain and adoption under load, in a process that is going to be killed.

It acknowledges each entry after `append` has returned, through a file that outlives it.
"""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path

from gateway.journal.adoption import Adoption
from gateway.journal.drain import Drain
from gateway.journal.writer import JournalWriter
from gateway.metrics import Metrics
from gateway.store.access_log import AccessLogStore
from gateway.store.database import Database
from gateway.store.entry import Entry
from gateway.worker import Worker, journal_jobs

LINKS = ("a" * 24, "b" * 24, "c" * 24)
NOW = 1_780_000_000.0


def entry_of(life: int, number: int) -> Entry:
    """The entry that a life writes as its `number`: known to those who count afterwards."""
    return Entry(
        link_id=LINKS[number % len(LINKS)],
        at=NOW + life + number / 1000,
        address="203.0.113.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        action="view",
        reason="ok",
        visitor=f"visitor-{(life * 7 + number) % 50}",
        email=None,
        bot=False,
        request_id=f"{life} {number}",
        is_view=number % 4 != 0,
        is_access=number % 5 != 0,
    )


def live(root: Path, database_url: str, life: int, acknowledged: Path) -> None:
    """Write entries until somebody puts an end to it."""
    asyncio.run(_live(root, database_url, life, acknowledged))


async def _live(root: Path, database_url: str, life: int, acknowledged: Path) -> None:
    log = AccessLogStore(Database.open(database_url))
    # Small, so that there are many edges to die on: rotations, commits, deletions.
    writer = JournalWriter(root, max_segment=20_000)
    drain = Drain(writer, log, batch=40)
    worker = Worker(journal_jobs(writer, drain, Adoption(root, log)), Metrics())
    background = asyncio.create_task(worker.run())
    acks = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in count():
        writer.append(entry_of(life, number))
        os.write(acks, f"{life} {number}\n".encode())
        await asyncio.sleep(0 if number % 10 else 0.002)
    await background
