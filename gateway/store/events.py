"""Events that somebody wants to be told of, from the journal's drain until they are told.

They come in by `AccessLogStore.absorb`. Two things become of each: webhooks, at once, and its place
in a mail, once the events of its link have gathered. What takes an event enters what became of it
in the same transaction, so nothing is told twice and nothing is forgotten; rows that another
worker is at are passed over (SQLite, which has one writer at a time, knows no such words).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.links.model import EventKind
from gateway.store.database import Database
from gateway.store.entry import Event
from gateway.store.schema import notification_events, to_microseconds, to_seconds

_COLUMNS = notification_events.c
# Rows of one link in one transaction; the rest of a flood is told next.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that waits; `is_posted` says that its webhooks are entered already."""

    id: int
    event: Event
    is_posted: bool


class EventStore:
    """The events that wait. Every method raises StoreUnavailable("database")."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unposted_links(self, limit: int) -> Sequence[str]:
        """At most `limit` links with events whose webhooks are not entered yet."""
        links = select(_COLUMNS.link_id).where(_COLUMNS.is_posted.is_(False)).distinct()
        return await self._ids(links.order_by(_COLUMNS.link_id).limit(limit))

    async def gathered_links(self, before: float, limit: int) -> Sequence[str]:
        """At most `limit` links whose first event is from before then, the longest waiting first."""
        first = func.min(_COLUMNS.at)
        links = (
            select(_COLUMNS.link_id)
            .group_by(_COLUMNS.link_id)
            .having(first <= to_microseconds(before))
        )
        return await self._ids(links.order_by(first).limit(limit))

    async def lock(self, connection: AsyncConnection, link_id: str) -> list[PendingEvent]:
        """The events of a link that no other worker is at, oldest first, locked."""
        statement = (
            select(notification_events)
            .where(_COLUMNS.link_id == link_id)
            .order_by(_COLUMNS.at, _COLUMNS.id)
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )
        return [_pending(row) for row in await connection.execute(statement)]

    async def mark_posted(
        self, connection: AsyncConnection, events: Sequence[PendingEvent]
    ) -> None:
        """Remember that the webhooks of these events are entered."""
        statement = update(notification_events).where(_COLUMNS.id.in_(_ids_of(events)))
        await connection.execute(statement.values(is_posted=True))

    async def forget(self, connection: AsyncConnection, events: Sequence[PendingEvent]) -> None:
        """Delete events: whoever wanted to know is being told."""
        statement = delete(notification_events).where(_COLUMNS.id.in_(_ids_of(events)))
        await connection.execute(statement)

    async def _ids(self, statement: Any) -> Sequence[str]:
        async with self._database.reading() as connection:
            return (await connection.execute(statement)).scalars().all()


def _ids_of(events: Sequence[PendingEvent]) -> list[int]:
    return [event.id for event in events]


def _pending(row: Row[Any]) -> PendingEvent:
    event = Event(
        link_id=row.link_id,
        at=to_seconds(row.at),
        kind=EventKind(row.kind),
        address=row.address,
        email=row.email,
        request_id=row.request_id,
    )
    return PendingEvent(row.id, event, row.is_posted)
