"""Takes mails out of the outbox and sends them: a job of the worker.

A mail is tried until it is sent, until the server says that it never will be, or until it is of no
use any more. What can go twice is what this process was just sending when it died: the mail server
may have taken it, and nobody remembers. Such a mail is sent once more, with the same Message-ID.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from gateway.backoff import backoff
from gateway.errors import MailRefused, MailUnavailable, StoreUnavailable
from gateway.metrics import Metrics
from gateway.notify.letter import Letter
from gateway.notify.mail import Mailer
from gateway.store.outbox import ClaimedMail, OutboxStore

log = logging.getLogger(__name__)

# Seconds between two looks for mails that other processes put there.
POLL = 1.0
# Mails that are being sent at once, each on a connection of its own. Some large providers allow no
# more to one sender.
LANES = 3
# Seconds beyond the longest that sending can take, after which the claimer must have died.
LEASE_MARGIN = 20.0
# Seconds before the second try, and how the pause grows; it ends at the smaller of `RETRY_MOST`
# and a twentieth of the mail's life: of a code's ten minutes no try wastes more than half of one.
RETRY_FIRST = 2.0
RETRY_MOST = 300.0
LIFE_SHARE = 20.0


class Delivery:
    """Sends what is due. `now` is in seconds since the epoch; `chance` gives 0 to 1."""

    def __init__(
        self,
        outbox: OutboxStore,
        mailer: Mailer,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._mailer = mailer
        self._metrics = metrics
        self._now = now
        self._chance = chance
        self._lease = mailer.longest + LEASE_MARGIN
        self._sending: set[asyncio.Task[None]] = set()
        # Mails that were sent while the database could not be told.
        self._sent: set[str] = set()
        self._trouble: str | None = None

    async def step(self) -> None:
        """Wait until there may be something to do, and begin to do it.

        Raises StoreUnavailable("database").
        """
        called = await self._called()
        room = LANES - len(self._sending)
        if room == 0:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            self._outbox.added.set()
            return
        mails = await self._outbox.claim(self._now(), room, self._lease)
        for mail in mails:
            task = asyncio.get_running_loop().create_task(self._deliver(mail))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if len(mails) == room:
            # There may be more, for whoever is done first.
            self._outbox.added.set()
        elif not called and not self._sending:
            await self._mailer.rest()

    async def finish(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for what is being sent; the rest stays in the outbox."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=timeout)
            for task in late:
                task.cancel()
        await self._mailer.rest()

    async def measure(self) -> None:
        """Delete what is past its time, and set the gauges. Raises StoreUnavailable."""
        for kind, number in (await self._outbox.expire(self._now())).items():
            self._metrics.outbox_messages_total.labels(kind.value, "expired").inc(number)
            log.warning("%d mails (%s) were not sent in time", number, kind.value)
        backlog = await self._outbox.backlog()
        age = 0.0 if backlog.oldest_at is None else max(0.0, self._now() - backlog.oldest_at)
        self._metrics.outbox_pending_messages.set(backlog.mails)
        self._metrics.outbox_oldest_age_seconds.set(age)

    async def _called(self) -> bool:
        """Whether somebody put a mail in; or else the time for a look has come."""
        try:
            async with asyncio.timeout(POLL):
                await self._outbox.added.wait()
        except TimeoutError:
            return False
        self._outbox.added.clear()
        return True

    async def _deliver(self, mail: ClaimedMail) -> None:
        try:
            await self._send(mail)
        except StoreUnavailable as error:
            # The claim runs out by itself, and then the mail is due again.
            self._metrics.store_errors_total.labels(error.store).inc()
        except Exception:
            # The boundary of this mail: a fault here must not end the delivery of the others.
            log.exception("mail %s was not sent", mail.message_id)

    async def _send(self, mail: ClaimedMail) -> None:
        if mail.message_id in self._sent:
            await self._forget(mail)
            return
        if mail.body is None:
            await self._give_up(mail, "unreadable", "none of the secret keys can read it")
            return
        letter = Letter.from_body(mail.body)
        try:
            await self._mailer.send(letter)
        except MailRefused as error:
            await self._give_up(mail, "refused", str(error))
        except MailUnavailable as error:
            await self._try_again(mail, str(error))
        else:
            self._tell_recovery()
            self._sent.add(mail.message_id)
            self._count(mail, "withheld" if letter.withheld else "sent")
            await self._forget(mail)

    async def _try_again(self, mail: ClaimedMail, cause: str) -> None:
        now = self._now()
        at = now + pause(mail, self._chance())
        if at >= mail.expires_at:
            await self._give_up(mail, "expired", cause)
            return
        if cause != self._trouble:
            self._trouble = cause
            log.warning("mails have to wait, the first is %s: %s", mail.message_id, cause)
        self._count(mail, "deferred")
        await self._outbox.retry(mail, at)

    def _tell_recovery(self) -> None:
        if self._trouble is not None:
            log.info("mails go out again")
            self._trouble = None

    async def _give_up(self, mail: ClaimedMail, result: str, cause: str) -> None:
        log.warning(
            "mail %s (%s, link %s) is not sent: %s",
            mail.message_id, mail.kind.value, mail.link_id, cause,
        )  # fmt: skip
        await self._end(mail, result)

    async def _end(self, mail: ClaimedMail, result: str) -> None:
        if await self._outbox.remove(mail):
            self._count(mail, result)

    async def _forget(self, mail: ClaimedMail) -> None:
        await self._outbox.remove(mail)
        self._sent.discard(mail.message_id)

    def _count(self, mail: ClaimedMail, result: str) -> None:
        self._metrics.outbox_messages_total.labels(mail.kind.value, result).inc()


def pause(mail: ClaimedMail, chance: float) -> float:
    """Seconds until `mail` is tried again: twice as long each time, up to a bound.

    `chance`, from 0 to 1, spreads them over the second half of that, so that mails that failed
    together do not come back together.
    """
    most = min(RETRY_MOST, (mail.expires_at - mail.created_at) / LIFE_SHARE)
    whole = backoff(mail.attempt, RETRY_FIRST, most)
    return whole * (1 + chance) / 2
