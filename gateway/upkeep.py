"""What the command line does to the database: the schema, the admin API's keys, the encryption."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from config.load import SettingsError, resolve_secret_keys
from config.models import Settings
from gateway.crypto.sealing import Sealer
from gateway.request.mail_address import normal_address
from gateway.store.access_log import AccessLogStore
from gateway.store.database import Database
from gateway.store.deliveries import SEALED_AS as DELIVERIES_SEAL
from gateway.store.deliveries import DeliveryStore
from gateway.store.keys import ApiKey, KeyStore, Role
from gateway.store.links import LinkStore
from gateway.store.outbox import SEALED_AS as OUTBOX_SEAL
from gateway.store.outbox import OutboxStore


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The database, whatever its schema. Raises SettingsError if the URL cannot be one."""
    try:
        database = Database.open(
            settings.database_url,
            pool_size=settings.database.pool_size,
            statement_timeout=settings.database.statement_timeout,
        )
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def opened_current(settings: Settings) -> AsyncIterator[Database]:
    """The database on the present schema; on SQLite it is brought there, as `serve` does.

    Raises SettingsError if it is on another one.
    """
    async with opened(settings) as database:
        state = await database.schema_state()
        if settings.is_sqlite and state in {"empty", "older"}:
            await database.migrate()
        elif problem := schema_problem(state):
            raise SettingsError([problem])
        yield database


def schema_problem(state: str) -> str | None:
    """Why the gateway cannot work on a schema in this state; None if it can."""
    match state:
        case "current":
            return None
        case "newer":
            return "database: its schema is newer than this program: update the program"
        case _:
            return "database: its schema is older than this program: run 'portal-gateway migrate'"


async def migrate(settings: Settings) -> str:
    """Bring the schema up to date; says what it was before."""
    async with opened(settings) as database:
        before = await database.schema_state()
        if before == "newer":
            raise SettingsError([schema_problem(before) or ""])
        if before == "current":
            return "The schema is up to date."
        await database.migrate()
        return "The schema was made." if before == "empty" else "The schema was brought up to date."


async def create_key(
    settings: Settings, name: str, role: str, namespaces: Sequence[str]
) -> tuple[ApiKey, str]:
    """A new key of the admin API, and its secret, which is nowhere else."""
    async with opened_current(settings) as database:
        return await KeyStore(database).create(name, Role(role), namespaces)


async def list_keys(settings: Settings) -> list[ApiKey]:
    """Every key of the admin API, without its secret."""
    async with opened_current(settings) as database:
        return list(await KeyStore(database).list())


async def revoke_key(settings: Settings, key_id: str) -> bool:
    """End a key; False if there is none with this id."""
    async with opened_current(settings) as database:
        return await KeyStore(database).revoke(key_id)


async def forget(settings: Settings, visitor: str) -> int:
    """Delete what is kept of one visitor; how many entries of the access log it was.

    `visitor` is a mail address, in any spelling, or an id as the access log shows it.
    """
    with contextlib.suppress(ValueError):
        visitor = normal_address(visitor)
    async with opened_current(settings) as database:
        return await AccessLogStore(database).erase(visitor)


async def rewrap(settings: Settings) -> dict[str, int]:
    """Encrypt everything stored under the first secret key; how much was changed, by its kind."""
    secret_keys = resolve_secret_keys(settings)
    async with opened_current(settings) as database:
        return {name: await store.rewrap() for name, store in _sealed(database, secret_keys)}


async def needs_rewrap(database: Database, secret_keys: Sequence[str]) -> bool:
    """Whether anything stored still needs a key that is not the first one."""
    return any([await store.needs_rewrap() for _, store in _sealed(database, secret_keys)])


def _sealed(
    database: Database, secret_keys: Sequence[str]
) -> list[tuple[str, LinkStore | OutboxStore | DeliveryStore]]:
    """Every store that keeps something encrypted, with the name of what it keeps."""
    return [
        ("Links", LinkStore(database, Sealer(secret_keys))),
        ("Mails", OutboxStore(database, Sealer(secret_keys, OUTBOX_SEAL))),
        ("Webhooks", DeliveryStore(database, Sealer(secret_keys, DELIVERIES_SEAL))),
    ]


def key_table(keys: Sequence[ApiKey]) -> str:
    """Keys as an aligned table for people."""
    rows = [("ID", "ROLE", "NAME", "NAMESPACES", "CREATED", "LAST USED")]
    rows += [
        (
            key.id,
            key.role.value,
            key.name,
            ", ".join(key.namespaces) or "(all)",
            _day(key.created_at),
            _day(key.last_used) if key.last_used is not None else "never",
        )
        for key in keys
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
