"""The uses of a limited link: never more are spent than there are."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import CommitUnknown, Database
from gateway.store.inserts import insert_absent
from gateway.store.schema import link_usage, link_uses, links, to_microseconds


class SpendResult(StrEnum):
    """What became of a try to spend a use."""

    SPENT = "spent"
    EXHAUSTED = "exhausted"
    # The link is not the one that was judged: gone, changed, inactive or expired.
    CHANGED = "changed"


class UseStore:
    """Counts uses in the database itself, for every gateway at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spent(self, link_id: str) -> int:
        """How many uses are spent by now; 0 for no link. Raises StoreUnavailable."""
        statement = select(link_usage.c.uses).where(link_usage.c.link_id == link_id)
        async with self._database.reading() as connection:
            return (await connection.execute(statement)).scalar() or 0

    async def spend(
        self, link_id: str, access_version: int, session_id: str, now: float
    ) -> SpendResult:
        """Spend one use for `session_id`, if the link is still what it was judged to be.

        Spending again for the same session spends nothing and says SPENT. So when nobody knows
        whether the commit happened, asking once more tells, and if it did not, does it. Raises
        StoreUnavailable if that cannot be known either: then no session may open.
        """
        try:
            return await self._spend(link_id, access_version, session_id, now)
        except CommitUnknown:
            return await self._spend(link_id, access_version, session_id, now)

    async def _spend(
        self, link_id: str, access_version: int, session_id: str, now: float
    ) -> SpendResult:
        async with self._database.transaction() as connection:
            if not await _hold(connection, link_id, access_version, now):
                return SpendResult.CHANGED
            entry = insert_absent(connection, link_uses).values(
                link_id=link_id, session_id=session_id, at=to_microseconds(now)
            )
            # Waits for another transaction that is entering the same session, if there is one.
            if (await connection.execute(entry)).rowcount == 0:
                return SpendResult.SPENT
            if await _count(connection, link_id):
                return SpendResult.SPENT
            await connection.rollback()
            return SpendResult.EXHAUSTED


async def _hold(connection: AsyncConnection, link_id: str, access_version: int, now: float) -> bool:
    """Whether the link is as it was judged; if so it stays so until the transaction ends."""
    statement = (
        select(links.c.id)
        .where(
            links.c.id == link_id,
            links.c.access_version == access_version,
            links.c.is_active.is_(True),
            links.c.expires_at > to_microseconds(now),
        )
        # A shared lock: spenders do not wait for each other here, owners wait for them.
        .with_for_update(read=True)
    )
    return (await connection.execute(statement)).first() is not None


async def _count(connection: AsyncConnection, link_id: str) -> bool:
    """Count one use, unless all are spent: the one conditional write that decides."""
    limit = select(links.c.max_uses).where(links.c.id == link_id).scalar_subquery()
    statement = (
        update(link_usage)
        .where(link_usage.c.link_id == link_id, or_(limit == 0, link_usage.c.uses < limit))
        .values(uses=link_usage.c.uses + 1)
    )
    return (await connection.execute(statement)).rowcount == 1
