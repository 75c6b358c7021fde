"""The access log and its counters, on every kind of database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import delete, select

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_token
from gateway.links.model import EventKind, Link, LinkRecord, Usage
from gateway.store import schema
from gateway.store.absorbing import MAX_VISITOR, PositionMoved, visitor_key
from gateway.store.access_log import AccessLogStore
from gateway.store.database import Database
from gateway.store.entry import START, Entry, Event, Position
from gateway.store.events import EventStore
from gateway.store.links import LinkStore
from gateway.store.schema import link_visitors

NOW = 1_780_000_000.0
A, B, GONE = "a" * 24, "b" * 24, "f" * 24
VIEW = Entry(
    link_id=A,
    at=NOW,
    address="203.0.113.7",
    user_agent="Mozilla/5.0",
    action="view",
    reason="ok",
    visitor="v1",
    email=None,
    bot=False,
    request_id="r",
    is_view=True,
    is_access=True,
)


def as_kept(entry: Entry) -> Entry:
    """`entry` as the log gives it back."""
    return replace(entry, is_view=False, is_access=False)


@pytest.fixture
async def links(database: Database, sealer: Sealer) -> LinkStore:
    """The links A and B."""
    store = LinkStore(database, sealer)
    for link_id in (A, B):
        token = new_token()
        link = Link(id=link_id, token_hash=hash_token(token), workorder="WO-1")
        await store.create(LinkRecord(link, token, created_at=NOW, modified_at=NOW))
    return store


@pytest.fixture
def log(database: Database, links: LinkStore) -> AccessLogStore:
    return AccessLogStore(database)


async def usage_of(links: LinkStore, link_id: str) -> Usage:
    record = await links.get(link_id)
    assert record is not None
    return record.usage


async def absorb(log: AccessLogStore, *entries: Entry) -> None:
    """Store `entries` from wherever the journal `j` has come to."""
    before = await log.position("j")
    await log.absorb("j", before, Position(1, before.offset + 100), entries)


async def test_events_come_with_the_entries_and_are_none(
    log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    """Once, also when nobody knows whether the first try was committed."""
    event = Event(A, NOW + 1, EventKind.COMMENT, "203.0.113.7", "anna@visitor.example", "r")
    odd = replace(event, address="\x00", email=None, request_id="\ud800")
    await log.absorb("j", START, Position(1, 300), [VIEW, event, odd])
    with pytest.raises(PositionMoved):
        await log.absorb("j", START, Position(1, 300), [VIEW, event, odd])
    async with database.transaction() as connection:
        pending = await EventStore(database).lock(connection, A)
    kept = replace(odd, address="\ufffd", request_id="\ufffd")
    assert [(each.event, each.is_posted) for each in pending] == [(event, False), (kept, False)]
    assert await log.page(A) == ([as_kept(VIEW)], 1)
    assert (await usage_of(links, A)).last_accessed == NOW


async def test_an_unknown_journal_is_at_its_start(log: AccessLogStore) -> None:
    assert await log.position("j") == START


async def test_rows_counters_and_position_come_together(
    log: AccessLogStore, links: LinkStore
) -> None:
    await log.absorb("j", START, Position(1, 300), [VIEW])
    assert await log.position("j") == (1, 300)
    assert await log.page(A) == ([as_kept(VIEW)], 1)
    assert await usage_of(links, A) == Usage(
        total_views=1, unique_visitors=1, uses=0, last_accessed=NOW
    )
    assert await usage_of(links, B) == Usage()


COUNTING = [
    pytest.param([VIEW, VIEW], Usage(2, 1, 0, NOW), id="the same visitor again"),
    pytest.param([VIEW, replace(VIEW, visitor="v2")], Usage(2, 2, 0, NOW), id="another visitor"),
    pytest.param([replace(VIEW, is_view=False)], Usage(0, 0, 0, NOW), id="an access but no view"),
    pytest.param([replace(VIEW, is_view=False, is_access=False, bot=True)], Usage(), id="a bot"),
    pytest.param(
        [VIEW, replace(VIEW, action="denied", reason="expired", is_view=False, is_access=False)],
        Usage(1, 1, 0, NOW),
        id="a refusal",
    ),
    pytest.param(
        [replace(VIEW, at=NOW + 5), replace(VIEW, at=NOW + 2)],
        Usage(2, 1, 0, NOW + 5),
        id="out of order",
    ),
    pytest.param([replace(VIEW, link_id=GONE), VIEW], Usage(1, 1, 0, NOW), id="a link is gone"),
]


@pytest.mark.parametrize(("entries", "usage"), COUNTING)
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_counting(
    log: AccessLogStore,
    links: LinkStore,
    entries: Sequence[Entry],
    usage: Usage,
    together: bool,
) -> None:
    for batch in [entries] if together else [[entry] for entry in entries]:
        await absorb(log, *batch)
    assert await usage_of(links, A) == usage
    kept = [entry for entry in entries if entry.link_id == A]
    assert (await log.page(A))[1] == len(kept)


async def test_a_batch_counts_only_from_where_the_journal_is_stored(
    log: AccessLogStore, links: LinkStore
) -> None:
    await log.absorb("j", START, Position(1, 300), [VIEW])
    for before in (START, Position(1, 299), Position(2, 300)):
        with pytest.raises(PositionMoved):
            await log.absorb("j", before, Position(1, 600), [VIEW])
    assert await log.position("j") == (1, 300)
    assert (await usage_of(links, A)).total_views == 1
    assert (await log.page(A))[1] == 1


async def test_of_many_who_store_the_same_batch_one_does(
    log: AccessLogStore, links: LinkStore
) -> None:
    tries = (log.absorb("j", START, Position(1, 300), [VIEW]) for _ in range(8))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert [type(outcome) for outcome in outcomes].count(PositionMoved) == 7
    assert (await usage_of(links, A)).total_views == 1


async def test_many_gateways_count_the_same_links_at_once(
    log: AccessLogStore, links: LinkStore
) -> None:
    async def gateway(name: str) -> None:
        position = START
        for turn in range(5):
            after = Position(1, turn + 1)
            # Each in another order, with visitors that all have and visitors of its own.
            both = [replace(VIEW, visitor=f"shared-{turn}"), replace(VIEW, visitor=name)]
            both += [replace(entry, link_id=B) for entry in both]
            await log.absorb(name, position, after, both if name < "g4" else both[::-1])
            position = after

    await asyncio.gather(*(gateway(f"g{number}") for number in range(8)))
    for link_id in (A, B):
        assert await usage_of(links, link_id) == Usage(80, 13, 0, NOW)


async def test_a_deleted_link_keeps_its_rows_and_is_counted_no_more(
    log: AccessLogStore, links: LinkStore
) -> None:
    await absorb(log, VIEW)
    await links.delete(A)
    await absorb(log, VIEW, replace(VIEW, link_id=B))
    assert (await log.page(A))[1] == 2
    assert (await usage_of(links, B)).total_views == 1


async def test_links_are_deleted_while_they_are_counted(
    log: AccessLogStore, links: LinkStore
) -> None:
    async def count() -> None:
        for number in range(10):
            await absorb(log, replace(VIEW, visitor=f"v{number}"), replace(VIEW, link_id=B))

    async with asyncio.TaskGroup() as group:
        group.create_task(count())
        deletion = group.create_task(links.delete(A))
    assert deletion.result()
    assert (await log.page(A))[1] == 10
    assert (await usage_of(links, B)).total_views == 10


async def test_a_link_that_is_being_deleted_leaves_no_visitors_behind(
    log: AccessLogStore, links: LinkStore, database: Database
) -> None:
    await absorb(log, VIEW)
    async with database.transaction() as connection:
        await connection.execute(delete(schema.links).where(schema.links.c.id == A))
        counting = asyncio.create_task(absorb(log, replace(VIEW, visitor="v2")))
        await asyncio.wait({counting}, timeout=0.2)
        assert not counting.done()
        await connection.execute(delete(link_visitors).where(link_visitors.c.link_id == A))
    await counting
    async with database.reading() as connection:
        assert (await connection.execute(select(link_visitors))).all() == []
    assert (await log.page(A))[1] == 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("a\0b", "a\ufffdb", id="NUL"),
        pytest.param("\udcff", "\ufffd", id="a byte that was not UTF-8"),
        pytest.param("\U0001f511 é\u2028", "\U0001f511 é\u2028", id="any character"),
        pytest.param("'; DROP TABLE access_log; --", "'; DROP TABLE access_log; --", id="SQL"),
    ],
)
async def test_odd_text_does_not_hold_up_the_log(
    log: AccessLogStore, links: LinkStore, text: str, kept: str
) -> None:
    odd = replace(VIEW, user_agent=text, visitor=text, request_id=text, address=text, email=text)
    await absorb(log, odd, VIEW)
    [second, first] = (await log.page(A))[0]
    assert second == as_kept(VIEW)
    assert {first.user_agent, first.visitor, first.request_id, first.address, first.email} == {kept}
    assert (await usage_of(links, A)).unique_visitors == 2


def test_a_visitor_is_stored_as_given_while_it_is_short_and_no_address() -> None:
    assert visitor_key("0123456789abcdef" * 2) == "0123456789abcdef" * 2
    address = visitor_key("anna@visitor.example")
    assert address == hashlib.sha256(b"anna@visitor.example").hexdigest()[:MAX_VISITOR]
    long = [visitor_key("x" * 300 + end) for end in "ab"]
    assert [len(key) for key in long] == [MAX_VISITOR] * 2
    assert long[0] != long[1]


async def test_one_visitor_is_erased_and_the_counters_stay(
    log: AccessLogStore,
    links: LinkStore,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.store.access_log._ERASED_AT_ONCE", 2)
    ann = replace(VIEW, visitor="ann@example.org", email="ann@example.org")
    # A session's visitor may have proven the address later than it began.
    later = replace(VIEW, visitor="v7", email="ann@example.org")
    elsewhere = replace(ann, link_id=B)
    await absorb(log, ann, VIEW, later, elsewhere, ann, ann)
    assert await log.erase("ann@example.org") == 5
    assert (await log.page(A))[0] == [as_kept(VIEW)]
    assert (await log.page(B))[0] == []
    assert (await usage_of(links, A)).unique_visitors == 3
    async with database.reading() as connection:
        kept = (await connection.execute(select(link_visitors))).all()
    assert sorted(row.visitor for row in kept) == ["v1", "v7"]
    assert await log.erase("v1") == 1
    assert await log.erase("nobody") == 0


async def test_pages_are_newest_first_and_never_overlap(log: AccessLogStore) -> None:
    entries = [replace(VIEW, at=NOW + n // 2, request_id=f"r{n}") for n in range(7)]
    await absorb(log, *entries)
    pages = [await log.page(A, page, 3) for page in (1, 2, 3, 4)]
    assert [total for _, total in pages] == [7] * 4
    found = [entry.request_id for page, _ in pages for entry in page]
    assert found == [f"r{n}" for n in reversed(range(7))]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        pytest.param({}, ["r2", "r1", "r0"], id="all"),
        pytest.param({"action": "view"}, ["r2", "r0"], id="an action"),
        pytest.param({"action": "upload"}, [], id="an action that nobody did"),
        pytest.param({"since": NOW + 1}, ["r2", "r1"], id="since includes its moment"),
        pytest.param({"until": NOW + 1}, ["r0"], id="until does not"),
        pytest.param(
            {"since": NOW + 1, "until": NOW + 2, "action": "denied"}, ["r1"], id="everything"
        ),
    ],
)
async def test_filters(log: AccessLogStore, filters: dict[str, object], found: list[str]) -> None:
    await absorb(
        log,
        replace(VIEW, request_id="r0"),
        replace(VIEW, request_id="r1", at=NOW + 1, action="denied"),
        replace(VIEW, request_id="r2", at=NOW + 2),
        replace(VIEW, link_id=B, request_id="other"),
    )
    entries, total = await log.page(A, **filters)  # type: ignore[arg-type]
    assert [entry.request_id for entry in entries] == found
    assert total == len(found)


async def test_times_come_back_to_the_microsecond(log: AccessLogStore) -> None:
    await absorb(log, replace(VIEW, at=1_780_000_000.123457))
    assert (await log.page(A))[0][0].at == 1_780_000_000.123457


async def test_the_newest_of_many_links(log: AccessLogStore) -> None:
    for n in range(6):
        await absorb(log, replace(VIEW, at=NOW + n // 2, request_id=f"a{n}"))
    await absorb(log, replace(VIEW, link_id=B, request_id="b0"))
    others = [f"{n:024d}" for n in range(250)]
    found = await log.newest([*others, A, B], limit=4)
    assert [entry.request_id for entry in found[A]] == ["a5", "a4", "a3", "a2"]
    assert found[B] == [as_kept(replace(VIEW, link_id=B, request_id="b0"))]
    assert all(found[other] == [] for other in others)
    assert await log.newest([]) == {}


async def test_old_entries_are_deleted_in_batches_and_stay_counted(
    log: AccessLogStore, links: LinkStore
) -> None:
    await absorb(log, *(replace(VIEW, at=NOW + n) for n in range(5)))
    assert await log.delete_before(NOW + 3, limit=2) == 2
    assert [entry.at for entry in (await log.page(A))[0]] == [NOW + 4, NOW + 3, NOW + 2]
    assert await log.delete_before(NOW + 3, limit=2) == 1
    assert await log.delete_before(NOW + 3, limit=2) == 0
    assert (await usage_of(links, A)).total_views == 5


async def test_a_forgotten_journal_is_at_its_start(log: AccessLogStore) -> None:
    await absorb(log, VIEW)
    await log.forget("j")
    await log.forget("never seen")
    assert await log.position("j") == START
