"""The access log: how its entries come in, and what is read and deleted of it.

`absorb` is how entries come in: the rows, the counters of their links and the journal's position
change together or not at all, and so do the events that stand between the entries
(`gateway.store.absorbing`). What is deleted stays counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, or_, select, union_all

from gateway.store.absorbing import enter, move, visitor_key
from gateway.store.database import Database
from gateway.store.entry import START, Entry, Event, Position
from gateway.store.schema import (
    access_log,
    journal_positions,
    link_visitors,
    to_microseconds,
    to_seconds,
)

# Rows in one transaction: others want to write, too.
_ERASED_AT_ONCE = 1000
# Links in one statement: below SQLite's bound of 500 SELECTs in a compound.
_MAX_LINKS = 100


class AccessLogStore:
    """Every decision on every link, newest first. All raise StoreUnavailable("database")."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, journal_id: str) -> Position:
        """How far a journal is stored; its start, if nothing of it is."""
        columns = journal_positions.c
        query = select(columns.segment, columns.byte_offset).where(columns.journal_id == journal_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Position(*row) if row is not None else START

    async def absorb(
        self, journal_id: str, before: Position, after: Position, lines: Sequence[Entry | Event]
    ) -> None:
        """Store the entries and events between two positions of a journal, each exactly once.

        Raises PositionMoved unless the journal is stored up to `before` and no further. If the
        commit's outcome is unknown, so is whether `position` is now `before` or `after`; another
        try from `before` is safe, even while the first is still under way.
        """
        async with self._database.transaction() as connection:
            await move(connection, journal_id, before, after)
            await enter(connection, lines)

    async def forget(self, journal_id: str) -> None:
        """Drop the position of a journal that is stored and gone."""
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(journal_positions).where(journal_positions.c.journal_id == journal_id)
            )

    async def page(
        self,
        link_id: str,
        page: int = 1,
        per_page: int = 25,
        action: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> tuple[list[Entry], int]:
        """One page of a link's entries, newest first, and how many there are on all pages.

        `since` is the first moment that belongs to the result, `until` the first one that does
        not; pages count from 1.
        """
        wanted = _wanted(link_id, action, since, until)
        columns = access_log.c
        query = (
            select(access_log)
            .where(*wanted)
            .order_by(columns.at.desc(), columns.id.desc())
            .limit(per_page)
            .offset((page - 1) * per_page)
        )
        total = select(func.count()).select_from(access_log).where(*wanted)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
            return [_entry(row) for row in rows], (await connection.execute(total)).scalar_one()

    async def newest(self, link_ids: Sequence[str], limit: int = 50) -> dict[str, list[Entry]]:
        """The newest entries of each link, newest first, at most `limit` of each."""
        found: dict[str, list[Row[Any]]] = {link_id: [] for link_id in link_ids}
        ids = list(found)
        async with self._database.reading() as connection:
            for start in range(0, len(ids), _MAX_LINKS):
                newest = (_newest(link_id, limit) for link_id in ids[start : start + _MAX_LINKS])
                for row in await connection.execute(union_all(*newest)):
                    found[row.link_id].append(row)
        # A compound has no order of its own.
        for rows in found.values():
            rows.sort(key=lambda row: (row.at, row.id), reverse=True)
        return {link_id: [_entry(row) for row in rows] for link_id, rows in found.items()}

    async def delete_before(self, at: float, limit: int = 1000) -> int:
        """Delete at most `limit` entries from before `at`, and say how many; counters stay."""
        oldest = (
            select(access_log.c.id)
            .where(access_log.c.at < to_microseconds(at))
            .order_by(access_log.c.at)
            .limit(limit)
        )
        async with self._database.transaction() as connection:
            result = await connection.execute(delete(access_log).where(access_log.c.id.in_(oldest)))
            return result.rowcount

    async def erase(self, visitor: str) -> int:
        """Delete all that is kept of one visitor, and say how many entries it was; counters stay.

        `visitor` is a verified address, or the visitor's id as the entries show it.
        """
        columns = access_log.c
        of_visitor = (
            select(columns.id)
            .where(or_(columns.visitor == visitor, columns.email == visitor))
            .limit(_ERASED_AT_ONCE)
        )
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(link_visitors).where(link_visitors.c.visitor == visitor_key(visitor))
            )
        erased = 0
        while True:
            async with self._database.transaction() as connection:
                result = await connection.execute(
                    delete(access_log).where(columns.id.in_(of_visitor))
                )
            erased += result.rowcount
            if result.rowcount < _ERASED_AT_ONCE:
                return erased


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        link_id=row.link_id,
        at=to_seconds(row.at),
        address=row.address,
        user_agent=row.user_agent,
        action=row.action,
        reason=row.reason,
        visitor=row.visitor,
        email=row.email,
        bot=row.bot,
        request_id=row.request_id,
    )


def _wanted(
    link_id: str, action: str | None, since: float | None, until: float | None
) -> list[ColumnElement[bool]]:
    columns = access_log.c
    wanted = [columns.link_id == link_id]
    if action is not None:
        wanted.append(columns.action == action)
    if since is not None:
        wanted.append(columns.at >= to_microseconds(since))
    if until is not None:
        wanted.append(columns.at < to_microseconds(until))
    return wanted


def _newest(link_id: str, limit: int) -> Select[Any]:
    columns = access_log.c
    newest = (
        select(access_log)
        .where(columns.link_id == link_id)
        .order_by(columns.at.desc(), columns.id.desc())
        .limit(limit)
        .subquery()
    )
    return select(newest)
