"""Engines for the two databases, each set up so that it fails fast and loses nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# Seconds. A database that does not even take a connection in this time is down.
CONNECT_TIMEOUT = 3.0
# Seconds that a migration waits for whoever has the file or a table locked.
MIGRATION_TIMEOUT = 60.0
# How often, and how many seconds apart, a new SQLite file is tried to be switched to its WAL.
WAL_TRIES = 100
WAL_PAUSE = 0.02
# The execution option that marks a transaction as one that only reads.
READING = "portal_reading"

_SQLITE = ("sqlite", "sqlite+aiosqlite")
_POSTGRES = ("postgresql", "postgres", "postgresql+asyncpg")


def is_sqlite(url: str) -> bool:
    """Whether `url` names an SQLite file (or else a PostgreSQL database).

    Raises ValueError, naming the setting, for any other kind of URL.
    """
    scheme = url.partition(":")[0]
    if scheme not in _SQLITE + _POSTGRES:
        raise ValueError("database_url: neither sqlite:///path nor postgresql://...")
    return scheme in _SQLITE


def open_engine(url: str, *, pool_size: int, statement_timeout: float) -> AsyncEngine:
    """An engine for `url`; nothing is connected yet. Raises ValueError for a bad `url`."""
    if is_sqlite(url):
        return _sqlite(url, pool_size, statement_timeout)
    return _postgres(url, pool_size, statement_timeout)


def open_migration_engine(url: str) -> AsyncEngine:
    """An engine for one migration, which may take its time."""
    engine = open_engine(url, pool_size=1, statement_timeout=MIGRATION_TIMEOUT)
    if is_sqlite(url):
        event.listen(engine.sync_engine, "connect", _leave_references)
    return engine


def _sqlite(url: str, pool_size: int, statement_timeout: float) -> AsyncEngine:
    path = sqlite_path(url)
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        # `isolation_level` None: the driver begins no transactions of its own, see _begin.
        connect_args={"isolation_level": None, "timeout": statement_timeout},
        **_pool(pool_size, statement_timeout),
    )
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    return engine


def sqlite_path(url: str) -> Path:
    """The file that `url` names. Raises ValueError if there can be none."""
    prefix, slashes, name = url.partition(":///")
    name = name.partition("?")[0]
    if prefix not in _SQLITE or not slashes or not name or name == ":memory:":
        raise ValueError("database_url: SQLite needs a file, as in sqlite:///portal.db")
    path = Path(name)
    if not path.absolute().parent.is_dir():
        raise ValueError(f"database_url: there is no folder {path.absolute().parent}")
    if path.is_dir():
        raise ValueError(f"database_url: {path} is a folder, not a file")
    return path


def _set_up_sqlite(connection: Any, _record: object) -> None:
    _use_wal(connection)
    cursor = connection.cursor()
    # A revocation that was answered has to survive a power cut, and a journal segment is deleted
    # once its rows are committed: NORMAL would let both come back undone.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_wal(connection: Any) -> None:
    """Have readers and one writer side by side.

    A new file is switched over once. Whoever does that at the same time is refused at once, for
    SQLite does not wait for this lock by itself.
    """
    cursor = connection.cursor()
    for tries_left in reversed(range(WAL_TRIES)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not tries_left:
                raise
            connection.run_async(lambda _: asyncio.sleep(WAL_PAUSE))
    cursor.close()


def _roll_back(connection: Any, _record: object, _error: BaseException | None) -> None:
    """Let go of the write lock of a connection that is thrown away in mid-transaction.

    A cancelled task leaves a statement open, SQLite keeps a closed connection with an open
    statement, and with it the transaction: every other writer would wait in vain. The driver
    has no way to ask for this without awaiting, which an event cannot; so its queue is used.
    """
    driver = connection.driver_connection
    if driver is not None and driver._connection is not None:
        driver._tx.put_nowait((None, driver._connection.rollback))


def _leave_references(connection: Any, _record: object) -> None:
    # A table that is altered is made anew and the old one dropped, which would take every row
    # that refers to it along.
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that begins as a reader and then writes cannot wait for another writer: it
    # fails at once. So who may write says so at the start, and waits there.
    reading = connection.get_execution_options().get(READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _postgres(url: str, pool_size: int, statement_timeout: float) -> AsyncEngine:
    milliseconds = str(round(statement_timeout * 1000))
    connect = partial(
        asyncpg.connect,
        "postgresql" + url[url.index(":") :],
        timeout=CONNECT_TIMEOUT,
        # The server's limit comes first; the client's is for a server that vanished.
        command_timeout=statement_timeout + 1,
        server_settings={
            "application_name": "portal-gateway",
            "statement_timeout": milliseconds,
            # A process that froze in the middle of a write would hold the change counter's lock.
            "idle_in_transaction_session_timeout": milliseconds,
        },
    )
    _check_postgres(url)
    # The driver reads the URL itself: it knows libpq's parameters (sslmode, several hosts).
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        # A server that was restarted is noticed before a statement is lost to it.
        pool_pre_ping=True,
        # The store's locks are written for this one, whatever the database's own default is.
        isolation_level="READ COMMITTED",
        **_pool(pool_size, statement_timeout),
    )


def _check_postgres(url: str) -> None:
    """Raise ValueError for what the driver would only say when it connects."""
    try:
        hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
        for host in hosts:
            # Reading the port is what checks it.
            _ = urlsplit(f"//{host}").port
    except ValueError as error:
        raise ValueError(f"database_url: {error}") from None


def _pool(pool_size: int, statement_timeout: float) -> dict[str, Any]:
    # No parameters in errors or logs: they hold hashes, ciphertext and visitors' addresses.
    return {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": statement_timeout,
        "hide_parameters": True,
    }
