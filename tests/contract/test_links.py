"""LinkStore, the same on each database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_token
from gateway.links.model import (
    Branding,
    LinkRecord,
    LinkType,
    Notifications,
    Permission,
    Status,
    Usage,
)
from gateway.store.changes import Change
from gateway.store.database import Database
from gateway.store.links import SORT_FIELDS, DomainTaken, LinkQuery, LinkStore, NotStorable
from gateway.store.schema import (
    access_log,
    link_usage,
    link_uses,
    link_visitors,
    links,
    to_microseconds,
)
from gateway.store.uses import UseStore
from tests.records import NOW, new_record

LATER = NOW + 60


@pytest.fixture
def told() -> list[Change]:
    """What the store told of its writes."""
    return []


@pytest.fixture
def store(database: Database, sealer: Sealer, told: list[Change]) -> LinkStore:
    async def tell(change: Change) -> None:
        told.append(change)

    return LinkStore(database, sealer, tell, now=lambda: LATER)


def with_link(**fields: Any) -> Callable[[LinkRecord], LinkRecord]:
    """An edit that sets fields of the link."""
    return lambda record: replace(record, link=replace(record.link, **fields))


def regenerate(record: LinkRecord) -> LinkRecord:
    token = new_token()
    return replace(record, token=token, link=replace(record.link, token_hash=hash_token(token)))


FULL = new_record(
    workorder="WO 7/ä&b",
    link_type=LinkType.SECURE,
    permissions=frozenset({Permission.UPLOAD_FILES, Permission.APPROVE_REJECT}),
    allowed_ips=(ip_network("192.0.2.0/24"), ip_network("2001:db8::1/128")),
    max_uses=3,
    password_protected=True,
    password_hash="$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    require_email_verification=True,
    allowed_emails=("anna@example.com", "@example.org"),
    expires_at=NOW + 86400.25,
    is_active=False,
    access_version=4,
    namespaces=("zeta", "alpha"),
    branding=Branding("https://example.com/l.png", "#12aBef", "portal.example.com", "Grüße 🌍"),
    notifications=Notifications(True, False, False, ("ops@example.com",)),
    created_by="key:ops",
    purpose="a purpose",
    tags=("one", "two\0three"),
    sv_client=12,
    version=3,
)


@pytest.mark.parametrize(
    "record", [pytest.param(new_record(), id="defaults"), pytest.param(FULL, id="everything set")]
)
async def test_what_is_created_is_what_is_read(store: LinkStore, record: LinkRecord) -> None:
    assert await store.create(record) == record
    assert await store.get(record.link.id) == record
    assert await store.snapshot(record.link.token_hash) == record.link
    assert await store.snapshot_by_id(record.link.id) == record.link


async def test_a_stored_time_survives_reading_and_writing(store: LinkStore) -> None:
    times = [random.Random(1).uniform(0, 4e9) for _ in range(20)]
    for at in times:
        created = await store.create(new_record(created_at=at))
        assert created.created_at == pytest.approx(at, abs=1e-6)
        assert to_microseconds(created.created_at) == to_microseconds(at)


async def test_counters_start_at_nothing(store: LinkStore) -> None:
    created = await store.create(new_record(usage=Usage(5, 4, 3, NOW)))
    assert created.usage == Usage()


async def test_unknown_links_are_none(store: LinkStore, told: list[Change]) -> None:
    assert await store.get("0" * 24) is None
    assert await store.snapshot(b"\0" * 32) is None
    assert await store.snapshot_by_id("0" * 24) is None
    assert await store.update("0" * 24, with_link(is_active=False)) is None
    assert await store.delete("0" * 24) is False
    assert told == []


async def test_the_token_is_not_in_the_database(store: LinkStore, database: Database) -> None:
    record = await store.create(new_record())
    async with database.reading() as connection:
        row = (await connection.execute(select(links))).one()
    assert record.token not in str(row)
    assert record.token.encode() not in bytes(row.token_hash)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"workorder": "a\0b"}, "workorder", id="NUL"),
        pytest.param({"purpose": "\ud800"}, "purpose", id="lone surrogate"),
        pytest.param({"namespaces": ("ok", "n" * 256)}, "company_namespace", id="long namespace"),
        pytest.param({"workorder": "w" * 129}, "workorder", id="long work order"),
        pytest.param({"max_uses": 2**63}, "max_uses", id="number too large"),
        pytest.param(
            {"branding": Branding(custom_domain="d" * 256)}, "custom_domain", id="long domain"
        ),
    ],
)
async def test_what_no_row_can_hold_is_refused_by_name(
    store: LinkStore, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(NotStorable) as refusal:
        await store.create(new_record(**fields))
    assert refusal.value.field == field
    record = await store.create(new_record())
    edit = with_link(**fields) if field != "purpose" else lambda r: replace(r, **fields)
    with pytest.raises(NotStorable) as refusal:
        await store.update(record.link.id, edit)
    assert refusal.value.field == field
    assert await store.get(record.link.id) == record


async def test_a_token_and_its_hash_belong_together(store: LinkStore) -> None:
    with pytest.raises(ValueError, match="belong together"):
        await store.create(replace(new_record(), token=new_token()))


# --- changing ---------------------------------------------------------------------------------


async def test_an_update_stores_the_edit_and_counts_the_version(store: LinkStore) -> None:
    before = await store.create(new_record(namespaces=("a", "b")))
    after = await store.update(
        before.link.id,
        lambda record: replace(
            record, purpose="new", tags=("t",), link=replace(record.link, workorder="WO-2")
        ),
    )
    assert after == replace(
        before,
        link=replace(before.link, workorder="WO-2"),
        purpose="new",
        tags=("t",),
        modified_at=LATER,
        version=1,
    )
    assert await store.get(before.link.id) == after


@pytest.mark.parametrize(
    ("edit", "ends"),
    [
        pytest.param(with_link(workorder="WO-9"), False, id="another work order"),
        pytest.param(with_link(expires_at=NOW), False, id="an expiry"),
        pytest.param(with_link(is_active=False), True, id="deactivation"),
        pytest.param(with_link(password_hash="x", password_protected=True), True, id="a password"),
        pytest.param(with_link(namespaces=("other",)), True, id="other namespaces"),
        pytest.param(with_link(link_type=LinkType.PUBLIC), True, id="another link type"),
        pytest.param(regenerate, True, id="a new token"),
        pytest.param(with_link(access_version=99), False, id="not the edit's business"),
    ],
)
async def test_access_version_grows_when_older_sessions_end(
    store: LinkStore, edit: Callable[[LinkRecord], LinkRecord], ends: bool
) -> None:
    before = await store.create(new_record(access_version=5))
    after = await store.update(before.link.id, edit)
    assert after is not None
    assert after.link.access_version == 5 + ends
    assert after.link.namespaces == edit(before).link.namespaces


async def test_an_edit_that_raises_changes_nothing(store: LinkStore, told: list[Change]) -> None:
    record = await store.create(new_record())
    told.clear()

    def edit(_: LinkRecord) -> LinkRecord:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.update(record.link.id, edit)
    with pytest.raises(ValueError, match="keeps its id"):
        await store.update(record.link.id, with_link(id="1" * 24))
    assert await store.get(record.link.id) == record
    assert told == []


async def test_edits_at_once_are_all_made(store: LinkStore) -> None:
    record = await store.create(new_record())

    def one_more(r: LinkRecord) -> LinkRecord:
        return replace(r, sv_client=r.sv_client + 1)

    await asyncio.gather(*(store.update(record.link.id, one_more) for _ in range(30)))
    after = await store.get(record.link.id)
    assert after is not None
    assert (after.sv_client, after.version) == (30, 30)


async def test_a_new_token_ends_the_old_one_and_starts_the_uses_anew(
    store: LinkStore, database: Database
) -> None:
    before = await store.create(new_record(max_uses=2))
    uses = UseStore(database)
    await uses.spend(before.link.id, before.link.access_version, "session", NOW)
    after = await store.update(before.link.id, regenerate)
    assert after is not None and after.token != before.token
    assert await store.snapshot(before.link.token_hash) is None
    assert await store.snapshot(after.link.token_hash) == after.link
    assert after.usage.uses == 0
    async with database.reading() as connection:
        assert (await connection.execute(select(link_uses))).all() == []


async def test_other_changes_keep_the_uses(store: LinkStore, database: Database) -> None:
    before = await store.create(new_record(max_uses=2))
    await UseStore(database).spend(before.link.id, 1, "session", NOW)
    after = await store.update(before.link.id, with_link(is_active=False))
    assert after is not None and after.usage.uses == 1


async def test_a_deleted_link_leaves_its_log_and_nothing_else(
    store: LinkStore, database: Database
) -> None:
    record = await store.create(new_record(namespaces=("a",), max_uses=1))
    id = record.link.id
    await UseStore(database).spend(id, 1, "session", NOW)
    async with database.transaction() as connection:
        await connection.execute(insert(link_visitors).values(link_id=id, visitor="v"))
        await connection.execute(insert(access_log).values(link_id=id, **_LOG_ROW))
    assert await store.delete(id) is True
    assert await store.get(id) is None
    assert await store.snapshot(record.link.token_hash) is None
    async with database.reading() as connection:
        for table in (links, link_usage, link_uses, link_visitors):
            assert (await connection.execute(select(table))).all() == [], table.name
        assert len((await connection.execute(select(access_log))).all()) == 1
    assert await store.delete(id) is False


_LOG_ROW = {
    "at": 1,
    "address": "192.0.2.1",
    "user_agent": "",
    "action": "view",
    "reason": "ok",
    "visitor": "v",
    "bot": False,
    "request_id": "r",
}


async def test_a_check_that_raises_keeps_the_link(store: LinkStore) -> None:
    record = await store.create(new_record())
    seen = []

    def check(found: LinkRecord) -> None:
        seen.append(found)
        raise PermissionError

    with pytest.raises(PermissionError):
        await store.delete(record.link.id, check)
    assert seen == [record]
    assert await store.get(record.link.id) == record


async def test_each_write_is_told_after_its_commit(
    database: Database, sealer: Sealer, told: list[Change]
) -> None:
    seen: list[bool] = []

    async def tell(change: Change) -> None:
        told.append(change)
        seen.append(await reader.get(change.link_id) is not None)

    reader = LinkStore(database, sealer)
    store = LinkStore(database, sealer, tell)
    record = await store.create(new_record(branding=Branding(custom_domain="a.example")))
    id, old = record.link.id, record.link.token_hash
    after = await store.update(id, regenerate)
    assert after is not None
    new = after.link.token_hash
    await store.update(id, with_link(branding=Branding()))
    await store.delete(id)
    assert told == [
        Change(1, id, (old,), domains=True),
        Change(2, id, (old, new), domains=False),
        Change(3, id, (new,), domains=True),
        Change(4, id, (new,), domains=False),
    ]
    assert seen == [True, True, True, False]


# --- custom domains ---------------------------------------------------------------------------

DOMAIN = Branding(custom_domain="portal.example.com")


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        pytest.param(("a", "b"), ("b", "c"), True, id="one shared"),
        pytest.param(("a",), ("b",), False, id="none shared"),
        pytest.param(("a",), (), False, id="a link without namespaces takes no tenant's domain"),
        pytest.param((), ("a",), False, id="a tenant takes no domain of the others"),
        pytest.param((), (), True, id="both without namespaces"),
    ],
)
async def test_a_domain_belongs_to_the_namespaces_of_its_first_link(
    store: LinkStore, first: tuple[str, ...], second: tuple[str, ...], allowed: bool
) -> None:
    await store.create(new_record(branding=DOMAIN, namespaces=first))
    newcomer = new_record(branding=DOMAIN, namespaces=second, created_at=NOW + 1)
    if allowed:
        assert await store.create(newcomer) == newcomer
    else:
        with pytest.raises(DomainTaken) as refusal:
            await store.create(newcomer)
        assert refusal.value.field == "custom_domain"
        assert await store.get(newcomer.link.id) is None


async def test_a_domain_cannot_be_reached_by_a_change_either(store: LinkStore) -> None:
    await store.create(new_record(branding=DOMAIN, namespaces=("a",)))
    other = await store.create(new_record(namespaces=("b",)))
    with pytest.raises(DomainTaken):
        await store.update(other.link.id, with_link(branding=DOMAIN))
    shared = await store.create(new_record(branding=DOMAIN, namespaces=("a", "b")))
    with pytest.raises(DomainTaken):
        await store.update(shared.link.id, with_link(namespaces=("b",)))


async def test_the_only_link_of_a_domain_may_change_its_namespaces(store: LinkStore) -> None:
    record = await store.create(new_record(branding=DOMAIN, namespaces=("a",)))
    assert await store.update(record.link.id, with_link(namespaces=("b",))) is not None


async def test_a_domain_is_free_again_when_its_links_are_gone(store: LinkStore) -> None:
    record = await store.create(new_record(branding=DOMAIN, namespaces=("a",)))
    assert await store.domain_exists("portal.example.com")
    await store.delete(record.link.id)
    assert not await store.domain_exists("portal.example.com")
    await store.create(new_record(branding=DOMAIN, namespaces=("b",)))


async def test_one_of_two_tenants_at_once_gets_a_domain(store: LinkStore) -> None:
    tries = [new_record(branding=DOMAIN, namespaces=(f"tenant-{i}",)) for i in range(8)]
    done = await asyncio.gather(*map(store.create, tries), return_exceptions=True)
    assert sum(isinstance(result, LinkRecord) for result in done) == 1
    assert sum(isinstance(result, DomainTaken) for result in done) == 7


# --- listing ----------------------------------------------------------------------------------


async def _fill(store: LinkStore, database: Database) -> list[LinkRecord]:
    """Forty links with many ties, whose counters have moved."""
    chance = random.Random(7)
    types = list(LinkType)
    for number in range(40):
        record = new_record(
            workorder=chance.choice(["WO-1", "wo-1", "WO-2", "Ä", "a", "B", "_", "É"]),
            link_type=chance.choice(types),
            is_active=chance.random() < 0.7,
            expires_at=chance.choice([None, NOW - 1, NOW + 1, NOW + 2]),
            created_at=NOW + chance.randrange(5),
            modified_at=NOW + 10 + chance.randrange(5),
            namespaces=tuple(chance.sample(["a", "b", "c"], chance.randrange(3))),
            max_uses=number % 3,
        )
        await store.create(record)
        async with database.transaction() as connection:
            await connection.execute(
                update(link_usage)
                .where(link_usage.c.link_id == record.link.id)
                .values(
                    total_views=chance.randrange(4),
                    uses=chance.randrange(3),
                    last_accessed=chance.choice([0, to_microseconds(NOW + chance.randrange(3))]),
                )
            )
    everything, total = await store.list(LinkQuery(per_page=100))
    assert total == len(everything) == 40
    return list(everything)


_KEYS: dict[str, Callable[[LinkRecord], Any]] = {
    "createdAt": lambda r: r.created_at,
    "modifiedAt": lambda r: r.modified_at,
    "expiry_date": lambda r: r.link.expires_at or float("inf"),
    "workorder": lambda r: r.link.workorder.encode(),
    "link_type": lambda r: r.link.link_type.value,
    "is_active": lambda r: r.link.is_active,
    "total_views": lambda r: r.usage.total_views,
    "last_accessed": lambda r: r.usage.last_accessed or 0,
}


async def test_every_sort_is_total_and_pages_never_overlap(
    store: LinkStore, database: Database
) -> None:
    everything = await _fill(store, database)
    assert set(_KEYS) == set(SORT_FIELDS)
    for field, key in _KEYS.items():
        ascending = sorted(everything, key=lambda r: (key(r), r.link.id))
        for sort, expected in ((field, ascending), (f"-{field}", ascending[::-1])):
            pages = [
                (await store.list(LinkQuery(page=page, per_page=7, sort=sort)))[0]
                for page in range(1, 7)
            ]
            assert [r.link.id for page in pages for r in page] == [r.link.id for r in expected], (
                sort
            )


_FILTERS = [
    pytest.param({"workorder": "WO-1"}, lambda r: r.link.workorder == "WO-1", id="workorder"),
    pytest.param({"workorder": "a\0"}, lambda r: False, id="workorder that cannot be"),
    pytest.param({"is_active": True}, lambda r: r.link.is_active, id="active"),
    pytest.param({"is_active": False}, lambda r: not r.link.is_active, id="inactive"),
    pytest.param({"link_type": "secure"}, lambda r: r.link.link_type == "secure", id="type"),
    pytest.param({"link_type": "other"}, lambda r: False, id="no such type"),
    pytest.param({"namespaces": ("a", "b")}, lambda r: {"a", "b"} & {*r.link.namespaces}, id="ns"),
    pytest.param({"visible_to": ("c",)}, lambda r: "c" in r.link.namespaces, id="visible"),
    pytest.param(
        {"namespaces": ("a",), "visible_to": ("c",)},
        lambda r: {"a", "c"} <= set(r.link.namespaces),
        id="namespace within what is visible",
    ),
    pytest.param({"visible_to": ()}, lambda r: False, id="nothing visible"),
    pytest.param({"ids": ()}, lambda r: False, id="no ids"),
    pytest.param(
        {"is_active": True, "workorder": "WO-2", "link_type": "private"},
        lambda r: r.link.is_active and r.link.workorder == "WO-2" and r.link.link_type == "private",
        id="several",
    ),
]


@pytest.mark.parametrize(("fields", "matches"), _FILTERS)
async def test_filters(
    store: LinkStore,
    database: Database,
    fields: dict[str, Any],
    matches: Callable[[LinkRecord], bool],
) -> None:
    everything = await _fill(store, database)
    found, total = await store.list(LinkQuery(per_page=100, **fields))
    assert list(found) == [record for record in everything if matches(record)]
    assert total == len(found)


async def test_a_filter_by_ids(store: LinkStore, database: Database) -> None:
    everything = await _fill(store, database)
    wanted = everything[3:6]
    ids = (*(record.link.id for record in reversed(wanted)), "0" * 24)
    assert await store.list(LinkQuery(ids=ids)) == (wanted, 3)


async def test_a_page_after_the_last_is_empty(store: LinkStore) -> None:
    await store.create(new_record())
    assert await store.list(LinkQuery(page=2)) == ([], 1)
    assert await store.list(LinkQuery(page=10**30, per_page=100)) == ([], 1)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"sort": "password_hash"}, id="a column that is no field"),
        pytest.param({"sort": "--createdAt"}, id="two signs"),
        pytest.param({"sort": ""}, id="empty"),
        pytest.param({"page": 0}, id="page 0"),
        pytest.param({"per_page": 0}, id="no rows"),
    ],
)
def test_a_bad_query_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        LinkQuery(**fields)


async def test_a_page_takes_three_statements_however_long_it_is(
    store: LinkStore, database: Database
) -> None:
    await _fill(store, database)
    statements: list[str] = []

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    found, _ = await store.list(LinkQuery(per_page=40))
    assert len(found) == 40
    assert len(statements) == 3
    statements.clear()
    await store.snapshot(found[0].link.token_hash)
    assert len(statements) == 1


async def test_links_are_counted_by_status(store: LinkStore, database: Database) -> None:
    everything = await _fill(store, database)
    expected = dict.fromkeys(Status, 0)
    for record in everything:
        expected[record.status(NOW)] += 1
    assert await store.count_by_status(NOW) == expected
    assert all(expected.values())


# --- rotation of the secret keys --------------------------------------------------------------


async def test_rewrap_frees_the_old_key(database: Database) -> None:
    old, new = "o" * 32, "n" * 32
    before = LinkStore(database, Sealer([old]))
    records = [await before.create(new_record()) for _ in range(3)]
    during = LinkStore(database, Sealer([new, old]))
    late = await during.create(new_record())
    assert await during.needs_rewrap()
    assert await during.rewrap() == 3
    assert not await during.needs_rewrap()
    assert await during.rewrap() == 0
    after = LinkStore(database, Sealer([new]))
    for record in [*records, late]:
        assert await after.get(record.link.id) == record
