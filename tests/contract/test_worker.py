"""What keeps the database from growing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway import worker
from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_token
from gateway.links.model import Link, LinkRecord, Usage
from gateway.metrics import Metrics
from gateway.store.access_log import AccessLogStore
from gateway.store.changes import ChangeFeed
from gateway.store.database import Database
from gateway.store.entry import START, Position
from gateway.store.links import LinkStore
from gateway.worker import CHANGES_KEPT, DAY, Job, Worker, retain, upkeep_jobs
from tests.contract.dying_gateway import LINKS, NOW, entry_of


@pytest.fixture
async def links(database: Database, sealer: Sealer) -> LinkStore:
    """Three links, one after the other: changes number 1, 2 and 3."""
    times = iter([NOW, NOW + 10, NOW + 20])
    store = LinkStore(database, sealer, now=lambda: next(times))
    for link_id in LINKS:
        token = new_token()
        link = Link(id=link_id, token_hash=hash_token(token), workorder="WO-1")
        await store.create(LinkRecord(link, token, created_at=NOW, modified_at=NOW))
    return store


@pytest.fixture
async def log(database: Database, links: LinkStore) -> AccessLogStore:
    """Seven views of the first link, a day between two of them."""
    log = AccessLogStore(database)
    entries = [replace(entry_of(0, 3), at=NOW + DAY * day) for day in range(7)]
    await log.absorb("j", START, Position(1, 1), entries)
    return log


async def run_once(job: Job) -> None:
    await job.step()


def job_named(jobs: list[Job], name: str) -> Job:
    return next(job for job in jobs if name in job.name)


async def test_the_retention_deletes_batch_by_batch_and_counters_stay(
    log: AccessLogStore, links: LinkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETAIN_BATCH", 2)
    assert await retain(log, NOW + 5 * DAY) == 5
    assert (await log.page(LINKS[0]))[1] == 2
    record = await links.get(LINKS[0])
    assert record is not None
    assert record.usage == Usage(total_views=7, unique_visitors=1, last_accessed=NOW + 6 * DAY)


@pytest.mark.parametrize(("days", "left"), [(1, 1), (3.5, 4), (365, 7)])
async def test_the_access_log_is_kept_for_so_many_days(
    database: Database, log: AccessLogStore, days: float, left: int
) -> None:
    jobs = upkeep_jobs(
        ChangeFeed(database), log, retention_days=days, now=lambda: NOW + 6 * DAY + 1
    )
    await run_once(job_named(jobs, "retention"))
    assert (await log.page(LINKS[0]))[1] == left


async def test_without_a_retention_the_access_log_is_kept_for_ever(
    database: Database, log: AccessLogStore
) -> None:
    jobs = upkeep_jobs(ChangeFeed(database), log, now=lambda: NOW + 10_000 * DAY)
    for job in jobs:
        await run_once(job)
    assert (await log.page(LINKS[0]))[1] == 7


async def test_changes_are_pruned_when_every_gateway_has_read_them(
    database: Database, log: AccessLogStore
) -> None:
    feed = ChangeFeed(database)
    jobs = upkeep_jobs(feed, log, now=lambda: NOW + CHANGES_KEPT + 15)
    await run_once(job_named(jobs, "pruning"))
    assert await feed.since(1) is None
    assert await feed.since(3) == []
    assert await feed.latest() == 3


async def test_the_worker_does_the_upkeep_by_itself(
    database: Database, log: AccessLogStore
) -> None:
    jobs = upkeep_jobs(ChangeFeed(database), log, retention_days=1, now=lambda: NOW + 6 * DAY + 1)
    background = asyncio.create_task(Worker(jobs, Metrics()).run())
    async with asyncio.timeout(10):
        while (await log.page(LINKS[0]))[1] > 1:
            await asyncio.wait({background}, timeout=0.02)
    background.cancel()
    with pytest.raises(asyncio.CancelledError):
        await background
