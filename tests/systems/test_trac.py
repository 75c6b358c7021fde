"""One ticket of Trac through a link, with nothing but config/examples/trac.toml."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, DummyCookieJar

from config.load import load_settings
from gateway.app import running
from tests.chromium import Person, new_person, running_chromium
from tests.portal import ADMIN_KEY, LINKS, Answer, Visitor, free_port
from tests.systems.trac_server import ACCOUNT, PASSWORD, ROOT, Trac, running_trac

pytestmark = [
    pytest.mark.systems,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

PERMISSIONS = {
    "can_add_comments": True,
    "can_upload_files": True,
    "can_approve_reject": True,
}


@pytest.fixture(scope="module")
def trac(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trac]:
    with running_trac(tmp_path_factory.mktemp("trac")) as trac:
        yield trac


@dataclass
class TracPortal:
    """The gateway before Trac, and a link to the first ticket that permits all there is."""

    origin: str
    link: str
    http: ClientSession

    def visitor(self) -> Visitor:
        """Somebody new, who opens no page by themselves."""
        return Visitor(self.http, self.origin)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(trac: Trac, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TracPortal]:
    """The gateway with the example's settings; the environment says where things are."""
    tmp_path = tmp_path_factory.mktemp("portal")
    origin = f"http://127.0.0.1:{free_port()}"
    cookie = tmp_path / "trac_cookie"
    cookie.write_text(f"trac_auth={trac.login}\n")
    settings = load_settings(
        ROOT / "config" / "examples" / "trac.toml",
        {
            "PORTAL_PUBLIC_URL": origin,
            "PORTAL_LISTEN": origin.removeprefix("http://"),
            "PORTAL_ADMIN_LISTEN": "127.0.0.1:0",
            "PORTAL_ADMIN_KEY": ADMIN_KEY,
            "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path / 'portal.db'}",
            "PORTAL_DATA_DIR": str(tmp_path / "data"),
            "PORTAL_UPSTREAM__URL": trac.url,
            "PORTAL_UPSTREAM__HEADERS__COOKIE_FILE": str(cookie),
        },
    )
    async with (
        ClientSession(cookie_jar=DummyCookieJar()) as http,
        running(settings) as process,
    ):
        link = await _make_link(http, process.admin_url)
        yield TracPortal(origin, link, http)


async def _make_link(http: ClientSession, admin: str) -> str:
    body: dict[str, Any] = {"workorder": "1", "permissions": PERMISSIONS}
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with http.post(admin + LINKS, json=body, headers=headers) as response:
        assert response.status == 201, await response.text()
        url: str = (await response.json())["data"]["full_url"]
        return url


async def arrive(portal: TracPortal) -> tuple[Visitor, Answer]:
    """Open the link, follow it to the ticket, as a browser does but by hand."""
    visitor = portal.visitor()
    sent_on = await visitor.get(portal.link, navigate=True)
    assert sent_on.headers["Location"] == "/ticket/1"
    answer = await visitor.get("/ticket/1", navigate=True)
    assert answer.status == 200, answer
    return visitor, answer


@pytest_asyncio.fixture(loop_scope="module")
async def person() -> AsyncIterator[Person]:
    """Somebody before a browser."""
    async with running_chromium() as browser:
        yield await new_person(browser)


@pytest.mark.browser
async def test_the_ticket_is_shown_with_its_styles_and_pictures(
    portal: TracPortal, trac: Trac, person: Person
) -> None:
    answers: list[tuple[int, str]] = []
    person.context.on("response", lambda r: answers.append((r.status, r.url)))
    response = await person.open(portal.link)
    assert (response.status, person.page.url) == (200, f"{portal.origin}/ticket/1")
    summary = person.page.locator("#trac-ticket-title .summary")
    assert await summary.inner_text() == "Boiler 2 loses pressure"
    await _is_styled(person)
    await _pictures_are_loaded(person)
    assert "Come on Thursday, please." in await person.page.locator("#changelog").inner_text()
    await person.picture("trac-ticket")
    await _attachment_opens(person, portal)
    assert [answer for answer in answers if answer[0] >= 400] == []
    await person.check(portal.origin)
    assert person.asked_with_token == [portal.link]
    await _nothing_of_the_account_is_kept(person, trac)


async def _is_styled(person: Person) -> None:
    assert await person.colour("#ticketbox") == "rgb(255, 255, 221)"
    assert await person.page.evaluate("typeof jQuery") == "function"


async def _pictures_are_loaded(person: Person) -> None:
    pictures = await person.page.evaluate(
        "Array.from(document.images, image => [new URL(image.src).pathname, image.naturalWidth])"
    )
    assert ["/raw-attachment/ticket/1/photo.png", 48] in pictures
    assert ["/chrome/common/trac_banner.png", 0] not in pictures
    assert len(pictures) >= 3
    assert [path for path, width in pictures if width == 0] == []


async def _attachment_opens(person: Person, portal: TracPortal) -> None:
    await person.page.get_by_role("link", name="Attachments").click()
    await person.page.locator("#attachments a[href='/attachment/ticket/1/photo.png']").first.click()
    await person.page.wait_for_url(f"{portal.origin}/attachment/ticket/1/photo.png")
    await _pictures_are_loaded(person)


async def _nothing_of_the_account_is_kept(person: Person, trac: Trac) -> None:
    cookies = await person.context.cookies()
    assert cookies != []
    assert all(cookie["name"].startswith("portal_") for cookie in cookies)
    received = [await request.all_headers() for request in person.requests]
    told = f"{cookies} {received} {await person.page.content()}"
    assert not any(secret in told for secret in (PASSWORD, trac.basic, trac.login))


@pytest.mark.browser
async def test_the_links_on_the_page_that_lead_elsewhere_do_not_open(
    portal: TracPortal, person: Person
) -> None:
    await person.open(portal.link)
    paths = await person.page.evaluate(
        "Array.from(document.links).filter(a => a.origin === location.origin)"
        ".map(a => a.pathname + a.search)"
    )
    elsewhere = {path for path in paths if not _is_of_ticket_1(path)}
    assert {"/query", "/prefs", "/ticket/2"} <= {path.split("?")[0] for path in elsewhere}
    for path in elsewhere:
        response = await person.context.request.get(f"{portal.origin}{path}", max_redirects=0)
        assert response.headers["x-portal-reason"] in {"no_route", "not_permitted"}, path


def _is_of_ticket_1(path: str) -> bool:
    parts = path.split("?")[0].split("/")
    return parts[1:] == ["ticket", "1"] or parts[2:4] == ["ticket", "1"]


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        pytest.param("GET", "/ticket/2", "not_permitted", id="another ticket"),
        pytest.param("GET", "/ticket/2?format=csv", "not_permitted", id="another one as CSV"),
        pytest.param("GET", "/ticket/2?format=rss", "not_permitted", id="another one as RSS"),
        pytest.param("GET", "/ticket/%32", "not_permitted", id="another one, encoded"),
        pytest.param("GET", "/ticket/1/../2", "bad_request", id="another one, by dots"),
        pytest.param("GET", "/ticket/1;/2", "no_route", id="another one below this one"),
        pytest.param("GET", "/ticket/01", "not_permitted", id="this one in other words"),
        pytest.param(
            "GET", "/attachment/ticket/2/photo.png", "not_permitted", id="another one's attachment"
        ),
        pytest.param(
            "GET", "/raw-attachment/ticket/2/photo.png", "not_permitted", id="the same, raw"
        ),
        pytest.param("GET", "/raw-attachment/wiki/WikiStart/a", "no_route", id="a wiki's file"),
        pytest.param(
            "GET", "/zip-attachment/ticket/2/", "no_route", id="attachments as an archive"
        ),
        pytest.param("GET", "/attachment/ticket/1/?action=new", "no_route", id="the upload form"),
        pytest.param("GET", "/login?referer=/ticket/1", "no_route", id="login and back"),
        pytest.param("GET", "/login", "no_route", id="login"),
        pytest.param("GET", "/query", "no_route", id="the list"),
        pytest.param("GET", "/query?format=csv&id=2", "no_route", id="the list as CSV"),
        pytest.param("GET", "/report/1", "no_route", id="a report"),
        pytest.param("GET", "/search?q=Salaries", "no_route", id="the search"),
        pytest.param("GET", "/timeline?format=rss", "no_route", id="the timeline"),
        pytest.param("GET", "/newticket", "no_route", id="a new ticket"),
        pytest.param("GET", "/admin", "no_route", id="the administration"),
        pytest.param("GET", "/wiki", "no_route", id="the wiki"),
        pytest.param("GET", "/", "no_route", id="the front page"),
        pytest.param("POST", "/ticket/1", "no_route", id="a change"),
        pytest.param("POST", "/logout", "no_route", id="logout"),
        pytest.param("POST", "/login/xmlrpc", "no_route", id="the API of a plugin"),
        pytest.param("DELETE", "/ticket/1", "no_route", id="a deletion"),
    ],
)
async def test_what_does_not_open(portal: TracPortal, method: str, path: str, reason: str) -> None:
    visitor, _ = await arrive(portal)
    answer = await visitor.ask(method, path, headers={"Origin": portal.origin})
    assert answer.reason == reason
    assert b"Salaries" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/ticket/1?format=csv",
        "/ticket/1?id=2",
        "/ticket/1?id=2&format=tab",
        "/ticket/1?action=history",
        "/attachment/ticket/1/photo.png?path=2/photo.png&realm=ticket&id=2",
    ],
)
async def test_what_a_query_adds_is_still_this_ticket(portal: TracPortal, path: str) -> None:
    visitor, _ = await arrive(portal)
    answer = await visitor.get(path)
    assert answer.status == 200
    assert b"Boiler 2 loses pressure" in answer.body or b"Ticket #1" in answer.body
    assert b"Salaries" not in answer.body


@pytest.mark.parametrize("path", ["/ticket/1", "/raw-attachment/ticket/1/photo.png"])
async def test_the_account_stays_behind_the_gateway(
    portal: TracPortal, trac: Trac, path: str
) -> None:
    """Neither its password nor its login gets out, and nobody gets past it with their own."""
    visitor, _ = await arrive(portal)
    answer = await visitor.get(path, headers={"Authorization": "Basic eDp5"})
    assert answer.status == 200
    told = f"{dict(answer.headers)} {answer.body!r} {visitor.cookies}"
    assert not any(secret in told for secret in (PASSWORD, trac.basic, trac.login))
    assert all(name.startswith("portal_") for name in visitor.cookies)


async def test_a_visitors_own_login_at_trac_does_not_arrive(portal: TracPortal, trac: Trac) -> None:
    visitor, _ = await arrive(portal)
    visitor.cookies["trac_auth"] = "0" * 32
    answer = await visitor.get("/ticket/1")
    assert answer.status == 200
    assert f'<span class="trac-author-user">{ACCOUNT}</span>'.encode() in answer.body


async def test_without_the_gateway_nobody_sees_a_ticket(portal: TracPortal, trac: Trac) -> None:
    stranger = Visitor(portal.http, trac.url)
    assert (await stranger.get("/ticket/1")).status == 403
    answer = await portal.visitor().get("/ticket/1")
    assert answer.reason == "session_required"
