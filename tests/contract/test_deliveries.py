"""Webhooks that have not arrived, on every kind of database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import new_id
from gateway.links.model import EventKind
from gateway.metrics import Metrics
from gateway.notify.gathering import Gathering
from gateway.notify.webhook_sender import WebhookSender
from gateway.store.database import Database
from gateway.store.deliveries import (
    SEALED_AS,
    ClaimedDelivery,
    Delivery,
    DeliveryQuery,
    DeliveryState,
    DeliveryStore,
    NewDelivery,
)
from gateway.store.links import LinkStore
from gateway.store.outbox import OutboxStore
from gateway.store.schema import webhook_deliveries
from gateway.worker import DAY, DEAD_KEPT_DAYS, LOOK_EVERY, TELL_EVERY, notification_jobs
from tests.records import new_record

NOW = 1_780_000_000.0
LEASE = 60.0


@pytest.fixture
def store(database: Database) -> DeliveryStore:
    return DeliveryStore(database, Sealer(["k" * 32], SEALED_AS))


def a_delivery(webhook: str = "acme", link_id: str | None = None) -> NewDelivery:
    return NewDelivery(new_id(), webhook, link_id or new_id(), EventKind.COMMENT, '{"a":"é"}')


async def add(
    store: DeliveryStore, database: Database, *deliveries: NewDelivery, now: float = NOW
) -> None:
    async with database.transaction() as connection:
        await store.add(connection, now, deliveries)


async def the_only(store: DeliveryStore) -> Delivery:
    (delivery,), total = await store.page(DeliveryQuery())
    assert total == 1
    return delivery


async def claim_one(store: DeliveryStore, now: float = NOW) -> ClaimedDelivery:
    (claimed,) = await store.claim("acme", now, 5, LEASE)
    return claimed


async def test_a_webhook_is_entered_with_what_gives_rise_to_it_or_not_at_all(
    store: DeliveryStore, database: Database
) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await store.add(connection, NOW, [a_delivery()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await store.count_pending() == 0


async def test_nothing_of_a_body_can_be_read_in_the_database(
    store: DeliveryStore, database: Database
) -> None:
    await add(store, database, replace(a_delivery(), body="who-it-was"))
    async with database.reading() as connection:
        (row,) = (await connection.execute(select(webhook_deliveries))).all()
    assert "who-it-was" not in repr(row)
    assert (await claim_one(store)).body == "who-it-was"


async def test_a_webhook_is_claimed_by_one_and_again_when_the_claim_has_run_out(
    store: DeliveryStore, database: Database
) -> None:
    delivery = a_delivery()
    await add(store, database, delivery)
    assert await store.due_webhooks(NOW - 1) == []
    assert await store.due_webhooks(NOW) == ["acme"]
    first = await claim_one(store)
    assert (first.id, first.attempt, first.body) == (delivery.id, 1, delivery.body)
    assert await store.claim("acme", NOW + LEASE - 1, 5, LEASE) == []
    assert await store.due_webhooks(NOW + LEASE - 1) == []
    second = await claim_one(store, NOW + LEASE)
    assert (second.id, second.attempt) == (delivery.id, 2)


async def test_who_was_given_up_on_settles_nothing(
    store: DeliveryStore, database: Database
) -> None:
    await add(store, database, a_delivery())
    first = await claim_one(store)
    second = await claim_one(store, NOW + LEASE)
    assert not await store.remove(first)
    assert not await store.retry(first, NOW, 500, None)
    assert not await store.bury(first, 410, None)
    kept = await the_only(store)
    assert (kept.attempts, kept.state, kept.status) == (2, DeliveryState.PENDING, None)
    assert await store.remove(second)
    assert await store.page(DeliveryQuery()) == ([], 0)


async def test_many_workers_claim_each_webhook_once(
    store: DeliveryStore, database: Database
) -> None:
    deliveries = [a_delivery() for _ in range(40)]
    await add(store, database, *deliveries)
    claims = await asyncio.gather(*(store.claim("acme", NOW, 5, LEASE) for _ in range(10)))
    claimed = [each.id for claim in claims for each in claim]
    assert len(claimed) == len(set(claimed))
    while claim := await store.claim("acme", NOW, 50, LEASE):
        claimed += [each.id for each in claim]
    assert sorted(claimed) == sorted(each.id for each in deliveries)


async def test_webhooks_of_another_receiver_are_not_claimed(
    store: DeliveryStore, database: Database
) -> None:
    await add(store, database, a_delivery("globex"), a_delivery("*"))
    assert await store.claim("acme", NOW, 5, LEASE) == []
    assert await store.due_webhooks(NOW) == ["*", "globex"]


async def test_a_failed_try_is_due_again_when_it_is_told(
    store: DeliveryStore, database: Database
) -> None:
    await add(store, database, a_delivery())
    assert await store.retry(await claim_one(store), NOW + 5, 503, None)
    kept = await the_only(store)
    assert (kept.next_try_at, kept.status, kept.failure) == (NOW + 5, 503, None)
    assert await store.claim("acme", NOW + 4, 5, LEASE) == []
    assert await store.retry(await claim_one(store, NOW + 5), NOW + 9, None, "it took too long")
    kept = await the_only(store)
    assert (kept.attempts, kept.status, kept.failure) == (2, None, "it took too long")


async def test_a_dead_webhook_is_kept_and_sent_again_with_the_same_id(
    store: DeliveryStore, database: Database
) -> None:
    delivery = a_delivery()
    await add(store, database, delivery)
    first = await claim_one(store)
    assert await store.bury(first, 410, None)
    assert await store.claim("acme", NOW + 10 * LEASE, 5, LEASE) == []
    assert await store.count_pending() == 0
    dead = await the_only(store)
    assert (dead.state, dead.status, dead.next_try_at) == (DeliveryState.DEAD, 410, None)
    assert await store.resend(delivery.id, NOW + 100)
    assert not await store.resend(delivery.id, NOW + 100)
    again = await claim_one(store, NOW + 100)
    assert (again.id, again.attempt, again.body) == (delivery.id, 1, delivery.body)
    # The claim of the round before has the same number.
    assert not await store.remove(first)
    assert await store.remove(again)


async def test_no_webhook_that_is_still_tried_is_begun_anew(
    store: DeliveryStore, database: Database
) -> None:
    delivery = a_delivery()
    await add(store, database, delivery)
    assert not await store.resend(delivery.id, NOW)
    assert not await store.resend(new_id(), NOW)


async def test_dead_webhooks_are_deleted_when_their_time_has_passed(
    store: DeliveryStore, database: Database
) -> None:
    await add(store, database, a_delivery())
    assert await store.delete_dead(NOW + 1000) == 0
    await store.bury(await claim_one(store), 410, None)
    assert await store.delete_dead(NOW) == 0
    assert await store.delete_dead(NOW + 1) == 1
    assert await store.page(DeliveryQuery()) == ([], 0)


@pytest.mark.parametrize(("has_webhooks", "pause"), [(True, TELL_EVERY), (False, LOOK_EVERY)])
async def test_the_worker_deletes_them_and_looks_as_often_as_it_has_to(
    store: DeliveryStore, database: Database, sealer: Sealer, has_webhooks: bool, pause: float
) -> None:
    links, outbox = LinkStore(database, sealer), OutboxStore(database, sealer)
    gathering = Gathering(database, links, outbox, store, webhooks=(), compose=None, gather=60.0)
    sender = WebhookSender(store, {}, Metrics())
    now = NOW
    _, sending, ending = notification_jobs(
        gathering, sender, store, has_webhooks=has_webhooks, now=lambda: now
    )
    assert sending.every == pause
    await add(store, database, a_delivery())
    await store.bury(await claim_one(store), 410, None)
    now = NOW + DEAD_KEPT_DAYS * DAY
    await ending.step()
    await the_only(store)
    now += 1
    await ending.step()
    assert await store.page(DeliveryQuery()) == ([], 0)


async def test_pages_states_and_who_sees_what(
    store: DeliveryStore, database: Database, sealer: Sealer
) -> None:
    record = new_record(namespaces=("acme", "globex"))
    await LinkStore(database, sealer).create(record)
    shared = a_delivery("*", record.link.id)
    gone = a_delivery("initech")
    moved = a_delivery("umbrella", record.link.id)
    nobodys = a_delivery("*")
    for number, each in enumerate((shared, gone, nobodys, moved)):
        await add(store, database, each, now=NOW + number)
    (claimed,) = await store.claim("initech", NOW + 9, 5, LEASE)
    await store.bury(claimed, None, "refused")

    async def ids(query: DeliveryQuery) -> list[str]:
        found, total = await store.page(query)
        assert total >= len(found)
        return [each.id for each in found]

    assert await ids(DeliveryQuery()) == [moved.id, nobodys.id, gone.id, shared.id]
    assert await ids(DeliveryQuery(page=2, per_page=2)) == [gone.id, shared.id]
    assert await ids(DeliveryQuery(state=DeliveryState.DEAD)) == [gone.id]
    assert await ids(DeliveryQuery(state=DeliveryState.PENDING)) == [
        moved.id,
        nobodys.id,
        shared.id,
    ]
    assert await ids(DeliveryQuery(visible_to=("acme",))) == [moved.id, shared.id]
    assert await ids(DeliveryQuery(visible_to=("globex", "initech"))) == [
        moved.id,
        gone.id,
        shared.id,
    ]
    assert await ids(DeliveryQuery(visible_to=("umbrella",))) == []
    assert await store.get(shared.id) == (
        Delivery(
            shared.id,
            "*",
            record.link.id,
            EventKind.COMMENT,
            DeliveryState.PENDING,
            0,
            NOW,
            NOW,
            None,
            None,
        ),
        ("acme", "globex"),
    )
    found = await store.get(gone.id)
    assert found is not None
    assert found[1] == ("initech",)
    found = await store.get(nobodys.id)
    assert found is not None
    assert found[1] == ()
    assert await store.get(new_id()) is None


async def test_rotated_keys_take_bodies_along(store: DeliveryStore, database: Database) -> None:
    await add(store, database, a_delivery())
    both = DeliveryStore(database, Sealer(["n" * 32, "k" * 32], SEALED_AS))
    assert await both.needs_rewrap()
    assert await both.rewrap() == 1
    new = DeliveryStore(database, Sealer(["n" * 32], SEALED_AS))
    assert not await new.needs_rewrap()
    assert (await claim_one(new)).body == '{"a":"é"}'
    (unreadable,) = await store.claim("acme", NOW + LEASE, 5, LEASE)
    assert unreadable.body is None
