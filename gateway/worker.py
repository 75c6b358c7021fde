"""The background work: what nobody waits for, and what has to go on whatever is down.

Each job is a step that is done over and over. A step that fails is said once, with the first
failure, and tried again, ever more slowly, until it succeeds; the other jobs do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.backoff import backoff
from gateway.branding.fetching import LogoFetcher
from gateway.errors import StoreUnavailable
from gateway.journal.adoption import Adoption
from gateway.journal.drain import Drain
from gateway.journal.writer import JournalWriter
from gateway.metrics import Metrics
from gateway.notify.delivery import Delivery
from gateway.notify.gathering import Gathering
from gateway.notify.webhook_sender import WebhookSender
from gateway.store.access_log import AccessLogStore
from gateway.store.changes import ChangeFeed
from gateway.store.deliveries import DeliveryStore
from gateway.store.logos import LogoStore

logger = logging.getLogger(__name__)

# Seconds between flushes of the journal: what the loss of the whole machine can cost.
SYNC_EVERY = 0.5
# Seconds between looks for journals of dead processes.
ADOPT_EVERY = 10.0
# Seconds that a change is kept for a gateway that has not read it yet; one that was away for
# longer forgets all that it knew.
CHANGES_KEPT = 3600.0
PRUNE_EVERY = 300.0
# Seconds between two looks for logos to fetch, and for those that have been.
FETCH_EVERY = 1.0
LEARN_EVERY = 2.0
RETAIN_EVERY = 3600.0
# Log rows in one transaction, and seconds between two: others want to write, too.
RETAIN_BATCH = 1000
RETAIN_PAUSE = 0.05
DAY = 86_400.0
# Seconds between two looks at how many mails wait.
MEASURE_EVERY = 2.0
# Seconds between two looks for what is to be told, and for webhooks that are due: with webhooks,
# and without any, when there can only be some of a time that had them.
TELL_EVERY = 0.5
LOOK_EVERY = 60.0
# Days that a dead webhook is kept, for its owner to see it and send it again.
DEAD_KEPT_DAYS = 30.0

# Seconds before a failed step is tried again: the first time, and at most.
RETRY_FIRST = 0.25
RETRY_MOST = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """A step, and how many seconds lie between two of them. `name` is for the log."""

    name: str
    step: Callable[[], Awaitable[object]]
    every: float = 0.0


class Worker:
    """Does its jobs until it is cancelled."""

    def __init__(self, jobs: Sequence[Job], metrics: Metrics) -> None:
        self._jobs = jobs
        self._metrics = metrics

    async def run(self) -> None:
        """Do all jobs side by side. Ends by cancellation alone, when each has ended."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._repeat(job), name=job.name)

    async def _repeat(self, job: Job) -> None:
        failures = 0
        while True:
            try:
                await job.step()
            except StoreUnavailable as error:
                self._metrics.store_errors_total.labels(store=error.store).inc()
                if failures == 0:
                    logger.warning("%s has to wait: %s.", job.name, error)
                failures += 1
            except Exception:
                # The boundary of the background: a fault of one job must not end the others.
                if failures == 0:
                    logger.exception("%s failed, and is tried again.", job.name)
                failures += 1
            else:
                if failures:
                    logger.info("%s goes on.", job.name)
                failures = 0
            await asyncio.sleep(retry_delay(failures) if failures else job.every)


def retry_delay(failures: int) -> float:
    """Seconds until a job is tried again that has failed so often in a row."""
    return backoff(failures, RETRY_FIRST, RETRY_MOST)


def journal_jobs(
    writer: JournalWriter, drain: Drain, adoption: Adoption | None = None
) -> list[Job]:
    """What a process with a journal has to do, and what is left of those that died."""
    jobs = [
        Job("The flush of the journal", writer.sync, SYNC_EVERY),
        Job("The drain of the journal", lambda: drain.turn(writer.written)),
    ]
    if adoption is not None:
        jobs.append(Job("The drain of leftover journals", adoption.sweep, ADOPT_EVERY))
    return jobs


def mail_jobs(delivery: Delivery) -> list[Job]:
    """What sends the mails that are in the outbox, and tells of those that cannot be sent."""
    return [
        Job("The delivery of mails", delivery.step),
        Job("The look at the outbox", delivery.measure, MEASURE_EVERY),
    ]


def upkeep_jobs(
    changes: ChangeFeed,
    log: AccessLogStore,
    *,
    retention_days: float = 0,
    now: Callable[[], float] = time.time,
) -> list[Job]:
    """What keeps the database from growing; 0 `retention_days` keep the access log for ever."""
    jobs = [Job("The pruning of changes", lambda: changes.prune(now() - CHANGES_KEPT), PRUNE_EVERY)]
    if retention_days > 0:
        jobs.append(
            Job(
                "The retention of the access log",
                lambda: retain(log, now() - retention_days * DAY),
                RETAIN_EVERY,
            )
        )
    return jobs


def notification_jobs(
    gathering: Gathering,
    sender: WebhookSender,
    deliveries: DeliveryStore,
    *,
    has_webhooks: bool,
    now: Callable[[], float] = time.time,
) -> list[Job]:
    """What tells owners of what happened on their links, and what is left of it."""
    return [
        Job("The notifications", gathering.step, TELL_EVERY),
        Job("The webhooks", sender.step, TELL_EVERY if has_webhooks else LOOK_EVERY),
        Job(
            "The end of dead webhooks",
            lambda: deliveries.delete_dead(now() - DEAD_KEPT_DAYS * DAY),
            RETAIN_EVERY,
        ),
    ]


def logo_jobs(
    fetcher: LogoFetcher, store: LogoStore, now: Callable[[], float] = time.time
) -> list[Job]:
    """What fetches the logos that links name, and forgets those that none names any more."""
    return [
        Job("The logos", fetcher.step, FETCH_EVERY),
        Job("The end of unused logos", lambda: store.forget_unused(now() - DAY), RETAIN_EVERY),
    ]


async def retain(log: AccessLogStore, oldest: float) -> int:
    """Delete the entries from before `oldest`, in small batches; how many they were.

    What was counted of them stays counted. Raises StoreUnavailable.
    """
    deleted = 0
    while batch := await log.delete_before(oldest, RETAIN_BATCH):
        deleted += batch
        await asyncio.sleep(RETAIN_PAUSE)
    if deleted:
        logger.info("%d entries of the access log were past their time.", deleted)
    return deleted
