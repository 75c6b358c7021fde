"""Uses: never more sessions than a link has uses, and nothing but a `POST` spends one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.store.database import Database
from tests.flow.doors import gate, path, reasons, restricted, session_name
from tests.portal import LINKS, Portal, running_portal
from tests.postgres_server import PostgresServer

CROWD = 200
USES = 7


async def spent(portal: Portal, link: dict[str, Any]) -> int:
    _, answer = await portal.call("GET", f"{LINKS}/{link['_id']}")
    uses: int = answer["data"]["usage_stats"]["uses"]
    return uses


async def test_never_more_sessions_than_uses(tmp_path: Path, database_url: str) -> None:
    async with running_portal(tmp_path, database_url=database_url) as portal:
        link = await portal.link(**restricted(max_uses=USES))
        crowd = [portal.visitor() for _ in range(CROWD)]
        answers = await asyncio.gather(*(each.post(gate(link, "open")) for each in crowd))
        assert reasons(answers) == {"ok": USES, "exhausted": CROWD - USES}
        admitted = [each for each in crowd if session_name(link) in each.cookies]
        assert len(admitted) == USES
        assert await spent(portal, link) == USES
        # Whoever is in stays in; whoever comes later does not get in.
        served = await asyncio.gather(*(each.get("/workorders/42") for each in admitted))
        assert reasons(served) == {"ok": USES}
        assert (await portal.visitor().get(path(link))).reason == "exhausted"
        _, told = await portal.call("GET", f"{LINKS}/{link['_id']}")
        assert told["data"]["status"] == "exhausted"


async def test_one_use_for_one_cookie(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=2))
    visitor = portal.visitor()
    for _ in range(3):
        assert (await visitor.post(gate(link, "open"))).status == 200
        assert (await visitor.get(path(link))).status == 200
        assert (await visitor.get("/workorders/42")).status == 200
    assert await spent(portal, link) == 1


async def test_a_session_lives_on_after_the_last_use(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=1))
    visitor = portal.visitor()
    await visitor.post(gate(link, "open"))
    assert (await portal.visitor().post(gate(link, "open"))).reason == "exhausted"
    for target in ("/workorders/42", path(link)):
        assert (await visitor.get(target)).status == 200


SCANNERS = [
    pytest.param("GET", {}, id="a GET"),
    pytest.param("HEAD", {}, id="a HEAD"),
    pytest.param("OPTIONS", {}, id="OPTIONS"),
    pytest.param("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}, id="a navigation"),
    pytest.param("GET", {"Sec-Purpose": "prefetch"}, id="a prefetch"),
    pytest.param("GET", {"Sec-Purpose": "prefetch;prerender"}, id="a prerender"),
    pytest.param("GET", {"Purpose": "prefetch"}, id="an old prefetch"),
    pytest.param("GET", {"User-Agent": "Slackbot-LinkExpanding 1.0"}, id="a previewer"),
    pytest.param("GET", {"User-Agent": "facebookexternalhit/1.1"}, id="another"),
    pytest.param("GET", {"User-Agent": "Microsoft Office/16.0"}, id="a mail program"),
]


@pytest.mark.parametrize(("method", "headers"), SCANNERS)
async def test_who_only_looks_spends_nothing_and_sees_nothing(
    portal: Portal, method: str, headers: dict[str, str]
) -> None:
    link = await portal.link(**restricted(max_uses=1))
    visitor = portal.visitor()
    visitor.headers = headers
    for below in ("", "/comments", "/files/plan.pdf"):
        answer = await visitor.ask(method, path(link, below))
        wanted = {"confirm_required"} if method != "OPTIONS" else {"confirm_required", "no_route"}
        assert answer.reason in wanted
    for name in ("open", "password"):
        assert (await visitor.ask(method, gate(link, name))).status in {303, 404}
    assert visitor.cookies == {}
    assert portal.backend.requests == []
    assert await spent(portal, link) == 0


async def test_other_posts_spend_nothing(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=1))
    for below in ("/comments", "/-/password", "/-/email", "/-/code", "/-/leave"):
        await portal.visitor().post(path(link, below))
    await portal.visitor(Origin="https://evil.example").post(gate(link, "open"))
    assert portal.backend.requests == []
    assert await spent(portal, link) == 0


async def test_regenerating_starts_the_count_anew(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=1))
    visitor = portal.visitor()
    await visitor.post(gate(link, "open"))
    anew = await portal.act(link, "regenerate")
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    assert await spent(portal, link) == 0
    assert (await visitor.post(gate(anew, "open"))).status == 200


async def test_more_uses_let_more_in(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=1))
    first = portal.visitor()
    await first.post(gate(link, "open"))
    assert (await portal.visitor().post(gate(link, "open"))).reason == "exhausted"
    await portal.change(link, **restricted(max_uses=2))
    assert (await portal.visitor().post(gate(link, "open"))).status == 200
    assert (await portal.visitor().post(gate(link, "open"))).reason == "exhausted"
    assert (await first.get("/workorders/42")).status == 200


async def test_without_the_database_no_use_is_spent(
    tmp_path: Path,
    own_postgres_server: PostgresServer,
) -> None:
    server = own_postgres_server
    name = await server.create_database()
    url = server.url(name)
    await migrated(url)
    async with running_portal(tmp_path, database_url=url) as portal:
        limited = await portal.link(**restricted(max_uses=5))
        unlimited = await portal.link(workorder="43")
        inside, outside = portal.visitor(), portal.visitor()
        await inside.post(gate(limited, "open"))
        await outside.get(path(unlimited), navigate=True)
        assert (await outside.get(path(limited))).reason == "confirm_required"
        await portal.settled()
        server.stop()
        refused = await outside.post(gate(limited, "open"))
        assert (refused.status, refused.reason) == (503, "store_unavailable")
        assert "Retry-After" in refused.headers
        assert session_name(limited) not in outside.cookies
        # Sessions that are open, and links without a limit, go on.
        assert (await inside.get("/workorders/42")).status == 200
        assert (await portal.visitor().get(path(unlimited))).status == 200
        server.start()
        opened = []

        async def opens() -> bool:
            opened.append(await outside.post(gate(limited, "open")))
            return opened[-1].status == 200

        async with asyncio.timeout(10):
            while not await opens():
                assert opened[-1].reason == "store_unavailable"
        assert await spent(portal, limited) == 2


async def migrated(url: str) -> None:
    database = Database.open(url)
    await database.migrate()
    await database.close()
