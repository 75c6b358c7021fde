"""Rotation of the secret keys: what is sealed, from older keys to the first one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, select, update

from gateway.crypto.sealing import Sealer
from gateway.store.database import Database

# Rows at a time: each is some 50 microseconds of arithmetic, which nobody else can use.
_BATCH = 200


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed texts, and the key of its table, one column that never changes."""

    key: Column[str] | Column[int]
    sealed: Column[str]


Sealed = tuple[Any, str]


async def rewrap(database: Database, column: SealedColumn, sealer: Sealer) -> int:
    """Seal every text in `column` under the first secret key; how many needed it.

    What is said does not change by this, so nobody needs to be told. A row that gets a new text
    in the meantime keeps it. Raises SealBroken if a key is missing; what was done so far stays.
    """
    done = 0
    async for batch in _batches(database, column):
        stale = [(key, sealed) for key, sealed in batch if sealer.needs_rewrap(sealed)]
        if not stale:
            continue
        async with database.transaction() as connection:
            for key, sealed in stale:
                result = await connection.execute(
                    update(column.sealed.table)
                    .where(column.key == key, column.sealed == sealed)
                    .values({column.sealed: sealer.rewrap(sealed)})
                )
                done += result.rowcount
    return done


async def needs_rewrap(database: Database, column: SealedColumn, sealer: Sealer) -> bool:
    """Whether a text in `column` is sealed under another key than the first."""
    async for batch in _batches(database, column):
        if any(sealer.needs_rewrap(sealed) for _, sealed in batch):
            return True
    return False


async def _batches(database: Database, column: SealedColumn) -> AsyncIterator[list[Sealed]]:
    first = select(column.key, column.sealed).order_by(column.key).limit(_BATCH)
    statement = first
    while True:
        async with database.reading() as connection:
            batch = [(row[0], row[1]) for row in await connection.execute(statement)]
        if not batch:
            return
        yield batch
        statement = first.where(column.key > batch[-1][0])
