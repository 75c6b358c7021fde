"""A backend that knows people by its cookies, behind links: every cookie goes where it came from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import WSMsgType

from tests.accounts_backend import Accounts, accounts
from tests.flow.doors import (
    ROUTES,
    Link,
    admitted,
    gate,
    path,
    session_name,
    socket,
)
from tests.portal import Portal, Visitor, running_portal

# One gateway for most of the module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Site:
    portal: Portal
    acme: Accounts
    globex: Accounts

    async def link(self, tenant: str, workorder: str) -> Link:
        return await self.portal.link(company_namespace=[tenant], workorder=workorder)


@asynccontextmanager
async def site_before(
    folder: Path, acme: Accounts, globex: Accounts, **settings: Any
) -> AsyncIterator[Site]:
    """A gateway before the backends of two tenants."""
    table = {"routes": ROUTES, **settings.pop("table", {"readable_cookies": ["csrftoken"]})}
    async with running_portal(
        folder,
        backend=acme.backend,
        upstream={"url": "http://127.0.0.1:9", "routes": ROUTES},
        upstreams={
            "acme": {"url": acme.backend.origin, **table},
            "globex": {"url": globex.backend.origin, **table},
        },
        **settings,
    ) as portal:
        yield Site(portal, acme, globex)


@asynccontextmanager
async def running_site(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    acme, globex = await accounts("acme"), await accounts("globex")
    try:
        async with site_before(folder, acme, globex, **settings) as site:
            yield site
    finally:
        await acme.backend.stop()
        await globex.backend.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(tmp_path_factory.mktemp("portal")) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    shared.acme.more, shared.globex.more = [], []
    return shared


def sealed(visitor: Visitor, link: Link) -> dict[str, str]:
    """The sealed cookies of a link, by the backend's names."""
    start = f"portal_u_{link['_id']}_"
    return {
        name.removeprefix(start): value
        for name, value in visitor.cookies.items()
        if name.startswith(start)
    }


async def page(visitor: Visitor, workorder: str, below: str = "") -> tuple[str, int]:
    """Look at a work order: who the backend takes this visitor for, and how often it saw them."""
    answer = await visitor.get(f"/workorders/{workorder}{below}")
    assert answer.status == 200, answer
    sid, count = answer.body.decode().split()
    return sid, int(count)


async def test_a_login_by_cookie_lasts(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, count = await page(visitor, "42")
    assert count == 1
    assert await page(visitor, "42") == (sid, 2)
    assert await page(visitor, "42", "/history") == (sid, 3)
    assert site.acme.cookie() == f"sid={sid}; csrftoken={site.acme.tokens[sid]}"
    answer = await visitor.get(path(link))
    assert answer.body.decode() == f"{sid} 4", "the portal URL is the same session"


async def test_the_browser_holds_nothing_that_the_backend_takes(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    assert set(sealed(visitor, link)) == {"sid", "csrftoken"}
    assert sid not in str(visitor.cookies)
    # All of the jar, under every name that it could stand for.
    values = visitor.cookies | sealed(visitor, link)
    everything = "; ".join(f"{name}={value}" for name, value in values.items())
    url = site.acme.backend.origin + "/workorders/42"
    async with site.portal.http.get(url, headers={"Cookie": everything}) as response:
        found = (await response.text()).split()
    assert found[0] != sid
    assert found[1] == "1"


async def test_two_tenants_in_one_browser_used_in_turn(site: Site) -> None:
    links = {"acme": await site.link("acme", "42"), "globex": await site.link("globex", "43")}
    visitor = site.portal.visitor()
    for link in links.values():
        await visitor.get(path(link), navigate=True)
    acme, _ = await page(visitor, "42")
    globex, _ = await page(visitor, "43")
    for count in range(2, 12):
        assert await page(visitor, "42") == (acme, count)
        assert "globex" not in str(site.acme.cookie())
        assert await page(visitor, "43") == (globex, count)
        assert "acme" not in str(site.globex.cookie())
        assert site.globex.cookie() == f"sid={globex}; csrftoken={site.globex.tokens[globex]}"


async def test_two_links_to_one_backend_are_two_people(site: Site) -> None:
    first, second = await site.link("acme", "42"), await site.link("acme", "43")
    visitor = site.portal.visitor()
    for link in (first, second):
        await visitor.get(path(link), navigate=True)
    one, _ = await page(visitor, "42")
    two, _ = await page(visitor, "43")
    assert one != two
    for count in range(2, 5):
        assert await page(visitor, "42") == (one, count)
        assert await page(visitor, "43") == (two, count)


@pytest.mark.parametrize(
    ("tenant", "renamed"),
    [
        pytest.param("acme", "sid", id="to another link"),
        pytest.param("globex", "sid", id="to another tenant's backend"),
        pytest.param(None, "admin", id="to another name"),
    ],
)
async def test_a_copied_cookie_goes_nowhere(site: Site, tenant: str | None, renamed: str) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    value = sealed(visitor, link)["sid"]
    other, workorder = link, "42"
    if tenant is not None:
        other, workorder = await site.link(tenant, "44"), "44"
        await visitor.get(path(other), navigate=True)
    visitor.cookies[f"portal_u_{other['_id']}_{renamed}"] = value
    found, _ = await page(visitor, workorder)
    backend = site.globex if tenant == "globex" else site.acme
    assert (found == sid) is (tenant is None)
    assert "admin" not in str(backend.cookie())
    assert value not in str(backend.backend.last.head)


async def test_a_planted_cookie_does_not_stand_before_the_backends_own(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    visitor.cookies = {"sid": "planted", "SID": "planted", **visitor.cookies, "theme": "dark"}
    assert await page(visitor, "42") == (sid, 2)
    assert site.acme.cookie() == f"sid={sid}; csrftoken={site.acme.tokens[sid]}; theme=dark"


async def test_a_later_session_does_not_inherit(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    old = dict(visitor.cookies)
    del visitor.cookies[session_name(link)]
    opened = await visitor.get(path(link), navigate=True)
    for name in ("sid", "csrftoken"):
        assert opened.cookie_changes[f"portal_u_{link['_id']}_{name}"] is None
    visitor.cookies = {**old, session_name(link): visitor.cookies[session_name(link)]}
    assert (await page(visitor, "42"))[0] != sid
    assert await page(visitor, "42") != (sid, 2)


async def test_a_session_that_opens_takes_back_and_the_backend_sets_anew(site: Site) -> None:
    """Both in one answer: a program is served at the portal URL at once."""
    link = await site.link("acme", "42")
    visitor = site.portal.visitor()
    sid = (await visitor.get(path(link))).body.decode().split()[0]
    del visitor.cookies[session_name(link)]
    again = (await visitor.get(path(link))).body.decode().split()[0]
    assert again != sid
    assert await page(visitor, "42") == (again, 2)


async def test_leaving_takes_them_back(site: Site) -> None:
    link, other = await site.link("acme", "42"), await site.link("acme", "43")
    visitor = await admitted(site.portal, link)
    await visitor.get(path(other), navigate=True)
    await page(visitor, "42")
    await page(visitor, "43")
    left = await visitor.post(gate(link, "leave"), headers={"Origin": site.portal.origin})
    assert sealed(visitor, link) == {}
    dropped = [line for line in left.headers.getall("Set-Cookie") if line.startswith("csrftoken")]
    assert [line.split("; ")[:3] for line in dropped] == [
        ["csrftoken=", "Path=/", "Max-Age=0"],
        ["csrftoken=", "Path=/workorders/42", "Max-Age=0"],
    ]
    assert set(sealed(visitor, other)) == {"sid", "csrftoken"}


async def test_what_the_backend_takes_back_is_gone(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    site.acme.more = ["sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]
    assert await page(visitor, "42") == (sid, 2)
    assert set(sealed(visitor, link)) == {"csrftoken"}
    site.acme.more = []
    assert (await page(visitor, "42"))[0] != sid


async def test_paths_are_honoured(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    site.acme.more = ["h=1; Path=/workorders/42/history", "none=1", "all=1; Path=/workorders"]
    sid, _ = await page(visitor, "42")
    own = f"sid={sid}; csrftoken={site.acme.tokens[sid]}"
    site.acme.more = []
    await page(visitor, "42")
    assert site.acme.cookie() == f"none=1; all=1; {own}"
    await page(visitor, "42", "/history")
    assert site.acme.cookie() == f"h=1; none=1; all=1; {own}"


async def test_a_browser_never_gets_more_than_fits(site: Site) -> None:
    visitor = site.portal.visitor()
    links = {str(n): await site.link("acme", str(n)) for n in range(100, 108)}
    site.acme.more = [f"c{n}=" + "x" * 900 + "; Path=/" for n in range(30)]
    for link in links.values():
        await visitor.get(path(link), navigate=True)
    for workorder in [*links, *links]:
        await page(visitor, workorder)
    size = sum(len(name) + len(value) + 3 for name, value in visitor.cookies.items())
    assert 8000 < size < 16384 * 3 // 4 + 500


# ---- those that scripts read


async def test_a_copy_that_scripts_read(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    token = site.acme.tokens[sid]
    assert visitor.cookies["csrftoken"] == token
    headers = {"X-CSRFToken": token, "Origin": site.portal.origin}
    answer = await visitor.post("/workorders/42/comments", headers=headers)
    assert answer.status == 200, answer
    visitor.cookies["csrftoken"] = "planted"
    answer = await visitor.post(
        "/workorders/42/comments", headers={**headers, "X-CSRFToken": "planted"}
    )
    assert answer.status == 403
    assert site.acme.cookie() == f"sid={sid}; csrftoken={token}"


async def test_a_copy_goes_to_no_backend(site: Site) -> None:
    acme, globex = await site.link("acme", "42"), await site.link("globex", "43")
    visitor = await admitted(site.portal, acme)
    await page(visitor, "42")
    await visitor.get(path(globex), navigate=True)
    await page(visitor, "43")
    assert site.globex.cookie() is None


# ---- WebSockets


async def test_a_handshake_has_them_and_may_set_some(site: Site) -> None:
    link = await site.link("acme", "42")
    visitor = await admitted(site.portal, link)
    sid, _ = await page(visitor, "42")
    async with socket(site.portal, visitor, "/workorders/42/live") as opened:
        assert site.acme.cookie() == f"sid={sid}; csrftoken={site.acme.tokens[sid]}"
        await opened.send_str("hello")
        assert (await opened.receive()).type is WSMsgType.TEXT


# ---- keys, and the other settings


async def test_rotated_keys(tmp_path: Path) -> None:
    old, new = "o" * 32, "n" * 32
    acme, globex = await accounts("acme"), await accounts("globex")
    try:
        async with site_before(tmp_path, acme, globex, secret_keys=(old,)) as site:
            link = await site.link("acme", "42")
            visitor = await admitted(site.portal, link)
            sid, _ = await page(visitor, "42")
        async with site_before(tmp_path, acme, globex, secret_keys=(new, old)) as site:
            visitor.http, visitor.origin = site.portal.http, site.portal.origin
            assert await page(visitor, "42") == (sid, 2)
            assert await page(visitor, "42") == (sid, 3)
        async with site_before(tmp_path, acme, globex, secret_keys=(new,)) as site:
            visitor.http, visitor.origin = site.portal.http, site.portal.origin
            assert (await visitor.get("/workorders/42")).reason == "session_required"
    finally:
        await acme.backend.stop()
        await globex.backend.stop()


async def test_another_url_in_the_settings_is_another_backend(tmp_path: Path) -> None:
    acme, globex = await accounts("acme"), await accounts("globex")
    try:
        async with site_before(tmp_path, acme, globex) as site:
            visitor = await admitted(site.portal, await site.link("acme", "42"))
            await page(visitor, "42")
        async with site_before(tmp_path, globex, acme) as site:
            visitor.http, visitor.origin = site.portal.http, site.portal.origin
            sid, count = await page(visitor, "42")
            assert (sid[:6], count) == ("globex", 1)
    finally:
        await acme.backend.stop()
        await globex.backend.stop()


async def test_pass(tmp_path: Path) -> None:
    async with running_site(tmp_path, table={"cookies": "pass"}) as site:
        visitor = await admitted(site.portal, await site.link("acme", "42"))
        site.acme.more = ["portal_x=1", "__Host-portal_v=1; Secure; Path=/"]
        sid, _ = await page(visitor, "42")
        assert visitor.cookies["sid"] == sid
        assert not {"portal_x", "__Host-portal_v"} & visitor.cookies.keys()
        assert await page(visitor, "42") == (sid, 2)


async def test_drop(tmp_path: Path) -> None:
    async with running_site(tmp_path, table={"cookies": "drop"}) as site:
        link = await site.link("acme", "42")
        visitor = await admitted(site.portal, link)
        before = dict(visitor.cookies)
        await page(visitor, "42")
        assert visitor.cookies == before
        visitor.cookies["theme"] = "dark"
        await page(visitor, "42")
        assert site.acme.cookie() == "theme=dark"
