"""Links in memory and in Redis, and how soon a change of one is known.

An answer is given only from a value that is on the shelf (so that a change would drop it) and
that is *confirmed*: at some moment of the last second the sequence was read from the database
and no change of the link was missing here, or the value itself was read. Everything else follows
from three rules: numbers are given in the order of commits; a read confirms the moment at which
it began; a load that a change overtook is thrown away. The interleavings, each with its test:

change, then request        the sequence (or the push) drops the value; the request loads it anew
load, change, load ends     the change marks the load: what it brought is not kept, and it is
                            made again. Also for loads of tokens that nobody had known, and for
                            those who joined a load that had begun before they came
change, no news, request    the value's confirmation is too old: the sequence is read first
read begins, change, ends   the change may be missing in what the read brought; so the read counts
                            from its beginning, and the next one brings the change
load begins, read ends      the read brought a change that committed before the load read: the
                            load is made again, needlessly. The other way round it would be stale
push, then the sequence     the same change is heard twice; the second time drops a good value.
                            The push does not move the position: it may be lost, late or false
position pruned away        nothing known is worth anything: all is dropped, loads included
change, slow load in Redis  the change's number stands in Redis, and an older load is not written
snapshot in Redis           believed only if this process heard every change since its number,
                            and none was of this link
database down               what is on the shelf stands, however old; pushes still drop it. What
                            is not comes from Redis, unconfirmed, onto a shelf of its own, which
                            the first read that succeeds clears
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.errors import StoreUnavailable
from gateway.links.model import Link
from gateway.metrics import Metrics
from gateway.store.freshness import WORTH, Change, ChangeLog, Feed, Freshness, within
from gateway.store.redis import RedisClient
from gateway.store.shelf import Kept, Shelf
from gateway.store.snapshots import Announcement, Snapshot, Snapshots

# How often a load may be overtaken, or a read come too late, before the request is refused.
ATTEMPTS = 5
LOAD_TIMEOUT = 2.0
# How long it is remembered that a token names no link, and how many such tokens.
UNKNOWN_LIFE = 10.0
MAX_UNKNOWN = 10_000
MAX_DOMAINS = 1_000
# Writes to Redis under way at once; beyond it a snapshot is not written, and nothing is lost.
MAX_WRITES = 100
RECONNECT = 0.5

K = TypeVar("K", bound=Kept[Any])
_Found = Kept[Link] | Kept[None]


class Links(Protocol):
    """The database's links. All raise StoreUnavailable."""

    async def snapshot(self, token_hash: bytes) -> Link | None:
        """The link with this token."""
        ...

    async def snapshot_by_id(self, link_id: str) -> Link | None:
        """The link with this id."""
        ...

    async def domain_exists(self, domain: str) -> bool:
        """Whether a link has this custom domain."""
        ...


class LinkCache:
    """Finds links: in memory, in Redis, in the database.

    `on_invalidated` are called with a link's id, on the loop, after the link was dropped here;
    `on_forgotten` after everything was, for a reason that names no link. `clock` is monotonic.
    """

    def __init__(
        self,
        links: Links,
        changes: Feed,
        redis: RedisClient,
        metrics: Metrics,
        max_links: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._links = links
        self._snapshots = Snapshots(redis)
        self._clock = clock
        self._now = now
        self._shelf: Shelf[Link] = Shelf(max_links)
        self._unknown: Shelf[None] = Shelf(MAX_UNKNOWN)
        self._standing: Shelf[Link] = Shelf(max_links)
        self._domains: Shelf[bool] = Shelf(MAX_DOMAINS)
        self._log = ChangeLog()
        self._freshness = Freshness(changes, self._apply, self._forget, clock)
        self._loads: dict[Hashable, asyncio.Task[Any]] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._count = {
            source: metrics.tally(metrics.link_lookups_total.labels(source=source)).inc
            for source in ("memory", "redis", "database", "absent")
        }
        self._lag = metrics.invalidation_lag_seconds.observe
        self.on_invalidated: list[Callable[[str], None]] = []
        self.on_forgotten: list[Callable[[], None]] = []

    def peek_hash(self, token_hash: bytes) -> Link | None:
        """The link with this token, if memory holds it confirmed: the fast path of a request."""
        return self._peek(token_hash)

    def peek(self, link_id: str) -> Link | None:
        """The link with this id, if memory holds it confirmed."""
        return self._peek(link_id)

    async def resolve(self, token_hash: bytes) -> Link | None:
        """The link with this token, or None. Raises StoreUnavailable if nobody can tell."""
        return self._peek(token_hash) or await self._find(token_hash)

    async def by_id(self, link_id: str) -> Link | None:
        """The link with this id, or None. Raises StoreUnavailable if nobody can tell."""
        return self._peek(link_id) or await self._find(link_id)

    async def knows_domain(self, host: str) -> bool:
        """Whether a link has this custom domain. Raises StoreUnavailable if nobody can tell."""
        load = partial(self._load_domain, host)
        kept = await self._answer(("domain", host), partial(self._domains.get, host), load)
        return kept.value

    def confirmed_age(self) -> float:
        """Seconds since what is in memory was last confirmed; infinite before the first time."""
        return self._freshness.age

    def invalidate(self, change: Change) -> None:
        """Forget what `change` concerns, here and now, and the loads that it overtook."""
        self._log.note(change)
        keys = (change.link_id, *change.token_hashes)
        for shelf in (self._shelf, self._unknown, self._standing):
            shelf.drop(keys)
        if change.domains:
            self._domains.clear()
        for listener in self.on_invalidated:
            listener(change.link_id)

    async def announce(self, change: Change) -> None:
        """Make a change that has just been committed known here, and, soon, everywhere.

        Does not raise when Redis is away: the others read the sequence.
        """
        self.invalidate(change)
        await self._snapshots.bury(change)
        await self._snapshots.announce(change, self._now())

    async def run(self) -> None:
        """Follow the sequence and the pushes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._freshness.run())
            group.create_task(self._listen())

    async def settle(self) -> None:
        """Return once the writes to Redis that are under way have ended."""
        while self._writes:
            await asyncio.wait(self._writes)

    # Looking

    def _peek(self, key: bytes | str) -> Link | None:
        kept = self._shelf.get(key)
        if kept is None or self._freshness.age >= WORTH:
            return None
        self._count["memory"]()
        return kept.value

    async def _find(self, key: bytes | str) -> Link | None:
        is_known = self._known(key) is not None
        kept: _Found
        try:
            kept = await self._answer(key, partial(self._known, key), partial(self._load, key))
        except StoreUnavailable:
            if await self._freshness.confirm():
                raise
            kept = await self._stand_in(key)
        self._count["memory" if is_known else kept.source]()
        return kept.value

    async def _answer(
        self,
        name: Hashable,
        known: Callable[[], K | None],
        load: Callable[[], Coroutine[Any, Any, K | None]],
    ) -> K:
        """What is kept, or loaded, once it is confirmed or the database is known to be down."""
        for _ in range(ATTEMPTS):
            kept = known() or await self._load_with_others(name, load)
            if kept is None or not kept.valid:
                continue
            if self._is_confirmed(kept):
                return kept
            is_up = await self._freshness.confirm()
            if kept.valid and (self._is_confirmed(kept) or not is_up):
                return kept
        raise StoreUnavailable("database", "it changes faster than it can be read")

    def _known(self, key: bytes | str) -> _Found | None:
        kept = self._shelf.get(key)
        if kept is not None:
            return kept
        unknown = self._unknown.get(key)
        is_recent = unknown is not None and self._clock() - unknown.read_at < UNKNOWN_LIFE
        return unknown if is_recent else None

    def _is_confirmed(self, kept: Kept[Any]) -> bool:
        return self._clock() - max(self._freshness.confirmed_at, kept.read_at) < WORTH

    # Loading

    async def _load_with_others(
        self, name: Hashable, load: Callable[[], Coroutine[Any, Any, K | None]]
    ) -> K | None:
        """What the one load of this name brings; a visitor who hangs up does not end it."""
        task: asyncio.Task[K | None] | None = self._loads.get(name)
        if task is None:
            task = self._loads[name] = asyncio.create_task(load())
            task.add_done_callback(partial(self._load_ended, name))
        return await asyncio.shield(task)

    def _load_ended(self, name: Hashable, task: asyncio.Task[Any]) -> None:
        del self._loads[name]
        if not task.cancelled():
            task.exception()  # Everybody who waited may have hung up.

    async def _load(self, key: bytes | str) -> _Found | None:
        """The link from Redis or the database, now in memory; None if a change overtook it."""
        await self._know_the_position()
        with self._shelf.begin() as flight:
            snapshot = await self._snapshots.find(key)
            if snapshot is not None and self._believes(snapshot):
                kept = _kept(snapshot.link, float("-inf"), "redis")
                return kept if self._shelf.keep(flight, kept) else None
            began, position = self._clock(), self._freshness.position
            link = await self._ask_database(key)
            if link is None:
                unknown = Kept(None, [key], began, "absent")
                return unknown if self._unknown.keep(flight, unknown) else None
            kept = _kept(link, began, "database")
            if not self._shelf.keep(flight, kept):
                return None
            assert position is not None
            if len(self._writes) < MAX_WRITES:
                self._write(self._snapshots.store(Snapshot(link, position)))
            return kept

    async def _ask_database(self, key: bytes | str) -> Link | None:
        if isinstance(key, bytes):
            return await within(LOAD_TIMEOUT, self._links.snapshot(key))
        return await within(LOAD_TIMEOUT, self._links.snapshot_by_id(key))

    async def _load_domain(self, host: str) -> Kept[bool] | None:
        await self._know_the_position()
        with self._domains.begin() as flight:
            began = self._clock()
            exists = await within(LOAD_TIMEOUT, self._links.domain_exists(host))
            kept = Kept(exists, [host], began, "database")
            return kept if self._domains.keep(flight, kept) else None

    async def _know_the_position(self) -> None:
        """Before anything is kept: of what is changed from here on the sequence will tell."""
        unknown = self._freshness.position is None
        if (unknown or self._freshness.is_down) and not await self._freshness.confirm():
            raise StoreUnavailable("database")

    def _believes(self, snapshot: Snapshot) -> bool:
        position = self._freshness.position
        return (
            position is not None
            and self._freshness.age < WORTH
            and self._log.is_current(snapshot.link.id, snapshot.seq, position)
        )

    async def _stand_in(self, key: bytes | str) -> Kept[Link]:
        """Redis's last word on a link while the database is down. Raises StoreUnavailable."""
        kept = self._standing.get(key)
        if kept is not None:
            return kept
        with self._standing.begin() as flight:
            snapshot = await self._snapshots.find(key)
            if snapshot is not None and self._log.newest(snapshot.link.id) <= snapshot.seq:
                kept = _kept(snapshot.link, float("-inf"), "redis")
                if self._standing.keep(flight, kept):
                    return kept
        raise StoreUnavailable("database")

    # Hearing

    def _apply(self, changes: Sequence[Change]) -> None:
        self._standing.clear()
        for change in changes:
            self.invalidate(change)
        if changes:
            self._write(self._bury_all(changes))

    def _forget(self, newest: int) -> None:
        known = [kept.value.id for kept in self._shelf]
        self._log.begin(newest)
        for shelf in (self._shelf, self._unknown, self._standing, self._domains):
            shelf.clear()
        for forgotten in self.on_forgotten:
            forgotten()
        for link_id in known:
            for listener in self.on_invalidated:
                listener(link_id)

    async def _listen(self) -> None:
        while True:
            try:
                await self._snapshots.listen(self._hear)
            except StoreUnavailable:
                # What was pushed meanwhile is in the sequence.
                await asyncio.sleep(RECONNECT)

    def _hear(self, announcement: Announcement) -> None:
        if self._log.newest(announcement.link_id) < announcement.seq:
            self._lag(max(0.0, self._now() - announcement.at))
            self.invalidate(announcement)

    async def _bury_all(self, changes: Sequence[Change]) -> None:
        for change in changes:
            await self._snapshots.bury(change)

    def _write(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)


def _kept(link: Link, read_at: float, source: str) -> Kept[Link]:
    return Kept(link, [link.id, link.token_hash], read_at, source)
