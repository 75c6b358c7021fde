"""ChangeFeed, the same on each database: nothing committed is ever missed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import update

from gateway.crypto.sealing import Sealer
from gateway.links.model import LinkRecord
from gateway.store import changes as changes_module
from gateway.store.changes import Change, ChangeFeed, take_number, write_change
from gateway.store.database import Database
from gateway.store.links import LinkStore
from gateway.store.schema import change_counter
from tests.records import NOW, new_record


@pytest.fixture
def feed(database: Database) -> ChangeFeed:
    return ChangeFeed(database)


async def _write(database: Database, number: int, *, at: float = NOW) -> list[Change]:
    written = []
    for n in range(number):
        async with database.transaction() as connection:
            seq = await take_number(connection)
            change = Change(seq, f"{n:024x}", (bytes([n]) * 32, b"\xff" * 32), domains=n % 2 == 0)
            await write_change(connection, change, at)
        written.append(change)
    return written


async def test_before_the_first_change(feed: ChangeFeed) -> None:
    assert await feed.latest() == 0
    assert await feed.since(0) == []


async def test_changes_are_read_from_any_position(feed: ChangeFeed, database: Database) -> None:
    written = await _write(database, 5)
    assert [change.seq for change in written] == [1, 2, 3, 4, 5]
    assert await feed.latest() == 5
    for seq in range(6):
        assert await feed.since(seq) == written[seq:]


async def test_what_was_rolled_back_leaves_no_gap(feed: ChangeFeed, database: Database) -> None:
    await _write(database, 1)
    async with database.transaction() as connection:
        await take_number(connection)
        await connection.rollback()
    written = await _write(database, 1)
    assert await feed.since(1) == written
    assert written[0].seq == 2


async def test_a_position_that_is_too_old_is_none(feed: ChangeFeed, database: Database) -> None:
    await _write(database, 3, at=NOW)
    written = await _write(database, 3, at=NOW + 10)
    assert await feed.prune(NOW + 5) == 3
    assert await feed.since(0) is None
    assert await feed.since(2) is None
    assert await feed.since(3) is None
    assert await feed.since(4) == written[1:]
    assert await feed.since(6) == []


async def test_the_newest_change_is_never_pruned(feed: ChangeFeed, database: Database) -> None:
    await _write(database, 3)
    assert await feed.prune(NOW + 5) == 2
    assert await feed.since(3) == []
    assert await feed.since(2) is None
    assert await feed.latest() == 3


async def test_a_position_from_another_history_is_none(
    feed: ChangeFeed, database: Database
) -> None:
    # A backup was restored: the database knows less than this process does.
    await _write(database, 2)
    assert await feed.since(3) is None
    async with database.transaction() as connection:
        await connection.execute(update(change_counter).values(value=7))
    await _write(database, 1)
    assert await feed.since(1) is None


async def test_who_is_too_far_behind_forgets_everything(
    feed: ChangeFeed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "FARTHEST_BEHIND", 4)
    written = await _write(database, 6)
    assert await feed.since(0) is None
    assert await feed.since(1) is None
    assert await feed.since(3) == written[3:]


async def test_the_order_of_numbers_is_the_order_of_commits(
    feed: ChangeFeed, database: Database, sealer: Sealer
) -> None:
    """A reader that follows the feed while many write sees every number, each once, in order.

    If a transaction could commit after one with a higher number, the reader would have passed it
    by, and the number would be missing here.
    """
    store = LinkStore(database, sealer)
    records = [await store.create(new_record()) for _ in range(4)]
    start = await feed.latest()
    writes = 60
    seen: list[int] = []

    async def follow() -> None:
        position = start
        while position < start + writes:
            found = await feed.since(position)
            assert found is not None
            for change in found:
                seen.append(change.seq)
                position = change.seq

    def touch(record: LinkRecord) -> LinkRecord:
        return replace(record, purpose="touched")

    ids = [records[number % 4].link.id for number in range(writes)]
    await asyncio.wait_for(
        asyncio.gather(follow(), *(store.update(id, touch) for id in ids)), timeout=60
    )
    assert seen == list(range(start + 1, start + writes + 1))


async def test_who_has_read_a_number_reads_what_it_changed(
    feed: ChangeFeed, database: Database, sealer: Sealer
) -> None:
    store = LinkStore(database, sealer)
    link = (await store.create(new_record())).link

    async def follow(until: int) -> None:
        seq = await feed.latest()
        while seq < until:
            found = await store.get(link.id)
            assert found is not None
            # One change is one version: the link is at least as new as the number read before.
            assert found.version >= seq - 1
            seq = await feed.latest()

    edits = [store.update(link.id, lambda r: replace(r, tags=("t",))) for _ in range(30)]
    await asyncio.wait_for(asyncio.gather(follow(31), *edits), timeout=60)
