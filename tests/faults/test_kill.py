"""kill -9 at any moment: what was answered is in the access log, once, and counted, once.

A real process on one folder is killed again and again under load. The backend answers with the
request as it came, so a client learns the `X-Request-Id` that its request is entered under.
"""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from tests.echo_backend import EchoBackend
from tests.flow.doors import path
from tests.gateway_process import GatewayProcess, ServedPortal, served_portal
from tests.portal import Visitor

SEED = 20_261_123
LIVES = 20
CLIENTS = 6
_REQUEST_ID = re.compile(rb"^X-Request-Id: (\w+)\r$", re.MULTILINE)


@dataclass
class Load:
    """Clients that ask as long as there is somebody to answer, and remember what they were told."""

    portal: ServedPortal
    link: dict[str, Any]
    answered: dict[str, str] = field(default_factory=dict)  # request id: action
    is_up: asyncio.Event = field(default_factory=asyncio.Event)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def client(self, seed: int) -> None:
        """One visitor, for ever: opens the link, looks at it, comments on it."""
        rng, visitor = random.Random(seed), self.portal.visitor()
        while True:
            await self.is_up.wait()
            try:
                await self._ask(visitor, rng)
            except (ClientError, ConnectionError):
                # Killed in the middle; nobody was told anything. Let the killer have its turn.
                await asyncio.sleep(0)

    async def _ask(self, visitor: Visitor, rng: random.Random) -> None:
        if not visitor.cookies:
            answer, action = await visitor.get(path(self.link)), "view"
        elif rng.random() < 0.3:
            answer = await visitor.post("/workorders/42/comments", b"hello")
            action = "comment"
        else:
            answer, action = await visitor.get("/workorders/42"), "view"
        assert answer.status == 200, answer
        found = _REQUEST_ID.search(answer.body)
        assert found is not None
        self.answered[found[1].decode()] = action
        async with self.progress:
            self.progress.notify_all()

    async def more(self, count: int) -> None:
        """Return once `count` more requests were answered."""
        goal = len(self.answered) + count
        async with asyncio.timeout(30), self.progress:
            await self.progress.wait_for(lambda: len(self.answered) >= goal)


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_kill_9_loses_and_repeats_nothing_that_was_answered(
    tmp_path: Path, backend: EchoBackend
) -> None:
    rng = random.Random(SEED)
    gateway = GatewayProcess(tmp_path, backend.origin, LOG_LEVEL="warning")
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        load = Load(portal, await portal.link(permissions={"can_add_comments": True}))
        clients = [asyncio.create_task(load.client(seed)) for seed in range(CLIENTS)]
        for life in range(LIVES):
            if life:
                await gateway.start()
            load.is_up.set()
            # From "it has just begun to adopt what the last one left" to a full journal.
            await load.more(rng.choice((0, 1, rng.randrange(2, 20), rng.randrange(20, 150))))
            await gateway.kill()
            load.is_up.clear()
        await gateway.start()
        load.is_up.set()
        await load.more(CLIENTS)
        for client in clients:
            client.cancel()
        over = await asyncio.gather(*clients, return_exceptions=True)
        assert {type(each) for each in over} == {asyncio.CancelledError}
        await _journals_adopted(tmp_path)
        gateway.terminate()
        assert await gateway.ended() == 0
        assert "Traceback" not in gateway.stderr
    _assert_all_entered_once(tmp_path, load, backend)


async def _journals_adopted(folder: Path) -> None:
    """Return once no dead process's journal is left."""
    async with asyncio.timeout(20):
        while len(list((folder / "data" / "journal").iterdir())) > 1:
            await asyncio.sleep(0.02)


def _assert_all_entered_once(folder: Path, load: Load, backend: EchoBackend) -> None:
    database = sqlite3.connect(folder / "portal.db")
    rows = database.execute("SELECT request_id, action, reason, visitor FROM access_log").fetchall()
    usage = database.execute("SELECT total_views, unique_visitors FROM link_usage").fetchall()
    database.close()
    entered = {row[0]: row[1] for row in rows}
    assert Counter(row[0] for row in rows).most_common(1)[0][1] == 1
    assert load.answered.items() <= entered.items()
    assert len(load.answered) > LIVES * CLIENTS
    # What the backend was asked to do is entered, too, though nobody was told how it ended.
    reached = {each.one(b"X-Request-Id").decode() for each in backend.requests}  # type: ignore[union-attr]
    assert reached <= entered.keys()
    assert {row[2] for row in rows} == {"ok"}
    views = [row for row in rows if row[1] == "view"]
    visitors = {row[3] for row in rows}
    assert usage == [(len(views), len(visitors))]
    assert len(visitors) >= CLIENTS
