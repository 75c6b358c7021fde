"""From events to webhooks and mails: each once, whoever is at it, and as the link is by then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import select

from gateway.crypto.sealing import Sealer
from gateway.errors import StoreUnavailable
from gateway.links.model import EventKind, Link, LinkRecord, Notifications
from gateway.notify.gathering import Gathering
from gateway.store.access_log import AccessLogStore
from gateway.store.database import CommitUnknown, Database
from gateway.store.deliveries import SEALED_AS, DeliveryQuery, DeliveryStore
from gateway.store.entry import START, Event, Position
from gateway.store.links import LinkStore
from gateway.store.outbox import MailKind, OutboxStore, OutgoingMail
from gateway.store.schema import notification_events
from tests.records import new_record

NOW = 1_780_000_000.0
GATHER = 60.0
OWNERS = ("owner@acme.example", "other@acme.example")
COMMENT, UPLOAD, ACCESS = EventKind.COMMENT, EventKind.FILE_UPLOAD, EventKind.ACCESS


@dataclass
class Office:
    """A worker's notifications on one database, at a time of the test's choice."""

    database: Database
    links: LinkStore
    now: float = NOW
    webhooks: tuple[str, ...] = ("acme",)
    can_mail: bool = True
    broken_link: str | None = None
    composed: int = 0
    outbox: OutboxStore = field(init=False)
    deliveries: DeliveryStore = field(init=False)
    journals: int = 0

    def __post_init__(self) -> None:
        self.outbox = OutboxStore(self.database, Sealer(["k" * 32], "outbox"))
        self.deliveries = DeliveryStore(self.database, Sealer(["k" * 32], SEALED_AS))

    async def link(self, **fields: Any) -> LinkRecord:
        """A link whose owners want to know of everything, in the namespace acme."""
        wanted = {"namespaces": ("acme",), "notifications": Notifications(True, True, True, OWNERS)}
        record = new_record(purpose="for the electrician", **wanted | fields)
        return await self.links.create(record)

    async def happen(self, link: LinkRecord, *kinds: EventKind, at: float = NOW) -> None:
        """Events, as the drain brings them in."""
        self.journals += 1
        events = [
            Event(link.link.id, at + n / 100, kind, "203.0.113.7", "anna@visitor.example", f"r-{n}")
            for n, kind in enumerate(kinds)
        ]
        log = AccessLogStore(self.database)
        await log.absorb(f"j{self.journals}", START, Position(1, 1), events)

    async def step(self, **more: Any) -> None:
        """One look at what is due."""
        await self.gathering(**more).step()

    def gathering(self, **more: Any) -> Gathering:
        """What a worker has."""
        arguments: dict[str, Any] = {
            "webhooks": self.webhooks,
            "compose": self.compose if self.can_mail else None,
            "gather": GATHER,
            "now": lambda: self.now,
        }
        return Gathering(
            self.database, self.links, self.outbox, self.deliveries, **arguments | more
        )

    def compose(
        self, to: str, link: Link, events: Sequence[Event], now: float, purpose: str | None
    ) -> OutgoingMail:
        """A mail that can be looked into."""
        if link.id == self.broken_link:
            raise RuntimeError("cannot be composed")
        if "@" not in to:
            raise ValueError("not one mail address")
        assert purpose == "for the electrician"
        self.composed += 1
        body = json.dumps([to, link.id, [event.kind for event in events]])
        id = f"<{self.composed}@portal.example>"
        return OutgoingMail(MailKind.NOTIFICATION, link.id, id, body, now, now + 1000)

    async def mails(self) -> list[tuple[str, str, list[str]]]:
        """Recipient, link and kinds of each mail in the outbox; they are taken out."""
        claimed = await self.outbox.claim(self.now, 1000, 1.0)
        for mail in claimed:
            await self.outbox.remove(mail)
        bodies = [json.loads(mail.body or "") for mail in claimed]
        return [(to, link_id, kinds) for to, link_id, kinds in bodies]

    async def posted(self) -> list[tuple[str, str, str]]:
        """Webhook, link and kind of each delivery, oldest first."""
        found, _ = await self.deliveries.page(DeliveryQuery(per_page=100))
        assert len({each.id for each in found}) == len(found)
        return sorted((each.webhook, each.link_id, each.kind.value) for each in found)

    async def waiting(self) -> int:
        """How many events nobody has been told of."""
        async with self.database.reading() as connection:
            return len((await connection.execute(select(notification_events))).all())


@pytest.fixture
def office(database: Database, sealer: Sealer) -> Office:
    return Office(database, LinkStore(database, sealer))


async def test_a_burst_is_one_mail_to_each_and_a_webhook_for_each_event(office: Office) -> None:
    link = await office.link()
    await office.happen(link, UPLOAD, COMMENT)
    await office.step()
    each = [("acme", link.link.id, "comment"), ("acme", link.link.id, "file_upload")]
    assert await office.posted() == each
    assert await office.mails() == []
    office.now = NOW + 30
    await office.happen(link, COMMENT, at=NOW + 30)
    await office.step()
    assert await office.posted() == sorted([*each, each[0]])
    office.now = NOW + GATHER - 0.01
    await office.step()
    assert await office.mails() == []
    office.now = NOW + GATHER
    await office.step()
    kinds = ["file_upload", "comment", "comment"]
    assert await office.mails() == [(to, link.link.id, kinds) for to in OWNERS]
    await office.step()
    assert await office.mails() == []
    assert len(await office.posted()) == 3
    assert await office.waiting() == 0


async def test_links_gather_each_for_itself(office: Office) -> None:
    first, second = await office.link(), await office.link()
    await office.happen(first, COMMENT)
    await office.happen(second, COMMENT, at=NOW + 30)
    office.now = NOW + GATHER
    await office.step()
    assert {link_id for _, link_id, _ in await office.mails()} == {first.link.id}
    office.now = NOW + GATHER + 30
    await office.step()
    assert {link_id for _, link_id, _ in await office.mails()} == {second.link.id}


async def test_a_worker_that_was_away_tells_once_of_all(office: Office) -> None:
    """Webhooks too, though nobody has posted them before the mail was due."""
    link = await office.link()
    await office.happen(link, UPLOAD)
    await office.happen(link, COMMENT, at=NOW + 500)
    office.now = NOW + 1000
    await office.step()
    assert [kinds for _, _, kinds in await office.mails()] == [["file_upload", "comment"]] * 2
    assert len(await office.posted()) == 2


async def test_every_kind_can_be_told(office: Office) -> None:
    link = await office.link()
    await office.happen(link, *EventKind)
    office.now = NOW + GATHER + 1
    await office.step()
    assert [kinds for _, _, kinds in await office.mails()] == [[k.value for k in EventKind]] * 2


CHANGES = [
    pytest.param(
        {"notifications": Notifications(True, True, False, OWNERS)}, ["comment"], id="a kind less"
    ),
    pytest.param(
        {"notifications": Notifications(False, False, False, OWNERS)}, None, id="nothing any more"
    ),
    pytest.param(
        {"notifications": Notifications(True, True, True, ())}, None, id="no recipients any more"
    ),
    pytest.param({"is_active": False}, ["file_upload", "comment"], id="switched off"),
    pytest.param({"expires_at": NOW + 1}, ["file_upload", "comment"], id="expired"),
]


@pytest.mark.parametrize(("change", "kinds"), CHANGES)
async def test_the_link_as_it_is_decides(
    office: Office, change: dict[str, Any], kinds: list[str] | None
) -> None:
    link = await office.link()
    await office.happen(link, UPLOAD, COMMENT)

    def edit(record: LinkRecord) -> LinkRecord:
        return replace(record, link=replace(record.link, **change))

    await office.links.update(link.link.id, edit)
    office.now = NOW + GATHER + 1
    await office.step()
    told = [] if kinds is None else [(to, link.link.id, kinds) for to in OWNERS]
    assert await office.mails() == told
    assert await office.waiting() == 0


async def test_a_link_that_is_gone_tells_nothing(office: Office) -> None:
    link = await office.link()
    await office.happen(link, UPLOAD)
    await office.links.delete(link.link.id)
    office.now = NOW + GATHER
    await office.step()
    assert (await office.mails(), await office.posted(), await office.waiting()) == ([], [], 0)


async def test_a_webhook_is_told_without_recipients_and_without_waiting(office: Office) -> None:
    link = await office.link(notifications=Notifications(recipients=()))
    await office.happen(link, UPLOAD, ACCESS)
    await office.step()
    assert await office.posted() == [("acme", link.link.id, "file_upload")]
    assert await office.waiting() == 0


async def test_without_a_mail_server_webhooks_alone_are_told(office: Office) -> None:
    office.can_mail = False
    link = await office.link()
    await office.happen(link, UPLOAD)
    await office.step()
    assert len(await office.posted()) == 1
    assert await office.waiting() == 0


async def test_each_namespace_with_a_webhook_is_told(office: Office) -> None:
    office.webhooks = ("acme", "globex", "*")
    shared = await office.link(namespaces=("globex", "initech", "acme"))
    others = await office.link(namespaces=("initech",))
    for link in (shared, others):
        await office.happen(link, UPLOAD)
    await office.step()
    assert await office.posted() == [
        ("*", others.link.id, "file_upload"),
        ("acme", shared.link.id, "file_upload"),
        ("globex", shared.link.id, "file_upload"),
    ]


async def test_an_address_that_stands_twice_is_one_recipient(office: Office) -> None:
    twice = (OWNERS[0], OWNERS[0])
    link = await office.link(notifications=Notifications(recipients=twice))
    await office.happen(link, UPLOAD)
    office.now = NOW + GATHER
    await office.step()
    assert len(await office.mails()) == 1


async def test_a_recipient_that_is_none_does_not_keep_it_from_the_others(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    recipients = ("nobody", OWNERS[0])
    link = await office.link(notifications=Notifications(recipients=recipients))
    await office.happen(link, UPLOAD)
    office.now = NOW + GATHER
    await office.step()
    assert [to for to, _, _ in await office.mails()] == [OWNERS[0]]
    assert f"a recipient of link {link.link.id} is not told" in caplog.text
    assert "nobody" not in caplog.text


async def test_workers_at_once_tell_once(office: Office) -> None:
    links = [await office.link() for _ in range(5)]
    for link in links:
        await office.happen(link, UPLOAD, COMMENT, UPLOAD)
    office.now = NOW + GATHER
    workers = [office.gathering() for _ in range(6)]
    for _ in range(3):
        await asyncio.gather(*(worker.step() for worker in workers))
    mails = await office.mails()
    assert sorted((to, link_id) for to, link_id, _ in mails) == sorted(
        (to, link.link.id) for to in OWNERS for link in links
    )
    assert all(kinds == ["file_upload", "comment", "file_upload"] for _, _, kinds in mails)
    assert len(await office.posted()) == 15


async def test_a_fault_with_one_link_does_not_hold_up_the_others(office: Office) -> None:
    broken, good = await office.link(), await office.link()
    await office.happen(broken, UPLOAD)
    await office.happen(good, UPLOAD, at=NOW + 1)
    office.broken_link = broken.link.id
    office.now = NOW + GATHER + 1
    with pytest.raises(RuntimeError, match="cannot be composed"):
        await office.step()
    assert [link_id for _, link_id, _ in await office.mails()] == [good.link.id] * 2
    office.broken_link = None
    await office.step()
    assert [link_id for _, link_id, _ in await office.mails()] == [broken.link.id] * 2
    assert len(await office.posted()) == 2


async def test_what_was_rolled_back_is_told_by_the_next(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = await office.link()
    await office.happen(link, UPLOAD)
    office.now = NOW + GATHER
    add = office.outbox.add

    async def lost(connection: Any, *mails: OutgoingMail) -> None:
        await add(connection, *mails)
        raise CommitUnknown("the connection is gone")

    monkeypatch.setattr(office.outbox, "add", lost)
    with pytest.raises(StoreUnavailable):
        await office.step()
    assert (await office.mails(), await office.posted(), await office.waiting()) == ([], [], 1)
    monkeypatch.setattr(office.outbox, "add", add)
    await office.step()
    assert (len(await office.mails()), len(await office.posted())) == (2, 1)


async def test_a_flood_on_one_link_is_told_in_parts(office: Office) -> None:
    link = await office.link()
    await office.happen(link, *[COMMENT] * 1200)
    office.now = NOW + 1000
    for _ in range(3):
        await office.step()
    mails = await office.mails()
    assert sorted(len(kinds) for _, _, kinds in mails) == [200, 200, 1000, 1000]
    assert await office.waiting() == 0
