"""Two tenants' links in two tabs of one Chromium, before backends that know people by their cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession, DummyCookieJar
from playwright.async_api import Page

from tests.accounts_backend import Accounts, accounts
from tests.chromium import People
from tests.flow.doors import ROUTES, path
from tests.portal import Portal, running_portal

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# As the manual of Django has it, and most libraries: the first cookie of that name.
COMMENT = """async path => {
    const pair = document.cookie.split("; ").find(each => each.startsWith("csrftoken="));
    const headers = { "X-CSRFToken": pair ? pair.slice("csrftoken=".length) : "" };
    const answer = await fetch(path + "/comments", { method: "POST", headers });
    return `${answer.status} ${await answer.text()}`;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def backends() -> AsyncIterator[dict[str, Accounts]]:
    made = {"acme": await accounts("acme"), "globex": await accounts("globex")}
    yield made
    for each in made.values():
        await each.backend.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def portal(tmp_path: Path, backends: dict[str, Accounts]) -> AsyncIterator[Portal]:
    upstreams = {
        name: {
            "url": each.backend.origin,
            "routes": ROUTES,
            "readable_cookies": ["csrftoken"],
        }
        for name, each in backends.items()
    }
    async with running_portal(
        tmp_path, backend=backends["acme"].backend, upstreams=upstreams
    ) as portal:
        yield portal


async def test_two_tabs_used_in_turn(
    portal: Portal, backends: dict[str, Accounts], people: People
) -> None:
    person = await people()
    tabs: dict[str, tuple[Page, str]] = {}
    for name, workorder in (("acme", "42"), ("globex", "43")):
        link = await portal.link(company_namespace=[name], workorder=workorder)
        tab = await person.context.new_page()
        await tab.goto(portal.origin + path(link))
        assert tab.url == f"{portal.origin}/workorders/{workorder}"
        tabs[name] = (tab, f"/workorders/{workorder}")
    for count in range(2, 12):
        for name, (tab, below) in tabs.items():
            (sid,) = backends[name].visits
            assert await tab.evaluate(COMMENT, below) == f"200 {sid} {count}"
    held = await person.context.cookies()
    assert {each["name"] for each in held if not each["httpOnly"]} == {"csrftoken"}
    everything = "; ".join(f"{each['name']}={each['value']}" for each in held)
    async with ClientSession(cookie_jar=DummyCookieJar()) as http:
        for name, backend in backends.items():
            (sid,) = backend.visits
            url = backend.backend.origin + tabs[name][1]
            async with http.get(url, headers={"Cookie": everything}) as answer:
                assert sid not in await answer.text(), "the jar is worth nothing at the backend"
