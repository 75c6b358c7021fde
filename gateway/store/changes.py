"""The numbered feed of changes, by which every gateway learns what to forget.

Whoever writes a link first takes the next number, and with it the lock on the one row that counts:
writes of links stand in line, so the order of the numbers is the order of the commits, and none is
missing. Who has read up to a number knows all that was committed before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Database
from gateway.store.schema import change_counter, changes, to_microseconds

# Who is further behind than this forgets everything, which is less work than reading it all.
FARTHEST_BEHIND = 1000

_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Change:
    """One write of one link.

    `token_hashes` are those that the link had before and has after: what may be remembered under
    either is to be forgotten. `domains` says whether the set of custom domains may have changed.
    """

    seq: int
    link_id: str
    token_hashes: tuple[bytes, ...]
    domains: bool = False


async def take_number(connection: AsyncConnection) -> int:
    """The next number, and the right to write links until this transaction ends."""
    statement = (
        update(change_counter)
        .values(value=change_counter.c.value + 1)
        .returning(change_counter.c.value)
    )
    number: int = (await connection.execute(statement)).scalar_one()
    return number


async def write_change(connection: AsyncConnection, change: Change, at: float) -> None:
    """Enter `change`, in the transaction that took its number."""
    await connection.execute(
        insert(changes).values(
            seq=change.seq,
            link_id=change.link_id,
            token_hashes=b"".join(change.token_hashes),
            domains=change.domains,
            at=to_microseconds(at),
        )
    )


class ChangeFeed:
    """Reads the changes. Every method raises StoreUnavailable("database")."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def latest(self) -> int:
        """The newest change's number; 0 before the first."""
        async with self._database.reading() as connection:
            number: int = (await connection.execute(select(change_counter.c.value))).scalar_one()
        return number

    async def since(self, seq: int) -> list[Change] | None:
        """The changes after number `seq`, in order.

        None if not all of them are there any more, or if they are too many: forget everything,
        and go on from `latest()`, asked before.
        """
        # From `seq` itself on: that it is still there shows that nothing after it is missing, and
        # that the database is not a restored copy in which `seq` never happened.
        statement = (
            select(changes)
            .where(changes.c.seq >= seq)
            .order_by(changes.c.seq)
            .limit(FARTHEST_BEHIND + 1)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        found = [_to_change(row) for row in rows]
        if seq == 0:
            is_whole = not found or found[0].seq == 1
        else:
            is_whole = bool(found) and found.pop(0).seq == seq
        if len(rows) > FARTHEST_BEHIND or not is_whole or not _is_gapless(found, seq):
            return None
        return found

    async def prune(self, older_than: float) -> int:
        """Delete what was entered before `older_than` (seconds since the epoch); how many.

        The newest stays, so that `since` can tell "nothing new" from "no longer known".
        """
        old = select(func.max(changes.c.seq)).where(changes.c.at < to_microseconds(older_than))
        newest = select(change_counter.c.value)
        async with self._database.transaction() as connection:
            result = await connection.execute(
                delete(changes)
                .where(changes.c.seq <= old.scalar_subquery())
                .where(changes.c.seq < newest.scalar_subquery())
            )
            return result.rowcount


def _to_change(row: Row[tuple[int, str, bytes, bool, int]]) -> Change:
    joined = row.token_hashes
    hashes = tuple(joined[i : i + _HASH_BYTES] for i in range(0, len(joined), _HASH_BYTES))
    return Change(row.seq, row.link_id, hashes, row.domains)


def _is_gapless(found: Sequence[Change], seq: int) -> bool:
    return all(change.seq == expected for change, expected in zip(found, count(seq + 1)))
