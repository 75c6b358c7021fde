"""Whatever dies or refuses between a visitor's act and its owner, the owner is told, once."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.echo_backend import Conversation, EchoBackend, simple
from tests.echo_backend import answer as raw_answer
from tests.faults.test_parts_down import limit_files
from tests.flow.doors import Link, admitted
from tests.gateway_process import GatewayProcess, ServedPortal, served_portal
from tests.portal import Visitor
from tests.redis_server import RedisServer
from tests.smtp_server import SmtpServer, running_smtp_server
from tests.webhook_receiver import Receiver, running_receiver

OWNERS = ("owner@acme.example", "other@acme.example")
COMMENTS, FILES = "/workorders/42/comments", "/workorders/42/files"


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with running_smtp_server() as server:
        yield server


def gateway_for(
    folder: Path, backend: EchoBackend, receiver: Receiver, **more: str
) -> GatewayProcess:
    return GatewayProcess(
        folder,
        backend.origin,
        NOTIFICATION_WEBHOOKS__ACME__URL=receiver.url,
        NOTIFICATION_WEBHOOKS__ACME__SECRET=receiver.secret,
        NOTIFICATION_WEBHOOKS__ACME__ALLOW_PRIVATE_ADDRESSES="true",
        **more,
    )


def told_by_mail(server: SmtpServer, gather: float) -> dict[str, str]:
    """The settings with which mails go to `server`, after `gather` seconds."""
    return {
        "SMTP_URL": server.url,
        "MAIL_FROM": "portal@example.com",
        "NOTIFICATIONS__GATHER": str(gather),
    }


async def a_link(portal: ServedPortal, *recipients: str) -> tuple[Link, Visitor]:
    """A link of the namespace acme, and somebody with a session on it."""
    link = await portal.link(
        company_namespace=["acme"],
        permissions={"can_add_comments": True, "can_upload_files": True},
        notification_settings={"notification_recipients": list(recipients)},
        metadata={"purpose": "for the electrician"},
    )
    return link, await admitted(portal, link)


def ask(folder: Path, statement: str) -> list[Any]:
    """The rows of a statement on the gateway's database; what it writes is committed."""
    database = sqlite3.connect(folder / "portal.db")
    with database:
        rows = database.execute(statement).fetchall()
    database.close()
    return rows


ALL_THAT_WAITS = ("notification_events", "webhook_deliveries", "outbox")


async def nothing_waits(folder: Path, *tables: str) -> None:
    """Return once no event, no webhook and no mail is left, or nothing in `tables`."""
    async with asyncio.timeout(15):
        for table in tables or ALL_THAT_WAITS:
            while ask(folder, f"SELECT count(*) FROM {table}") != [(0,)]:
                await asyncio.sleep(0.05)


async def test_an_upload_is_one_mail_to_each_recipient_and_one_webhook(
    tmp_path: Path, backend: EchoBackend, receiver: Receiver, server: SmtpServer
) -> None:
    """And so is each of a burst a webhook, and the burst one mail; nothing else is told."""
    gateway = gateway_for(tmp_path, backend, receiver, **told_by_mail(server, 2.0))
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        link, visitor = await a_link(portal, *OWNERS)
        assert (await visitor.get("/workorders/42")).status == 200
        assert (await visitor.post(FILES, b"text")).status == 200
        assert (await visitor.post(COMMENTS, b"text")).status == 200
        backend.behave = raw_answer(simple(b"", status="500 Oh"))
        assert (await visitor.post(FILES, b"text")).status == 500
        got = [await receiver.next_webhook(), await receiver.next_webhook()]
        assert server.mails == [], "mails gather"
        mails = [await server.next_mail(10), await server.next_mail(10)]
        await nothing_waits(tmp_path)
        gateway.terminate()
        assert await gateway.ended() == 0
    assert sorted(each.document["type"] for each in got) == [
        "portal.link.commented",
        "portal.link.file_uploaded",
    ]
    assert len({each.id for each in receiver.received}) == len(receiver.received) == 2
    assert sorted(mail.recipients for mail in mails) == sorted([each] for each in OWNERS)
    assert len({mail.message["Message-ID"] for mail in mails}) == 2
    for mail in mails:
        assert "Work order 42" in mail.message["Subject"]
        assert f"for the electrician ({link['_id']})" in mail.text
        assert "127.0.0.1" in mail.text
        assert link["link_token"] not in mail.content.decode()
    assert server.mails == []
    assert "Traceback" not in gateway.stderr
    assert "a-secret-in-the-path" not in gateway.stderr
    assert receiver.secret not in gateway.stderr


@pytest.mark.slow
async def test_two_workers_and_a_gateway_apart_tell_once(
    tmp_path: Path,
    backend: EchoBackend,
    receiver: Receiver,
    server: SmtpServer,
    postgres_url: str,
    redis_server: RedisServer,
) -> None:
    shared = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_server.url,
        "SECRET_KEYS": "k" * 32,
        **told_by_mail(server, 2.0),
    }

    def part(name: str, kind: str) -> GatewayProcess:
        folder = tmp_path / name
        folder.mkdir()
        return gateway_for(folder, backend, receiver, part=kind, **shared)

    gateway = part("gateway", "gateway")
    workers = [part("first", "worker"), part("second", "worker")]
    async with served_portal(gateway, backend) as portal, AsyncExitStack() as stack:
        for worker in workers:
            stack.push_async_callback(worker.close)
        await asyncio.gather(*(each.start() for each in (gateway, *workers)))
        visits = [await a_link(portal, OWNERS[0]) for _ in range(5)]
        for target in (FILES, COMMENTS, FILES):
            answers = await asyncio.gather(*(each.post(target, b"text") for _, each in visits))
            assert {answer.status for answer in answers} == {200}
        mails = [await server.next_mail(15) for _ in visits]
        for _ in range(3 * len(visits)):
            await receiver.next_webhook()
        for each in (gateway, *workers):
            each.terminate()
        assert [await each.ended() for each in (gateway, *workers)] == [0, 0, 0]
    assert server.mails == []
    assert {mail.message["List-Id"].partition(".")[0] for mail in mails} == {
        f"<{link['_id']}" for link, _ in visits
    }
    assert len({each.id for each in receiver.received}) == len(receiver.received) == 15
    assert not any("Traceback" in each.stderr for each in (gateway, *workers))


async def test_kill_9_between_sending_a_mail_and_marking_it_sends_it_once_more_at_most(
    tmp_path: Path, backend: EchoBackend, receiver: Receiver, server: SmtpServer
) -> None:
    gateway = gateway_for(tmp_path, backend, receiver, **told_by_mail(server, 0.1))
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        _, visitor = await a_link(portal, OWNERS[0])

        def kill(_: object) -> None:
            assert gateway.process is not None
            gateway.process.kill()

        server.on_mail = kill
        assert (await visitor.post(FILES, b"text")).status == 200
        first = await server.next_mail(10)
        await gateway.ended()
        server.on_mail = lambda _: None
        # What the claim of the dead one would last for is not waited for here.
        ask(tmp_path, "UPDATE outbox SET next_try_at = 0")
        ask(tmp_path, "UPDATE webhook_deliveries SET next_try_at = 0")
        await gateway.start()
        second = await server.next_mail(10)
        await nothing_waits(tmp_path)
    assert second.message["Message-ID"] == first.message["Message-ID"]
    assert second.content == first.content
    assert server.mails == []
    assert len({each.id for each in receiver.received}) == 1


async def test_kill_9_while_events_gather_loses_no_mail(
    tmp_path: Path, backend: EchoBackend, receiver: Receiver, server: SmtpServer
) -> None:
    gateway = gateway_for(tmp_path, backend, receiver, **told_by_mail(server, 3.0))
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        _, visitor = await a_link(portal, *OWNERS)
        assert (await visitor.post(FILES, b"text")).status == 200
        await receiver.next_webhook()
        await nothing_waits(tmp_path, "webhook_deliveries")
        await gateway.kill()
        await gateway.start()
        mails = [await server.next_mail(10), await server.next_mail(10)]
        await nothing_waits(tmp_path)
    assert sorted(mail.recipients for mail in mails) == sorted([each] for each in OWNERS)
    assert server.mails == []
    assert len({each.id for each in receiver.received}) == 1


async def test_kill_9_between_the_answer_and_the_drain_loses_nothing(
    tmp_path: Path, backend: EchoBackend, receiver: Receiver
) -> None:
    gateway = gateway_for(tmp_path, backend, receiver)
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        link, visitor = await a_link(portal)
        await portal.settled()
        assert (await visitor.post(FILES, b"text")).status == 200
        await gateway.kill()
        stored = ask(tmp_path, "SELECT action FROM access_log WHERE action = 'upload'")
        assert stored == [], "the drain was not to be that quick"
        await gateway.start()
        got = await receiver.next_webhook()
        assert got.document["type"] == "portal.link.file_uploaded"
        assert got.document["data"]["link_id"] == link["_id"]
        await nothing_waits(tmp_path)
        gateway.terminate()
        assert await gateway.ended() == 0
    assert len(receiver.received) == 1
    assert "Traceback" not in gateway.stderr


async def test_kill_9_while_a_webhook_is_sent_leads_to_the_same_id_again(
    tmp_path: Path, backend: EchoBackend, receiver: Receiver
) -> None:
    gateway = gateway_for(tmp_path, backend, receiver)
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        _, visitor = await a_link(portal)
        receiver.hangs = True
        assert (await visitor.post(FILES, b"text")).status == 200
        first = await receiver.next_webhook()
        await gateway.kill()
        receiver.hangs = False
        # What the claim of the dead one would last for is not waited for here.
        ask(tmp_path, "UPDATE webhook_deliveries SET next_try_at = 0")
        await gateway.start()
        second = await receiver.next_webhook()
        assert (second.id, second.document) == (first.id, first.document)
        await nothing_waits(tmp_path)
    assert len(receiver.received) == 2


async def test_a_disk_that_fills_up_does_not_deny_what_the_backend_has_done(
    tmp_path: Path, backend: EchoBackend, receiver: Receiver
) -> None:
    """A refusal would make the visitor send the comment twice."""
    gateway = gateway_for(tmp_path, backend, receiver)
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        _, visitor = await a_link(portal)

        async def fill_the_disk(talk: Conversation) -> None:
            await talk.read_body()
            limit_files(gateway.pid, 1)
            await talk.send(simple(b"done"))

        backend.behave = fill_the_disk
        answer = await visitor.post(COMMENTS, b"text")
        assert (answer.status, answer.body) == (200, b"done")
        limit_files(gateway.pid, resource.RLIM_INFINITY)
        assert 'portal_store_errors_total{store="journal"} 1.0' in await portal.metrics()
        await portal.settled()
        await nothing_waits(tmp_path)
    assert receiver.received == []
