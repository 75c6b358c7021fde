"""From the journal to the database: every entry, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_token
from gateway.errors import StoreUnavailable
from gateway.journal.adoption import Adoption
from gateway.journal.drain import Drain
from gateway.journal.entry import to_line
from gateway.journal.segments import segment_numbers, segment_path
from gateway.journal.writer import JournalWriter
from gateway.links.model import EventKind, Link, LinkRecord, Usage
from gateway.metrics import Metrics
from gateway.store.access_log import AccessLogStore
from gateway.store.database import Database
from gateway.store.entry import START, Entry, Event, Position
from gateway.store.events import EventStore
from gateway.store.links import LinkStore
from gateway.store.schema import access_log, journal_positions
from gateway.worker import Worker, journal_jobs
from tests.contract.dying_gateway import LINKS, NOW, entry_of, live

A = LINKS[0]
SEED = 20_250_711
LIVES = 24


@pytest.fixture
async def links(database: Database, sealer: Sealer) -> LinkStore:
    store = LinkStore(database, sealer)
    for link_id in LINKS:
        token = new_token()
        link = Link(id=link_id, token_hash=hash_token(token), workorder="WO-1")
        await store.create(LinkRecord(link, token, created_at=NOW, modified_at=NOW))
    return store


@pytest.fixture
def log(database: Database, links: LinkStore) -> AccessLogStore:
    return AccessLogStore(database)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the journals are."""
    root = tmp_path / "journal"
    root.mkdir()
    return root


@pytest.fixture
async def writer(root: Path) -> AsyncIterator[JournalWriter]:
    writer = JournalWriter(root, max_segment=2000)
    yield writer
    writer.close()


def write(writer: JournalWriter, numbers: range) -> None:
    for number in numbers:
        writer.append(entry_of(0, number))


async def stored(database: Database) -> list[str]:
    """The request ids of the whole log, sorted."""
    async with database.reading() as connection:
        return sorted((await connection.execute(select(access_log.c.request_id))).scalars())


async def journals_known(database: Database) -> int:
    async with database.reading() as connection:
        return len((await connection.execute(select(journal_positions))).all())


def ids(numbers: range, life: int = 0) -> list[str]:
    return sorted(f"{life} {number}" for number in numbers)


def leave(root: Path, *segments: bytes, name: str = "0" * 24) -> Path:
    """A journal that nobody holds."""
    directory = root / name
    directory.mkdir()
    for number, content in enumerate(segments, 1):
        segment_path(directory, number).write_bytes(content)
    return directory


def expected_usage(request_ids: Sequence[str]) -> dict[str, Usage]:
    """What the counters have to be when these entries are stored, each once."""
    entries = [entry_of(*map(int, request_id.split())) for request_id in request_ids]
    usages = {}
    for link_id in LINKS:
        own = [entry for entry in entries if entry.link_id == link_id]
        views = [entry for entry in own if entry.is_view]
        usages[link_id] = Usage(
            total_views=len(views),
            unique_visitors=len({entry.visitor for entry in views}),
            last_accessed=max((entry.at for entry in own if entry.is_access), default=None),
        )
    return usages


async def usages(links: LinkStore) -> dict[str, Usage]:
    records = {link_id: await links.get(link_id) for link_id in LINKS}
    return {link_id: record.usage for link_id, record in records.items() if record is not None}


async def test_entries_are_stored_and_their_segments_deleted(
    writer: JournalWriter, log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    write(writer, range(40))
    assert len(segment_numbers(writer.directory)) > 3
    await Drain(writer, log, batch=7).drain_all()
    assert await stored(database) == ids(range(40))
    assert await usages(links) == expected_usage(ids(range(40)))
    assert segment_numbers(writer.directory) == [writer.end.segment]
    assert writer.pending() == 0


async def test_events_are_carried_with_the_entries(
    root: Path, writer: JournalWriter, log: AccessLogStore, database: Database
) -> None:
    """From memory and from the file, of a live journal and of one that was left."""
    event = Event(A, NOW, EventKind.COMMENT, "203.0.113.7", None, "r-1")
    write(writer, range(2))
    writer.append(event)
    write(writer, range(2, 3))
    assert await Drain(writer, log, batch=2).drain_once() == 2
    await Drain(writer, log, batch=2).drain_all()
    assert writer.pending() == 0
    leave(root, to_line(event) + to_line(entry_of(1, 0)))
    await Adoption(root, log).sweep()
    assert await stored(database) == sorted(ids(range(3)) + ids(range(1), life=1))
    async with database.transaction() as connection:
        pending = await EventStore(database).lock(connection, A)
    assert [each.event for each in pending] == [event, event]
    assert list(root.glob("*.bad")) == []


async def test_a_batch_at_a_time(writer: JournalWriter, log: AccessLogStore) -> None:
    write(writer, range(10))
    drain = Drain(writer, log, batch=4)
    assert [await drain.drain_once() for _ in range(4)] == [4, 4, 2, 0]


async def test_a_shutdown_may_drain_beside_the_background(
    writer: JournalWriter, log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    drain = Drain(writer, log, batch=3)
    write(writer, range(20))
    await asyncio.gather(*(drain.drain_all() for _ in range(4)))
    assert await stored(database) == ids(range(20))
    assert await usages(links) == expected_usage(ids(range(20)))
    assert writer.pending() == 0


async def test_a_segment_that_is_not_stored_stays(
    writer: JournalWriter, log: AccessLogStore
) -> None:
    write(writer, range(40))
    before = segment_numbers(writer.directory)
    drain = Drain(writer, log, batch=1)
    await drain.drain_once()
    assert segment_numbers(writer.directory) == before
    assert writer.pending() == 39


async def test_another_drain_goes_on_where_the_first_one_ended(
    writer: JournalWriter, log: AccessLogStore, database: Database
) -> None:
    write(writer, range(10))
    await Drain(writer, log, batch=4).drain_once()
    await Drain(writer, log).drain_all()
    assert await stored(database) == ids(range(10))


class UnsureLog(AccessLogStore):
    """A database whose answer gets lost, before or after the commit."""

    def __init__(self, database: Database, fates: str) -> None:
        super().__init__(database)
        self._fates = iter(fates)

    async def absorb(
        self, journal_id: str, before: Position, after: Position, entries: Sequence[Entry]
    ) -> None:
        fate = next(self._fates, "ok")
        if fate == "b":
            raise StoreUnavailable("database", "lost before the commit")
        await super().absorb(journal_id, before, after, entries)
        if fate == "a":
            raise StoreUnavailable("database", "lost after the commit")


@pytest.mark.parametrize("fates", ["a", "b", "ab", "ba", "aab", "bab", "aaa", "bbb"])
async def test_a_lost_answer_neither_loses_nor_repeats_entries(
    writer: JournalWriter, log: AccessLogStore, links: LinkStore, database: Database, fates: str
) -> None:
    drain = Drain(writer, UnsureLog(database, fates), batch=3)
    for turn in range(len(fates)):
        write(writer, range(turn * 2, turn * 2 + 2))
        with pytest.raises(StoreUnavailable):
            await drain.drain_all()
    await drain.drain_all()
    everything = ids(range(len(fates) * 2))
    assert await stored(database) == everything
    assert await usages(links) == expected_usage(everything)
    assert writer.pending() == 0


async def test_a_commit_that_was_thought_lost_and_comes_late_counts_once(
    writer: JournalWriter, log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    write(writer, range(4))
    drain = Drain(writer, UnsureLog(database, "bb"))
    for _ in range(2):  # the second time, the position says that the batch is not stored
        with pytest.raises(StoreUnavailable):
            await drain.drain_all()

    class LateLog(AccessLogStore):
        """The lost transaction commits just when the position has been read again."""

        async def position(self, journal_id: str) -> Position:
            position = await super().position(journal_id)
            if position == START:
                entries = [entry_of(0, number) for number in range(4)]
                await log.absorb(journal_id, START, first_end, entries)
            return position

    first_end = writer.end
    write(writer, range(4, 6))
    await Drain(writer, LateLog(database)).drain_all()
    assert await stored(database) == ids(range(6))
    assert await usages(links) == expected_usage(ids(range(6)))
    await drain.drain_all()
    assert await stored(database) == ids(range(6))


async def test_a_drain_that_is_cancelled_anywhere_loses_nothing(
    writer: JournalWriter, log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    rng = random.Random(SEED)
    drain = Drain(writer, log, batch=5)
    for turn in range(20):
        write(writer, range(turn * 5, turn * 5 + 5))
        task = asyncio.create_task(drain.drain_all())
        await asyncio.wait({task}, timeout=rng.uniform(0, 0.01))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await drain.drain_all()
    assert await stored(database) == ids(range(100))
    assert await usages(links) == expected_usage(ids(range(100)))
    assert writer.pending() == 0


@pytest.fixture
async def impatient(sqlite_url: str) -> AsyncIterator[Database]:
    """A file that another process may keep locked."""
    database = Database.open(sqlite_url, statement_timeout=0.1)
    yield database
    await database.close()


async def test_entries_wait_while_the_database_does_not_take_them(
    writer: JournalWriter, impatient: Database, sqlite_url: str
) -> None:
    drain = Drain(writer, AccessLogStore(impatient))
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write(writer, range(9))
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await drain.drain_all()
    assert writer.pending() == 9
    other.execute("ROLLBACK")
    other.close()
    await drain.drain_all()
    assert await stored(impatient) == ids(range(9))
    assert writer.pending() == 0


async def test_an_entry_is_in_the_database_within_a_second(
    writer: JournalWriter, log: AccessLogStore, database: Database
) -> None:
    worker = Worker(journal_jobs(writer, Drain(writer, log)), Metrics())
    background = asyncio.create_task(worker.run())
    loop = asyncio.get_running_loop()
    for number in range(3):
        write(writer, range(number, number + 1))
        written = loop.time()
        while len(await stored(database)) <= number:
            assert loop.time() < written + 1
            await asyncio.wait({background}, timeout=0.02)
    background.cancel()
    with pytest.raises(asyncio.CancelledError):
        await background


async def test_what_dead_processes_left_is_stored_and_removed(
    root: Path, log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    dead = [JournalWriter(root, max_segment=1000) for _ in range(3)]
    for life, writer in enumerate(dead):
        for number in range(10):
            writer.append(entry_of(life, number))
        writer.close()
    await Drain(dead[0], log, batch=4).drain_once()
    alive = JournalWriter(root)
    write(alive, range(100, 101))
    await Adoption(root, log).sweep()
    everything = [i for life in range(3) for i in ids(range(10), life)]
    assert await stored(database) == sorted(everything)
    assert await usages(links) == expected_usage(everything)
    assert [path.name for path in root.iterdir()] == [alive.journal_id]
    assert await journals_known(database) == 0
    assert alive.pending() == 1
    alive.close()


async def test_a_torn_last_line_is_no_entry_and_in_nobodys_way(
    root: Path, log: AccessLogStore, database: Database
) -> None:
    lines = [to_line(entry_of(0, number)) for number in range(3)]
    leave(root, lines[0] + lines[1][:-1], lines[2] + b"\0" * 4096)
    await Adoption(root, log).sweep()
    assert await stored(database) == ["0 0", "0 2"]
    assert list(root.iterdir()) == []


async def test_a_line_that_is_no_entry_is_set_aside_and_holds_up_nothing(
    root: Path, log: AccessLogStore, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [to_line(entry_of(0, number)) for number in range(2)]
    leave(root, lines[0] + b'{"link_id": "x"}\n' + lines[1], b"\xff\xfe\n")
    await Adoption(root, log).sweep()
    assert await stored(database) == ids(range(2))
    kept = {path.name: path.read_bytes() for path in root.iterdir()}
    assert kept == {
        f"{'0' * 24}-00000001.bad": b'{"link_id": "x"}\n',
        f"{'0' * 24}-00000002.bad": b"\xff\xfe\n",
    }
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "2 lines that are no entries" in errors[0]


async def test_only_journals_are_adopted(root: Path, log: AccessLogStore) -> None:
    (root / "lost+found").mkdir()
    (root / ".new-abc").mkdir()
    (root / "notes.txt").touch()
    await Adoption(root, log).sweep()
    assert sorted(path.name for path in root.iterdir()) == [".new-abc", "lost+found", "notes.txt"]


async def test_a_journal_that_cannot_be_removed_does_not_stop_the_others(
    root: Path, log: AccessLogStore, database: Database
) -> None:
    foreign = leave(root, to_line(entry_of(0, 0)), name="0" * 24) / "foreign"
    foreign.touch()
    leave(root, to_line(entry_of(0, 1)), name="1" * 24)
    adoption = Adoption(root, log)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not empty"):
            await adoption.sweep()
    assert await stored(database) == ids(range(2))
    foreign.unlink()
    await adoption.sweep()
    assert list(root.iterdir()) == []


async def test_leftovers_are_pending_until_they_are_stored(
    root: Path, impatient: Database, sqlite_url: str
) -> None:
    leave(root, to_line(entry_of(0, 0)) * 5)
    adoption = Adoption(root, AccessLogStore(impatient))
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await adoption.sweep()
    assert adoption.pending() == 5
    other.execute("ROLLBACK")
    other.close()
    await adoption.sweep()
    assert adoption.pending() == 0


def killed_at(root: Path, url: str, life: int, acknowledged: Path, entries: int) -> int | None:
    """Let a gateway live until it has acknowledged about so many `entries`; how it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.contract.dying_gateway"])
    gateway = context.Process(target=live, args=(root, url, life, acknowledged))
    target = acknowledged.stat().st_size + entries * len(f"{life} 100\n")
    gateway.start()
    for _ in range(5000):
        gateway.join(timeout=0.002)
        if gateway.exitcode is not None or acknowledged.stat().st_size >= target:
            break
    gateway.kill()
    gateway.join()
    return gateway.exitcode


@pytest.mark.slow
async def test_kill_9_at_any_moment_costs_nothing_and_repeats_nothing(
    root: Path,
    tmp_path: Path,
    database_url: str,
    log: AccessLogStore,
    links: LinkStore,
    database: Database,
) -> None:
    rng = random.Random(SEED)
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    for life in range(LIVES):
        end = killed_at(root, database_url, life, acknowledged, rng.randrange(1000))
        assert end == -signal.SIGKILL
    await Adoption(root, log).sweep()

    promised = acknowledged.read_text().splitlines()
    found = await stored(database)
    assert len(promised) > 100 * LIVES / 2
    assert [i for i, times in Counter(found).items() if times > 1] == []
    assert set(promised) - set(found) == set()
    # A process that died between append and its acknowledgement had made one entry more.
    last = Counter(i.split()[0] for i in promised)
    assert set(found) - set(promised) <= {f"{life} {last[str(life)]}" for life in range(LIVES)}
    assert await usages(links) == expected_usage(found)
    assert list(root.iterdir()) == []
    assert await journals_known(database) == 0
