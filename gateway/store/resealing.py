"""Rotation of the secret keys: sealed tokens, from older keys to the first one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import select, update

from gateway.crypto.sealing import Sealer
from gateway.store.database import Database
from gateway.store.schema import links

# Rows at a time: each is some 50 microseconds of arithmetic, which nobody else can use.
_BATCH = 200

Sealed = tuple[str, str]


async def rewrap(database: Database, sealer: Sealer) -> int:
    """Seal every token under the first secret key; how many needed it.

    Links do not change by this, so there is no number to take. A link that gets a new token in
    the meantime keeps it. Raises SealBroken if a key is missing; what was done so far stays done.
    """
    done = 0
    async for batch in _batches(database):
        stale = [(id, sealed) for id, sealed in batch if sealer.needs_rewrap(sealed)]
        if not stale:
            continue
        async with database.transaction() as connection:
            for id, sealed in stale:
                result = await connection.execute(
                    update(links)
                    .where(links.c.id == id, links.c.token_sealed == sealed)
                    .values(token_sealed=sealer.rewrap(sealed))
                )
                done += result.rowcount
    return done


async def needs_rewrap(database: Database, sealer: Sealer) -> bool:
    """Whether a token is sealed under another key than the first."""
    async for batch in _batches(database):
        if any(sealer.needs_rewrap(sealed) for _, sealed in batch):
            return True
    return False


async def _batches(database: Database) -> AsyncIterator[list[Sealed]]:
    last = ""
    while True:
        statement = (
            select(links.c.id, links.c.token_sealed)
            .where(links.c.id > last)
            .order_by(links.c.id)
            .limit(_BATCH)
        )
        async with database.reading() as connection:
            batch = [(row.id, row.token_sealed) for row in await connection.execute(statement)]
        if not batch:
            return
        yield batch
        last = batch[-1][0]
