"""What a visitor holds: the cookies, their lives, and how a session ends wherever it is in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import time_machine
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientWebSocketResponse,
    WSMsgType,
    WSServerHandshakeError,
)

from gateway.crypto.signing import Keyring
from gateway.crypto.tokens import new_random_id
from tests.echo_backend import Behaviour, Conversation, EchoBackend, echo
from tests.flow.doors import (
    PASSWORD,
    ROUTES,
    Link,
    admitted,
    ask_code,
    endless_download,
    event_stream,
    gate,
    path,
    repeat_frames,
    restricted,
    session_name,
    socket,
)
from tests.portal import Answer, Portal, Visitor, running_portal

# One gateway for most of the module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PAST = "2020-01-01T00:00:00Z"
HOUR = 3600.0
PUBLIC_HOST = "portal.example.com"
SHORT = {"private": {"life": 1.2, "idle": 0.6}}
"""Lives that a test can wait for."""


async def living(talk: Conversation) -> None:
    """What the request's path asks for: a WebSocket, an event stream, a download, or an echo."""
    line = talk.request.request_line
    behave: Behaviour = echo
    if b"/live" in line:
        behave = repeat_frames
    elif b"/events" in line:
        behave = event_stream
    elif b"/endless" in line:
        behave = endless_download
    await behave(talk)


@asynccontextmanager
async def living_portal(folder: Path, **settings: Any) -> AsyncIterator[Portal]:
    """The gateway before a backend whose answers last."""
    backend = await EchoBackend().start()
    backend.behave = living
    upstream = {"url": backend.origin, "routes": ROUTES}
    try:
        async with running_portal(
            folder,
            backend=backend,
            upstream=upstream,
            trusted_proxies=("127.0.0.1",),
            drain={"timeout": 0.2},
            **settings,
        ) as portal:
            yield portal
    finally:
        await backend.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with living_portal(tmp_path_factory.mktemp("portal")) as portal:
        yield portal


def set_cookies(answer: Answer) -> dict[str, set[str]]:
    """The attributes of each cookie that is set, without its value."""
    found = {}
    for line in answer.headers.getall("Set-Cookie", ()):
        pair, *attributes = line.split("; ")
        found[pair.partition("=")[0]] = set(attributes)
    return found


def seconds_from_now(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# ---- cookies

LAX = {"Path=/", "HttpOnly", "SameSite=Lax"}
SECURE = {"Path=/", "HttpOnly", "Secure", "SameSite=Lax"}
FRAMED = {"Path=/", "HttpOnly", "Secure", "SameSite=None", "Partitioned"}


@pytest.mark.parametrize(
    ("scheme", "link_type", "attributes", "life"),
    [
        pytest.param("http", "public", LAX, 24 * HOUR, id="http public"),
        pytest.param("http", "private", LAX, 12 * HOUR, id="http private"),
        pytest.param("http", "secure", LAX, HOUR, id="http secure"),
        pytest.param("https", "public", FRAMED, 24 * HOUR, id="https public"),
        pytest.param("https", "private", SECURE, 12 * HOUR, id="https private"),
        pytest.param("https", "secure", SECURE, HOUR, id="https secure"),
    ],
)
async def test_cookies(
    tmp_path: Path, scheme: str, link_type: str, attributes: set[str], life: float
) -> None:
    prefix = "__Host-" if scheme == "https" else ""
    settings = {"public_url": f"https://{PUBLIC_HOST}"} if prefix else {}
    async with living_portal(tmp_path, **settings) as portal:
        link = await portal.link(link_type=link_type, **restricted(require_email_verification=True))
        visitor = portal.visitor(**({"Host": PUBLIC_HOST} if prefix else {}))
        asked = await visitor.post(gate(link, "email"), {"email": "ann@example.com"})
        gate_cookie = f"{prefix}portal_g_{link['_id']}"
        assert set_cookies(asked) == {gate_cookie: attributes | {"Max-Age=900"}}
        code = await ask_code(portal, visitor, link)
        opened = set_cookies(await visitor.post(gate(link, "code"), {"code": code}))
        assert "Max-Age=0" in opened.pop(gate_cookie)
        assert opened == {session_name(link, prefix): attributes | {f"Max-Age={life:.0f}"}}
        assert (await visitor.get("/workorders/42")).status == 200
        assert gate_cookie not in visitor.cookies
        if link_type != "secure":
            ungated = await portal.link(link_type=link_type)
            assert set_cookies(await visitor.get(path(ungated))) == {
                session_name(ungated, prefix): attributes | {f"Max-Age={life:.0f}"},
                f"{prefix}portal_v": attributes | {f"Max-Age={400 * 24 * HOUR:.0f}"},
            }


async def test_at_most_twenty_sessions(portal: Portal) -> None:
    links = [await portal.link() for _ in range(22)]
    visitor = portal.visitor()
    for link in links:
        await visitor.get(path(link), navigate=True)
    held = {name for name in visitor.cookies if name != "portal_v"}
    assert held == {session_name(link) for link in links[2:]}
    await visitor.get(path(links[-1]), navigate=True)
    assert held <= set(visitor.cookies)


async def test_what_is_no_session_makes_room_first(portal: Portal) -> None:
    links = [await portal.link() for _ in range(3)]
    visitor = portal.visitor()
    for link in links[:2]:
        await visitor.get(path(link), navigate=True)
    visitor.cookies |= {f"portal_{i:024x}": "nothing" for i in range(30)}
    await visitor.get(path(links[2]), navigate=True)
    assert set(visitor.cookies) == {"portal_v", *map(session_name, links)}


# ---- what is no cookie


def swap_last(value: str) -> str:
    # The last character of base64 may hold bits that mean nothing; the one before it does not.
    return value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1]


def swap_first(value: str) -> str:
    return ("A" if value[0] != "A" else "B") + value[1:]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda value: "", id="empty"),
        pytest.param(lambda value: "x", id="a letter"),
        pytest.param(lambda value: ".", id="a dot"),
        pytest.param(swap_first, id="another payload"),
        pytest.param(swap_last, id="another signature"),
        pytest.param(lambda value: value.rpartition(".")[0], id="no signature"),
        pytest.param(lambda value: value.rpartition(".")[0] + ".", id="an empty signature"),
        pytest.param(lambda value: value[: len(value) // 2], id="half"),
        pytest.param(lambda value: value * 50, id="long"),
        pytest.param(lambda value: f'"{value}x"', id="quoted"),
        pytest.param(lambda value: "." + value, id="marked as compressed"),
        pytest.param(lambda value: "%" + value, id="escapes"),
        pytest.param(lambda value: "e30." + value.rpartition(".")[2], id="an empty object"),
    ],
)
async def test_a_spoiled_cookie_is_no_cookie(portal: Portal, spoil: Callable[[str], str]) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    good = visitor.cookies[session_name(link)]
    visitor.cookies[session_name(link)] = spoil(good)
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    # With the token it is as if none had been sent.
    assert (await visitor.get(path(link), navigate=True)).status == 303
    assert visitor.cookies[session_name(link)] != spoil(good)
    assert (await visitor.get("/workorders/42")).status == 200


async def test_a_good_cookie_beside_a_planted_one(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    good = visitor.cookies[session_name(link)]
    header = f"{session_name(link)}=planted; {session_name(link)}={good}"
    fresh = portal.visitor(Cookie=header)
    assert (await fresh.get("/workorders/42")).status == 200


async def test_a_session_is_of_its_own_link(portal: Portal) -> None:
    first, second = await portal.link(), await portal.link(workorder="43")
    visitor = await admitted(portal, first)
    visitor.cookies = {session_name(second): visitor.cookies[session_name(first)]}
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    assert (await visitor.get("/workorders/43")).reason == "session_required"


async def test_cookies_of_other_purposes_and_other_keys(portal: Portal) -> None:
    link = await portal.link()
    now = time.time()
    fields = [new_random_id(), link["_id"], 1, "somebody", True, None, now, now]
    for key, purpose, status in (
        ("a" * 32, "session", 200),
        ("a" * 32, "gate", 401),
        ("a" * 32, "visitor", 401),
        ("b" * 32, "session", 401),
    ):
        visitor = portal.visitor()
        visitor.cookies[session_name(link)] = Keyring([key]).signer(purpose).dumps(fields)
        assert (await visitor.get("/workorders/42")).status == status, (key[0], purpose)


async def test_secret_keys_are_rotated(tmp_path: Path) -> None:
    old, new = "a" * 32, "n" * 32
    visitor: Visitor | None = None
    held: dict[str, str] = {}
    for keys, status in (
        ((old,), 200),
        ((old, new), 200),
        ((new, old), 200),
        ((new,), 401),
    ):
        async with living_portal(tmp_path, secret_keys=keys) as portal:
            if visitor is None:
                visitor = await admitted(portal, await portal.link())
                held = dict(visitor.cookies)
            visitor = Visitor(portal.http, portal.origin, {}, dict(held))
            assert (await visitor.get("/workorders/42")).status == status, keys


# ---- time


@pytest.mark.parametrize(
    ("link_type", "life", "idle"),
    [
        pytest.param("public", 24 * HOUR, 24 * HOUR, id="public"),
        pytest.param("private", 12 * HOUR, 2 * HOUR, id="private"),
        pytest.param("secure", HOUR, HOUR / 4, id="secure"),
    ],
)
async def test_lives(portal: Portal, link_type: str, life: float, idle: float) -> None:
    with time_machine.travel(round(time.time()), tick=False) as clock:
        link = await portal.link(link_type=link_type, **restricted(require_email_verification=True))
        visitor = await proven(portal, link)

        async def status_after(seconds: float) -> int:
            clock.shift(seconds)
            return (await visitor.get("/workorders/42")).status

        held = dict(visitor.cookies)
        assert await status_after(idle - 1) == 200
        visitor.cookies = held
        assert await status_after(1) == 401
        visitor = await proven(portal, link)
        step = idle * 0.9
        for _ in range(int(life // step)):
            assert await status_after(step) == 200
        assert await status_after(life % step) == 401


async def test_a_cookie_is_made_anew_after_a_tenth_of_its_idle_time(portal: Portal) -> None:
    with time_machine.travel(round(time.time()), tick=False) as clock:
        link = await portal.link()
        visitor = await admitted(portal, link)
        clock.shift(0.09 * 2 * HOUR)
        for target in ("/workorders/42", path(link)):
            assert set_cookies(await visitor.get(target)) == {}
        clock.shift(0.01 * 2 * HOUR)
        anew = set_cookies(await visitor.get("/workorders/42"))
        assert anew == {session_name(link): LAX | {f"Max-Age={11.8 * HOUR:.0f}"}}
        assert set_cookies(await visitor.get("/workorders/42")) == {}


async def test_a_clock_set_back_does_not_prolong_a_session(portal: Portal) -> None:
    with time_machine.travel(round(time.time()), tick=False) as clock:
        visitor = await admitted(portal, await portal.link())
        clock.shift(-10 * HOUR)
        assert (await visitor.get("/workorders/42")).reason == "session_required"


# ---- what ends a session


@dataclass
class InUse:
    """A session with all that can be open on it, and when it was ended."""

    visitor: Visitor
    ws: ClientWebSocketResponse
    streams: list[ClientResponse]

    async def all_end(self, seconds: float) -> None:
        """Each of them is ended, abnormally, within `seconds`."""
        async with asyncio.timeout(seconds):
            message = await self.ws.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1008)
            for stream in self.streams:
                with pytest.raises(ClientError):
                    await read_to_the_end(stream)

    async def all_live(self) -> None:
        await self.ws.send_str("still there?")
        assert await self.ws.receive_str(timeout=5) == "still there?"


async def read_to_the_end(stream: ClientResponse) -> None:
    while await stream.content.readany():
        pass


@asynccontextmanager
async def in_use(portal: Portal, visitor: Visitor) -> AsyncIterator[InUse]:
    """A WebSocket, an event stream and a download on the visitor's session."""
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    headers = {"Cookie": cookie, **visitor.headers}
    files = f"{portal.origin}/workorders/42/files"
    async with (
        socket(portal, visitor, "/workorders/42/live") as ws,
        portal.http.get(f"{files}/events", headers=headers) as events,
        portal.http.get(f"{files}/endless", headers=headers) as download,
    ):
        assert await events.content.readuntil(b"\n\n") == b"data: 1\n\n"
        await download.content.readexactly(1000)
        used = InUse(visitor, ws, [events, download])
        await used.all_live()
        yield used


async def proven(portal: Portal, link: Link) -> Visitor:
    """Ann, who has shown that she reads her mail."""
    visitor = portal.visitor(X_Forwarded_For="203.0.113.9")
    code = await ask_code(portal, visitor, link)
    assert (await visitor.post(gate(link, "code"), {"code": code})).status == 200
    return visitor


def changing(**fields: Any) -> Callable[[Portal, Link], Awaitable[object]]:
    return lambda portal, link: portal.change(link, **fields)


def acting(verb: str) -> Callable[[Portal, Link], Awaitable[object]]:
    return lambda portal, link: portal.act(link, verb)


async def delete(portal: Portal, link: Link) -> None:
    status, _ = await portal.call("DELETE", f"/v1/workorder-portal-link/{link['_id']}")
    assert status == 200


ENDS = [
    pytest.param(acting("deactivate"), "session_required", "inactive", id="deactivated"),
    pytest.param(acting("regenerate"), "session_required", "unknown_token", id="regenerated"),
    pytest.param(delete, "session_required", "unknown_token", id="deleted"),
    pytest.param(
        changing(**restricted(password=PASSWORD)),
        "session_required",
        "password_required",
        id="a new password",
    ),
    pytest.param(changing(expiry_date=PAST), "expired", "expired", id="expired"),
    pytest.param(
        changing(**restricted(allowed_ips=["198.51.100.0/24"])),
        "ip_not_allowed",
        "ip_not_allowed",
        id="narrowed allowlist",
    ),
    pytest.param(
        changing(**restricted(allowed_emails=["bob@example.com"])),
        "email_required",
        "email_required",
        id="narrowed allowed_emails",
    ),
    pytest.param(
        changing(company_namespace=["other"]),
        "session_required",
        "email_required",
        id="another namespace",
    ),
    pytest.param(
        changing(link_type="secure"), "session_required", "email_required", id="another type"
    ),
    pytest.param(
        changing(**restricted(require_email_verification=False, max_uses=5)),
        "session_required",
        "confirm_required",
        id="other gates",
    ),
    pytest.param(
        changing(permissions={"can_view_details": False}),
        "not_permitted",
        None,
        id="a permission taken away",
    ),
]


@pytest.mark.parametrize(("end", "reason", "with_token"), ENDS)
async def test_a_change_ends_what_is_open(
    portal: Portal,
    end: Callable[[Portal, Link], Awaitable[object]],
    reason: str,
    with_token: str | None,
) -> None:
    link = await portal.link(**restricted(require_email_verification=True))
    visitor = await proven(portal, link)
    assert (await visitor.get("/workorders/42")).status == 200
    async with in_use(portal, visitor) as used:
        arrived = len(portal.backend.requests)
        await end(portal, link)
        assert (await visitor.get("/workorders/42")).reason == reason
        if with_token is not None:
            assert (await visitor.get(path(link))).reason == with_token
        assert len(portal.backend.requests) == arrived
        await used.all_end(1.0)


async def test_other_changes_end_nothing(portal: Portal) -> None:
    link = await portal.link(**restricted(require_email_verification=True))
    visitor = await proven(portal, link)
    async with in_use(portal, visitor) as used:
        await portal.change(
            link,
            permissions={"can_add_comments": False},
            metadata={"purpose": "audit"},
            expiry_date=seconds_from_now(HOUR),
            **restricted(allowed_emails=["@example.com"], allowed_ips=["203.0.113.0/24"]),
        )
        other = await portal.link()
        await portal.act(other, "deactivate")
        await used.all_live()
        assert (await visitor.get("/workorders/42")).status == 200


async def test_deactivated_and_activated_is_not_as_before(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    await portal.act(link, "deactivate")
    await portal.act(link, "activate")
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    assert (await visitor.get(path(link), navigate=True)).status == 303


async def test_an_expiry_that_passes_ends_what_is_open(portal: Portal) -> None:
    link = await portal.link(**restricted(require_email_verification=True))
    visitor = await proven(portal, link)
    async with in_use(portal, visitor) as used:
        await portal.change(link, expiry_date=seconds_from_now(0.5))
        await used.all_live()
        await used.all_end(1.5)
        assert (await visitor.get("/workorders/42")).reason == "expired"


async def test_a_session_that_idles_ends_what_is_open(tmp_path: Path) -> None:
    async with living_portal(tmp_path, session=SHORT) as portal:
        began = time.monotonic()
        visitor = await admitted(portal, await portal.link())
        async with in_use(portal, visitor) as used:
            await used.all_end(2.0)
            assert time.monotonic() - began >= 0.6
        assert (await visitor.get("/workorders/42")).reason == "session_required"


async def test_traffic_keeps_a_socket_open_until_the_end_of_the_sessions_life(
    tmp_path: Path,
) -> None:
    async with living_portal(tmp_path, session=SHORT) as portal:
        began = time.monotonic()
        visitor = await admitted(portal, await portal.link())
        async with (
            socket(portal, visitor, "/workorders/42/live") as ws,
            asyncio.timeout(5),
        ):
            await ws.send_str("ball")
            while (message := await ws.receive()).type is WSMsgType.TEXT:
                await ws.send_str(message.data)
            assert message.data == 1008
            assert 1.2 <= time.monotonic() - began < 2.5


async def test_traffic_on_a_socket_keeps_the_session(portal: Portal) -> None:
    """The cookie alone would be too old; whoever uses the socket is not idle."""
    idle = 2 * HOUR
    with time_machine.travel(time.time(), tick=True) as clock:
        link = await portal.link()
        visitor = await admitted(portal, link)
        async with socket(portal, visitor, "/workorders/42/live") as ws:
            for _ in range(2):
                clock.shift(0.7 * idle)
                await ws.send_str("still here")
                assert await ws.receive_str(timeout=5) == "still here"
            answer = await visitor.get("/workorders/42")
            assert answer.status == 200
            # The cookie is young again, and needs the socket no more.
            assert session_name(link) in set_cookies(answer)
        clock.shift(0.9 * idle)
        assert (await visitor.get("/workorders/42")).status == 200
        clock.shift(1.1 * idle)
        assert (await visitor.get("/workorders/42")).reason == "session_required"


@pytest.mark.parametrize(
    ("headers", "holds"),
    [
        pytest.param({}, True, id="own"),
        pytest.param({"Origin": "https://evil.example"}, False, id="foreign"),
        pytest.param({"Origin": "null"}, False, id="null"),
    ],
)
async def test_a_socket_needs_the_own_origin(
    portal: Portal, headers: dict[str, str], holds: bool
) -> None:
    visitor = await admitted(portal, await portal.link())
    arrived = len(portal.backend.requests)
    if holds:
        async with socket(portal, visitor, "/workorders/42/live", **headers) as ws:
            await ws.send_str("hello")
            assert await ws.receive_str(timeout=5) == "hello"
    else:
        with pytest.raises(WSServerHandshakeError) as refused:
            async with socket(portal, visitor, "/workorders/42/live", **headers):
                pass
        assert refused.value.status == 403
        assert refused.value.headers is not None
        assert refused.value.headers["X-Portal-Reason"] == "origin_refused"
    assert len(portal.backend.requests) - arrived == int(holds)


async def test_leaving_ends_the_session_in_this_browser_only(portal: Portal) -> None:
    link, other = await portal.link(), await portal.link(workorder="43")
    visitor = await admitted(portal, link)
    await visitor.get(path(other), navigate=True)
    await visitor.post(gate(link, "leave"))
    assert set(visitor.cookies) == {"portal_v", session_name(other)}
    assert (await visitor.get("/workorders/43")).status == 200
