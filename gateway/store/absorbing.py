"""How what a journal holds comes into the database, in the transaction of whoever carries it.

The journal's position is moved, the entries become rows and are counted, the events become rows. A
link that is gone keeps its rows and has no counters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, bindparam, case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

from gateway.errors import GatewayError
from gateway.store.entry import START, Entry, Event, Position
from gateway.store.inserts import insert_absent
from gateway.store.schema import (
    access_log,
    journal_positions,
    link_usage,
    link_visitors,
    notification_events,
    to_microseconds,
)

# Characters. A mail address, and what is longer, is stored as this much of its SHA-256.
MAX_VISITOR = 32
# What PostgreSQL refuses in a text: NUL, and what UTF-8 has no bytes for.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class PositionMoved(GatewayError):
    """The journal is not stored up to where the batch begins, so nothing was stored."""


async def move(
    connection: AsyncConnection, journal_id: str, before: Position, after: Position
) -> None:
    """Move a journal's position, and keep its row locked: a second try waits here for the first.

    Raises PositionMoved.
    """
    columns = journal_positions.c
    if before == START:
        begin = insert_absent(connection, journal_positions)
        await connection.execute(begin.values(journal_id=journal_id, segment=0, byte_offset=0))
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


async def enter(connection: AsyncConnection, lines: Sequence[Entry | Event]) -> None:
    """Store entries and events, and count the entries."""
    entries = [line for line in lines if isinstance(line, Entry)]
    if entries:
        # The driver's own executemany: SQLAlchemy's takes each row apart and together again,
        # which was a fortieth of what a request costs.
        await connection.exec_driver_sql(
            _insert_of(connection.dialect), [_row(entry) for entry in entries]
        )
        await _count(connection, _tally(entries))
    events = [_event_row(line) for line in lines if isinstance(line, Event)]
    if events:
        await connection.execute(insert(notification_events), events)


@dataclass(slots=True)
class _Tally:
    """What a batch adds to one link."""

    views: int = 0
    last_accessed: int = 0
    visitors: set[str] = field(default_factory=set)


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
        add = insert_absent(connection, link_visitors).values(rows)
        added = add.returning(link_visitors.c.link_id)
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
