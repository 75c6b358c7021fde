"""Mails that are on their way: each is a row before it is a message.

A row is written in the transaction that gives rise to the mail, so there is never one without the
other. Whoever sends claims rows for a time (`gateway.store.claims`): who was given up on can no
longer settle the row.

A mail is sealed as a whole, recipient included, and its row goes with it: once it has left, or
can no longer be of use, nothing of it is left here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.crypto.sealing import Sealer
from gateway.store import claims, resealing
from gateway.store.database import Database
from gateway.store.schema import outbox, to_microseconds, to_seconds

# What `Sealer` has to be made for.
SEALED_AS = "outbox"


class MailKind(StrEnum):
    """What a mail is for; a label of the metrics."""

    CODE = "code"
    NOTIFICATION = "notification"


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail, complete, as it is kept until it is sent.

    `body` is whatever the sender needs; nothing here looks into it. `message_id` is the mail's
    own `Message-ID`, so that a second copy is known for one. Times are in seconds since the
    epoch; from `expires_at` on the mail is not worth sending. A mail takes the place of every
    older one with the same `topic` that has not left yet.
    """

    kind: MailKind
    link_id: str
    message_id: str
    body: str = field(repr=False)
    created_at: float
    expires_at: float
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedMail:
    """A mail that the claimer alone may send for now; `attempt` counts from 1.

    `body` is None if none of the secret keys can read it any more.
    """

    id: int
    attempt: int
    kind: MailKind
    link_id: str
    message_id: str
    body: str | None = field(repr=False)
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many mails wait, and since when the oldest of them (None without any)."""

    mails: int
    oldest_at: float | None


class OutboxStore:
    """The outbox. Every method raises StoreUnavailable("database").

    `sealer` is one made for `SEALED_AS`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        # Set when this process has put a mail in, so that its sender need not wait for a look.
        self.added = asyncio.Event()

    async def add(self, connection: AsyncConnection, *mails: OutgoingMail) -> None:
        """Enter mails in the transaction of `connection`: they go if, and only if, it commits."""
        topics = [mail.topic for mail in mails if mail.topic is not None]
        if topics:
            await connection.execute(delete(outbox).where(outbox.c.topic.in_(topics)))
        if mails:
            await connection.execute(insert(outbox), [self._to_row(mail) for mail in mails])

    async def put(self, mail: OutgoingMail) -> None:
        """Enter one mail in a transaction of its own."""
        async with self._database.transaction() as connection:
            await self.add(connection, mail)
        self.added.set()

    async def claim(self, now: float, limit: int, lease: float) -> list[ClaimedMail]:
        """Up to `limit` mails that are due, for the caller alone until `lease` seconds are over.

        Those that are of use for the shortest time come first: a code before a notification.
        Mails past their time are never among them.
        """
        if not await self._is_any_due(now):
            return []
        chosen = (
            select(outbox).where(_due(now)).order_by(outbox.c.expires_at, outbox.c.id).limit(limit)
        )
        rows = await claims.claim(self._database, outbox, chosen, now + lease)
        return [self._to_claimed(row) for row in rows]

    async def remove(self, mail: ClaimedMail) -> bool:
        """Forget a claimed mail, for it was sent or never will be.

        False if the claim no longer holds: then the mail is another's business.
        """
        async with self._database.transaction() as connection:
            return (await connection.execute(delete(outbox).where(_held(mail)))).rowcount == 1

    async def retry(self, mail: ClaimedMail, at: float) -> bool:
        """Let a claimed mail be due again at `at`; False if the claim no longer holds."""
        again = update(outbox).where(_held(mail)).values(next_try_at=to_microseconds(at))
        async with self._database.transaction() as connection:
            return (await connection.execute(again)).rowcount == 1

    async def forget(self, topic: str) -> None:
        """Delete what waits on a topic: it is of no use any more."""
        async with self._database.transaction() as connection:
            await connection.execute(delete(outbox).where(outbox.c.topic == topic))

    async def expire(self, now: float) -> dict[MailKind, int]:
        """Delete the mails that are past their time; how many there were of each kind."""
        if (await self.backlog()).mails == 0:
            return {}
        past = delete(outbox).where(outbox.c.expires_at <= to_microseconds(now))
        async with self._database.transaction() as connection:
            rows = (await connection.execute(past.returning(outbox.c.kind))).all()
        kinds = [MailKind(row.kind) for row in rows]
        return {kind: kinds.count(kind) for kind in set(kinds)}

    async def backlog(self) -> Backlog:
        """What waits now, mails that are just being sent included."""
        statement = select(func.count(), func.min(outbox.c.created_at)).select_from(outbox)
        async with self._database.reading() as connection:
            count, oldest = (await connection.execute(statement)).one()
        return Backlog(count, None if oldest is None else to_seconds(oldest))

    async def rewrap(self) -> int:
        """Seal every mail under the first secret key; how many needed it. Raises SealBroken."""
        return await resealing.rewrap(self._database, _COLUMN, self._sealer)

    async def needs_rewrap(self) -> bool:
        """Whether a mail is still sealed under another key than the first."""
        return await resealing.needs_rewrap(self._database, _COLUMN, self._sealer)

    async def _is_any_due(self, now: float) -> bool:
        # Asked once a second for ever: it must not take SQLite's one right to write.
        async with self._database.reading() as connection:
            found = await connection.execute(select(outbox.c.id).where(_due(now)).limit(1))
            return found.first() is not None

    def _to_row(self, mail: OutgoingMail) -> dict[str, object]:
        return {
            "kind": mail.kind.value,
            "link_id": mail.link_id,
            "topic": mail.topic,
            "message_id": mail.message_id,
            "sealed": self._sealer.seal(mail.body),
            "created_at": to_microseconds(mail.created_at),
            "expires_at": to_microseconds(mail.expires_at),
            "next_try_at": to_microseconds(mail.created_at),
            "attempts": 0,
        }

    def _to_claimed(self, row: Row[tuple[object, ...]]) -> ClaimedMail:
        return ClaimedMail(
            id=row.id,
            attempt=row.attempts + 1,
            kind=MailKind(row.kind),
            link_id=row.link_id,
            message_id=row.message_id,
            body=self._sealer.unseal_or_none(row.sealed),
            created_at=to_seconds(row.created_at),
            expires_at=to_seconds(row.expires_at),
        )


async def forget_codes(connection: AsyncConnection, link_id: str) -> None:
    """Delete what waits of a link's codes: in this transaction they die."""
    is_code = outbox.c.kind == MailKind.CODE.value
    await connection.execute(delete(outbox).where(outbox.c.link_id == link_id, is_code))


_COLUMN = resealing.SealedColumn(outbox.c.id, outbox.c.sealed)


def _due(now: float) -> ColumnElement[bool]:
    at = to_microseconds(now)
    return and_(outbox.c.next_try_at <= at, outbox.c.expires_at > at)


def _held(mail: ClaimedMail) -> ColumnElement[bool]:
    return and_(outbox.c.id == mail.id, outbox.c.attempts == mail.attempt)
