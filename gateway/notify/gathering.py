"""Turns events into what people and machines are told: webhooks at once, mails a little later.

What happens on one link within a short time is one mail. Events wait in the database for it, and
what becomes of them is entered in the transaction that deletes them: so an event leads to one row in
the outbox for each recipient and to one delivery for each webhook, whichever worker is at it and
wherever it dies.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.crypto.tokens import new_id
from gateway.errors import StoreUnavailable
from gateway.links.model import Link
from gateway.notify.webhooks import webhook_body, webhooks_of
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryStore, NewDelivery
from gateway.store.entry import Event
from gateway.store.events import EventStore, PendingEvent
from gateway.store.links import LinkStore
from gateway.store.outbox import OutboxStore, OutgoingMail

log = logging.getLogger(__name__)

# Links that are looked at in one step.
BATCH = 100

Compose = Callable[[str, Link, Sequence[Event], float, str | None], OutgoingMail]
"""Makes the mail to one recipient of what happened on a link, at a time; last is its purpose.

Raises ValueError if the recipient is not one address.
"""


class Gathering:
    """Tells of events. `gather` is how many seconds those of one link wait for others.

    `webhooks` are the names of the configured ones. `compose` None: there is no way to send mails,
    and nobody is told by one.
    """

    def __init__(
        self,
        database: Database,
        links: LinkStore,
        outbox: OutboxStore,
        deliveries: DeliveryStore,
        *,
        webhooks: Collection[str],
        compose: Compose | None,
        gather: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._events = EventStore(database)
        self._links = links
        self._outbox = outbox
        self._deliveries = deliveries
        self._webhooks = webhooks
        self._compose = compose
        self._gather = gather
        self._now = now

    async def step(self) -> None:
        """Tell of everything that is due.

        Raises StoreUnavailable at once, and at the end what went wrong with one link: the others
        do not have to wait for it.
        """
        now = self._now()
        links = list(await self._events.gathered_links(now - self._gather, BATCH))
        if self._webhooks:
            links += await self._events.unposted_links(BATCH)
        fault: Exception | None = None
        for link_id in dict.fromkeys(links):
            try:
                await self._tell(link_id, now)
            except StoreUnavailable:
                raise
            except Exception as error:  # raised below
                fault = error
        if fault is not None:
            raise fault

    async def _tell(self, link_id: str, now: float) -> None:
        """Tell of what is due of one link, as the link is by now."""
        link = await self._links.snapshot_by_id(link_id)
        async with self._database.transaction() as connection:
            pending = await self._events.lock(connection, link_id)
            wanted = [
                each for each in pending if link and link.notifications.wants(each.event.kind)
            ]
            if link is None or not wanted:
                await self._events.forget(connection, pending)
                return
            await self._post(connection, link, wanted, now)
            has_recipients = self._compose is not None and link.notifications.recipients
            is_due = wanted[0].event.at <= now - self._gather
            if has_recipients and not is_due:
                await self._events.mark_posted(connection, wanted)
                return
            if has_recipients:
                await self._mail(connection, link, wanted, now)
            await self._events.forget(connection, pending)

    async def _post(
        self, connection: AsyncConnection, link: Link, wanted: Sequence[PendingEvent], now: float
    ) -> None:
        """One delivery for each event and webhook; this is where a webhook gets its id."""
        deliveries = [
            NewDelivery(new_id(), webhook, link.id, each.event.kind, webhook_body(each.event, link))
            for each in wanted
            if not each.is_posted
            for webhook in webhooks_of(link.namespaces, self._webhooks)
        ]
        await self._deliveries.add(connection, now, deliveries)

    async def _mail(
        self, connection: AsyncConnection, link: Link, wanted: Sequence[PendingEvent], now: float
    ) -> None:
        """One mail to each recipient, of everything; this is where a mail gets its Message-ID."""
        assert self._compose is not None
        events = [each.event for each in wanted]
        purpose = await self._links.purpose(connection, link.id)
        mails = []
        for recipient in dict.fromkeys(link.notifications.recipients):
            try:
                mails.append(self._compose(recipient, link, events, now, purpose))
            except ValueError as error:
                # Stored by another version, perhaps; the others are to be told all the same.
                log.warning("a recipient of link %s is not told: %s", link.id, error)
        await self._outbox.add(connection, *mails)
