"""Mails from the outbox through a real mail server, whatever becomes of the server or the sender."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.crypto.sealing import Sealer
from gateway.errors import StoreUnavailable
from gateway.metrics import Metrics
from gateway.notify import delivery as module
from gateway.notify.delivery import LANES, Delivery, pause
from gateway.notify.letter import Content, Letter, compose, parse_address
from gateway.notify.mail import Mailer
from gateway.store.database import Database
from gateway.store.outbox import SEALED_AS, ClaimedMail, MailKind, OutboxStore, OutgoingMail
from gateway.worker import Worker, mail_jobs
from tests.contract.dying_delivery import deliver
from tests.gateway_process import quiet_port
from tests.records import NOW
from tests.smtp_server import ReceivedMail, SmtpServer, running_smtp_server

FROM = "portal@facility.example"
ANNA, BOB = "anna@visitor.example", "bob@visitor.example"
CODE = "048215"
KEY = "k" * 32
LINK_ID = "a" * 24
DAY = 86_400.0
MINUTES = 60.0


def mail(number: int = 0, *, to: str = ANNA, life: float = 600, at: float = NOW, withheld: bool = False) -> OutgoingMail:  # fmt: skip
    """A code if it lives for ten minutes, a notification if it lives for longer."""
    message_id = f"<{number}@facility.example>"
    content = Content(f"Your code: {CODE}", f"Your code is {CODE}\n", f"<p>{CODE}</p>", "en")
    message = compose(
        parse_address(FROM), parse_address(to), content, message_id=message_id, now=at
    )
    return OutgoingMail(
        kind=MailKind.CODE if life <= 600 else MailKind.NOTIFICATION,
        link_id=LINK_ID,
        message_id=message_id,
        body=Letter(FROM, to, message, withheld).to_body(),
        created_at=at,
        expires_at=at + life,
    )


@dataclass
class Sender:
    """A delivery whose time stands still until it is told to go on."""

    outbox: OutboxStore
    mailer: Mailer
    metrics: Metrics = field(default_factory=Metrics)
    now: float = NOW

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            self.outbox, self.mailer, self.metrics, now=lambda: self.now, chance=lambda: 1.0
        )

    async def turn(self, seconds: float = 0.0) -> None:
        """Let some time pass, look once, and see all that was begun to its end."""
        self.now += seconds
        self.outbox.added.set()
        await self.delivery.step()
        await self.delivery.finish(5)

    def counted(self, kind: str = "code") -> dict[str, float]:
        """How often each result was counted."""
        found = {}
        for result in ("sent", "deferred", "refused", "expired", "withheld", "unreadable"):
            value = self.metrics.registry.get_sample_value(
                "portal_outbox_messages_total", {"kind": kind, "result": result}
            )
            if value:
                found[result] = value
        return found

    async def is_empty(self) -> bool:
        """Whether the outbox holds nothing any more."""
        return (await self.outbox.backlog()).mails == 0


@asynccontextmanager
async def opened(url: str, smtp_url: str, **timeouts: float) -> AsyncIterator[Sender]:
    """A sender for `smtp_url` with the outbox of the database at `url`."""
    database = Database.open(url)
    outbox = OutboxStore(database, Sealer([KEY], SEALED_AS))
    try:
        yield Sender(outbox, Mailer(smtp_url, FROM, **timeouts))  # type: ignore[arg-type]
    finally:
        await database.close()


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with running_smtp_server() as server:
        yield server


@pytest.fixture
async def sender(sqlite_url: str, server: SmtpServer) -> AsyncIterator[Sender]:
    async with opened(sqlite_url, server.url) as sender:
        yield sender


def message_ids(mails: list[ReceivedMail]) -> list[str]:
    return [each.message["Message-ID"] for each in mails]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log from debug level on."""
    caplog.set_level(logging.DEBUG)
    return caplog


def assert_no_secret(log: pytest.LogCaptureFixture) -> None:
    """The log names a mail by its Message-ID alone."""
    # The mail server of the tests, which has its own log, is in the same process.
    text = "\n".join(each.getMessage() for each in log.records if each.name != "mail.log")
    assert not [secret for secret in (CODE, "anna", "visitor.example") if secret in text]


# --- what is sent -----------------------------------------------------------------------------


async def test_a_mail_is_sent_once_and_nothing_of_it_is_left(
    sender: Sender, server: SmtpServer, told: pytest.LogCaptureFixture
) -> None:
    await sender.outbox.put(mail())
    for _ in range(3):
        await sender.turn(100)
    (arrived,) = server.mails
    assert (arrived.sender, arrived.recipients, arrived.code) == (FROM, [ANNA], CODE)
    assert await sender.is_empty()
    assert sender.counted() == {"sent": 1}
    assert_no_secret(told)


async def test_a_withheld_mail_goes_the_same_way_and_is_not_sent(
    sender: Sender, server: SmtpServer
) -> None:
    await sender.outbox.put(mail(withheld=True))
    await sender.turn()
    assert await sender.is_empty()
    assert server.mails == []
    assert server.commands == {"EHLO": 1, "NOOP": 4, "QUIT": 1}
    assert sender.counted() == {"withheld": 1}


async def test_a_mail_whose_key_is_gone_is_dead(
    sqlite_url: str, sender: Sender, server: SmtpServer, told: pytest.LogCaptureFixture
) -> None:
    database = Database.open(sqlite_url)
    await OutboxStore(database, Sealer(["x" * 32], SEALED_AS)).put(mail())
    await database.close()
    await sender.turn()
    assert await sender.is_empty()
    assert server.mails == []
    assert sender.counted() == {"unreadable": 1}
    assert "<0@facility.example>" in told.text


async def test_a_code_leaves_at_once_and_others_follow_on_its_connection(
    sender: Sender, server: SmtpServer
) -> None:
    """A look every second would be too seldom for somebody who waits for a code."""
    sender.now = time.time()
    background = asyncio.create_task(Worker(mail_jobs(sender.delivery), sender.metrics).run())
    took = []
    for number in range(5):
        began = time.perf_counter()
        await sender.outbox.put(mail(number, at=sender.now))
        await server.next_mail()
        took.append(time.perf_counter() - began)
    background.cancel()
    await asyncio.wait({background})
    await sender.delivery.finish(5)
    # Who only looks once a second has just looked when the one before arrives.
    assert min(took[1:]) < module.POLL / 4
    assert server.connections == 1


async def test_a_mail_of_another_process_is_found_within_a_second(
    sqlite_url: str, sender: Sender, server: SmtpServer
) -> None:
    sender.now = time.time()
    background = asyncio.create_task(Worker(mail_jobs(sender.delivery), sender.metrics).run())
    async with opened(sqlite_url, server.url) as other:
        await other.outbox.put(mail(at=sender.now))
    assert (await server.next_mail()).code == CODE
    background.cancel()
    await asyncio.wait({background})
    await sender.delivery.finish(5)


async def test_a_slow_mail_does_not_hold_up_the_others(sender: Sender, server: SmtpServer) -> None:
    server.held[BOB] = asyncio.Event()
    await sender.outbox.put(mail(0, to=BOB))
    for number in range(1, 3 * LANES):
        await sender.outbox.put(mail(number))
    background = asyncio.create_task(Worker(mail_jobs(sender.delivery), sender.metrics).run())
    for _ in range(1, 3 * LANES):
        assert (await server.next_mail()).recipients == [ANNA]
    assert server.connections <= LANES
    server.held[BOB].set()
    assert (await server.next_mail()).recipients == [BOB]
    background.cancel()
    await asyncio.wait({background})
    await sender.delivery.finish(5)
    assert await sender.is_empty()


# --- a server that does not take it -----------------------------------------------------------


async def test_a_server_that_is_down_for_ten_minutes_delays_and_loses_nothing_of_use(
    sqlite_url: str, told: pytest.LogCaptureFixture
) -> None:
    port = quiet_port()
    async with opened(sqlite_url, f"smtp://127.0.0.1:{port}") as sender:
        await sender.outbox.put(mail(1))
        await sender.outbox.put(mail(2, life=DAY))
        while sender.now < NOW + 5 * MINUTES:
            await sender.turn(15)
        await sender.outbox.put(mail(3, at=sender.now))
        while sender.now < NOW + 10 * MINUTES:
            await sender.turn(15)
        assert sender.counted("notification").keys() == {"deferred"}
        async with running_smtp_server(port=port) as server:
            while sender.now < NOW + 16 * MINUTES:
                await sender.turn(15)
        # The first code was dead when the server came back, and is not sent any more.
        assert sorted(message_ids(server.mails)) == ["<2@facility.example>", "<3@facility.example>"]
        assert await sender.is_empty()
        assert sender.counted()["expired"] == 1
    assert told.text.count("mails have to wait") == 1
    assert told.text.count("mails go out again") == 1
    assert_no_secret(told)


@pytest.mark.parametrize(
    "answer", ["451 4.7.1 greylisted", "421 4.3.2 come back later", "450 mailbox busy"]
)
async def test_a_recipient_that_is_refused_for_now_is_tried_again(
    sender: Sender, server: SmtpServer, answer: str
) -> None:
    server.answers[ANNA] = answer
    await sender.outbox.put(mail())
    await sender.turn()
    server.answers.clear()
    await sender.turn(module.RETRY_FIRST - 0.01)
    assert server.mails == []
    await sender.turn(0.01)
    assert message_ids(server.mails) == ["<0@facility.example>"]
    assert sender.counted() == {"deferred": 1, "sent": 1}


@pytest.mark.parametrize(
    ("recipient", "content"),
    [
        pytest.param("550 5.1.1 no such user anna@visitor.example", None, id="the recipient"),
        pytest.param(None, "554 5.7.1 spam to anna@visitor.example, 048215", id="the content"),
    ],
)
async def test_a_mail_that_is_refused_for_good_is_dead_at_once(
    sender: Sender,
    server: SmtpServer,
    told: pytest.LogCaptureFixture,
    recipient: str | None,
    content: str | None,
) -> None:
    server.answers = {ANNA: recipient} if recipient else {}
    server.data_answers = [content] if content else []
    await sender.outbox.put(mail())
    await sender.turn()
    assert await sender.is_empty()
    assert sender.counted() == {"refused": 1}
    assert "<0@facility.example>" in told.text
    assert f"({(recipient or content or '')[:3]})" in told.text
    assert_no_secret(told)


async def test_a_connection_that_breaks_within_the_content_costs_a_second_try(
    sqlite_url: str, told: pytest.LogCaptureFixture
) -> None:
    async with (
        dropping_server() as (port, received),
        opened(sqlite_url, f"smtp://127.0.0.1:{port}") as sender,
    ):
        await sender.outbox.put(mail())
        await sender.turn()
        assert received == [b"DATA\r\n"]
        assert sender.counted() == {"deferred": 1}
        async with running_smtp_server() as server:
            other = Sender(sender.outbox, Mailer(server.url, FROM), now=NOW + 2)
            await other.turn()
        assert message_ids(server.mails) == ["<0@facility.example>"]
    assert_no_secret(told)


@asynccontextmanager
async def dropping_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A mail server that hangs up when the content begins; its port, and what it was last told."""
    last: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        while line := await reader.readline():
            last[:] = [line]
            if line == b"DATA\r\n":
                writer.write(b"354 go on\r\n")
                await reader.read(1)
                break
            writer.write(b"250 OK\r\n")
        writer.transport.abort()

    listener = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], last


async def test_a_mail_whose_answer_was_lost_comes_again_as_the_same_mail(
    sender: Sender, server: SmtpServer
) -> None:
    server.data_answers = [None]
    await sender.outbox.put(mail())
    await sender.turn()
    await sender.turn(module.RETRY_FIRST)
    first, second = server.mails
    assert first.content == second.content
    assert await sender.is_empty()


async def test_a_server_that_says_nothing_is_tried_again(sqlite_url: str) -> None:
    async with running_smtp_server() as server:
        server.held[ANNA] = asyncio.Event()
        async with opened(sqlite_url, server.url, timeout=0.05, patience=0.1) as sender:
            await sender.outbox.put(mail())
            await sender.turn()
            assert sender.counted() == {"deferred": 1}
            server.held.clear()
            await sender.turn(module.RETRY_FIRST)
            assert await sender.is_empty()


async def test_a_dead_code_is_not_sent(
    sender: Sender, server: SmtpServer, told: pytest.LogCaptureFixture
) -> None:
    await sender.outbox.put(mail(1))
    await sender.outbox.put(mail(2, life=DAY))
    await sender.turn(600)
    assert message_ids(server.mails) == ["<2@facility.example>"]
    await sender.delivery.measure()
    assert await sender.is_empty()
    assert sender.counted() == {"expired": 1}
    assert "not sent in time" in told.text


# --- a sender that dies -----------------------------------------------------------------------


async def test_a_sender_that_is_killed_before_it_has_marked_sends_at_most_once_more(
    database_url: str, server: SmtpServer
) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=deliver, args=(database_url, KEY, server.url, FROM)
    )
    # At the last moment: the server has the mail, and has not said so yet.
    server.on_mail = lambda _: process.kill()
    async with opened(database_url, server.url) as sender:
        sender.now = time.time()
        await sender.outbox.put(mail(at=sender.now, life=DAY))
        process.start()
        first = await server.next_mail(30)
        await asyncio.to_thread(process.join, 10)
        assert process.exitcode == -9
        server.on_mail = lambda _: None
        await sender.turn(10)
        assert server.mails == []
        await sender.turn(120)
        second = await server.next_mail()
        assert second.message["Message-ID"] == first.message["Message-ID"]
        assert second.content == first.content
        for _ in range(3):
            await sender.turn(1000)
        assert server.mails == []
        assert await sender.is_empty()


async def test_two_senders_at_once_send_each_mail_once(
    database_url: str, server: SmtpServer
) -> None:
    async with opened(database_url, server.url) as one, opened(database_url, server.url) as two:
        for number in range(40):
            await one.outbox.put(mail(number))
        workers = [
            asyncio.create_task(Worker(mail_jobs(each.delivery), each.metrics).run())
            for each in (one, two)
        ]
        # Otherwise its first look would be when the other one is done.
        two.outbox.added.set()
        async with asyncio.timeout(20):
            while not await one.is_empty():
                await asyncio.wait(workers, timeout=0.02)
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        for each in (one, two):
            await each.delivery.finish(5)
    expected = {f"<{number}@facility.example>": 1 for number in range(40)}
    assert Counter(message_ids(server.mails)) == expected
    assert one.counted()["sent"] + two.counted()["sent"] == 40, "both had their share"


async def test_a_sender_that_ends_lets_go_of_what_takes_too_long(
    sender: Sender, server: SmtpServer
) -> None:
    server.held[ANNA] = asyncio.Event()
    await sender.outbox.put(mail())
    sender.outbox.added.set()
    await sender.delivery.step()
    await sender.delivery.finish(0.05)
    assert server.mails == []
    assert not await sender.is_empty()
    server.held.clear()
    await sender.turn(200)
    assert len(server.mails) == 1


class Forgetful(OutboxStore):
    """An outbox whose database goes down at the worst moment."""

    failures = 0

    async def remove(self, mail: ClaimedMail) -> bool:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("database")
        return await super().remove(mail)


async def test_a_mail_that_was_sent_is_remembered_while_the_database_is_down(
    sqlite_url: str, server: SmtpServer
) -> None:
    database = Database.open(sqlite_url)
    outbox = Forgetful(database, Sealer([KEY], SEALED_AS))
    sender = Sender(outbox, Mailer(server.url, FROM))
    outbox.failures = 2
    await outbox.put(mail())
    for _ in range(2):
        await sender.turn(200)
        assert not await sender.is_empty()
    await sender.turn(150)
    assert await sender.is_empty()
    assert len(server.mails) == 1
    await database.close()


# --- what is told of it -----------------------------------------------------------------------


async def test_the_gauges_tell_how_much_waits_and_for_how_long(sender: Sender) -> None:
    def gauges() -> tuple[float | None, float | None]:
        value = sender.metrics.registry.get_sample_value
        pending = value("portal_outbox_pending_messages")
        return pending, value("portal_outbox_oldest_age_seconds")

    await sender.delivery.measure()
    assert gauges() == (0, 0)
    await sender.outbox.put(mail(1, at=NOW + 10))
    await sender.outbox.put(mail(2, at=NOW + 20))
    sender.now = NOW + 25
    await sender.delivery.measure()
    assert gauges() == (2, 15)
    await sender.turn()
    await sender.delivery.measure()
    assert gauges() == (0, 0)


@pytest.mark.parametrize(
    ("attempt", "life", "chance", "seconds"),
    [
        pytest.param(1, DAY, 1.0, 2, id="first"),
        pytest.param(1, DAY, 0.0, 1, id="first, at the earliest"),
        pytest.param(4, DAY, 1.0, 16, id="twice as long each time"),
        pytest.param(9, DAY, 1.0, 300, id="bounded"),
        pytest.param(9, DAY, 0.5, 225, id="bounded, and spread"),
        pytest.param(100_000, DAY, 1.0, 300, id="after very many"),
        pytest.param(6, 600, 1.0, 30, id="a code has less time"),
    ],
)
def test_the_pause_before_another_try(
    attempt: int, life: float, chance: float, seconds: float
) -> None:
    claimed = ClaimedMail(1, attempt, MailKind.CODE, LINK_ID, "<1@x>", "", NOW, NOW + life)
    assert pause(claimed, chance) == seconds
