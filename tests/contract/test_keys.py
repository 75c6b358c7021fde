"""KeyStore, the same on each database."""

from __future__ import annotations

import re
import sqlite3

import pytest
from sqlalchemy import select

from gateway.store.database import Database
from gateway.store.keys import ApiKey, KeyStore, Role
from gateway.store.schema import api_keys
from tests.records import NOW


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, clock: Clock) -> KeyStore:
    return KeyStore(database, now=clock)


async def test_a_key_opens_with_its_secret_alone(keys: KeyStore) -> None:
    key, secret = await keys.create("ops", Role.EDITOR, ["a", "b"])
    assert re.fullmatch(r"pgk_[0-9A-Za-z]{43}", secret)
    assert key == ApiKey(key.id, "ops", Role.EDITOR, ("a", "b"), NOW, None)
    assert await keys.authenticate(secret) == key
    for wrong in ("", "pgk_", secret[:-1], secret + "x", secret.lower(), "\ud800", key.id):
        assert await keys.authenticate(wrong) is None


async def test_the_secret_is_not_in_the_database(keys: KeyStore, database: Database) -> None:
    _, secret = await keys.create("ops", Role.ADMIN)
    async with database.reading() as connection:
        row = (await connection.execute(select(api_keys))).one()
    assert secret not in str(row)
    assert secret.encode() not in bytes(row.key_hash)


async def test_a_revoked_key_is_none(keys: KeyStore) -> None:
    key, secret = await keys.create("ops", Role.ADMIN)
    other, _ = await keys.create("other", Role.VIEWER)
    assert await keys.revoke(key.id) is True
    assert await keys.revoke(key.id) is False
    assert await keys.authenticate(secret) is None
    assert await keys.list() == [other]


async def test_keys_are_listed_oldest_first(keys: KeyStore, clock: Clock) -> None:
    made = []
    for name in ("one", "two", "three"):
        made.append((await keys.create(name, Role.VIEWER))[0])
        clock.now += 1
    assert await keys.list() == made


async def test_an_unknown_role_is_refused(keys: KeyStore) -> None:
    with pytest.raises(ValueError):
        await keys.create("ops", "root")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pause", "noted"),
    [
        pytest.param(59.0, False, id="within the minute"),
        pytest.param(60.0, True, id="a minute later"),
    ],
)
async def test_last_used_is_written_at_most_once_a_minute(
    keys: KeyStore, clock: Clock, pause: float, noted: bool
) -> None:
    _, secret = await keys.create("ops", Role.ADMIN)
    clock.now += 5
    first = clock.now
    await keys.authenticate(secret)
    clock.now += pause
    await keys.authenticate(secret)
    assert [key.last_used for key in await keys.list()] == [clock.now if noted else first]


async def test_a_key_opens_while_nothing_can_be_written(sqlite_url: str) -> None:
    database = Database.open(sqlite_url, statement_timeout=0.1)
    keys = KeyStore(database)
    key, secret = await keys.create("ops", Role.ADMIN)
    writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert await keys.authenticate(secret) == key
    finally:
        writer.close()
        await database.close()
