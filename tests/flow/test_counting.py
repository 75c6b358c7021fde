"""What is counted and what is written down, as the link's owner reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.echo_backend import answer as raw_answer
from tests.echo_backend import echo
from tests.flow.doors import (
    PASSWORD,
    Link,
    admitted,
    ask_code,
    gate,
    path,
    restricted,
)
from tests.portal import LINKS, Portal, running_portal

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"
OK_WITHOUT_A_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(tmp_path_factory.mktemp("portal")) as portal:
        yield portal


@pytest.fixture
def portal(shared: Portal) -> Portal:
    """The gateway, before a backend that has seen nothing yet."""
    shared.backend.behave = echo
    shared.backend.requests.clear()
    return shared


async def stats(portal: Portal, link: Link) -> dict[str, Any]:
    await portal.settled()
    _, answer = await portal.call("GET", f"{LINKS}/{link['_id']}")
    found: dict[str, Any] = answer["data"]["usage_stats"]
    return found


async def counted(portal: Portal, link: Link) -> tuple[int, int]:
    """Views and unique visitors."""
    found = await stats(portal, link)
    return found["total_views"], found["unique_visitors"]


def told(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["action"], entry["reason"]) for entry in entries]


# ---- views and visitors


async def test_a_page_that_is_looked_at_is_one_view(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    assert await counted(portal, link) == (0, 0)
    await visitor.get("/workorders/42", navigate=True)
    assert await counted(portal, link) == (1, 1)
    await visitor.get("/workorders/42/comments")
    await visitor.get(path(link))
    assert await counted(portal, link) == (3, 1)
    another = await admitted(portal, link)
    await another.get("/workorders/42")
    assert await counted(portal, link) == (4, 2)
    assert told(await portal.log(link)) == [
        ("open", "ok"),
        ("view", "ok"),
        ("view", "ok"),
        ("view", "ok"),
        ("open", "ok"),
        ("view", "ok"),
    ]


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
)
SPEAKS = {"Accept-Language": "en"}


@pytest.mark.parametrize(
    ("method", "headers", "action", "is_marked"),
    [
        pytest.param("HEAD", {}, "view", False, id="HEAD"),
        pytest.param("GET", {"Sec-Purpose": "prefetch"}, "view", True, id="a prefetch"),
        pytest.param("GET", {"Sec-Purpose": "prefetch;prerender"}, "view", True, id="a prerender"),
        pytest.param("GET", {"Purpose": "prefetch"}, "view", True, id="an old prefetch"),
        pytest.param("GET", {"X-Moz": "prefetch"}, "view", True, id="Firefox's prefetch"),
        pytest.param("GET", {"X-Purpose": "preview"}, "view", True, id="Safari's preview"),
        pytest.param("GET", {"User-Agent": CHROME}, "view", True, id="a browser's name alone"),
        pytest.param("GET", {"User-Agent": "Googlebot/2.1"}, "view", True, id="a bot"),
        pytest.param("GET", {"User-Agent": "WhatsApp/2.24"}, "view", True, id="a previewer"),
        pytest.param("POST", {}, "comment", False, id="a comment"),
        pytest.param("POST", {"Sec-Purpose": "prefetch"}, "comment", False, id="no prefetch"),
        pytest.param("POST", {"User-Agent": CHROME}, "comment", False, id="a doubtful comment"),
    ],
)
async def test_what_is_no_view(
    portal: Portal, method: str, headers: dict[str, str], action: str, is_marked: bool
) -> None:
    portal.backend.behave = raw_answer(OK_WITHOUT_A_BODY)
    link = await portal.link()
    below = "/comments" if action == "comment" else ""
    visitor = portal.visitor()
    visitor.headers = headers
    answer = await visitor.ask(method, path(link, below))
    assert (answer.status, answer.reason) == (200, None)
    # Doubt costs nobody anything: a bot that says so is the only one without a session.
    is_named = headers.get("User-Agent") in {"Googlebot/2.1", "WhatsApp/2.24"}
    assert (visitor.cookies == {}) is is_named
    (entry,) = await portal.log(link)
    assert (entry["action"], entry["reason"], entry["bot"]) == (action, "ok", is_marked)
    found = await stats(portal, link)
    assert (found["total_views"], found["unique_visitors"]) == (0, 0)
    # Where nobody looked, the link was not accessed.
    assert ("last_accessed" in found) is not is_marked


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(SPEAKS, id="a language"),
        pytest.param({"Sec-Fetch-Mode": "cors"}, id="Fetch Metadata"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="another part of it"),
        pytest.param({"Sec-Fetch-Dest": "document"}, id="the third"),
    ],
)
async def test_a_browser_that_behaves_like_one_is_a_person(
    portal: Portal, headers: dict[str, str]
) -> None:
    link = await portal.link()
    visitor = portal.visitor()
    visitor.headers = {"User-Agent": CHROME} | headers
    await visitor.get(path(link))
    assert await counted(portal, link) == (1, 1)
    assert [entry["bot"] for entry in await portal.log(link)] == [False]


async def test_whom_nobody_believes_is_served_like_anybody(portal: Portal) -> None:
    """A scanner under a browser's name opens a session, looks around, and is never counted."""
    link = await portal.link()
    visitor = portal.visitor(User_Agent=CHROME)
    assert (await visitor.get(path(link))).status == 200
    assert (await visitor.get("/workorders/42/history")).status == 200
    assert await counted(portal, link) == (0, 0)
    # The person in whose mailbox it looked opens the link an hour later.
    person = portal.visitor(User_Agent=CHROME, Accept_Language="de")
    assert (await person.get(path(link))).status == 200
    assert await counted(portal, link) == (1, 1)
    assert [entry["bot"] for entry in await portal.log(link)] == [True, True, False]


@pytest.mark.parametrize("agent", ["", "curl/8.5.0", "python-requests/2.32", PHONE, "Cubot X20"])
async def test_a_library_is_no_bot(portal: Portal, agent: str) -> None:
    link = await portal.link()
    visitor = portal.visitor(User_Agent=agent)
    await visitor.get(path(link))
    assert await counted(portal, link) == (1, 1)
    (entry,) = await portal.log(link)
    assert (entry["user_agent"], entry["bot"]) == (agent, False)


async def test_refusals_are_no_views(portal: Portal) -> None:
    link = await portal.link(permissions={"can_view_history": False}, **restricted(max_uses=1))
    visitor = portal.visitor()
    await visitor.get(path(link))
    assert await counted(portal, link) == (0, 0)
    assert "last_accessed" not in await stats(portal, link)
    await visitor.post(gate(link, "open"))
    await visitor.get("/workorders/42/history")
    assert await counted(portal, link) == (0, 0)
    await visitor.get("/workorders/42")
    assert await counted(portal, link) == (1, 1)


async def test_one_person_with_two_browsers_is_one_visitor(portal: Portal) -> None:
    link = await portal.link(**restricted(require_email_verification=True))
    for address in ("ann@example.com", "ANN@Example.com", "bob@example.com"):
        visitor = portal.visitor()
        code = await ask_code(portal, visitor, link, address)
        await visitor.post(gate(link, "code"), {"code": code})
        await visitor.get("/workorders/42")
    assert await counted(portal, link) == (3, 2)


async def test_a_browser_is_the_same_visitor_in_its_next_session(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    await visitor.get("/workorders/42")
    await visitor.post(gate(link, "leave"))
    await visitor.get(path(link))
    assert await counted(portal, link) == (2, 1)
    # A visitor's id that we did not sign is none.
    visitor.cookies = {"portal_v": "me"}
    await visitor.get(path(link))
    assert await counted(portal, link) == (3, 2)


async def test_assets_are_not_entered(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    assert (await visitor.get("/static/style.css")).status == 200
    assert (await visitor.get("/static/../x")).reason == "bad_request"
    assert told(await portal.log(link)) == [("open", "ok")]


# ---- the access log


async def test_every_action_has_its_name(portal: Portal) -> None:
    link = await portal.link(
        permissions={"can_upload_files": True, "can_approve_reject": True},
        **restricted(password=PASSWORD, require_email_verification=True),
    )
    visitor = portal.visitor(User_Agent=PHONE)
    await visitor.get(path(link))
    await visitor.post(gate(link, "password"), {"password": "wrong"})
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    code = await ask_code(portal, visitor, link)
    await visitor.post(gate(link, "code"), {"code": code})
    for method, below in (
        ("GET", ""),
        ("GET", "/comments"),
        ("POST", "/comments"),
        ("GET", "/files/plan.pdf"),
        ("POST", "/files"),
        ("GET", "/history"),
        ("POST", "/approve"),
        ("POST", "/reject"),
        ("GET", "/nothing"),
    ):
        await visitor.ask(method, f"/workorders/42{below}")
    entries = await portal.log(link)
    assert told(entries) == [
        ("denied", "password_required"),
        ("password", "password_wrong"),
        ("password", "email_required"),
        ("email", "code_required"),
        ("code", "ok"),
        ("view", "ok"),
        ("view", "ok"),
        ("comment", "ok"),
        ("download", "ok"),
        ("upload", "ok"),
        ("history", "ok"),
        ("approve", "ok"),
        ("reject", "ok"),
        ("denied", "no_route"),
    ]
    ann = "ann@example.com"
    assert [entry.get("email") for entry in entries] == [None] * 4 + [ann] * 10
    assert {entry["visitor"] for entry in entries[4:]} == {ann}
    assert ann not in {entry["visitor"] for entry in entries[:4]}
    assert {entry["user_agent"] for entry in entries} == {PHONE}
    assert {entry["ip_address"] for entry in entries} == {"127.0.0.1"}
    assert len({entry["request_id"] for entry in entries}) == len(entries)
    sent = [request.one(b"X-Request-Id") for request in portal.backend.requests]
    assert sent == [entry["request_id"].encode() for entry in entries[5:13]]


async def test_open_and_view(portal: Portal) -> None:
    link = await portal.link()
    browser, program = portal.visitor(), portal.visitor()
    await browser.get(path(link), navigate=True)
    await browser.get("/workorders/42", navigate=True)
    await program.get(path(link))
    await browser.get(path(link), navigate=True)
    limited = await portal.link(**restricted(max_uses=1))
    await browser.post(gate(limited, "open"), navigate=True)
    assert told(await portal.log(link)) == [
        ("open", "ok"),
        ("view", "ok"),
        ("view", "ok"),
        ("open", "ok"),
    ]
    assert told(await portal.log(limited)) == [("open", "ok")]
    assert await counted(portal, link) == (2, 2)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"is_active": False}, "inactive", id="inactive"),
        pytest.param({"expiry_date": "2020-01-01T00:00:00Z"}, "expired", id="expired"),
        pytest.param(restricted(allowed_ips=["192.0.2.1"]), "ip_not_allowed", id="address"),
        pytest.param(restricted(max_uses=1), "confirm_required", id="a button"),
        pytest.param(
            restricted(require_email_verification=True), "email_required", id="a mail address"
        ),
    ],
)
async def test_refusals_are_entered(portal: Portal, fields: dict[str, Any], reason: str) -> None:
    link = await portal.link(**fields)
    await portal.visitor().get(path(link))
    await portal.visitor(User_Agent="Slackbot 1.0").get(path(link))
    entries = await portal.log(link)
    assert told(entries) == [("denied", reason)] * 2
    assert [entry["bot"] for entry in entries] == [False, True]
    assert [entry for entry in entries if "email" in entry] == []
    # Who keeps no cookie is told apart by address and program.
    assert entries[0]["visitor"] != entries[1]["visitor"]


async def test_refusals_at_a_gate_are_entered_under_its_name(portal: Portal) -> None:
    link = await portal.link(**restricted(require_email_verification=True))
    visitor = portal.visitor()
    await visitor.post(gate(link, "email"), {"email": "nonsense"})
    await visitor.post(gate(link, "code"), {"code": "123456"})
    await visitor.post(gate(link, "open"))
    await portal.visitor(Origin="null").post(gate(link, "email"), {"email": "ann@example.com"})
    assert told(await portal.log(link)) == [
        ("email", "email_required"),
        ("code", "email_required"),
        ("open", "email_required"),
        ("denied", "origin_refused"),
    ]


async def test_a_backend_that_is_down_was_accessed_all_the_same(portal: Portal) -> None:
    """The entry is made before the backend is asked; what it says then is not a decision."""
    link = await portal.link()
    visitor = await admitted(portal, link)
    portal.backend.behave = raw_answer(b"nonsense\r\n\r\n", close=True)
    answer = await visitor.post("/workorders/42/comments", b"text")
    assert answer.reason == "upstream_unavailable"
    assert told(await portal.log(link)) == [("open", "ok"), ("comment", "ok")]


async def test_a_long_user_agent_is_cut(portal: Portal) -> None:
    link = await portal.link()
    await portal.visitor(User_Agent="x" * 5000).get(path(link))
    (entry,) = await portal.log(link)
    assert entry["user_agent"] == "x" * 512


async def test_no_secret_is_entered(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    visitor = portal.visitor()
    await visitor.get(path(link))
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    await visitor.get("/workorders/42")
    written = str(await portal.log(link))
    for secret in (link["link_token"], PASSWORD, *visitor.cookies.values()):
        assert secret not in written


# ---- what the backend is told of the visitor


async def test_the_visitors_pseudonym_is_another_for_each_link(portal: Portal) -> None:
    first, second = await portal.link(), await portal.link(workorder="43")
    visitor, other = portal.visitor(), portal.visitor()
    for each in (visitor, other):
        for link in (first, second):
            await each.get(path(link), navigate=True)

    async def pseudonym(who: Any, target: str) -> bytes:
        assert (await who.get(target)).status == 200
        value: bytes = portal.backend.last.one(b"X-Portal-Visitor")
        return value

    found = [
        await pseudonym(visitor, "/workorders/42"),
        await pseudonym(visitor, "/workorders/43"),
        await pseudonym(other, "/workorders/42"),
        await pseudonym(other, "/workorders/43"),
    ]
    assert len(set(found)) == 4
    assert await pseudonym(visitor, "/workorders/42/comments") == found[0]
    assert await pseudonym(visitor, path(first)) == found[0]
    # The next session of the same browser is the same visitor.
    await visitor.post(gate(first, "leave"))
    assert await pseudonym(visitor, path(first)) == found[0]
    entries = await portal.log(first)
    assert found[0].decode() not in {entry["visitor"] for entry in entries}
