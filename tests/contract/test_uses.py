"""UseStore, the same on each database: never more uses are spent than there are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_token
from gateway.errors import StoreUnavailable
from gateway.links.model import LinkRecord, LinkType
from gateway.store.database import Database
from gateway.store.links import LinkStore
from gateway.store.uses import SpendResult, UseStore
from tests.contract.cut_off import CommitCutOff
from tests.postgres_server import PostgresServer
from tests.records import NOW, new_record

SPENT, EXHAUSTED, CHANGED = SpendResult.SPENT, SpendResult.EXHAUSTED, SpendResult.CHANGED


@pytest.fixture
def links(database: Database, sealer: Sealer) -> LinkStore:
    return LinkStore(database, sealer)


@pytest.fixture
def uses(database: Database) -> UseStore:
    return UseStore(database)


async def test_two_hundred_at_once_spend_exactly_seven(
    database_url: str, links: LinkStore, uses: UseStore
) -> None:
    link = (await links.create(new_record(max_uses=7))).link
    # Two gateways: what decides is in the database, not in a process.
    other = Database.open(database_url)
    stores = [uses, UseStore(other)]
    try:
        results = await asyncio.gather(
            *(
                stores[number % 2].spend(link.id, link.access_version, f"session-{number}", NOW)
                for number in range(200)
            )
        )
    finally:
        await other.close()
    assert Counter(results) == {SPENT: 7, EXHAUSTED: 193}
    assert await uses.spent(link.id) == 7


async def test_a_session_spends_once_however_often_it_asks(
    links: LinkStore, uses: UseStore
) -> None:
    link = (await links.create(new_record(max_uses=2))).link
    results = await asyncio.gather(
        *(uses.spend(link.id, link.access_version, "same", NOW) for _ in range(20))
    )
    assert set(results) == {SPENT}
    assert await uses.spent(link.id) == 1
    assert await uses.spend(link.id, link.access_version, "another", NOW) is SPENT
    assert await uses.spend(link.id, link.access_version, "a third", NOW) is EXHAUSTED
    assert await uses.spend(link.id, link.access_version, "same", NOW) is SPENT
    assert await uses.spent(link.id) == 2


async def test_a_refused_session_may_spend_when_the_limit_is_raised(
    links: LinkStore, uses: UseStore
) -> None:
    link = (await links.create(new_record(max_uses=1))).link
    await uses.spend(link.id, 1, "first", NOW)
    assert await uses.spend(link.id, 1, "second", NOW) is EXHAUSTED
    await links.update(link.id, lambda r: replace(r, link=replace(r.link, max_uses=2)))
    assert await uses.spend(link.id, 1, "second", NOW) is SPENT


def _regenerated(record: LinkRecord) -> LinkRecord:
    token = new_token()
    return replace(record, token=token, link=replace(record.link, token_hash=hash_token(token)))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(_regenerated, id="a new token"),
        pytest.param(lambda r: replace(r, link=replace(r.link, is_active=False)), id="inactive"),
        pytest.param(lambda r: replace(r, link=replace(r.link, expires_at=NOW)), id="expired"),
        pytest.param(
            lambda r: replace(r, link=replace(r.link, link_type=LinkType.PUBLIC)), id="a new type"
        ),
    ],
)
async def test_a_link_that_changed_since_it_was_judged_spends_nothing(
    links: LinkStore, uses: UseStore, edit: Callable[[LinkRecord], LinkRecord]
) -> None:
    link = (await links.create(new_record(max_uses=3))).link
    await links.update(link.id, edit)
    assert await uses.spend(link.id, link.access_version, "session", NOW) is CHANGED
    assert await uses.spent(link.id) == 0


async def test_a_link_that_is_gone_spends_nothing(uses: UseStore) -> None:
    assert await uses.spend("0" * 24, 1, "session", NOW) is CHANGED
    assert await uses.spent("0" * 24) == 0


async def test_uses_of_an_unlimited_link_are_counted_without_end(
    links: LinkStore, uses: UseStore
) -> None:
    link = (await links.create(new_record(max_uses=0))).link
    for number in range(3):
        assert await uses.spend(link.id, 1, f"session-{number}", NOW) is SPENT
    assert await uses.spent(link.id) == 3


async def test_a_deactivation_at_the_same_time_is_before_or_after_each_use(
    links: LinkStore, uses: UseStore
) -> None:
    link = (await links.create(new_record(max_uses=100))).link
    deactivate = links.update(link.id, lambda r: replace(r, link=replace(r.link, is_active=False)))
    *results, after = await asyncio.gather(
        *(uses.spend(link.id, 1, f"session-{number}", NOW) for number in range(50)), deactivate
    )
    assert set(results) <= {SPENT, CHANGED}
    assert after is not None
    assert await uses.spent(link.id) == Counter(results)[SPENT]


@pytest.mark.parametrize(
    "arrives", [pytest.param(True, id="it happened"), pytest.param(False, id="it did not")]
)
async def test_a_commit_that_nobody_answered_is_asked_again(
    postgres_server: PostgresServer, postgres_url: str, sealer: Sealer, arrives: bool
) -> None:
    direct = Database.open(postgres_url)
    link = (await LinkStore(direct, sealer).create(new_record(max_uses=1))).link
    async with CommitCutOff(postgres_server.port, commit_arrives=arrives) as relay:
        database = Database.open(postgres_url.replace(str(postgres_server.port), str(relay.port)))
        uses = UseStore(database)
        relay.cut_offs = 1
        assert await uses.spend(link.id, 1, "session", NOW) is SPENT
        assert relay.cut_offs == 0
        assert await uses.spent(link.id) == 1
        relay.cut_offs = 2
        with pytest.raises(StoreUnavailable):
            await uses.spend(link.id, 1, "session", NOW)
        await database.close()
    assert await UseStore(direct).spent(link.id) == 1
    await direct.close()
