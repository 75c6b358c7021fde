"""Claims: rows that are due, for one worker alone, for a time.

A claim counts one try and puts the row off by the time that it holds, so a row whose claimer died
is simply due again. The number of the try is the claim's proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, Table, update

from gateway.store.database import Database
from gateway.store.schema import to_microseconds


async def claim(
    database: Database, table: Table, chosen: Select[Any], until: float
) -> Sequence[Row[Any]]:
    """Claim the `chosen` rows of `table` until then; the rows as they were before.

    `table` has an `id`, and counts its `attempts` up to `next_try_at`.
    """
    columns = table.c
    # Rows that another worker is claiming are passed over, not waited for; SQLite, which has
    # one writer at a time, knows no such words.
    passing = chosen.with_for_update(skip_locked=True)
    async with database.transaction() as connection:
        rows: Sequence[Row[Any]] = (await connection.execute(passing)).all()
        await connection.execute(
            update(table)
            .where(columns.id.in_([row.id for row in rows]))
            .values(attempts=columns.attempts + 1, next_try_at=to_microseconds(until))
        )
    return rows
