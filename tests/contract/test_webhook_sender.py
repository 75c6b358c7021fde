"""Webhooks to a real receiver: each until it has it, and for a day."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import update

from config.models import WebhookSettings
from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import new_id
from gateway.errors import StoreUnavailable
from gateway.links.model import EventKind
from gateway.metrics import Metrics
from gateway.notify.webhook_sender import (
    DELAYS,
    JITTER,
    LEASE,
    MOST_PATIENCE,
    MOST_PER_WEBHOOK,
    TIMEOUT,
    WebhookSender,
)
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
from gateway.store.schema import webhook_deliveries
from tests.portal import free_port
from tests.webhook_receiver import PATH, Receiver, new_secret, running_receiver

BODY = '{"type":"portal.link.commented","data":{"workorder":"WO-é"}}'
DAY = 86_400.0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


class Station:
    """One worker's sender on one database."""

    def __init__(self, database: Database, **webhooks: dict[str, Any]) -> None:
        self.database = database
        self.metrics = Metrics()
        self.store = DeliveryStore(database, Sealer(["k" * 32], SEALED_AS))
        self.settings = {
            name: WebhookSettings.model_validate(each) for name, each in webhooks.items()
        }
        self.sender = self.another_sender()

    def another_sender(self, **more: Any) -> WebhookSender:
        return WebhookSender(self.store, self.settings, self.metrics, **more)

    async def add(self, webhook: str = "acme", count: int = 1) -> list[str]:
        """Enter webhooks that are due; their ids."""
        new = [
            NewDelivery(new_id(), webhook, new_id(), EventKind.COMMENT, BODY) for _ in range(count)
        ]
        async with self.database.transaction() as connection:
            await self.store.add(connection, time.time(), new)
        return [each.id for each in new]

    async def turn(self) -> None:
        """Send what is due, and wait until it is over."""
        await self.sender.step()
        await self.sender.finish(30)

    async def fast_forward(self) -> None:
        """Make everything due that waits: the next try, or the end of a claim."""
        async with self.database.transaction() as connection:
            await connection.execute(update(webhook_deliveries).values(next_try_at=0))

    async def left(self) -> list[Delivery]:
        """What has not arrived."""
        found, _ = await self.store.page(DeliveryQuery(per_page=100))
        return list(found)

    async def the_one_left(self) -> Delivery:
        (delivery,) = await self.left()
        return delivery

    def counted(self) -> dict[str, float]:
        """The tries by how they ended."""
        (family,) = self.metrics.webhook_deliveries_total.collect()
        return {each.labels["result"]: each.value for each in family.samples if each.value}


async def test_what_arrives_is_verified_by_the_published_library(
    database: Database, receiver: Receiver
) -> None:
    station = Station(database, acme=receiver.settings())
    (id,) = await station.add()
    await station.turn()
    (got,) = receiver.received
    assert (got.id, got.document) == (id, json.loads(BODY))
    assert abs(got.timestamp - time.time()) < 30
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("portal-gateway")
    assert await station.left() == []
    assert station.counted() == {"delivered": 1}


async def test_two_secrets_are_two_signatures(database: Database, receiver: Receiver) -> None:
    both = f"{new_secret()},{receiver.secret}"
    station = Station(database, acme=receiver.settings(secret=both))
    await station.add()
    await station.turn()
    assert receiver.received[0].headers["webhook-signature"].count("v1,") == 2


async def test_a_receiver_that_is_down_for_a_while_gets_the_same_webhook_later(
    database: Database,
) -> None:
    port, secret = free_port(), new_secret()
    url = f"http://127.0.0.1:{port}{PATH}"
    settings = {"url": url, "secret": secret, "allow_private_addresses": True}
    station = Station(database, acme=settings)
    (id,) = await station.add()
    for attempt in (1, 2):
        await station.turn()
        kept = await station.the_one_left()
        assert (kept.id, kept.attempts, kept.state) == (id, attempt, DeliveryState.PENDING)
        assert kept.status is None
        assert kept.failure is not None
        assert "cannot be reached" in kept.failure
        await station.fast_forward()
    async with running_receiver(port, secret) as receiver:
        await station.turn()
        assert [got.id for got in receiver.received] == [id]
    assert await station.left() == []
    assert station.counted() == {"failed": 2, "delivered": 1}


NOT_TAKEN = [
    pytest.param(status, id=str(status)) for status in (300, 304, 400, 401, 404, 429, 500, 503)
]


@pytest.mark.parametrize("status", NOT_TAKEN)
async def test_an_answer_other_than_2xx_is_tried_again_with_the_same_id(
    database: Database, receiver: Receiver, status: int
) -> None:
    station = Station(database, acme=receiver.settings())
    (id,) = await station.add()
    receiver.answers = [(status, {})]
    await station.turn()
    kept = await station.the_one_left()
    assert (kept.state, kept.status, kept.failure) == (DeliveryState.PENDING, status, None)
    await station.fast_forward()
    await station.turn()
    first, second = receiver.received
    assert first.id == second.id == id
    assert first.document == second.document
    assert await station.left() == []


async def test_each_try_has_its_own_time_and_signature(
    database: Database, receiver: Receiver
) -> None:
    """A receiver takes no signature that is older than five minutes."""
    station = Station(database, acme=receiver.settings())
    await station.add()
    receiver.answers = [(500, {})]
    clock = time.time()
    station.sender = station.another_sender(now=lambda: clock)
    await station.turn()
    await station.fast_forward()
    station.sender = station.another_sender(now=lambda: clock + 2)
    await station.turn()
    first, second = receiver.received
    assert second.timestamp - first.timestamp == 2
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_the_tries_of_a_day_and_then_it_is_dead(
    database: Database, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    station = Station(database, acme=receiver.settings())
    (id,) = await station.add()
    receiver.answers = [(500, {})] * 20
    waited = 0.0
    for attempt, delay in enumerate(DELAYS, 1):
        before = time.time()
        await station.turn()
        kept = await station.the_one_left()
        assert (kept.attempts, kept.state) == (attempt, DeliveryState.PENDING)
        assert kept.next_try_at is not None
        pause = kept.next_try_at - before
        assert delay * (1 - JITTER) <= pause <= delay + 5
        waited += delay
        await station.fast_forward()
    assert 0.95 * DAY < waited <= DAY
    await station.turn()
    dead = await station.the_one_left()
    assert (dead.id, dead.state, dead.status) == (id, DeliveryState.DEAD, 500)
    await station.fast_forward()
    await station.turn()
    assert len(receiver.received) == len(DELAYS) + 1
    assert station.counted() == {"failed": len(DELAYS), "dead": 1}
    assert "a-secret-in-the-path" not in caplog.text
    assert "127.0.0.1" in caplog.text


async def test_410_is_the_end_at_once_and_it_can_be_sent_again(
    database: Database, receiver: Receiver
) -> None:
    station = Station(database, acme=receiver.settings())
    (id,) = await station.add()
    receiver.answers = [(410, {})]
    await station.turn()
    dead = await station.the_one_left()
    assert (dead.state, dead.status, dead.attempts) == (DeliveryState.DEAD, 410, 1)
    await station.turn()
    assert len(receiver.received) == 1
    assert await station.store.resend(id, time.time())
    await station.turn()
    assert [got.id for got in receiver.received] == [id, id]
    assert await station.left() == []


@pytest.mark.parametrize(
    ("status", "asked", "least", "most"),
    [
        pytest.param(503, "120", 120, 125, id="longer than the pause"),
        pytest.param(429, "1", 4, 10, id="shorter than the pause"),
        pytest.param(503, "999999", MOST_PATIENCE, MOST_PATIENCE + 5, id="too long"),
        pytest.param(500, "120", 4, 10, id="by one that is not busy"),
        pytest.param(503, "Wed, 21 Oct 2015 07:28:00 GMT", 4, 10, id="a date"),
        pytest.param(503, "-5", 4, 10, id="backwards"),
        pytest.param(503, "9" * 400, 4, 10, id="no number at all"),
    ],
)
async def test_what_a_busy_receiver_asks_for(
    database: Database, receiver: Receiver, status: int, asked: str, least: float, most: float
) -> None:
    station = Station(database, acme=receiver.settings())
    await station.add()
    receiver.answers = [(status, {"Retry-After": asked})]
    before = time.time()
    await station.turn()
    kept = await station.the_one_left()
    assert kept.next_try_at is not None
    assert least <= kept.next_try_at - before <= most


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(
    database: Database, receiver: Receiver, status: int
) -> None:
    station = Station(database, acme=receiver.settings())
    await station.add()
    receiver.answers = [(status, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})]
    await station.turn()
    assert receiver.other_paths == []
    assert (await station.the_one_left()).status == status


async def test_a_receiver_that_hangs_is_given_up_and_holds_up_nobody_else(
    database: Database, receiver: Receiver
) -> None:
    async with running_receiver() as other:
        station = Station(database, acme=receiver.settings(), globex=other.settings())
        station.sender = station.another_sender(timeout=0.5)
        receiver.hangs = True
        await station.add(count=3 * MOST_PER_WEBHOOK)
        await station.add("globex")
        await station.sender.step()
        await other.next_webhook(5)
        await station.sender.step()
        await station.sender.finish(10)
        assert len(receiver.received) == MOST_PER_WEBHOOK
    tried = [each for each in await station.left() if each.attempts]
    assert [each.failure for each in tried] == ["it took too long"] * MOST_PER_WEBHOOK
    assert station.counted() == {"delivered": 1, "failed": MOST_PER_WEBHOOK}


async def test_many_that_hang_leave_room_for_each_of_the_others(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.notify.webhook_sender.MOST", 1)
    async with running_receiver() as other:
        station = Station(database, acme=receiver.settings(), globex=other.settings())
        receiver.hangs = other.hangs = True
        await station.add(count=9)
        await station.add("globex", count=3)
        for _ in range(3):
            await station.sender.step()
        await receiver.next_webhook()
        await other.next_webhook()
        await station.sender.finish(0)
        assert len(receiver.received) == MOST_PER_WEBHOOK
        assert len(other.received) == 1


def test_no_try_outlives_its_claim() -> None:
    assert TIMEOUT < LEASE / 2
    assert 15 <= TIMEOUT <= 30


PRIVATE = [
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("localhost", id="a name that leads there"),
    pytest.param("[::ffff:127.0.0.1]", id="loopback, dressed up"),
]


@pytest.mark.parametrize("host", PRIVATE)
async def test_private_addresses_are_refused_unless_they_are_allowed(
    database: Database, receiver: Receiver, host: str
) -> None:
    url = f"http://{host}:{receiver.port}{PATH}"
    station = Station(database, acme=receiver.settings(url=url, allow_private_addresses=False))
    await station.add()
    await station.turn()
    dead = await station.the_one_left()
    assert (dead.state, dead.status) == (DeliveryState.DEAD, None)
    assert dead.failure is not None
    assert "may not be asked" in dead.failure
    assert receiver.received == []


async def test_a_name_of_the_own_network_may_be_allowed(
    database: Database, receiver: Receiver
) -> None:
    url = f"http://localhost:{receiver.port}{PATH}"
    station = Station(database, acme=receiver.settings(url=url))
    await station.add()
    await station.turn()
    assert len(receiver.received) == 1


@pytest.mark.parametrize("most", [pytest.param(0, id="silence"), pytest.param(2**26, id="a flood")])
async def test_an_answer_without_end_is_not_waited_for(database: Database, most: int) -> None:
    """2xx is said with the head; what follows is of no interest, and bounded."""
    written = 0

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        await request.read()
        response = web.StreamResponse()
        await response.prepare(request)
        while written < most:
            await response.write(b"x" * 65_536)
            written += 65_536
        await asyncio.Event().wait()
        return response

    server = web.ServerRunner(web.Server(flood), shutdown_timeout=0.1)
    await server.setup()
    port = free_port()
    await web.TCPSite(server, "127.0.0.1", port).start()
    settings = {
        "url": f"http://127.0.0.1:{port}/",
        "secret": new_secret(),
        "allow_private_addresses": True,
    }
    station = Station(database, acme=settings)
    await station.add()
    await station.turn()
    await server.cleanup()
    assert station.counted() == {"delivered": 1}
    assert written < 20_000_000


async def test_a_webhook_that_is_configured_no_more_is_dead(database: Database) -> None:
    station = Station(database)
    await station.add("umbrella")
    await station.turn()
    dead = await station.the_one_left()
    assert (dead.state, dead.failure) == (
        DeliveryState.DEAD,
        "no webhook of this name is configured any more",
    )


async def test_a_body_that_no_key_can_read_is_dead(database: Database, receiver: Receiver) -> None:
    station = Station(database, acme=receiver.settings())
    await station.add()
    station.store = DeliveryStore(database, Sealer(["n" * 32], SEALED_AS))
    station.sender = station.another_sender()
    await station.turn()
    dead = await station.the_one_left()
    assert dead.state is DeliveryState.DEAD
    assert receiver.received == []


async def test_a_worker_that_died_before_it_could_tell_leads_to_the_same_id_again(
    database: Database, receiver: Receiver
) -> None:
    station = Station(database, acme=receiver.settings())
    (id,) = await station.add()
    receiver.hangs = True
    await station.sender.step()
    await receiver.next_webhook()
    await station.sender.finish(0)  # as far as the database is concerned, it died
    receiver.hangs = False
    station.sender = station.another_sender()
    await station.turn()
    assert len(receiver.received) == 1, "the claim still holds"
    await station.fast_forward()
    await station.turn()
    assert [got.id for got in receiver.received] == [id, id]
    assert await station.left() == []


async def test_workers_at_once_send_each_once(database: Database, receiver: Receiver) -> None:
    station = Station(database, acme=receiver.settings())
    ids = await station.add(count=20)
    senders = [station.another_sender() for _ in range(4)]
    while await station.left():
        await asyncio.gather(*(sender.step() for sender in senders))
        await asyncio.gather(*(sender.finish(10) for sender in senders))
    assert sorted(got.id for got in receiver.received) == sorted(ids)


async def test_a_database_that_is_down_after_the_answer_costs_a_second_try(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = Station(database, acme=receiver.settings())
    (id,) = await station.add()

    async def down(claimed: ClaimedDelivery) -> bool:
        raise StoreUnavailable("database")

    with monkeypatch.context() as patch:
        patch.setattr(station.store, "remove", down)
        await station.turn()
    assert (await station.the_one_left()).state is DeliveryState.PENDING
    await station.fast_forward()
    await station.turn()
    assert [got.id for got in receiver.received] == [id, id]
    assert await station.left() == []


async def test_a_fault_in_one_try_is_told_and_ends_no_other(
    database: Database,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    station = Station(database, acme=receiver.settings())
    broken, good = await station.add(count=2)
    post = station.sender._post

    async def fail(webhook: WebhookSettings, id: str, body: str) -> Any:
        if id == broken:
            raise RuntimeError("unforeseen")
        return await post(webhook, id, body)

    monkeypatch.setattr(station.sender, "_post", fail)
    with caplog.at_level(logging.ERROR):
        await station.turn()
    assert f"webhook {broken} was not sent" in caplog.text
    assert [got.id for got in receiver.received] == [good]
    assert [each.id for each in await station.left()] == [broken]


async def test_the_gauge_says_how_many_are_still_tried(
    database: Database, receiver: Receiver
) -> None:
    station = Station(database, acme=receiver.settings())
    await station.add(count=3)
    receiver.answers = [(500, {}), (410, {}), (500, {})]
    await station.turn()
    await station.sender.step()
    assert station.metrics.webhook_pending_deliveries._value.get() == 2
