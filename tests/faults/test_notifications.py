"""Whatever dies or refuses between a visitor's act and its owner, the owner is told, once."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.echo_backend import Conversation, EchoBackend, simple
from tests.faults.test_parts_down import limit_files
from tests.flow.doors import Link, admitted
from tests.gateway_process import GatewayProcess, ServedPortal, served_portal
from tests.portal import Visitor
from tests.webhook_receiver import Receiver, running_receiver

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


async def a_link(portal: ServedPortal) -> tuple[Link, Visitor]:
    """A link of the namespace acme, and somebody with a session on it."""
    link = await portal.link(
        company_namespace=["acme"],
        permissions={"can_add_comments": True, "can_upload_files": True},
    )
    return link, await admitted(portal, link)


def ask(folder: Path, statement: str) -> list[Any]:
    """The rows of a statement on the gateway's database; what it writes is committed."""
    database = sqlite3.connect(folder / "portal.db")
    with database:
        rows = database.execute(statement).fetchall()
    database.close()
    return rows


async def nothing_waits(folder: Path) -> None:
    """Return once no event and no webhook is left."""
    tables = ("notification_events", "webhook_deliveries")
    async with asyncio.timeout(15):
        while any(ask(folder, f"SELECT count(*) FROM {name}") != [(0,)] for name in tables):
            await asyncio.sleep(0.05)


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
