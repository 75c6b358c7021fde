"""The freshness of links: every interleaving, made to happen by a database that waits for it.

`FakeDatabase` stands at the cache's Protocols for links and for the sequence. It commits as the
real one does (the change and its number at once), answers as of the moment at which a question
was asked, and can hold an answer back, fail, or forget old numbers. The last tests are run on the
real stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_token
from gateway.errors import StoreUnavailable
from gateway.links.model import Branding, Link, LinkRecord
from gateway.metrics import Metrics
from gateway.store.cache import ATTEMPTS, UNKNOWN_LIFE, LinkCache
from gateway.store.changes import ChangeFeed
from gateway.store.database import Database
from gateway.store.links import LinkStore
from gateway.store.redis import RedisClient
from tests.redis_kinds import AWAY, KINDS, Clock, open_kind

ID = "0123456789abcdef01234567"
HASH = b"\x01" * 32
NEW_HASH = b"\x02" * 32
OLD = Link(id=ID, token_hash=HASH, workorder="WO-1")
REVOKED = replace(OLD, is_active=False)


@dataclass(frozen=True)
class FakeChange:
    seq: int
    link_id: str
    token_hashes: tuple[bytes, ...]
    domains: bool = False


class FakeDatabase:
    """Links and their sequence."""

    def __init__(self, *links: Link) -> None:
        self.links = {link.id: link for link in links}
        self.changes: list[FakeChange] = []
        self.is_down = False
        self.failing: set[str] = set()
        self.asked: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}

    def commit(self, link: Link, *, deleted: bool = False) -> FakeChange:
        before = self.links.get(link.id)
        hashes = {link.token_hash} | ({before.token_hash} if before else set())
        if deleted:
            del self.links[link.id]
        else:
            self.links[link.id] = link
        change = FakeChange(len(self.changes) + 1, link.id, tuple(sorted(hashes)), domains=True)
        self.changes.append(change)
        return change

    @contextmanager
    def holding(self, question: str) -> Iterator[None]:
        """Answers to `question` are decided when it is asked, and given when the block ends."""
        gate = self._gates[question] = asyncio.Event()
        try:
            yield
        finally:
            del self._gates[question]
            gate.set()

    async def snapshot(self, token_hash: bytes) -> Link | None:
        found = [link for link in self.links.values() if link.token_hash == token_hash]
        return await self._answer("link", found[0] if found else None)

    async def snapshot_by_id(self, link_id: str) -> Link | None:
        return await self._answer("link", self.links.get(link_id))

    async def domain_exists(self, domain: str) -> bool:
        domains = [link.branding.custom_domain for link in self.links.values()]
        return await self._answer("domain", domain in domains)

    async def latest(self) -> int:
        return await self._answer("feed", len(self.changes))

    async def since(self, seq: int) -> list[FakeChange] | None:
        known = [change for change in self.changes if change.seq > seq]
        is_whole = len(known) == len(self.changes) - seq and None not in known
        return await self._answer("feed", known if is_whole else None)

    def prune(self) -> None:
        """Forget every change; the numbers go on."""
        self.changes = [replace(change, seq=-1) for change in self.changes]

    async def _answer(self, question: str, answer: Any) -> Any:
        self.asked.append(question)
        gate = self._gates.get(question)
        if gate is not None:
            await gate.wait()
        if self.is_down or question in self.failing:
            raise StoreUnavailable("database")
        return answer


class Gateway:
    """One process: its cache, its clock, its metrics."""

    def __init__(self, database: FakeDatabase, redis: RedisClient, max_links: int = 100) -> None:
        self.clock = Clock(1000.0)
        self.metrics = Metrics()
        self.database = database
        self.cache = LinkCache(
            database, database, redis, self.metrics, max_links, self.clock, now=self.clock
        )

    async def hear(self) -> None:
        """Read the sequence, as the background does twice a second."""
        await self.cache._freshness._read_with_others()

    def lookups(self, source: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "portal_link_lookups_total", {"source": source}
        )
        return value or 0.0


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture(params=[*KINDS, AWAY])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    client = await open_kind(request.param, request)
    yield client
    await client.close()


@pytest.fixture
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    client = await open_kind("embedded", request)
    yield client
    await client.close()


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase(OLD)


@pytest.fixture
async def gateway(database: FakeDatabase, redis: RedisClient) -> AsyncIterator[Gateway]:
    gateway = Gateway(database, redis)
    yield gateway
    await gateway.cache.settle()


# What is found, and where


async def test_a_link_is_loaded_once_and_then_in_memory(gateway: Gateway) -> None:
    cache = gateway.cache
    assert cache.peek_hash(HASH) is None
    assert await cache.resolve(HASH) == OLD
    asked = list(gateway.database.asked)
    assert cache.peek_hash(HASH) == OLD
    assert cache.peek(ID) == OLD
    assert await cache.resolve(HASH) == OLD
    assert await cache.by_id(ID) == OLD
    assert gateway.database.asked == asked
    assert (gateway.lookups("database"), gateway.lookups("memory")) == (1, 4)


async def test_lookups_at_once_are_one_load(gateway: Gateway) -> None:
    with gateway.database.holding("link"):
        lookups = [asyncio.create_task(gateway.cache.resolve(HASH)) for _ in range(20)]
        await until(lambda: "link" in gateway.database.asked)
        lookups[0].cancel()
    assert await asyncio.gather(*lookups[1:]) == [OLD] * 19
    assert gateway.database.asked.count("link") == 1


async def test_an_unknown_token_is_remembered_for_a_while(gateway: Gateway) -> None:
    for _ in range(3):
        assert await gateway.cache.resolve(NEW_HASH) is None
    assert gateway.database.asked.count("link") == 1
    assert gateway.lookups("absent") == 1
    gateway.clock.forward(UNKNOWN_LIFE)
    assert await gateway.cache.resolve(NEW_HASH) is None
    assert gateway.database.asked.count("link") == 2


async def test_an_unknown_token_is_forgotten_once_a_link_has_it(gateway: Gateway) -> None:
    assert await gateway.cache.resolve(NEW_HASH) is None
    gateway.database.commit(replace(OLD, token_hash=NEW_HASH))
    await gateway.hear()
    assert await gateway.cache.resolve(NEW_HASH) == replace(OLD, token_hash=NEW_HASH)
    assert await gateway.cache.resolve(HASH) is None


async def test_unknown_tokens_push_no_link_out(database: FakeDatabase, shared: RedisClient) -> None:
    gateway = Gateway(database, shared, max_links=2)
    assert await gateway.cache.resolve(HASH) == OLD
    for number in range(10, 20):
        assert await gateway.cache.resolve(bytes([number]) * 32) is None
    assert gateway.cache.peek_hash(HASH) == OLD


async def test_the_longest_unused_links_make_room(
    database: FakeDatabase, shared: RedisClient
) -> None:
    for number in range(10, 13):
        link = Link(id=f"{number:024}", token_hash=bytes([number]) * 32, workorder="x")
        database.links[link.id] = link
    gateway = Gateway(database, shared, max_links=2)
    await gateway.cache.by_id(f"{10:024}")
    await gateway.cache.by_id(f"{11:024}")
    assert gateway.cache.peek(f"{10:024}") is not None
    await gateway.cache.by_id(f"{12:024}")
    assert gateway.cache.peek(f"{11:024}") is None
    assert gateway.cache.peek_hash(bytes([11]) * 32) is None
    assert gateway.cache.peek(f"{10:024}") is not None


# A change, and who is asked when


async def test_a_change_that_was_heard_is_seen(gateway: Gateway) -> None:
    heard: list[str] = []
    gateway.cache.on_invalidated.append(heard.append)
    await gateway.cache.resolve(HASH)
    gateway.database.commit(REVOKED)
    await gateway.hear()
    assert heard == [ID]
    assert gateway.cache.peek_hash(HASH) is None
    assert await gateway.cache.resolve(HASH) == REVOKED
    assert await gateway.cache.by_id(ID) == REVOKED


async def test_a_deleted_link_is_gone_by_its_token_and_by_its_id(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.database.commit(OLD, deleted=True)
    await gateway.hear()
    assert await gateway.cache.resolve(HASH) is None
    assert await gateway.cache.by_id(ID) is None


async def test_without_news_nothing_older_than_a_second_is_answered(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.database.commit(REVOKED)
    gateway.clock.forward(0.99)
    assert gateway.cache.peek_hash(HASH) == OLD  # Nobody has said otherwise within the second.
    gateway.clock.forward(0.01)
    assert gateway.cache.peek_hash(HASH) is None
    assert await gateway.cache.resolve(HASH) == REVOKED


async def test_an_unchanged_link_is_confirmed_without_being_loaded(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.clock.forward(1)
    lookups = [gateway.cache.resolve(HASH) for _ in range(10)]
    gateway.database.asked.clear()
    assert await asyncio.gather(*lookups) == [OLD] * 10
    assert gateway.database.asked == ["feed"]
    assert gateway.cache.confirmed_age() == 0


async def test_a_read_confirms_the_moment_at_which_it_began(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.clock.forward(0.5)
    with gateway.database.holding("feed"):
        reading = asyncio.create_task(gateway.hear())
        await until(lambda: gateway.database.asked[-1] == "feed")
        gateway.database.commit(REVOKED)  # What is being read does not hold this.
        gateway.clock.forward(0.6)
    await reading
    assert gateway.cache.confirmed_age() == pytest.approx(0.6)
    assert gateway.cache.peek_hash(HASH) == OLD
    gateway.clock.forward(0.4)
    assert gateway.cache.peek_hash(HASH) is None
    assert await gateway.cache.resolve(HASH) == REVOKED


async def test_a_load_that_a_change_overtook_is_made_again(gateway: Gateway) -> None:
    await gateway.hear()
    with gateway.database.holding("link"):
        lookup = asyncio.create_task(gateway.cache.resolve(HASH))
        await until(lambda: "link" in gateway.database.asked)
        gateway.database.commit(REVOKED)
        await gateway.hear()
        late = asyncio.create_task(gateway.cache.resolve(HASH))
        await asyncio.sleep(0)
    assert await lookup == REVOKED
    assert await late == REVOKED
    assert gateway.cache.peek_hash(HASH) == REVOKED


async def test_an_announced_change_overtakes_a_load_at_once(gateway: Gateway) -> None:
    await gateway.hear()
    with gateway.database.holding("link"):
        lookup = asyncio.create_task(gateway.cache.by_id(ID))
        await until(lambda: "link" in gateway.database.asked)
        await gateway.cache.announce(gateway.database.commit(REVOKED))
    assert await lookup == REVOKED


async def test_a_load_of_an_unknown_token_is_overtaken_by_its_link(
    database: FakeDatabase, redis: RedisClient
) -> None:
    gateway = Gateway(database, redis)
    await gateway.hear()
    with database.holding("link"):
        lookup = asyncio.create_task(gateway.cache.resolve(NEW_HASH))
        await until(lambda: "link" in database.asked)
        made = replace(OLD, id="f" * 24, token_hash=NEW_HASH)
        gateway.cache.invalidate(database.commit(made))
    assert await lookup == made
    await gateway.cache.settle()


async def test_a_change_between_a_loads_end_and_its_answer_is_seen(gateway: Gateway) -> None:
    await gateway.hear()
    with gateway.database.holding("link"):
        lookup = asyncio.create_task(gateway.cache.resolve(HASH))
        await until(lambda: "link" in gateway.database.asked)
    # Each turn of the loop is a moment at which the change may come.
    while not gateway.cache._shelf.get(HASH):
        await asyncio.sleep(0)
    assert not lookup.done()
    gateway.cache.invalidate(gateway.database.commit(REVOKED))
    assert await lookup == REVOKED


async def test_a_change_of_another_link_overtakes_nothing(gateway: Gateway) -> None:
    await gateway.hear()
    with gateway.database.holding("link"):
        lookup = asyncio.create_task(gateway.cache.resolve(HASH))
        await until(lambda: "link" in gateway.database.asked)
        other = Link(id="e" * 24, token_hash=b"\x0e" * 32, workorder="x")
        gateway.cache.invalidate(gateway.database.commit(other))
    assert await lookup == OLD
    assert gateway.database.asked.count("link") == 1


async def test_a_link_that_changes_faster_than_it_is_read_is_refused(gateway: Gateway) -> None:
    await gateway.hear()
    read = gateway.database.snapshot

    async def change_after_reading(token_hash: bytes) -> Link | None:
        link = await read(token_hash)
        gateway.cache.invalidate(gateway.database.commit(OLD))
        return link

    gateway.database.snapshot = change_after_reading  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await gateway.cache.resolve(HASH)
    assert gateway.database.asked.count("link") == ATTEMPTS


async def test_a_pruned_sequence_forgets_everything_and_what_is_under_way(
    gateway: Gateway,
) -> None:
    forgotten: list[str] = []
    await gateway.cache.resolve(HASH)
    other = Link(id="e" * 24, token_hash=b"\x0e" * 32, workorder="x")
    gateway.database.links[other.id] = other
    gateway.cache.on_forgotten.append(lambda: forgotten.append("all"))
    gateway.cache.on_invalidated.append(forgotten.append)
    with gateway.database.holding("link"):
        lookup = asyncio.create_task(gateway.cache.by_id(other.id))
        await until(lambda: gateway.database.asked.count("link") == 2)
        gateway.database.commit(replace(other, is_active=False))
        gateway.database.commit(REVOKED)
        gateway.database.prune()
        await gateway.hear()
    assert forgotten == ["all", ID]
    assert await lookup == replace(other, is_active=False)
    assert await gateway.cache.resolve(HASH) == REVOKED
    gateway.database.commit(OLD)
    await gateway.hear()
    assert await gateway.cache.resolve(HASH) == OLD


async def test_domains_follow_the_changes(gateway: Gateway) -> None:
    domain = "portal.example.org"
    assert not await gateway.cache.knows_domain(domain)
    assert not await gateway.cache.knows_domain(domain)
    assert gateway.database.asked.count("domain") == 1
    branded = replace(OLD, branding=Branding(custom_domain=domain))
    with gateway.database.holding("domain"):
        lookup = asyncio.create_task(gateway.cache.knows_domain("other.example.org"))
        await until(lambda: gateway.database.asked.count("domain") == 2)
        gateway.cache.invalidate(gateway.database.commit(branded))
    assert not await lookup
    assert gateway.database.asked.count("domain") == 3
    assert await gateway.cache.knows_domain(domain)
    gateway.database.commit(OLD)
    gateway.clock.forward(1)
    assert not await gateway.cache.knows_domain(domain)


# The database is down


async def test_with_the_database_down_what_was_confirmed_last_stands(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.database.is_down = True
    for _ in range(5):
        gateway.clock.forward(3600)
        assert await gateway.cache.resolve(HASH) == OLD
        assert gateway.cache.peek_hash(HASH) is None
    gateway.database.is_down = False
    gateway.database.commit(REVOKED)
    gateway.clock.forward(1)
    assert await gateway.cache.resolve(HASH) == REVOKED


async def test_an_outage_is_not_asked_about_by_every_request(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.database.is_down = True
    gateway.clock.forward(1)
    gateway.database.asked.clear()
    for _ in range(10):
        assert await gateway.cache.resolve(HASH) == OLD
    assert gateway.database.asked == ["feed"]


async def test_with_the_database_down_pushes_still_apply(gateway: Gateway) -> None:
    await gateway.cache.resolve(HASH)
    gateway.database.is_down = True
    gateway.clock.forward(1)
    await gateway.cache.announce(gateway.database.commit(REVOKED))
    with pytest.raises(StoreUnavailable, match="database"):
        await gateway.cache.resolve(HASH)


async def test_what_nobody_knows_is_refused_with_the_database_down(gateway: Gateway) -> None:
    gateway.database.is_down = True
    for lookup in (
        gateway.cache.resolve(HASH),
        gateway.cache.by_id(ID),
        gateway.cache.knows_domain("portal.example.org"),
    ):
        with pytest.raises(StoreUnavailable, match="database"):
            await lookup


async def test_a_silent_database_counts_as_down_after_a_second(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.freshness.WORTH", 0.05)
    await gateway.cache.resolve(HASH)
    gateway.clock.forward(1)
    with gateway.database.holding("feed"):
        assert await gateway.cache.resolve(HASH) == OLD
    gateway.database.commit(REVOKED)
    gateway.clock.forward(1)
    assert await gateway.cache.resolve(HASH) == REVOKED


# Redis between


async def test_one_gateways_load_is_anothers_hit(
    database: FakeDatabase, shared: RedisClient
) -> None:
    one, other = Gateway(database, shared), Gateway(database, shared)
    await one.hear()
    await other.hear()
    assert await one.cache.resolve(HASH) == OLD
    await one.cache.settle()
    assert await other.cache.resolve(HASH) == OLD
    assert (other.lookups("redis"), database.asked.count("link")) == (1, 1)
    third = Gateway(database, shared)
    await third.hear()
    assert await third.cache.by_id(ID) == OLD
    assert third.lookups("redis") == 1


async def test_a_snapshot_from_before_a_gateways_time_is_not_believed(
    database: FakeDatabase, shared: RedisClient
) -> None:
    one = Gateway(database, shared)
    await one.cache.resolve(HASH)
    await one.cache.settle()
    database.commit(REVOKED)  # Nobody has heard, and nothing is buried.
    late = Gateway(database, shared)
    assert await late.cache.resolve(HASH) == REVOKED
    assert late.lookups("database") == 1
    await late.cache.settle()


async def test_a_snapshot_from_before_a_change_is_not_believed(
    database: FakeDatabase, shared: RedisClient
) -> None:
    one, other = Gateway(database, shared), Gateway(database, shared)
    await other.hear()
    await one.cache.resolve(HASH)
    await one.cache.settle()
    other.cache.invalidate(database.commit(REVOKED))  # A push; the sequence is not read yet.
    assert await other.cache.resolve(HASH) == REVOKED
    await other.cache.settle()


async def test_a_slow_load_does_not_put_an_older_link_into_redis(
    database: FakeDatabase, shared: RedisClient
) -> None:
    slow, quick = Gateway(database, shared), Gateway(database, shared)
    await slow.hear()
    await quick.hear()
    with database.holding("link"):
        lookup = asyncio.create_task(slow.cache.resolve(HASH))
        await until(lambda: "link" in database.asked)
        await quick.cache.announce(database.commit(REVOKED))
    assert await lookup == OLD  # Within its second: it has not heard.
    await slow.cache.settle()
    database.is_down = True
    late = Gateway(database, shared)
    with pytest.raises(StoreUnavailable):
        await late.cache.resolve(HASH)


async def test_with_the_database_down_redis_has_the_last_word(
    database: FakeDatabase, shared: RedisClient
) -> None:
    one = Gateway(database, shared)
    await one.cache.resolve(HASH)
    await one.cache.settle()
    database.is_down = True
    late = Gateway(database, shared)
    assert await late.cache.resolve(HASH) == OLD
    assert await late.cache.by_id(ID) == OLD
    assert late.cache.peek_hash(HASH) is None
    with pytest.raises(StoreUnavailable):
        await late.cache.resolve(NEW_HASH)
    database.is_down = False
    database.commit(REVOKED)
    late.clock.forward(1)
    assert await late.cache.resolve(HASH) == REVOKED
    await late.cache.settle()


async def test_what_stands_in_from_redis_is_dropped_by_a_push_and_by_the_database(
    database: FakeDatabase, shared: RedisClient
) -> None:
    one = Gateway(database, shared)
    await one.cache.resolve(HASH)
    await one.cache.settle()
    database.is_down = True
    late = Gateway(database, shared)
    assert await late.cache.resolve(HASH) == OLD
    late.cache.invalidate(database.commit(REVOKED))
    with pytest.raises(StoreUnavailable):
        await late.cache.resolve(HASH)


async def test_what_stood_in_from_redis_does_not_outlast_the_outage(
    request: pytest.FixtureRequest, database: FakeDatabase
) -> None:
    redis = await open_kind("real", request)
    one, late = Gateway(database, redis), Gateway(database, redis)
    await one.cache.resolve(HASH)
    await one.cache.settle()
    await late.hear()
    database.is_down = True
    late.clock.forward(1)
    assert await late.cache.resolve(HASH) == OLD
    database.is_down = False
    await late.hear()
    request.getfixturevalue("redis_server").command("FLUSHALL")
    database.is_down = True
    late.clock.forward(1)
    with pytest.raises(StoreUnavailable):
        await late.cache.resolve(HASH)
    await redis.close()


async def test_redis_does_not_stand_in_for_one_failed_load(
    database: FakeDatabase, shared: RedisClient
) -> None:
    one = Gateway(database, shared)
    await one.cache.resolve(HASH)
    await one.cache.settle()
    database.commit(REVOKED)  # Nobody has heard, and nothing is buried.
    database.failing = {"link"}
    late = Gateway(database, shared)
    with pytest.raises(StoreUnavailable):
        await late.cache.resolve(HASH)


async def test_what_redis_holds_of_a_link_opens_nothing(
    request: pytest.FixtureRequest, database: FakeDatabase
) -> None:
    redis = await open_kind("real", request)
    gateway = Gateway(database, redis)
    await gateway.cache.resolve(HASH)
    await gateway.cache.settle()
    server = request.getfixturevalue("redis_server")
    keys = server.command("KEYS", "*")
    assert HASH.hex().encode() in keys
    assert b"wpl_" not in keys + server.command("HGETALL", f"portal:{{{HASH.hex()}}}:link")
    await redis.close()


# Pushes, and the background


@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_drops_the_link_elsewhere_at_once(
    kind: str, request: pytest.FixtureRequest, database: FakeDatabase
) -> None:
    redis = await open_kind(kind, request)
    admin, visitors = Gateway(database, redis), Gateway(database, redis)
    dropped: list[str] = []
    visitors.cache.on_invalidated.append(dropped.append)
    listening = asyncio.create_task(visitors.cache._listen())
    other = Link(id="e" * 24, token_hash=b"\x0e" * 32, workorder="x")
    async with asyncio.timeout(5):
        while other.id not in dropped:
            await admin.cache.announce(database.commit(other))
            await asyncio.sleep(0.005)
    await visitors.cache.resolve(HASH)
    change = database.commit(REVOKED)
    await admin.cache.announce(change)
    await until(lambda: visitors.cache.peek_hash(HASH) is None)
    assert await visitors.cache.resolve(HASH) == REVOKED
    # The same push once more, late, drops nothing.
    await admin.cache._snapshots.announce(change, 0.0)
    await admin.cache.announce(database.commit(other))
    await until(lambda: dropped[-1] == other.id)
    assert dropped.count(ID) == 1
    lag = visitors.metrics.registry.get_sample_value("portal_invalidation_lag_seconds_count")
    assert lag is not None and lag >= 2
    listening.cancel()
    await asyncio.wait({listening})
    await visitors.cache.settle()
    await redis.close()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"seq": 1}', id="half of it"),
        pytest.param(
            b'{"seq": 1, "link": "x", "hashes": ["zz"], "domains": 0, "at": 0}', id="no hex"
        ),
    ],
)
async def test_a_strange_push_is_nothing(
    message: bytes, database: FakeDatabase, shared: RedisClient
) -> None:
    gateway = Gateway(database, shared)
    await gateway.cache.resolve(HASH)
    listening = asyncio.create_task(gateway.cache._listen())
    other = Link(id="e" * 24, token_hash=b"\x0e" * 32, workorder="x")
    dropped: list[str] = []
    gateway.cache.on_invalidated.append(dropped.append)
    async with asyncio.timeout(5):
        while other.id not in dropped:
            await shared.publish("portal:changes", message)
            await Gateway(database, shared).cache.announce(database.commit(other))
            await asyncio.sleep(0.005)
    assert gateway.cache.peek_hash(HASH) == OLD
    assert not listening.done()
    listening.cancel()
    await asyncio.wait({listening})
    await gateway.cache.settle()


async def test_the_background_reads_the_sequence_by_itself(
    database: FakeDatabase, redis: RedisClient
) -> None:
    cache = LinkCache(database, database, redis, Metrics())
    dropped: list[str] = []
    cache.on_invalidated.append(dropped.append)
    running = asyncio.create_task(cache.run())
    await until(lambda: cache.confirmed_age() < 1)
    assert await cache.resolve(HASH) == OLD
    database.commit(REVOKED)
    await until(lambda: dropped == [ID])
    assert cache.confirmed_age() < 1
    running.cancel()
    await asyncio.wait({running})
    await cache.settle()


# The real stores


async def test_on_a_real_database_a_change_is_seen_once_it_was_answered(
    tmp_path: Path, shared: RedisClient
) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/portal.db")
    await database.migrate()
    clock = Clock(1000.0)
    sealer = Sealer(["a secret key of at least thirty-two characters"])
    reader = LinkStore(database, sealer)
    cache = LinkCache(reader, ChangeFeed(database), shared, Metrics(), clock=clock)
    writer = LinkStore(database, sealer, on_change=cache.announce)
    elsewhere = LinkStore(database, sealer)

    token = new_token()
    assert await cache.resolve(hash_token(token)) is None
    link = replace(OLD, token_hash=hash_token(token))
    await writer.create(LinkRecord(link, token, created_at=1.0, modified_at=1.0))
    assert await cache.resolve(hash_token(token)) == link
    assert cache.peek(ID) == link

    await writer.update(ID, lambda r: replace(r, link=replace(r.link, workorder="WO-2")))
    assert cache.peek(ID) is None
    found = await cache.by_id(ID)
    assert found is not None
    assert found.workorder == "WO-2"

    await elsewhere.update(ID, lambda r: replace(r, link=replace(r.link, is_active=False)))
    clock.forward(1)
    found = await cache.resolve(hash_token(token))
    assert found is not None
    assert not found.is_active

    branded = Branding(custom_domain="portal.example.org")
    assert not await cache.knows_domain("portal.example.org")
    await elsewhere.update(ID, lambda r: replace(r, link=replace(r.link, branding=branded)))
    clock.forward(1)
    assert await cache.knows_domain("portal.example.org")

    await elsewhere.delete(ID)
    clock.forward(1)
    assert await cache.resolve(hash_token(token)) is None
    assert await cache.by_id(ID) is None
    await cache.settle()
    await database.close()


async def test_on_a_real_database_concurrent_changes_and_lookups_never_show_an_older_link(
    tmp_path: Path, shared: RedisClient
) -> None:
    """A reader who begins after a write was answered never sees what was before it."""
    database = Database.open(f"sqlite:///{tmp_path}/portal.db")
    await database.migrate()
    sealer = Sealer(["a secret key of at least thirty-two characters"])
    cache = LinkCache(LinkStore(database, sealer), ChangeFeed(database), shared, Metrics())
    writer = LinkStore(database, sealer, on_change=cache.announce)
    token = new_token()
    link = replace(OLD, token_hash=hash_token(token), workorder="0")
    await writer.create(LinkRecord(link, token, created_at=1.0, modified_at=1.0))
    running = asyncio.create_task(cache.run())
    answered = 0
    looked = 0

    async def look() -> None:
        nonlocal looked
        while answered < 60:
            at_least = answered
            found = await cache.resolve(hash_token(token))
            assert found is not None
            assert int(found.workorder) >= at_least
            looked += 1
            await asyncio.sleep(0)

    readers = [asyncio.create_task(look()) for _ in range(4)]
    for number in range(1, 61):
        await writer.update(
            ID, lambda r, n=number: replace(r, link=replace(r.link, workorder=str(n)))
        )
        answered = number
    await asyncio.gather(*readers)
    assert looked > 60
    running.cancel()
    await asyncio.wait({running})
    await cache.settle()
    await database.close()
