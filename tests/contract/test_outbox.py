"""OutboxStore, the same on each database: a mail is one worker's at a time, and readable by none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from gateway.crypto.sealing import Sealer
from gateway.links.model import LinkRecord
from gateway.store.database import Database
from gateway.store.links import LinkStore
from gateway.store.outbox import (
    SEALED_AS,
    Backlog,
    ClaimedMail,
    MailKind,
    OutboxStore,
    OutgoingMail,
)
from gateway.store.schema import outbox as table
from tests.records import NOW, new_record

CODE, NOTIFICATION = MailKind.CODE, MailKind.NOTIFICATION
LEASE = 60.0
KEY = "k" * 32


def store_of(database: Database, *keys: str) -> OutboxStore:
    return OutboxStore(database, Sealer(keys or [KEY], SEALED_AS))


@pytest.fixture
def outbox(database: Database) -> OutboxStore:
    return store_of(database)


def mail(number: int = 0, **fields: Any) -> OutgoingMail:
    values: dict[str, Any] = {
        "kind": CODE,
        "link_id": "a" * 24,
        "message_id": f"<{number}@portal.example>",
        "body": f"048215 for anna@visitor.example, mail {number}",
        "created_at": NOW,
        "expires_at": NOW + 600,
    }
    return OutgoingMail(**values | fields)


def ids(claimed: list[ClaimedMail]) -> list[str]:
    return [each.message_id for each in claimed]


async def test_what_is_put_in_is_claimed_whole(outbox: OutboxStore) -> None:
    await outbox.put(mail())
    (claimed,) = await outbox.claim(NOW + 1, 10, LEASE)
    assert claimed == ClaimedMail(
        id=claimed.id,
        attempt=1,
        kind=CODE,
        link_id="a" * 24,
        message_id="<0@portal.example>",
        body="048215 for anna@visitor.example, mail 0",
        created_at=NOW,
        expires_at=NOW + 600,
    )
    assert await outbox.backlog() == Backlog(1, NOW)
    assert await outbox.remove(claimed)
    assert await outbox.backlog() == Backlog(0, None)


async def test_nothing_in_the_row_can_be_read(outbox: OutboxStore, database: Database) -> None:
    await outbox.put(mail(body="048215 for anna@visitor.example"))
    async with database.reading() as connection:
        row = (await connection.execute(select(table))).one()
    assert not [value for value in map(str, row) if "048215" in value or "anna" in value]
    assert "048215" not in repr(mail(body="048215"))
    assert "048215" not in repr(await outbox.claim(NOW, 1, LEASE))


async def test_a_mail_goes_with_the_transaction_that_gave_rise_to_it(
    outbox: OutboxStore, database: Database
) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await outbox.add(connection, mail(1), mail(2))
            raise PermissionError

    with pytest.raises(PermissionError):
        await fail()
    assert await outbox.claim(NOW, 10, LEASE) == []
    async with database.transaction() as connection:
        await outbox.add(connection, mail(1), mail(2))
        await outbox.add(connection)
    assert len(await outbox.claim(NOW, 10, LEASE)) == 2


async def test_a_claim_holds_until_its_lease_is_over(outbox: OutboxStore) -> None:
    await outbox.put(mail())
    (first,) = await outbox.claim(NOW, 10, LEASE)
    assert await outbox.claim(NOW + LEASE - 0.001, 10, LEASE) == []
    (second,) = await outbox.claim(NOW + LEASE, 10, LEASE)
    assert (second.id, second.attempt) == (first.id, 2)
    # Who was taken for dead comes back: the mail is not its business any more.
    assert not await outbox.retry(first, NOW)
    assert not await outbox.remove(first)
    assert await outbox.claim(NOW + LEASE, 10, LEASE) == []
    assert await outbox.remove(second)
    assert not await outbox.remove(second)


async def test_a_retry_is_due_when_it_says_so(outbox: OutboxStore) -> None:
    await outbox.put(mail())
    (first,) = await outbox.claim(NOW, 10, LEASE)
    assert await outbox.retry(first, NOW + 5)
    assert await outbox.claim(NOW + 4.999, 10, LEASE) == []
    (second,) = await outbox.claim(NOW + 5, 10, LEASE)
    assert second.attempt == 2


async def test_what_is_of_use_for_the_shortest_time_comes_first(outbox: OutboxStore) -> None:
    await outbox.put(mail(1, kind=NOTIFICATION, expires_at=NOW + 86_400))
    await outbox.put(mail(2, created_at=NOW + 1, expires_at=NOW + 601))
    await outbox.put(mail(3, created_at=NOW + 1))
    assert ids(await outbox.claim(NOW + 1, 2, LEASE)) == [
        "<3@portal.example>",
        "<2@portal.example>",
    ]
    assert ids(await outbox.claim(NOW + 1, 2, LEASE)) == ["<1@portal.example>"]


async def test_a_mail_past_its_time_is_never_claimed_and_goes(outbox: OutboxStore) -> None:
    await outbox.put(mail(1))
    await outbox.put(mail(2, kind=NOTIFICATION))
    await outbox.put(mail(3, expires_at=NOW + 600.001))
    assert ids(await outbox.claim(NOW + 600, 10, LEASE)) == ["<3@portal.example>"]
    assert await outbox.expire(NOW + 599.999) == {}
    assert await outbox.expire(NOW + 600) == {CODE: 1, NOTIFICATION: 1}
    assert await outbox.backlog() == Backlog(1, NOW)
    assert await outbox.expire(NOW + 601) == {CODE: 1}
    assert await outbox.expire(NOW + 601) == {}


async def test_a_mail_takes_the_place_of_an_older_one_on_its_topic(outbox: OutboxStore) -> None:
    await outbox.put(mail(1, topic="this browser"))
    await outbox.put(mail(2, topic="another browser"))
    await outbox.put(mail(3, topic="this browser"))
    await outbox.put(mail(4))
    await outbox.put(mail(5))
    expected = [f"<{number}@portal.example>" for number in (2, 3, 4, 5)]
    assert ids(await outbox.claim(NOW, 10, LEASE)) == expected


async def test_what_waits_on_a_topic_can_be_forgotten(outbox: OutboxStore) -> None:
    await outbox.put(mail(1, topic="this browser"))
    await outbox.put(mail(2, topic="another browser"))
    await outbox.put(mail(3))
    await outbox.forget("this browser")
    assert ids(await outbox.claim(NOW, 10, LEASE)) == ["<2@portal.example>", "<3@portal.example>"]


def renamed(record: LinkRecord) -> LinkRecord:
    return replace(record, purpose="another")


def deactivated(record: LinkRecord) -> LinkRecord:
    return replace(record, link=replace(record.link, is_active=False))


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        pytest.param(renamed, {1, 2, 3}, id="a change that ends nothing"),
        pytest.param(deactivated, {2, 3}, id="a change that ends sessions"),
        pytest.param(None, {2, 3}, id="deletion"),
    ],
)
async def test_a_code_that_dies_with_its_links_access_is_not_sent(
    database: Database,
    outbox: OutboxStore,
    edit: Callable[[LinkRecord], LinkRecord] | None,
    left: set[int],
) -> None:
    links = LinkStore(database, Sealer([KEY]))
    link_id = (await links.create(new_record())).link.id
    await outbox.put(mail(1, link_id=link_id))
    await outbox.put(mail(2, link_id=link_id, kind=NOTIFICATION))
    await outbox.put(mail(3, link_id=(await links.create(new_record())).link.id))
    await (links.update(link_id, edit) if edit else links.delete(link_id))
    expected = {f"<{number}@portal.example>" for number in left}
    assert set(ids(await outbox.claim(NOW, 10, LEASE))) == expected


async def test_two_workers_never_hold_one_mail(database_url: str, outbox: OutboxStore) -> None:
    for number in range(100):
        await outbox.put(mail(number))
    others = [Database.open(database_url, pool_size=2) for _ in range(3)]

    async def work(worker: OutboxStore) -> list[str]:
        mine: list[str] = []
        while claimed := await worker.claim(NOW, 3, LEASE):
            mine += ids(claimed)
            for each in claimed[::2]:
                assert await worker.remove(each)
        return mine

    try:
        shares = await asyncio.gather(*(work(store_of(other)) for other in others for _ in "ab"))
    finally:
        for other in others:
            await other.close()
    claimed = Counter(number for share in shares for number in share)
    assert claimed == {f"<{number}@portal.example>": 1 for number in range(100)}


async def test_the_oldest_mail_is_told_by_when_it_was_made(outbox: OutboxStore) -> None:
    await outbox.put(mail(1, created_at=NOW + 10))
    await outbox.put(mail(2, created_at=NOW + 5))
    (claimed,) = await outbox.claim(NOW + 5, 1, LEASE)
    assert claimed.message_id == "<2@portal.example>"
    assert await outbox.backlog() == Backlog(2, NOW + 5)


async def test_a_mail_whose_key_is_gone_is_claimed_without_its_body(database: Database) -> None:
    await store_of(database, "o" * 32).put(mail())
    (claimed,) = await store_of(database, "n" * 32).claim(NOW, 1, LEASE)
    assert claimed.body is None


async def test_what_was_sealed_for_another_purpose_is_no_mail(database: Database) -> None:
    await OutboxStore(database, Sealer([KEY], "tokens")).put(mail())
    (claimed,) = await store_of(database).claim(NOW, 1, LEASE)
    assert claimed.body is None


async def test_rewrap_frees_the_old_key(database: Database) -> None:
    old, new = "o" * 32, "n" * 32
    for number in range(3):
        await store_of(database, old).put(mail(number))
    during = store_of(database, new, old)
    await during.put(mail(3))
    assert await during.needs_rewrap()
    assert await during.rewrap() == 3
    assert not await during.needs_rewrap()
    assert await during.rewrap() == 0
    claimed = await store_of(database, new).claim(NOW, 10, LEASE)
    assert [each.body for each in claimed] == [mail(number).body for number in range(4)]
