"""Webhooks that have not arrived yet: each is a row, with the id that every try of it carries.

A row is written in the transaction that takes its event, and deleted once the receiver has said
that it has it. Whoever sends claims rows for a time (`gateway.store.claims`). To the claim's proof
belongs the round as well: who was given up on settles nothing.

A row that was tried for long enough, or whose receiver is gone, is dead: it is kept for its owner
to see, and to have it sent again, which begins a new round with the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.crypto.sealing import Sealer
from gateway.links.model import EventKind
from gateway.store import claims, resealing
from gateway.store.database import Database
from gateway.store.schema import (
    link_namespaces,
    to_microseconds,
    to_seconds,
    webhook_deliveries,
)

# What `Sealer` has to be made for.
SEALED_AS = "webhooks"

# The name of the webhook for links none of whose namespaces has one.
ANY = "*"

_COLUMNS = webhook_deliveries.c
_SEALED = resealing.SealedColumn(_COLUMNS.id, _COLUMNS.sealed)


class DeliveryState(StrEnum):
    """Whether a webhook that has not arrived is still tried."""

    PENDING = "pending"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A webhook to be sent: `id` is its `webhook-id`, `webhook` the name of its settings."""

    id: str
    webhook: str
    link_id: str
    kind: EventKind
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A webhook that the claimer alone may send for now; `attempt` counts from 1 in each round.

    `body` is None if none of the secret keys can read it any more.
    """

    id: str
    webhook: str
    attempt: int
    started_at: int
    body: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that has not arrived, for its owner to see. Times are seconds since the epoch.

    `status` is what the receiver last answered, `failure` why there was no answer; `next_try_at`
    is None once it is dead.
    """

    id: str
    webhook: str
    link_id: str
    kind: EventKind
    state: DeliveryState
    attempts: int
    created_at: float
    next_try_at: float | None
    status: int | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """A page of deliveries, newest first. `visible_to` None sees those of every namespace."""

    page: int = 1
    per_page: int = 25
    state: DeliveryState | None = None
    visible_to: tuple[str, ...] | None = None


class DeliveryStore:
    """The webhooks of one database. Every method raises StoreUnavailable("database").

    `sealer` is one made for `SEALED_AS`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(
        self, connection: AsyncConnection, now: float, deliveries: Sequence[NewDelivery]
    ) -> None:
        """Enter webhooks in the transaction of `connection`: they go if, and only if, it commits."""
        if deliveries:
            rows = [self._to_row(delivery, now) for delivery in deliveries]
            await connection.execute(insert(webhook_deliveries), rows)

    async def due_webhooks(self, now: float) -> Sequence[str]:
        """The names of the webhooks that something is to be sent to."""
        statement = select(_COLUMNS.webhook).where(_due(now)).distinct().order_by(_COLUMNS.webhook)
        async with self._database.reading() as connection:
            return (await connection.execute(statement)).scalars().all()

    async def claim(
        self, webhook: str, now: float, limit: int, lease: float
    ) -> list[ClaimedDelivery]:
        """Up to `limit` of a webhook's deliveries that are due, for `lease` seconds; oldest first."""
        chosen = (
            select(webhook_deliveries)
            .where(_due(now), _COLUMNS.webhook == webhook)
            .order_by(_COLUMNS.next_try_at, _COLUMNS.id)
            .limit(limit)
        )
        rows = await claims.claim(self._database, webhook_deliveries, chosen, now + lease)
        return [self._to_claimed(row) for row in rows]

    async def remove(self, claimed: ClaimedDelivery) -> bool:
        """Forget a webhook that has arrived; False if the claim no longer holds."""
        async with self._database.transaction() as connection:
            result = await connection.execute(delete(webhook_deliveries).where(_held(claimed)))
            return result.rowcount == 1

    async def retry(
        self, claimed: ClaimedDelivery, at: float, status: int | None, failure: str | None
    ) -> bool:
        """Let a webhook be due again at `at`; False if the claim no longer holds."""
        return await self._settle(
            claimed, next_try_at=to_microseconds(at), status=status, failure=failure
        )

    async def bury(self, claimed: ClaimedDelivery, status: int | None, failure: str | None) -> bool:
        """Try a webhook no more; False if the claim no longer holds."""
        return await self._settle(
            claimed, state=DeliveryState.DEAD.value, status=status, failure=failure
        )

    async def resend(self, id: str, now: float) -> bool:
        """Begin a new round for a dead webhook; False if there is no dead one with this id."""
        again = (
            update(webhook_deliveries)
            .where(_COLUMNS.id == id, _COLUMNS.state == DeliveryState.DEAD.value)
            .values(
                state=DeliveryState.PENDING.value,
                attempts=0,
                started_at=to_microseconds(now),
                next_try_at=to_microseconds(now),
            )
        )
        async with self._database.transaction() as connection:
            return (await connection.execute(again)).rowcount == 1

    async def get(self, id: str) -> tuple[Delivery, tuple[str, ...]] | None:
        """A webhook that has not arrived, and the namespaces that it belongs to."""
        async with self._database.reading() as connection:
            found = select(webhook_deliveries).where(_COLUMNS.id == id)
            row = (await connection.execute(found)).one_or_none()
            if row is None:
                return None
            of_link = (
                select(link_namespaces.c.namespace)
                .where(link_namespaces.c.link_id == row.link_id)
                .order_by(link_namespaces.c.position)
            )
            namespaces = (await connection.execute(of_link)).scalars().all()
        # A link that is gone has no namespaces any more; its webhook still has its own.
        own = () if row.webhook == ANY else (row.webhook,)
        return _to_delivery(row), tuple(namespaces) or own

    async def page(self, query: DeliveryQuery) -> tuple[Sequence[Delivery], int]:
        """The asked page, and how many there are on all pages."""
        wanted = _wanted(query)
        count = select(func.count()).select_from(webhook_deliveries).where(*wanted)
        statement = (
            select(webhook_deliveries)
            .where(*wanted)
            .order_by(_COLUMNS.created_at.desc(), _COLUMNS.id.desc())
            .limit(query.per_page)
            .offset((query.page - 1) * query.per_page)
        )
        async with self._database.reading() as connection:
            total = (await connection.execute(count)).scalar_one()
            rows = (await connection.execute(statement)).all()
        return [_to_delivery(row) for row in rows], total

    async def count_pending(self) -> int:
        """How many webhooks are still tried."""
        pending = _COLUMNS.state == DeliveryState.PENDING.value
        statement = select(func.count()).select_from(webhook_deliveries).where(pending)
        async with self._database.reading() as connection:
            return (await connection.execute(statement)).scalar_one()

    async def delete_dead(self, before: float) -> int:
        """Delete the dead ones whose last round began before then; how many they were."""
        old = delete(webhook_deliveries).where(
            _COLUMNS.state == DeliveryState.DEAD.value,
            _COLUMNS.started_at < to_microseconds(before),
        )
        async with self._database.transaction() as connection:
            return (await connection.execute(old)).rowcount

    async def rewrap(self) -> int:
        """Seal every body under the first secret key; how many needed it. Raises SealBroken."""
        return await resealing.rewrap(self._database, _SEALED, self._sealer)

    async def needs_rewrap(self) -> bool:
        """Whether a body is still sealed under another key than the first."""
        return await resealing.needs_rewrap(self._database, _SEALED, self._sealer)

    async def _settle(self, claimed: ClaimedDelivery, **values: object) -> bool:
        settled = update(webhook_deliveries).where(_held(claimed)).values(**values)
        async with self._database.transaction() as connection:
            return (await connection.execute(settled)).rowcount == 1

    def _to_row(self, delivery: NewDelivery, now: float) -> dict[str, object]:
        at = to_microseconds(now)
        return {
            "id": delivery.id,
            "webhook": delivery.webhook,
            "link_id": delivery.link_id,
            "kind": delivery.kind.value,
            "sealed": self._sealer.seal(delivery.body),
            "state": DeliveryState.PENDING.value,
            "attempts": 0,
            "created_at": at,
            "started_at": at,
            "next_try_at": at,
        }

    def _to_claimed(self, row: Row[Any]) -> ClaimedDelivery:
        return ClaimedDelivery(
            row.id,
            row.webhook,
            row.attempts + 1,
            row.started_at,
            self._sealer.unseal_or_none(row.sealed),
        )


def _due(now: float) -> ColumnElement[bool]:
    return and_(
        _COLUMNS.state == DeliveryState.PENDING.value,
        _COLUMNS.next_try_at <= to_microseconds(now),
    )


def _held(claimed: ClaimedDelivery) -> ColumnElement[bool]:
    return and_(
        _COLUMNS.id == claimed.id,
        _COLUMNS.state == DeliveryState.PENDING.value,
        _COLUMNS.attempts == claimed.attempt,
        _COLUMNS.started_at == claimed.started_at,
    )


def _wanted(query: DeliveryQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.state is not None:
        wanted.append(_COLUMNS.state == query.state.value)
    if query.visible_to is not None:
        of_link = link_namespaces.c.link_id == _COLUMNS.link_id
        shared = exists().where(of_link, link_namespaces.c.namespace.in_(query.visible_to))
        # As in `get`: a link that is gone has no namespaces any more.
        own = and_(~exists().where(of_link), _COLUMNS.webhook.in_(query.visible_to))
        wanted.append(or_(shared, own))
    return wanted


def _to_delivery(row: Row[Any]) -> Delivery:
    state = DeliveryState(row.state)
    return Delivery(
        id=row.id,
        webhook=row.webhook,
        link_id=row.link_id,
        kind=EventKind(row.kind),
        state=state,
        attempts=row.attempts,
        created_at=to_seconds(row.created_at),
        next_try_at=to_seconds(row.next_try_at) if state is DeliveryState.PENDING else None,
        status=row.status,
        failure=row.failure,
    )
