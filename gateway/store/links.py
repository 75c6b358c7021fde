"""Links: written and read by their owners, looked up by their tokens.

Every write happens under the change counter's lock, enters its change in the same transaction,
and tells `on_change` after the commit and before it returns.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token
from gateway.links.model import Link, LinkRecord, Status, ends_older_sessions
from gateway.store import listing, logos, resealing
from gateway.store.changes import Change, take_number, write_change
from gateway.store.database import Database
from gateway.store.domains import DomainTaken, check_domain, is_domain
from gateway.store.listing import SORT_FIELDS, WHOLE_LINK, LinkQuery, read_namespaces
from gateway.store.outbox import forget_codes
from gateway.store.rows import NotStorable, check_storable, to_link, to_record, to_row
from gateway.store.schema import link_namespaces, link_usage, link_uses, link_visitors, links

__all__ = ["SORT_FIELDS", "DomainTaken", "LinkQuery", "LinkStore", "NotStorable"]

_TOKENS = resealing.SealedColumn(links.c.id, links.c.token_sealed)


class LinkStore:
    """The links of one database. Every method raises StoreUnavailable("database")."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        on_change: Callable[[Change], Awaitable[None]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._on_change = on_change
        self._now = now

    async def create(self, record: LinkRecord) -> LinkRecord:
        """Store a new link; what is returned is what was stored.

        The counters start at nothing, whatever `record.usage` says. Raises DomainTaken,
        NotStorable, and ValueError if the token and its hash do not belong together.
        """
        self._check(record)
        async with self._database.transaction() as connection:
            seq = await take_number(connection)
            await check_domain(connection, record.link)
            row = to_row(record, self._sealer.seal(record.token))
            await connection.execute(insert(links).values(row))
            await connection.execute(insert(link_usage).values(link_id=record.link.id))
            await _write_namespaces(connection, record.link)
            await self._want_logo(connection, record.link)
            change = _change(seq, None, record.link)
            await write_change(connection, change, self._now())
            stored = await self._read(connection, record.link.id)
        await self._tell(change)
        assert stored is not None
        return stored

    async def get(self, id: str) -> LinkRecord | None:
        """The link with this id, with its counters."""
        async with self._database.reading() as connection:
            return await self._read(connection, id)

    async def update(self, id: str, edit: Callable[[LinkRecord], LinkRecord]) -> LinkRecord | None:
        """Change a link; what is returned is what was stored, or None if there is no such link.

        `edit` is given the link as it is, locked, and returns it as it shall be; whatever it
        raises passes through, and then nothing has happened. Versions, counters and `modified_at`
        are not its business: the store sets them, counts `access_version` up when older sessions
        have to end, and starts the uses anew with a new token. Raises as `create` does.
        """
        async with self._database.transaction() as connection:
            seq = await take_number(connection)
            before = await self._read(connection, id, lock=True)
            if before is None:
                # Gives the number back: a number without a change would be a gap in the feed.
                await connection.rollback()
                return None
            after = self._edited(before, edit)
            await self._write(connection, before, after)
            await self._want_logo(connection, after.link)
            await self._drop_logo(connection, before.link, after.link)
            if after.link.access_version != before.link.access_version:
                await forget_codes(connection, id)
            change = _change(seq, before.link, after.link)
            await write_change(connection, change, after.modified_at)
            stored = await self._read(connection, id)
        await self._tell(change)
        return stored

    async def delete(self, id: str, check: Callable[[LinkRecord], None] | None = None) -> bool:
        """Delete a link and all that is counted of it, but not its access log.

        `check` is given the link, locked; if it raises, nothing has happened. Returns whether
        there was such a link.
        """
        async with self._database.transaction() as connection:
            seq = await take_number(connection)
            before = await self._read(connection, id, lock=True)
            if before is None:
                await connection.rollback()
                return False
            if check is not None:
                check(before)
            await connection.execute(delete(links).where(links.c.id == id))
            await self._drop_logo(connection, before.link, None)
            # After the row of counters is gone: whoever counts visitors has locked that first.
            await connection.execute(delete(link_visitors).where(link_visitors.c.link_id == id))
            await forget_codes(connection, id)
            change = _change(seq, before.link, None)
            await write_change(connection, change, self._now())
        await self._tell(change)
        return True

    async def list(self, query: LinkQuery) -> tuple[Sequence[LinkRecord], int]:
        """The asked page, and how many links match on all pages."""
        async with self._database.reading() as connection:
            total = await listing.count_links(connection, query)
            if (query.page - 1) * query.per_page >= total:
                return [], total
            rows = (await connection.execute(listing.page_statement(query))).mappings().all()
            return await self._to_records(connection, rows), total

    async def snapshot(self, token_hash: bytes) -> Link | None:
        """The link that a token with this hash opens."""
        return await self._snapshot(links.c.token_hash == token_hash)

    async def snapshot_by_id(self, id: str) -> Link | None:
        """The link with this id."""
        return await self._snapshot(links.c.id == id)

    async def purpose(self, connection: AsyncConnection, id: str) -> str | None:
        """What the owner has noted that the link is for, in the transaction of `connection`."""
        statement = select(links.c.purpose).where(links.c.id == id)
        return (await connection.execute(statement)).scalar()

    async def domain_exists(self, domain: str) -> bool:
        """Whether some link has this custom domain."""
        async with self._database.reading() as connection:
            return await is_domain(connection, domain)

    async def count_by_status(self, now: float) -> dict[Status, int]:
        """How many links are in each status at `now`."""
        async with self._database.reading() as connection:
            return await listing.count_by_status(connection, now)

    async def rewrap(self) -> int:
        """Seal every token under the first secret key; how many needed it. Raises SealBroken."""
        return await resealing.rewrap(self._database, _TOKENS, self._sealer)

    async def needs_rewrap(self) -> bool:
        """Whether a token is still sealed under another key than the first."""
        return await resealing.needs_rewrap(self._database, _TOKENS, self._sealer)

    async def _snapshot(self, condition: ColumnElement[bool]) -> Link | None:
        # One statement for the link and its namespaces: a row for each of them, at least one.
        statement = (
            select(links, link_namespaces.c.namespace)
            .join_from(links, link_namespaces, isouter=True)
            .where(condition)
            .order_by(link_namespaces.c.position)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        if not rows:
            return None
        return to_link(rows[0], [r["namespace"] for r in rows if r["namespace"] is not None])

    async def _read(
        self, connection: AsyncConnection, id: str, *, lock: bool = False
    ) -> LinkRecord | None:
        statement = WHOLE_LINK.where(links.c.id == id)
        if lock:
            statement = statement.with_for_update(of=links)
        rows = (await connection.execute(statement)).mappings().all()
        return next(iter(await self._to_records(connection, rows)), None)

    async def _to_records(
        self, connection: AsyncConnection, rows: Sequence[RowMapping]
    ) -> Sequence[LinkRecord]:
        if not rows:
            return []
        namespaces = await read_namespaces(connection, [row["id"] for row in rows])
        return [
            to_record(row, namespaces[row["id"]], self._sealer.unseal(row["token_sealed"]))
            for row in rows
        ]

    def _edited(self, before: LinkRecord, edit: Callable[[LinkRecord], LinkRecord]) -> LinkRecord:
        edited = edit(before)
        if edited.link.id != before.link.id:
            raise ValueError("a link keeps its id")
        ends = ends_older_sessions(before.link, edited.link)
        after = replace(
            edited,
            link=replace(edited.link, access_version=before.link.access_version + ends),
            created_at=before.created_at,
            modified_at=self._now(),
            version=before.version + 1,
        )
        self._check(after)
        return after

    async def _write(
        self, connection: AsyncConnection, before: LinkRecord, after: LinkRecord
    ) -> None:
        old, new = before.link, after.link
        domain_changed = old.branding.custom_domain != new.branding.custom_domain
        if domain_changed or old.namespaces != new.namespaces:
            await check_domain(connection, new)
        has_new_token = old.token_hash != new.token_hash
        row = to_row(after, self._sealer.seal(after.token))
        if not has_new_token:
            del row["token_hash"], row["token_sealed"]
        await connection.execute(update(links).where(links.c.id == new.id).values(row))
        if old.namespaces != new.namespaces:
            await _write_namespaces(connection, new)
        if has_new_token:
            await _forget_uses(connection, new.id)

    async def _want_logo(self, connection: AsyncConnection, link: Link) -> None:
        if link.branding.logo_url is not None:
            await logos.want(connection, link.branding.logo_url, self._now())

    async def _drop_logo(
        self, connection: AsyncConnection, before: Link, after: Link | None
    ) -> None:
        url = before.branding.logo_url
        if url is not None and (after is None or after.branding.logo_url != url):
            await logos.drop_unnamed(connection, url)

    def _check(self, record: LinkRecord) -> None:
        check_storable(record)
        if hash_token(record.token) != record.link.token_hash:
            raise ValueError("the token and its hash do not belong together")

    async def _tell(self, change: Change) -> None:
        if self._on_change is not None:
            await self._on_change(change)


def _change(seq: int, before: Link | None, after: Link | None) -> Change:
    states = [link for link in (before, after) if link is not None]
    hashes = tuple(dict.fromkeys(link.token_hash for link in states))
    was = before.branding.custom_domain if before else None
    domain = after.branding.custom_domain if after else None
    return Change(seq, states[0].id, hashes, domains=was != domain)


async def _write_namespaces(connection: AsyncConnection, link: Link) -> None:
    of_link = link_namespaces.c.link_id == link.id
    await connection.execute(delete(link_namespaces).where(of_link))
    if link.namespaces:
        rows = [
            {"link_id": link.id, "position": position, "namespace": namespace}
            for position, namespace in enumerate(link.namespaces)
        ]
        await connection.execute(insert(link_namespaces), rows)


async def _forget_uses(connection: AsyncConnection, id: str) -> None:
    nothing = update(link_usage).where(link_usage.c.link_id == id).values(uses=0)
    await connection.execute(nothing)
    await connection.execute(delete(link_uses).where(link_uses.c.link_id == id))
