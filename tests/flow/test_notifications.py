"""What owners are told of, and what they are not: from a visitor's request to the event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from gateway.store.schema import notification_events
from tests.echo_backend import Conversation, echo, simple
from tests.echo_backend import answer as raw_answer
from tests.flow.doors import (
    PASSWORD,
    Link,
    admitted,
    ask_code,
    gate,
    path,
    restricted,
    until,
)
from tests.portal import Portal, running_portal
from tests.raw_client import RawConnection
from tests.webhook_receiver import Receiver, running_receiver

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYTHING = {"notify_on_access": True, "notification_recipients": ["owner@acme.example"]}
ALLOWED = {"permissions": {"can_add_comments": True, "can_upload_files": True}}
COMMENTS, FILES = "/workorders/42/comments", "/workorders/42/files"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, shared_receiver: Receiver
) -> AsyncIterator[Portal]:
    """A gateway whose mails wait for longer than any test."""
    async with running_portal(
        tmp_path_factory.mktemp("portal"),
        notifications={"gather": 3600},
        notification_webhooks={"acme": shared_receiver.settings()},
    ) as portal:
        yield portal


@pytest.fixture
def portal(shared: Portal) -> Portal:
    shared.backend.behave = echo
    shared.backend.requests.clear()
    return shared


@pytest.fixture
def receiver(shared_receiver: Receiver) -> Receiver:
    shared_receiver.taken = len(shared_receiver.received)
    return shared_receiver


async def watched(portal: Portal, **fields: Any) -> Link:
    """A link whose owner wants to know of everything."""
    return await portal.link(**{"notification_settings": EVERYTHING, **ALLOWED, **fields})


async def events_of(portal: Portal, link: Link) -> list[Any]:
    """The rows of the events that wait to be told of, oldest first."""
    await portal.settled()
    of_link = notification_events.c.link_id == link["_id"]
    statement = select(notification_events).where(of_link).order_by(notification_events.c.id)
    async with portal.process.stores.database.reading() as connection:
        return list((await connection.execute(statement)).all())


async def kinds_of(portal: Portal, link: Link) -> list[str]:
    return [event.kind for event in await events_of(portal, link)]


# ---- comments and uploads


@pytest.mark.parametrize(
    ("status", "is_told"),
    [
        pytest.param("200 OK", True, id="200"),
        pytest.param("201 Created", True, id="201"),
        pytest.param("204 No Content", True, id="204"),
        pytest.param("302 Found", False, id="302, nowhere"),
        pytest.param("303 See Other", False, id="303, nowhere"),
        pytest.param("400 Bad Request", False, id="400"),
        pytest.param("409 Conflict", False, id="409"),
        pytest.param("413 Content Too Large", False, id="413"),
        pytest.param("500 Internal Server Error", False, id="500"),
        pytest.param("503 Service Unavailable", False, id="503"),
    ],
)
async def test_what_the_backend_has_done_is_told(
    portal: Portal, status: str, is_told: bool
) -> None:
    link = await watched(portal, notification_settings={**EVERYTHING, "notify_on_access": False})
    visitor = await admitted(portal, link)
    portal.backend.behave = raw_answer(
        simple(b"", status=status) if "204" not in status else b"HTTP/1.1 204 No Content\r\n\r\n"
    )
    for target, kind in ((COMMENTS, "comment"), (FILES, "file_upload")):
        before = len(await events_of(portal, link))
        answer = await visitor.post(target, b"text")
        assert answer.status == int(status[:3])
        assert (await kinds_of(portal, link))[before:] == ([kind] if is_told else [])


@pytest.mark.parametrize(
    ("status", "location", "is_told"),
    [
        pytest.param("303 See Other", "/workorders/42#comments", True, id="303 to its page"),
        pytest.param("302 Found", "/workorders/42", True, id="302 to its page"),
        pytest.param("303 See Other", "comments", True, id="relative"),
        pytest.param("303 See Other", "{backend}/workorders/42", True, id="absolute"),
        pytest.param("302 Found", "/login?next=/workorders/42", False, id="to a login"),
        pytest.param("303 See Other", "/workorders/43", False, id="to another work order"),
        pytest.param("303 See Other", "https://sso.example/workorders/42", False, id="elsewhere"),
        pytest.param("301 Moved Permanently", "/workorders/42", False, id="301"),
        pytest.param("307 Temporary Redirect", "/workorders/42", False, id="307"),
        pytest.param("304 Not Modified", "/workorders/42", False, id="304"),
    ],
)
async def test_a_form_that_is_answered_by_its_page_is_done(
    portal: Portal, status: str, location: str, is_told: bool
) -> None:
    link = await watched(portal, notification_settings={**EVERYTHING, "notify_on_access": False})
    visitor = await admitted(portal, link)
    where = f"Location: {location.format(backend=portal.backend.origin)}"
    portal.backend.behave = raw_answer(simple(b"", where, status=status))
    assert (await visitor.post(COMMENTS, b"text")).status == int(status[:3])
    assert await kinds_of(portal, link) == (["comment"] if is_told else [])


async def test_an_event_says_who_what_and_when(portal: Portal) -> None:
    link = await watched(portal, **restricted(require_email_verification=True))
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link, "ann@example.com")
    await visitor.post(gate(link, "code"), {"code": code})
    await visitor.post(FILES, b"text")
    access, upload = await events_of(portal, link)
    assert (access.kind, upload.kind) == ("access", "file_upload")
    for event in (access, upload):
        assert (event.email, event.address) == ("ann@example.com", "127.0.0.1")
    entries = await portal.log(link)
    assert [each["request_id"] for each in entries][-2:] == [access.request_id, upload.request_id]


async def test_who_proved_nothing_is_an_address(portal: Portal) -> None:
    link = await watched(portal)
    await (await admitted(portal, link)).post(COMMENTS, b"text")
    assert {(e.email, e.address) for e in await events_of(portal, link)} == {(None, "127.0.0.1")}


async def test_a_backend_that_is_down_has_done_nothing(portal: Portal) -> None:
    async def vanish(talk: Conversation) -> None:
        talk.reset()

    link = await watched(portal, notification_settings={**EVERYTHING, "notify_on_access": False})
    visitor = await admitted(portal, link)
    portal.backend.behave = vanish
    assert (await visitor.post(COMMENTS, b"text")).status == 502
    assert await events_of(portal, link) == []


async def test_the_event_is_written_before_the_visitor_sees_the_answer(portal: Portal) -> None:
    """A head without its body is enough: what it says has happened."""
    release = asyncio.Event()

    async def slowly(talk: Conversation) -> None:
        await talk.read_body()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await release.wait()
        await talk.send(b"ok")

    link = await watched(portal, notification_settings={**EVERYTHING, "notify_on_access": False})
    visitor = await admitted(portal, link)
    portal.backend.behave = slowly
    url = f"{portal.origin}{COMMENTS}"
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    async with portal.http.post(url, data=b"text", headers={"Cookie": cookies}) as response:
        assert response.status == 200
        assert await kinds_of(portal, link) == ["comment"]
        release.set()
        assert await response.read() == b"ok"
    assert await kinds_of(portal, link) == ["comment"]


async def test_what_happened_is_told_though_the_visitor_hung_up(portal: Portal) -> None:
    hung_up = asyncio.Event()

    async def answer_late(talk: Conversation) -> None:
        talk.close()
        await talk.read_body()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
        await talk.wait_closed()
        hung_up.set()

    link = await watched(portal, notification_settings={**EVERYTHING, "notify_on_access": False})
    visitor = await admitted(portal, link)
    portal.backend.behave = answer_late
    host = portal.origin.partition("://")[2]
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", int(host.partition(":")[2]))
    connection = RawConnection(reader, writer)
    await connection.send(
        f"POST {COMMENTS} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\n"
        "Content-Length: 4\r\n\r\ntext".encode()
    )
    await connection.read_until(b"\r\n\r\n")
    connection.reset()
    async with asyncio.timeout(5):
        await hung_up.wait()
    assert await kinds_of(portal, link) == ["comment"]


@pytest.mark.parametrize(
    ("fields", "target", "headers"),
    [
        pytest.param({"notification_settings": {}}, FILES, {}, id="nobody wants to know"),
        pytest.param(
            {"notification_settings": {**EVERYTHING, "notify_on_file_upload": False}},
            FILES,
            {},
            id="no uploads",
        ),
        pytest.param(
            {"notification_settings": {**EVERYTHING, "notify_on_comment": False}},
            COMMENTS,
            {},
            id="no comments",
        ),
        pytest.param(
            {"notification_settings": {}, "company_namespace": ["globex"]},
            FILES,
            {},
            id="another namespace has the webhook",
        ),
        pytest.param({}, FILES, {"User-Agent": "Googlebot/2.1"}, id="a bot"),
        pytest.param({"permissions": {}}, FILES, {}, id="not permitted"),
    ],
)
async def test_what_is_not_told(
    portal: Portal, fields: dict[str, Any], target: str, headers: dict[str, str]
) -> None:
    link = await watched(portal, **fields)
    visitor = await admitted(portal, link)
    opened = len(await events_of(portal, link))
    visitor.headers = headers
    await visitor.post(target, b"text")
    assert len(await events_of(portal, link)) == opened


async def test_what_is_only_looked_at_is_not_told(portal: Portal) -> None:
    link = await watched(portal)
    visitor = await admitted(portal, link)
    for target in ("/workorders/42", COMMENTS, FILES + "/1", "/workorders/42/history"):
        assert (await visitor.get(target)).status == 200
    assert await kinds_of(portal, link) == ["access"]


# ---- sessions

# A name that no browser uses without `Accept-Language`: a mail scanner's, as far as can be told.
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
)


async def test_a_session_is_told_once(portal: Portal) -> None:
    link = await watched(portal)
    visitor = await admitted(portal, link)
    for _ in range(3):
        await visitor.get(path(link), navigate=True)
        await visitor.get("/workorders/42")
    assert await kinds_of(portal, link) == ["access"]
    await admitted(portal, link)
    assert await kinds_of(portal, link) == ["access", "access"]


@pytest.mark.parametrize(
    ("fields", "way"),
    [
        pytest.param(restricted(password_protected=True, password=PASSWORD), "password", id="gate"),
        pytest.param(restricted(max_uses=3), "open", id="button"),
    ],
)
async def test_a_session_is_told_when_it_opens_and_not_before(
    portal: Portal, fields: dict[str, Any], way: str
) -> None:
    link = await watched(portal, **fields)
    visitor = portal.visitor()
    await visitor.get(path(link), navigate=True)
    await visitor.post(gate(link, "password"), {"password": "wrong"})
    assert await kinds_of(portal, link) == []
    assert (await visitor.post(gate(link, way), {"password": PASSWORD})).status == 200
    await visitor.post(gate(link, way), {"password": PASSWORD})
    assert await kinds_of(portal, link) == ["access"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"User-Agent": "Googlebot/2.1"}, id="a bot"),
        pytest.param({"User-Agent": "WhatsApp/2.24"}, id="a previewer"),
        pytest.param({"Sec-Purpose": "prefetch"}, id="a prefetch"),
    ],
)
async def test_whom_nobody_is_told_of(portal: Portal, headers: dict[str, str]) -> None:
    link = await watched(portal)
    visitor = portal.visitor()
    visitor.headers = headers
    for _ in range(2):
        await visitor.get(path(link), navigate=True)
    assert await events_of(portal, link) == []


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param({"Sec-Purpose": "prefetch"}, id="a prefetch"),
        pytest.param({"User-Agent": CHROME}, id="wrongly suspected"),
    ],
)
async def test_who_looks_at_what_was_asked_for_ahead_is_told_once(
    portal: Portal, ahead: dict[str, str]
) -> None:
    link = await watched(portal)
    visitor = portal.visitor()
    await visitor.get(path(link), headers=ahead)
    await visitor.get("/workorders/42", headers=ahead)
    opened = visitor.cookies.copy()
    assert await events_of(portal, link) == []
    shown = [portal.visitor() for _ in range(4)]
    for each in shown:
        each.cookies = opened.copy()
    await asyncio.gather(*(each.get(COMMENTS) for each in shown))
    assert all(each.cookies != opened for each in shown)
    await shown[0].get("/workorders/42", navigate=True)
    await shown[0].get("/workorders/42", headers={"Sec-Purpose": "prefetch"})
    assert await kinds_of(portal, link) == ["access"]


async def test_a_refused_visitor_is_no_access(portal: Portal) -> None:
    link = await watched(portal, is_active=False)
    assert (await portal.visitor().get(path(link))).status == 410
    assert await events_of(portal, link) == []


# ---- webhooks


async def test_each_event_of_a_namespace_is_posted_at_once(
    portal: Portal, receiver: Receiver
) -> None:
    link = await watched(portal, company_namespace=["acme"], workorder="42")
    visitor = await admitted(portal, link)
    await visitor.post(FILES, b"text")
    got = [await receiver.next_webhook(), await receiver.next_webhook()]
    assert {each.document["type"] for each in got} == {
        "portal.link.accessed",
        "portal.link.file_uploaded",
    }
    assert {each.document["data"]["link_id"] for each in got} == {link["_id"]}
    assert {each.document["data"]["workorder"] for each in got} == {"42"}
    assert link["link_token"] not in str(got)
    assert await kinds_of(portal, link) == ["access", "file_upload"], "the mail waits"


async def test_a_webhook_needs_no_recipient(portal: Portal, receiver: Receiver) -> None:
    link = await portal.link(**ALLOWED, company_namespace=["acme"])
    visitor = await admitted(portal, link)
    await visitor.post(COMMENTS, b"text")
    assert (await receiver.next_webhook()).document["type"] == "portal.link.commented"
    await until(lambda: receiver.taken == len(receiver.received))
    assert await events_of(portal, link) == []


# ---- on a gateway of its own


@pytest.mark.asyncio(loop_scope="function")
async def test_an_address_that_is_not_kept_is_not_told(tmp_path: Path) -> None:
    async with running_portal(
        tmp_path, access_log={"anonymize_ip": True}, notifications={"gather": 3600}
    ) as portal:
        link = await watched(portal)
        await admitted(portal, link)
        (event,) = await events_of(portal, link)
        assert event.address == "127.0.0.0"
