"""The access log, and what is counted from it.

`absorb` is how entries come in: the rows, the counters of their links and the journal's position
change together or not at all, and so do the events that stand between the entries. A link that is
gone keeps its rows and has no counters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Dialect,
    Row,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.errors import GatewayError
from gateway.store.database import Database
from gateway.store.entry import START, Entry, Event, Position
from gateway.store.schema import (
    access_log,
    journal_positions,
    link_usage,
    link_visitors,
    notification_events,
    to_microseconds,
    to_seconds,
)

# Characters. A mail address, and what is longer, is stored as this much of its SHA-256.
MAX_VISITOR = 32
# Rows in one transaction: others want to write, too.
_ERASED_AT_ONCE = 1000
# Links in one statement: below SQLite's bound of 500 SELECTs in a compound.
_MAX_LINKS = 100
# What PostgreSQL refuses in a text: NUL, and what UTF-8 has no bytes for.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PositionMoved(GatewayError):
    """The journal is not stored up to where the batch begins, so nothing was stored."""


@dataclass(slots=True)
class _Tally:
    """What a batch adds to one link."""

    views: int = 0
    last_accessed: int = 0
    visitors: set[str] = field(default_factory=set)


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
            await _move(connection, journal_id, before, after)
            entries = [line for line in lines if isinstance(line, Entry)]
            if entries:
                # The driver's own executemany: SQLAlchemy's takes each row apart and together
                # again, which was a fortieth of what a request costs.
                await connection.exec_driver_sql(
                    _insert_of(connection.dialect), [_row(entry) for entry in entries]
                )
                await _count(connection, _tally(entries))
            events = [_event_row(line) for line in lines if isinstance(line, Event)]
            if events:
                await connection.execute(insert(notification_events), events)

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


def _insert(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT: both databases spell it alike, SQLAlchemy's core does not."""
    is_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


async def _move(
    connection: AsyncConnection, journal_id: str, before: Position, after: Position
) -> None:
    """Move the position, and keep its row locked: a second try waits here for the first."""
    columns = journal_positions.c
    if before == START:
        begin = _insert(connection, journal_positions)
        await connection.execute(
            begin.values(journal_id=journal_id, segment=0, byte_offset=0).on_conflict_do_nothing()
        )
    moved = await connection.execute(
        update(journal_positions)
        .where(
            columns.journal_id == journal_id,
            columns.segment == before.segment,
            columns.byte_offset == before.offset,
        )
        .values(segment=after.segment, byte_offset=after.offset)
    )
    if moved.rowcount != 1:
        raise PositionMoved("the journal's position is not where the batch begins")


def _tally(entries: Iterable[Entry]) -> dict[str, _Tally]:
    """What is to be counted, for each link that anything is counted of."""
    tallies: dict[str, _Tally] = {}
    for entry in entries:
        if not (entry.is_view or entry.is_access):
            continue
        tally = tallies.setdefault(entry.link_id, _Tally())
        if entry.is_view:
            tally.views += 1
            tally.visitors.add(visitor_key(entry.visitor))
        if entry.is_access:
            tally.last_accessed = max(tally.last_accessed, to_microseconds(entry.at))
    return tallies


async def _count(connection: AsyncConnection, tallies: dict[str, _Tally]) -> None:
    """Add the tallies to the counters of the links that are still there.

    The rows are locked first, by ascending id: so two gateways that count the same links wait for
    each other instead of blocking each other, and a link cannot go while it is counted.
    """
    columns = link_usage.c
    lock = (
        select(columns.link_id)
        .where(columns.link_id.in_(tallies))
        .order_by(columns.link_id)
        .with_for_update()
    )
    present = (await connection.execute(lock)).scalars().all()
    if not present:
        return
    newcomers = await _add_visitors(connection, {link_id: tallies[link_id] for link_id in present})
    last_accessed = bindparam("new_last_accessed", type_=columns.last_accessed.type)
    await connection.execute(
        update(link_usage)
        .where(columns.link_id == bindparam("counted_link"))
        .values(
            total_views=columns.total_views + bindparam("new_views"),
            unique_visitors=columns.unique_visitors + bindparam("new_visitors"),
            last_accessed=case(
                (columns.last_accessed < last_accessed, last_accessed), else_=columns.last_accessed
            ),
        ),
        [
            {
                "counted_link": link_id,
                "new_views": tallies[link_id].views,
                "new_visitors": newcomers.get(link_id, 0),
                "new_last_accessed": tallies[link_id].last_accessed,
            }
            for link_id in present
        ],
    )


async def _add_visitors(connection: AsyncConnection, tallies: dict[str, _Tally]) -> dict[str, int]:
    """Add who was not there before, and say how many they are, by link."""
    rows = [
        {"link_id": link_id, "visitor": visitor}
        for link_id, tally in tallies.items()
        for visitor in sorted(tally.visitors)
    ]
    newcomers: dict[str, int] = {}
    if rows:
        add = _insert(connection, link_visitors).values(rows)
        added = add.on_conflict_do_nothing().returning(link_visitors.c.link_id)
        for link_id in (await connection.execute(added)).scalars():
            newcomers[link_id] = newcomers.get(link_id, 0) + 1
    return newcomers


def visitor_key(visitor: str) -> str:
    """What stands for `visitor` in the set of a link's visitors.

    The set is there to count, for as long as the link: it holds no mail address.
    """
    if "@" in visitor or len(visitor) > MAX_VISITOR or _UNSTORABLE.search(visitor):
        return hashlib.sha256(visitor.encode("utf-8", "surrogatepass")).hexdigest()[:MAX_VISITOR]
    return visitor


_COLUMNS = (
    "link_id", "at", "address", "user_agent", "action", "reason", "visitor", "email", "bot",
    "request_id",
)  # fmt: skip


@lru_cache(maxsize=4)
def _insert_of(dialect: Dialect) -> str:
    """The statement for one row, in the driver's own words; its parameters are `_COLUMNS`."""
    statement = insert(access_log).compile(dialect=dialect, column_keys=_COLUMNS)
    assert isinstance(statement, SQLCompiler)
    assert statement.positiontup == list(_COLUMNS)
    return str(statement)


def _row(entry: Entry) -> tuple[object, ...]:
    """The values of `_COLUMNS`."""
    return (
        _storable(entry.link_id),
        to_microseconds(entry.at),
        _storable(entry.address),
        _storable(entry.user_agent),
        _storable(entry.action),
        _storable(entry.reason),
        _storable(entry.visitor),
        None if entry.email is None else _storable(entry.email),
        entry.bot,
        _storable(entry.request_id),
    )


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "link_id": _storable(event.link_id),
        "at": to_microseconds(event.at),
        "kind": event.kind.value,
        "address": _storable(event.address),
        "email": None if event.email is None else _storable(event.email),
        "request_id": _storable(event.request_id),
    }


def _storable(text: str) -> str:
    """`text` with U+FFFD for what cannot be stored: one odd header must not hold up the rest."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


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
