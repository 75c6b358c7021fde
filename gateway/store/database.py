"""One database: SQLite in a file, or PostgreSQL. SQLAlchemy's errors end here.

Whoever writes uses `transaction()`, whoever only reads `reading()`; both see one consistent state
from their first statement to their last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.errors import StoreUnavailable
from gateway.store.engines import READING, is_sqlite, open_engine, open_migration_engine
from gateway.store.faults import CommitUnknown, translated
from gateway.store.migrations import SchemaState, schema_state, upgrade

# Held to the end of the transaction. The number is this program's own, and means nothing.
_MIGRATION_LOCK = text("SELECT pg_advisory_xact_lock(7310577438206192755)")

__all__ = ["CommitUnknown", "Database", "SchemaState"]


class Database:
    """A pool of connections to one database. Close it in the loop that used it."""

    def __init__(self, url: str, engine: AsyncEngine, statement_timeout: float) -> None:
        self._url = url
        self._engine = engine
        self._statement_timeout = statement_timeout
        self.kind: Literal["sqlite", "postgresql"] = "sqlite" if is_sqlite(url) else "postgresql"
        # SQLite has one writer at a time, and its own waiting is a poll without an order. Inside
        # one process writers wait here, first come, first served.
        self._writer = asyncio.Lock() if self.kind == "sqlite" else None

    @classmethod
    def open(cls, url: str, *, pool_size: int = 10, statement_timeout: float = 5.0) -> Self:
        """The database at `url`; connections are made when they are needed.

        `statement_timeout` is in seconds: how long a statement, a lock or a free connection is
        waited for. Raises ValueError, naming the setting, if `url` cannot be one.
        """
        engine = open_engine(url, pool_size=pool_size, statement_timeout=statement_timeout)
        return cls(url, engine, statement_timeout)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose writes are committed when the block ends, and undone if it raises.

        Raises StoreUnavailable("database") if the database cannot be asked or written now, and
        CommitUnknown, which is one, if nobody can say whether the writes happened.
        """
        async with self._turn(), self._connected() as connection:
            await connection.begin()
            yield connection
            try:
                with translated():
                    await connection.commit()
            except StoreUnavailable as error:
                raise CommitUnknown(f"while committing: {error}") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that may only read, all of it from one snapshot.

        Raises StoreUnavailable("database") as `transaction` does.
        """
        async with self._connected() as connection:
            if self.kind == "sqlite":
                await connection.execution_options(**{READING: True})
            else:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection

    async def ping(self) -> None:
        """Return if the database answers; raise StoreUnavailable if not."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    async def schema_state(self) -> SchemaState:
        """How the schema found stands to the one that this program was made for."""
        async with self.reading() as connection:
            return await connection.run_sync(schema_state)

    async def migrate(self) -> None:
        """Bring the schema up to date; several processes may do so at once.

        Raises StoreUnavailable("database") if the database cannot be asked or written.
        """
        engine = open_migration_engine(self._url)
        try:
            with translated():
                async with engine.begin() as connection:
                    if self.kind == "postgresql":
                        await connection.execute(_MIGRATION_LOCK)
                    await connection.run_sync(upgrade)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with AsyncExitStack() as stack:
                with translated(connecting=True):
                    connection = await stack.enter_async_context(self._engine.connect())
                yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._writer is None:
            yield
            return
        try:
            async with asyncio.timeout(self._statement_timeout):
                await self._writer.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("database", "too many writers are waiting") from error
        try:
            yield
        finally:
            self._writer.release()
