"""Database: what fails, fails clearly and in time, and comes back by itself."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.errors import StoreUnavailable
from gateway.store import engines, migrations
from gateway.store.absorbing import visitor_key
from gateway.store.database import Database
from gateway.store.listing import SORT_FIELDS, LinkQuery, page_statement
from gateway.store.schema import change_counter, journal_positions, link_visitors, metadata
from tests.postgres_server import PostgresServer

POSITION = {"journal_id": "j", "segment": 1, "byte_offset": 2}


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Database]:
    database = Database.open(empty_url)
    yield database
    await database.close()


async def _positions(database: Database) -> int:
    async with database.reading() as connection:
        return len((await connection.execute(select(journal_positions))).all())


# --- the schema -------------------------------------------------------------------------------


async def test_the_migrations_lead_to_the_schema(empty: Database) -> None:
    await empty.migrate()

    def compare(connection: Connection) -> object:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return compare_metadata(context, metadata)

    async with empty.reading() as connection:
        assert await connection.run_sync(compare) == []


async def test_the_counter_is_there_from_the_start(database: Database) -> None:
    async with database.reading() as connection:
        assert (await connection.execute(select(change_counter))).all() == [(1, 0)]


async def test_a_schema_is_empty_then_current(empty: Database) -> None:
    assert await empty.schema_state() == "empty"
    await empty.migrate()
    assert await empty.schema_state() == "current"
    await empty.migrate()
    assert await empty.schema_state() == "current"


async def test_a_schema_of_a_later_version_is_newer(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'from later'"))
    assert await database.schema_state() == "newer"


async def test_a_schema_of_an_earlier_version_is_older_until_it_is_migrated(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.reading() as connection:
        head = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    steps = tmp_path / "migrations 100%"
    shutil.copytree(Path(migrations.__file__).parent, steps)
    (steps / "versions" / "next.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = 'next', {head!r}\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE later (id INTEGER)')\n"
    )
    monkeypatch.setattr(migrations, "__file__", str(steps / "__init__.py"))
    assert await database.schema_state() == "older"
    await database.migrate()
    assert await database.schema_state() == "current"
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT * FROM later"))).all() == []


async def test_no_address_stays_in_the_sets_of_visitors(empty: Database) -> None:
    """Whoever was counted under an address is known under its hash afterwards."""
    await empty.migrate()
    rows = [("a" * 24, "ann@example.org"), ("b" * 24, "ann@example.org"), ("a" * 24, "f" * 32)]
    async with empty.transaction() as connection:
        await connection.execute(
            insert(link_visitors), [{"link_id": link, "visitor": name} for link, name in rows]
        )
        await connection.run_sync(_take_step, "0003_visitors_without_addresses")
    async with empty.reading() as connection:
        kept = (await connection.execute(select(link_visitors))).all()
    assert sorted(map(tuple, kept)) == sorted((link, visitor_key(name)) for link, name in rows)


def _take_step(connection: Connection, name: str) -> None:
    """One step of the schema's history, by itself."""
    with Operations.context(MigrationContext.configure(connection)):
        import_module(f"gateway.store.migrations.versions.{name}").upgrade()


async def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    databases = [Database.open(empty_url) for _ in range(4)]
    try:
        await asyncio.gather(*(database.migrate() for database in databases))
        assert await databases[0].schema_state() == "current"
    finally:
        for database in databases:
            await database.close()


@pytest.mark.parametrize("sort", [sign + field for field in SORT_FIELDS for sign in ("", "-")])
async def test_every_sort_has_its_index(database: Database, sort: str) -> None:
    statement = page_statement(LinkQuery(sort=sort))
    query = statement.compile(
        dialect=database._engine.dialect, compile_kwargs={"literal_binds": True}
    )
    explain = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
    async with database.transaction() as connection:
        if database.kind == "postgresql":
            # On a table without rows nothing is worth an index.
            for cheaper in ("seqscan", "bitmapscan", "sort"):
                await connection.execute(text(f"SET LOCAL enable_{cheaper} = off"))
        plan = str((await connection.execute(text(f"{explain} {query}"))).all())
    assert "ix_link" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


# --- transactions -----------------------------------------------------------------------------


async def test_a_transaction_that_raises_is_undone(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(journal_positions).values(POSITION))
            raise PermissionError

    with pytest.raises(PermissionError):
        await fail()
    assert await _positions(database) == 0


async def test_a_transaction_that_is_cancelled_is_undone_and_blocks_nobody(
    database: Database,
) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(journal_positions).values(POSITION))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _positions(database) == 0
    async with database.transaction() as connection:
        await connection.execute(insert(journal_positions).values(POSITION))
    assert await _positions(database) == 1


async def test_statements_cancelled_at_any_moment_leave_the_pool_usable(
    database: Database,
) -> None:
    async def write(number: int) -> None:
        async with database.transaction() as connection:
            row = {**POSITION, "journal_id": str(number)}
            await connection.execute(insert(journal_positions).values(row))

    for number in range(30):
        task = asyncio.create_task(write(number))
        # Each time a step further into the transaction.
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await write(1000)
    assert await _positions(database) >= 1


async def test_an_integrity_error_passes_without_the_values(database: Database) -> None:
    async def insert_twice() -> None:
        async with database.transaction() as connection:
            for _ in range(2):
                row = {**POSITION, "journal_id": "secret-value"}
                await connection.execute(insert(journal_positions).values(row))

    with pytest.raises(IntegrityError) as error:
        await insert_twice()
    assert "[SQL parameters hidden" in str(error.value)
    assert await _positions(database) == 0


async def test_a_value_that_cannot_be_sent_is_no_outage(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as connection:
            await connection.execute(
                insert(journal_positions).values({**POSITION, "segment": 2**70})
            )

    with pytest.raises((DBAPIError, OverflowError)):
        await write()


async def test_reading_sees_one_moment(database: Database) -> None:
    async with database.reading() as connection:
        before = (await connection.execute(select(change_counter.c.value))).scalar_one()
        async with database.transaction() as writer:
            await writer.execute(text("UPDATE change_counter SET value = 100"))
        after = (await connection.execute(select(change_counter.c.value))).scalar_one()
    assert before == after == 0


async def test_more_readers_than_connections_wait_and_then_give_up(database_url: str) -> None:
    database = Database.open(database_url, pool_size=1, statement_timeout=0.2)
    try:
        async with database.reading():
            with pytest.raises(StoreUnavailable, match="every connection is in use"):
                await database.ping()
        await database.ping()
    finally:
        await database.close()


# --- SQLite -----------------------------------------------------------------------------------


async def test_a_locked_file_is_unavailable_to_writers_alone(sqlite_url: str) -> None:
    database = Database.open(sqlite_url, statement_timeout=0.2)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            async with database.transaction():
                pass
        await database.ping()
        other.execute("ROLLBACK")
        async with database.transaction() as connection:
            await connection.execute(insert(journal_positions).values(POSITION))
        assert await _positions(database) == 1
    finally:
        other.close()
        await database.close()


async def test_a_full_disk_is_unavailable(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)

    async def fill() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("PRAGMA max_page_count = 1"))
            rows = [{**POSITION, "journal_id": str(number) * 20} for number in range(2000)]
            await connection.execute(insert(journal_positions), rows)

    try:
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await fill()
        assert await _positions(database) == 0
    finally:
        await database.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to have a header " * 100)


def _damage(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.commit()
    connection.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def _dangle(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "portal.db")


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        pytest.param(_garbage, "database_url names a file that is no SQLite", id="no database"),
        pytest.param(_damage, "database_url names a damaged database", id="damaged"),
        pytest.param(_dangle, "database_url names a file that cannot be opened", id="no folder"),
    ],
)
async def test_a_bad_file_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], cause: str
) -> None:
    path = tmp_path / "portal.db"
    spoil(path)
    database = Database.open(f"sqlite:///{path}")
    try:
        with pytest.raises(StoreUnavailable, match=cause):
            await database.schema_state()
        with pytest.raises(StoreUnavailable, match=cause):
            await database.migrate()
    finally:
        await database.close()
        await _threads_of_the_driver_end()


async def _threads_of_the_driver_end() -> None:
    """aiosqlite stops a connection that could not be opened, and waits for nobody.

    Its thread would report that to this test's loop, which may be closed by then, and the next
    test would be blamed.
    """
    async with asyncio.timeout(5):
        while any("_connection_worker_thread" in each.name for each in threading.enumerate()):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://db/portal", id="another database"),
        pytest.param("portal.db", id="no URL"),
        pytest.param("", id="empty"),
        pytest.param("sqlite://", id="in memory"),
        pytest.param("sqlite:///:memory:", id="in memory, by name"),
        pytest.param("sqlite:///{folder}/no/such/portal.db", id="no folder"),
        pytest.param("sqlite:///{folder}", id="a folder"),
        pytest.param("postgresql://[::1/portal", id="a bracket that stays open"),
        pytest.param("postgresql://db:many/portal", id="a port that is no number"),
    ],
)
def test_a_url_that_cannot_be_one_names_the_setting(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="database_url"):
        Database.open(url.format(folder=tmp_path))


async def test_what_was_committed_is_on_the_disk(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    async with database.reading() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    await database.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


# --- PostgreSQL -------------------------------------------------------------------------------


async def test_a_stopped_server_is_unavailable_and_comes_back(
    own_postgres_server: PostgresServer,
) -> None:
    database = Database.open(own_postgres_server.url())
    await database.migrate()
    own_postgres_server.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await database.ping()
        with pytest.raises(StoreUnavailable):
            async with database.transaction():
                pass
    own_postgres_server.start()
    await database.ping()
    async with database.transaction() as connection:
        await connection.execute(insert(journal_positions).values(POSITION))
    assert await _positions(database) == 1
    await database.close()


async def test_a_server_that_stops_during_a_transaction_is_unavailable(
    own_postgres_server: PostgresServer,
) -> None:
    database = Database.open(own_postgres_server.url())
    await database.migrate()

    async def write() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(journal_positions).values(POSITION))
            own_postgres_server.stop()
            await connection.execute(select(journal_positions))

    with pytest.raises(StoreUnavailable):
        await write()
    own_postgres_server.start()
    assert await _positions(database) == 0
    await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT pg_sleep(30)", id="a slow statement"),
        pytest.param("LOCK TABLE links", id="a lock that another holds"),
    ],
)
async def test_a_statement_is_not_waited_for_longer_than_agreed(
    postgres_url: str, statement: str
) -> None:
    database = Database.open(postgres_url, statement_timeout=0.3)
    holder = Database.open(postgres_url)
    started = time.monotonic()
    async with holder.transaction() as holding:
        await holding.execute(text("LOCK TABLE links"))
        with pytest.raises(StoreUnavailable, match="57014"):
            async with database.transaction() as connection:
                await connection.execute(text(statement))
    assert time.monotonic() - started < 5
    await database.ping()
    await database.close()
    await holder.close()


async def test_a_server_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = Database.open(f"postgresql://portal@127.0.0.1:{port}/portal")
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            await database.ping()
        await database.close()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://portal@127.0.0.1:{port}/missing", id="no such database"),
        pytest.param("postgresql://nobody@127.0.0.1:{port}/postgres", id="no such role"),
        pytest.param("postgresql://portal@no.such.host.invalid/postgres", id="no such host"),
        pytest.param("postgresql:///postgres?host=/no/such/folder", id="no such socket"),
    ],
)
async def test_a_server_that_lets_nobody_in_is_unavailable(
    postgres_server: PostgresServer, url: str
) -> None:
    database = Database.open(url.format(port=postgres_server.port))
    with pytest.raises(StoreUnavailable, match="cannot"):
        await database.ping()
    await database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_every_spelling_of_the_scheme_connects(
    postgres_server: PostgresServer, scheme: str
) -> None:
    url = postgres_server.url().replace("postgresql", scheme, 1)
    database = Database.open(f"{url}?sslmode=prefer")
    await database.ping()
    await database.close()


async def test_a_transaction_that_is_cancelled_anywhere_holds_nobody_up(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    moments = random.Random(7)

    async def write(name: str) -> None:
        statement = text("INSERT INTO link_visitors VALUES (:a, :b) RETURNING link_id")
        async with database.transaction() as connection:
            for number in range(8):
                await connection.execute(statement, {"a": name, "b": str(number)})

    for turn in range(30):
        task = asyncio.create_task(write(f"cut {turn}"))
        await asyncio.wait({task}, timeout=moments.uniform(0, 0.006))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(1):
            await write(f"next {turn}")
    await database.close()
