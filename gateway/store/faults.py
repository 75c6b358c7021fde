"""Which errors of SQLAlchemy and the drivers mean that the database cannot be asked now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.errors import StoreUnavailable

# Primary result codes (sqlite.org/rescode.html) that are a state of the file, the disk or of
# other processes; the value says what an operator should look at.
_SQLITE_STATES = {
    sqlite3.SQLITE_BUSY: "locked by another process",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_NOMEM: "out of memory",
    sqlite3.SQLITE_INTERRUPT: "interrupted",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_PROTOCOL: "locked by another process",
    sqlite3.SQLITE_PERM: "database_url names a file that may not be opened",
    sqlite3.SQLITE_READONLY: "database_url names a file that may not be written",
    sqlite3.SQLITE_CANTOPEN: "database_url names a file that cannot be opened",
    sqlite3.SQLITE_CORRUPT: "database_url names a damaged database",
    sqlite3.SQLITE_NOTADB: "database_url names a file that is no SQLite database",
}

# SQLSTATE (PostgreSQL, appendix A), whole classes and single codes, where asking again later, or
# another server, may well succeed.
_POSTGRES_STATES = (
    "08",  # connection exception
    "53",  # insufficient resources: connections, memory, disk
    "57",  # operator intervention: shutdown, and a statement that took too long
    "58",  # the server's own system error
    "XX",  # the server's internal error, damaged data among them
    "40",  # deadlock or serialisation failure: this one was chosen to give way
    "55P03",  # lock not available
    "25006",  # read only: a standby that is no primary yet
    "25P03",  # idle in a transaction for too long
)


# OSErrors that an established connection never raises: they come from the caller's own code.
_FILE_ERRORS = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError)


class CommitUnknown(StoreUnavailable):
    """The connection failed during COMMIT: the transaction may have happened, or not."""

    def __init__(self, cause: str) -> None:
        super().__init__("database", cause)


@contextmanager
def translated(*, connecting: bool = False) -> Iterator[None]:
    """Raise StoreUnavailable("database") for what means that; let every other error pass.

    While `connecting`, every error of the driver or the system does: a wrong password, a missing
    socket, an unknown name.
    """
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        cause = unavailable(e)
        if cause is None and connecting:
            cause = f"cannot connect ({_name(e)})"
        if cause is None:
            raise
        raise StoreUnavailable("database", cause) from e


def unavailable(error: Exception) -> str | None:
    """Why `error` means that the database cannot be asked now; None if it means anything else.

    The sentence holds no values: a driver's own text may quote rows.
    """
    if isinstance(error, PoolTimeout):
        return "every connection is in use"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return None if isinstance(error, _FILE_ERRORS) else f"cannot be reached ({_name(error)})"
    if isinstance(error, IntegrityError) or not isinstance(error, DBAPIError):
        return None
    driver = error.orig
    code = getattr(driver, "sqlite_errorcode", None)
    if code is not None:
        # The low byte is the primary code, the rest says more of the same.
        return _SQLITE_STATES.get(code & 0xFF)
    state = getattr(driver, "sqlstate", None)
    if state is not None:
        hit = state.startswith(_POSTGRES_STATES)
        return f"{_name(error)} (SQLSTATE {state})" if hit else None
    # Without a code it is the driver that speaks: of a connection that is closed or broken, or of
    # a value that it cannot send, which is the caller's business.
    is_of_values = isinstance(getattr(driver, "__cause__", None), ValueError)
    if error.connection_invalidated or (isinstance(error, InterfaceError) and not is_of_values):
        return "the connection broke"
    return None


def _name(error: BaseException) -> str:
    """The name of the driver's own error, under what SQLAlchemy wraps around it."""
    wrapped = getattr(error, "orig", None) or error
    return type(wrapped.__cause__ or wrapped).__name__
