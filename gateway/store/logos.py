"""Logos: each URL that a link names is a row, and once it has been fetched, its bytes.

A row is wanted in the transaction that writes the link. A worker claims rows that are due: a claim
counts one try and puts the row off by the time that it holds, so a worker that dies leaves nothing
behind but a later try. What was fetched is kept; what was given up is wanted anew when a link that
names it is written again. A row goes with the last link that names its URL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Database
from gateway.store.inserts import insert_absent
from gateway.store.schema import links, logos, to_microseconds, to_seconds

_NAMED = links.c.branding["logo_url"].as_string()


class LogoState(StrEnum):
    """How far a logo has come."""

    PENDING = "pending"
    KEPT = "kept"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class ClaimedLogo:
    """A logo that the claimer alone fetches for now; `attempt` counts from 1."""

    url: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A logo's bytes, and what they are (`image/png`)."""

    content_type: str
    body: bytes

    @property
    def content_hash(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal: what visitors' browsers ask for."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class KeptLogo:
    """Where a URL's bytes are found, and since when; in seconds since the epoch."""

    url_hash: bytes
    content_hash: str
    kept_at: float


def url_hash(url: str) -> bytes:
    """What a logo is found by: URLs have no bound that an index would take."""
    return hashlib.sha256(url.encode()).digest()


async def want(connection: AsyncConnection, url: str, now: float) -> None:
    """Enter a logo in the transaction of `connection`, or give one that was given up a new try."""
    key, at = url_hash(url), to_microseconds(now)
    row = {"url_hash": key, "url": url, "state": LogoState.PENDING.value, "attempts": 0,
           "wanted_at": at, "next_try_at": at}  # fmt: skip
    await connection.execute(insert_absent(connection, logos).values(row))
    await connection.execute(
        update(logos)
        .where(logos.c.url_hash == key, logos.c.state == LogoState.GIVEN_UP.value)
        .values(state=row["state"], attempts=0, wanted_at=at, next_try_at=at, problem=None)
    )


async def drop_unnamed(connection: AsyncConnection, url: str) -> None:
    """Delete a logo in the transaction that took its URL out of a link, if no other names it.

    Whoever may write one link could otherwise fill the database by giving it one logo after the
    other. Links are written one at a time (`take_number`), so none is just about to name it.
    """
    named = exists().where(url == _NAMED)
    await connection.execute(delete(logos).where(logos.c.url_hash == url_hash(url), ~named))


class LogoStore:
    """The logos of one database. Every method raises StoreUnavailable("database")."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, now: float, lease: float) -> ClaimedLogo | None:
        """The logo that is due for the longest time, for the caller alone for `lease` seconds."""
        at = to_microseconds(now)
        due = (
            select(logos.c.url_hash, logos.c.url, logos.c.attempts, logos.c.next_try_at)
            .where(logos.c.state == LogoState.PENDING.value, logos.c.next_try_at <= at)
            .order_by(logos.c.next_try_at)
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(due)).first()
        if row is None:
            return None
        # Whoever else has read the row finds that it is not as it was.
        mine = (
            update(logos)
            .where(logos.c.url_hash == row.url_hash, logos.c.next_try_at == row.next_try_at)
            .values(attempts=row.attempts + 1, next_try_at=to_microseconds(now + lease))
        )
        async with self._database.transaction() as connection:
            claimed = (await connection.execute(mine)).rowcount == 1
        return ClaimedLogo(row.url, row.attempts + 1) if claimed else None

    async def keep(self, logo: ClaimedLogo, picture: Picture, now: float) -> None:
        """Store what was fetched."""
        await self._settle(
            logo,
            state=LogoState.KEPT.value,
            kept_at=to_microseconds(now),
            content_type=picture.content_type,
            content_hash=picture.content_hash,
            body=picture.body,
            problem=None,
        )

    async def retry(self, logo: ClaimedLogo, at: float, problem: str) -> None:
        """Let a logo be due again at `at`."""
        await self._settle(logo, next_try_at=to_microseconds(at), problem=problem)

    async def give_up(self, logo: ClaimedLogo, problem: str) -> None:
        """Try no more, until a link that names it is written again."""
        await self._settle(logo, state=LogoState.GIVEN_UP.value, problem=problem)

    async def kept_since(self, since: float, limit: int) -> Sequence[KeptLogo]:
        """The newest logos that were kept at `since` or later, newest first."""
        statement = (
            select(logos.c.url_hash, logos.c.content_hash, logos.c.kept_at)
            .where(logos.c.kept_at >= to_microseconds(since))
            .order_by(logos.c.kept_at.desc())
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [KeptLogo(row.url_hash, row.content_hash, to_seconds(row.kept_at)) for row in rows]

    async def picture(self, content_hash: str) -> Picture | None:
        """The bytes with this hash."""
        statement = (
            select(logos.c.content_type, logos.c.body)
            .where(logos.c.content_hash == content_hash)
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Picture(row.content_type, row.body)

    async def forget_unused(self, wanted_before: float) -> int:
        """Delete the logos that no link names any more; how many they were."""
        unused = delete(logos).where(
            logos.c.wanted_at < to_microseconds(wanted_before),
            logos.c.url.not_in(select(_NAMED).where(_NAMED.is_not(None))),
        )
        async with self._database.transaction() as connection:
            return (await connection.execute(unused)).rowcount

    async def _settle(self, logo: ClaimedLogo, **values: object) -> None:
        """Write what became of a claim, if nobody has claimed the logo since."""
        held = (logos.c.url_hash == url_hash(logo.url), logos.c.attempts == logo.attempt)
        async with self._database.transaction() as connection:
            await connection.execute(update(logos).where(*held).values(**values))
