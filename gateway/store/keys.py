"""The admin API's keys, kept as hashes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Row, delete, insert, select, update

from gateway.crypto.tokens import hash_api_key, new_api_key, new_id
from gateway.errors import StoreUnavailable
from gateway.store.database import Database
from gateway.store.schema import NOT_YET, api_keys, to_microseconds, to_seconds

# Seconds. `last_used` is for an owner who wonders whether a key is still needed.
_LAST_USED_STEP = 60.0


class Role(StrEnum):
    """What a key may do: a viewer reads, an editor also writes, an admin also manages keys."""

    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed; the secret is not here. Times are seconds since the epoch."""

    id: str
    name: str
    role: Role
    namespaces: tuple[str, ...]
    created_at: float
    last_used: float | None = None


class KeyStore:
    """The keys of one database. Every method raises StoreUnavailable("database")."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def create(
        self, name: str, role: Role, namespaces: Sequence[str] = ()
    ) -> tuple[ApiKey, str]:
        """A new key, and its secret, which nobody can ask for again."""
        secret = new_api_key()
        row = {
            "id": new_id(),
            "key_hash": hash_api_key(secret),
            "name": name,
            "role": Role(role).value,
            "namespaces": list(namespaces),
            "created_at": to_microseconds(self._now()),
            "last_used": NOT_YET,
        }
        statement = insert(api_keys).values(row).returning(api_keys)
        async with self._database.transaction() as connection:
            key = _to_key((await connection.execute(statement)).one())
        return key, secret

    async def list(self) -> Sequence[ApiKey]:
        """Every key, oldest first."""
        statement = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        async with self._database.reading() as connection:
            return [_to_key(row) for row in await connection.execute(statement)]

    async def revoke(self, id: str) -> bool:
        """Delete a key; whether there was one."""
        async with self._database.transaction() as connection:
            result = await connection.execute(delete(api_keys).where(api_keys.c.id == id))
            return result.rowcount == 1

    async def authenticate(self, secret: str) -> ApiKey | None:
        """The key with this secret, asked of the database each time: a revoked one ends at once."""
        statement = select(api_keys).where(api_keys.c.key_hash == hash_api_key(secret))
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        await self._note_use(row.id, row.last_used)
        return _to_key(row)

    async def _note_use(self, id: str, last_used: int) -> None:
        now = self._now()
        due = to_microseconds(now - _LAST_USED_STEP)
        if last_used > due:
            return
        statement = (
            update(api_keys)
            .where(api_keys.c.id == id, api_keys.c.last_used <= due)
            .values(last_used=to_microseconds(now))
        )
        # Who may read may read, even while nothing can be written.
        with suppress(StoreUnavailable):
            async with self._database.transaction() as connection:
                await connection.execute(statement)


def _to_key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        namespaces=tuple(row.namespaces),
        created_at=to_seconds(row.created_at),
        last_used=None if row.last_used == NOT_YET else to_seconds(row.last_used),
    )
