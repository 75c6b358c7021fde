"""Each rule over HTTP: shown to admit and to refuse, with the status and the reason."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.echo_backend import Conversation, EchoBackend, echo
from tests.echo_backend import answer as raw_answer
from tests.flow.doors import (
    PASSWORD,
    admitted,
    ask_code,
    gate,
    path,
    restricted,
    session_name,
)
from tests.portal import Answer, Portal, free_port, running_portal
from tests.raw_client import connect, exchange

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

DOMAIN = "work.example.org"
PAST = "2020-01-01T00:00:00Z"
COMMON = {
    "Referrer-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "private, no-store",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(
        tmp_path_factory.mktemp("portal"),
        trusted_proxies=("127.0.0.1",),
        upstreams={"dead": {"url": f"http://127.0.0.1:{free_port()}"}},
        limits={"upstream_read_timeout": 0.2},
        database={"statement_timeout": 0.3},
    ) as portal:
        yield portal


@pytest.fixture(autouse=True)
def _a_plain_backend(portal: Portal) -> None:
    portal.backend.behave = echo


def assert_common_headers(answer: Answer) -> None:
    for name, value in COMMON.items():
        assert answer.headers.getall(name) == [value], name


# ---- every reason of the table


async def unknown_token(portal: Portal, ways: Any) -> Answer:
    return await portal.visitor().get(f"/workorder/wpl_{'0' * 43}", **ways)


async def session_required(portal: Portal, ways: Any) -> Answer:
    return await portal.visitor().get("/workorders/42", **ways)


async def a_cookie_that_is_none(portal: Portal, ways: Any) -> Answer:
    visitor = portal.visitor()
    visitor.cookies = {f"portal_{'0' * 24}": "forged"}
    return await visitor.get("/workorders/42", **ways)


async def inactive(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(is_active=False)
    return await portal.visitor().get(path(link), **ways)


async def expired(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(expiry_date=PAST)
    return await portal.visitor().get(path(link), **ways)


async def exhausted(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(max_uses=1))
    assert (await portal.visitor().post(gate(link, "open"))).status == 200
    return await portal.visitor().get(path(link), **ways)


async def ip_not_allowed(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(allowed_ips=["198.51.100.0/24"]))
    return await portal.visitor(X_Forwarded_For="203.0.113.9").get(path(link), **ways)


async def no_route(portal: Portal, ways: Any) -> Answer:
    visitor = await admitted(portal, await portal.link())
    return await visitor.get("/somewhere", **ways)


async def no_row_for_the_method(portal: Portal, ways: Any) -> Answer:
    visitor = await admitted(portal, await portal.link())
    return await visitor.ask("DELETE", "/workorders/42", **ways)


async def not_permitted(portal: Portal, ways: Any) -> Answer:
    visitor = await admitted(portal, await portal.link())
    return await visitor.post("/workorders/42/approve", **ways)


async def another_workorder(portal: Portal, ways: Any) -> Answer:
    visitor = await admitted(portal, await portal.link())
    return await visitor.get("/workorders/43", **ways)


async def origin_refused(portal: Portal, ways: Any) -> Answer:
    visitor = await admitted(portal, await portal.link(), Origin="https://evil.example")
    return await visitor.post("/workorders/42/comments", b"text", **ways)


async def misdirected(portal: Portal, ways: Any) -> Answer:
    link = await portal.link()
    return await portal.visitor(Host="evil.example").get(path(link), **ways)


async def not_this_links_host(portal: Portal, ways: Any) -> Answer:
    await portal.link(custom_branding={"custom_domain": DOMAIN}, company_namespace=["a"])
    return await portal.visitor(Host=DOMAIN).get(path(await portal.link()), **ways)


async def password_required(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(password=PASSWORD))
    return await portal.visitor().get(path(link), **ways)


async def no_password_sent(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(password=PASSWORD))
    return await portal.visitor().post(gate(link, "password"), {"password": ""}, **ways)


async def password_wrong(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(password=PASSWORD))
    return await portal.visitor().post(gate(link, "password"), {"password": "wrong"}, **ways)


async def email_required(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(require_email_verification=True))
    return await portal.visitor().get(path(link), **ways)


async def code_required(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(require_email_verification=True))
    return await portal.visitor().post(gate(link, "email"), {"email": "ann@example.com"}, **ways)


async def code_wrong(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(require_email_verification=True))
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    return await visitor.post(gate(link, "code"), {"code": other_code(code)}, **ways)


async def confirm_required(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(max_uses=3))
    return await portal.visitor().get(path(link), **ways)


async def throttled(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(require_email_verification=True))
    visitor = portal.visitor()
    await ask_code(portal, visitor, link)
    for _ in range(10):
        assert (await visitor.post(gate(link, "code"), {"code": "x"})).reason == "code_wrong"
    return await visitor.post(gate(link, "code"), {"code": "x"}, **ways)


async def bad_request(portal: Portal, ways: Any) -> Answer:
    return await portal.visitor().get("/a//b", **ways)


async def a_body_that_cannot_be_read(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(max_uses=1))
    return await portal.visitor().post(
        gate(link, "password"), b"[]", headers={"Content-Type": "application/json"}, **ways
    )


async def body_too_large(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(max_uses=1))
    return await portal.visitor().post(gate(link, "password"), b"p" * 20_000, **ways)


async def upstream_unavailable(portal: Portal, ways: Any) -> Answer:
    visitor = await admitted(portal, await portal.link(company_namespace=["dead"]))
    return await visitor.get("/workorders/42", **ways)


async def upstream_timeout(portal: Portal, ways: Any) -> Answer:
    portal.backend.behave = Conversation.wait_closed
    visitor = await admitted(portal, await portal.link())
    return await visitor.get("/workorders/42", **ways)


async def store_unavailable(portal: Portal, ways: Any) -> Answer:
    link = await portal.link(**restricted(max_uses=3))
    file = portal.settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        return await portal.visitor().post(gate(link, "open"), **ways)


def other_code(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


Situation = Callable[[Portal, Any], Awaitable[Answer]]
SITUATIONS: list[tuple[Situation, str, int, str | None]] = [
    (unknown_token, "unknown_token", 404, None),
    (session_required, "session_required", 401, "session"),
    (a_cookie_that_is_none, "session_required", 401, "session"),
    (inactive, "inactive", 410, None),
    (expired, "expired", 410, None),
    (exhausted, "exhausted", 410, None),
    (ip_not_allowed, "ip_not_allowed", 403, None),
    (no_route, "no_route", 404, None),
    (no_row_for_the_method, "no_route", 404, None),
    (not_permitted, "not_permitted", 403, None),
    (another_workorder, "not_permitted", 403, None),
    (origin_refused, "origin_refused", 403, None),
    (misdirected, "misdirected", 421, None),
    (not_this_links_host, "misdirected", 421, None),
    (password_required, "password_required", 401, "password"),
    (no_password_sent, "password_required", 401, "password"),
    (password_wrong, "password_wrong", 401, "password"),
    (email_required, "email_required", 401, "email"),
    (code_required, "code_required", 401, "code"),
    (code_wrong, "code_wrong", 401, "code"),
    (confirm_required, "confirm_required", 401, "confirm"),
    (throttled, "throttled", 429, None),
    (bad_request, "bad_request", 400, None),
    (a_body_that_cannot_be_read, "bad_request", 400, None),
    (body_too_large, "body_too_large", 413, None),
    (upstream_unavailable, "upstream_unavailable", 502, None),
    (upstream_timeout, "upstream_timeout", 504, None),
    (store_unavailable, "store_unavailable", 503, None),
]


@pytest.mark.parametrize("navigate", [False, True], ids=["program", "navigation"])
@pytest.mark.parametrize(
    ("situation", "reason", "status", "challenge"),
    [pytest.param(*row, id=row[0].__name__) for row in SITUATIONS],
)
async def test_reasons(
    portal: Portal,
    situation: Situation,
    reason: str,
    status: int,
    challenge: str | None,
    navigate: bool,
) -> None:
    answer = await situation(portal, {"navigate": navigate})
    assert (answer.status, answer.headers.getall("X-Portal-Reason")) == (status, [reason])
    wanted = None if challenge is None else f'Portal-Link gate="{challenge}"'
    assert answer.headers.get("WWW-Authenticate") == wanted
    assert ("Retry-After" in answer.headers) is (status in {429, 503})
    assert_common_headers(answer)
    if navigate:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.body.startswith(b"<!doctype html>")
    else:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        body = json.loads(answer.body)
        assert set(body) == {"success", "error", "reason"}
        assert (body["success"], body["reason"]) == (False, reason)
        assert body["error"].endswith(".")


async def test_too_large_a_head(portal: Portal) -> None:
    answer = await exchange(
        portal.origin.removeprefix("http://"),
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
    )
    assert [a.status for a in answer] == [431]
    assert answer[0].headers["x-portal-reason"] == "header_too_large"
    assert json.loads(answer[0].body)["reason"] == "header_too_large"


async def test_overloaded(tmp_path: Path) -> None:
    async with running_portal(tmp_path, limits={"max_connections": 1}) as portal:
        address = portal.origin.removeprefix("http://")
        async with connect(address) as first:
            await first.send(b"GET /-/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await first.read_answer()).status == 200
            (refused,) = await exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (refused.status, refused.headers["x-portal-reason"]) == (503, "overloaded")
    assert "retry-after" in refused.headers


# ---- both styles of address


async def test_a_navigation_leaves_the_token_behind(portal: Portal) -> None:
    link = await portal.link()
    visitor = portal.visitor()
    sent = await visitor.get(path(link, "?utm_source=mail"), navigate=True)
    assert (sent.status, sent.headers["Location"]) == (303, "/workorders/42")
    assert set(visitor.cookies) == {"portal_v", session_name(link)}
    assert_common_headers(sent)
    arrived = len(portal.backend.requests)
    page = await visitor.get("/workorders/42", navigate=True)
    assert (page.status, page.reason) == (200, None)
    assert_common_headers(page)
    assert len(portal.backend.requests) == arrived + 1
    again = await visitor.get(path(link), navigate=True)
    assert (again.status, again.headers["Location"]) == (303, "/workorders/42")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Mode": "navigate"}, id="fetch metadata"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, id="which decide"),
        pytest.param({"Accept": "text/html,*/*;q=0.8"}, id="accept"),
        pytest.param({"Accept": "TEXT/HTML"}, id="accept in capitals"),
    ],
)
async def test_what_is_a_navigation(portal: Portal, headers: dict[str, str]) -> None:
    answer = await portal.visitor().get(path(await portal.link()), headers=headers)
    assert answer.status == 303


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"Accept": "application/json"}, id="JSON wanted"),
        pytest.param({"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, id="a script's fetch"),
        pytest.param({"Sec-Fetch-Mode": "no-cors"}, id="an image"),
    ],
)
async def test_others_are_served_at_once(portal: Portal, headers: dict[str, str]) -> None:
    link = await portal.link()
    visitor = portal.visitor()
    answer = await visitor.get(path(link), headers=headers)
    assert (answer.status, answer.reason) == (200, None)
    assert portal.backend.last.request_line == b"GET /workorders/42 HTTP/1.1"
    assert link["link_token"].encode() not in answer.body  # the echo of what the backend got
    assert set(visitor.cookies) == {"portal_v", session_name(link)}
    assert_common_headers(answer)


async def test_below_the_token(portal: Portal) -> None:
    link = await portal.link()
    visitor = portal.visitor()
    answer = await visitor.get(path(link, "/files/plan%20b.pdf?v=2"), navigate=True)
    assert answer.status == 200
    assert portal.backend.last.request_line == b"GET /workorders/42/files/plan%20b.pdf?v=2 HTTP/1.1"
    posted = await visitor.post(path(link, "/comments"), b"text", headers={"Origin": portal.origin})
    assert posted.status == 200
    assert portal.backend.last.request_line == b"POST /workorders/42/comments HTTP/1.1"


@pytest.mark.parametrize(
    ("below", "reason"),
    [
        pytest.param("/", "no_route", id="a slash, which is significant"),
        pytest.param("/nothing", "no_route", id="no row"),
        pytest.param("/history", "not_permitted", id="not permitted"),
        pytest.param("/-/other", "no_route", id="no gate"),
        pytest.param("/-/open/x", "no_route", id="below a gate"),
        pytest.param("/../43", "bad_request", id="a dot segment"),
        pytest.param("/%2e%2e/43", "bad_request", id="an encoded dot segment"),
        pytest.param("//43", "bad_request", id="an empty segment"),
    ],
)
async def test_refused_below_the_token(portal: Portal, below: str, reason: str) -> None:
    link = await portal.link(permissions={"can_view_history": False})
    arrived = len(portal.backend.requests)
    assert (await portal.visitor().get(path(link, below))).reason == reason
    assert len(portal.backend.requests) == arrived


async def test_a_token_spelled_with_escapes_is_a_token(portal: Portal) -> None:
    link = await portal.link()
    spelled = path(link).replace("wpl_", "%77pl_")
    answer = await portal.visitor().get(spelled)
    assert answer.status == 200
    assert portal.backend.last.request_line == b"GET /workorders/42 HTTP/1.1"


async def test_head(portal: Portal) -> None:
    portal.backend.behave = raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    link = await portal.link()
    visitor = portal.visitor()
    for target in (path(link), "/workorders/42"):
        served = await visitor.ask("HEAD", target)
        assert (served.status, served.body) == (200, b"")
        assert portal.backend.last.request_line == b"HEAD /workorders/42 HTTP/1.1"
    assert (await visitor.ask("HEAD", path(link), navigate=True)).status == 303
    refused = await visitor.ask("HEAD", "/nothing")
    assert (refused.status, refused.reason, refused.body) == (404, "no_route", b"")
    assert int(refused.headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_the_portal_url_is_for_get(portal: Portal, method: str) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    arrived = len(portal.backend.requests)
    for navigate in (True, False):
        answer = await visitor.ask(method, path(link), navigate=navigate)
        assert (answer.status, answer.reason) == (404, "no_route")
    assert len(portal.backend.requests) == arrived


async def test_the_landing_page_is_judged_once_the_session_is_open(portal: Portal) -> None:
    link = await portal.link(permissions={"can_view_details": False})
    arrived = len(portal.backend.requests)
    program = portal.visitor()
    answer = await program.get(path(link))
    assert (answer.status, answer.reason) == (403, "not_permitted")
    assert session_name(link) in program.cookies
    browser = await admitted(portal, link)
    answer = await browser.get("/workorders/42", navigate=True)
    assert (answer.status, answer.reason) == (403, "not_permitted")
    assert len(portal.backend.requests) == arrived
    assert (await browser.get("/workorders/42/history")).status == 200


async def test_the_page_of_a_refusal_offers_the_way_back(portal: Portal) -> None:
    link = await portal.link(permissions={"can_view_history": False})
    visitor = await admitted(portal, link)
    way_back = b'href="/workorders/42"'
    assert way_back in (await visitor.get("/workorders/42/history", navigate=True)).body
    assert way_back not in (await portal.visitor().get("/nothing", navigate=True)).body
    await portal.change(link, expiry_date=PAST)
    assert way_back not in (await visitor.get("/workorders/42/history", navigate=True)).body


# ---- which session is meant


async def test_the_latest_opened_session_that_passes_is_meant(portal: Portal) -> None:
    visitor = portal.visitor()
    older = await portal.link(permissions={"can_approve_reject": True})
    newer = await portal.link()
    other = await portal.link(workorder="43")
    for link in (older, newer, other):
        await visitor.get(path(link), navigate=True)

    async def asked(method: str, target: str) -> bytes | None:
        assert (await visitor.ask(method, target)).status == 200
        return portal.backend.last.one(b"X-Portal-Link")

    assert await asked("GET", "/workorders/42") == newer["_id"].encode()
    assert await asked("POST", "/workorders/42/approve") == older["_id"].encode()
    assert await asked("GET", "/workorders/43") == other["_id"].encode()
    assert await asked("GET", "/static/style.css") == other["_id"].encode()
    # If none passes, the latest opened one says why.
    assert (await visitor.post("/workorders/43/approve")).reason == "not_permitted"
    await portal.change(other, expiry_date=PAST)
    assert (await visitor.get("/nothing")).reason == "expired"
    assert await asked("GET", "/static/style.css") == newer["_id"].encode()


async def test_going_back_to_a_link_does_not_open_a_second_session(portal: Portal) -> None:
    visitor = portal.visitor()
    first, second = await portal.link(), await portal.link()
    for link in (first, second, first):
        await visitor.get(path(link), navigate=True)
    await visitor.get("/workorders/42")
    assert portal.backend.last.one(b"X-Portal-Link") == second["_id"].encode()


async def test_with_the_token_its_own_link_is_meant(portal: Portal) -> None:
    visitor = portal.visitor()
    first, second = await portal.link(), await portal.link()
    for link in (first, second):
        await visitor.get(path(link), navigate=True)
    await visitor.get(path(first))
    assert portal.backend.last.one(b"X-Portal-Link") == first["_id"].encode()


# ---- hosts


async def test_a_custom_domain(portal: Portal) -> None:
    link = await portal.link(
        custom_branding={"custom_domain": DOMAIN}, company_namespace=["a"], permissions={}
    )
    assert link["full_url"] == f"https://{DOMAIN}{path(link)}"
    for host in (DOMAIN, DOMAIN.upper(), f"{DOMAIN}:443"):
        visitor = portal.visitor(Host=host)
        opened = await visitor.get(path(link), navigate=True)
        assert (opened.status, opened.headers["Location"]) == (303, "/workorders/42")
        assert set(visitor.cookies) == {"__Host-portal_v", session_name(link, "__Host-")}
        assert all("; Secure" in line for line in opened.headers.getall("Set-Cookie"))
        assert (await visitor.get("/workorders/42")).status == 200
    backend = portal.backend.last
    assert backend.one(b"X-Forwarded-Host") == DOMAIN.encode()
    assert backend.one(b"X-Forwarded-Proto") == b"https"
    # The same link on the public host, in another browser.
    public = portal.visitor()
    assert (await public.get(path(link), navigate=True)).status == 303
    assert set(public.cookies) == {"portal_v", session_name(link)}


async def test_a_custom_domain_knows_only_its_own_links(portal: Portal) -> None:
    theirs = await portal.link(custom_branding={"custom_domain": DOMAIN}, company_namespace=["a"])
    public = await portal.link()
    visitor = portal.visitor(Host=DOMAIN)
    assert (await visitor.get(path(public))).reason == "misdirected"
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    # A session of a link that does not answer here is none here.
    elsewhere = portal.visitor()
    await elsewhere.get(path(public), navigate=True)
    visitor.cookies = {f"__Host-{name}": value for name, value in elsewhere.cookies.items()}
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    assert (await visitor.get(path(theirs), navigate=True)).status == 303


async def test_the_origin_of_a_custom_domain_is_https(portal: Portal) -> None:
    link = await portal.link(custom_branding={"custom_domain": DOMAIN}, company_namespace=["a"])
    visitor = await admitted(portal, link, Host=DOMAIN)
    for origin, status in ((f"https://{DOMAIN}", 200), (f"http://{DOMAIN}", 403)):
        answer = await visitor.post("/workorders/42/comments", headers={"Origin": origin})
        assert answer.status == status


async def test_a_domain_that_was_given_up_is_misdirected(portal: Portal) -> None:
    domain = "gone.example.org"
    link = await portal.link(custom_branding={"custom_domain": domain}, company_namespace=["b"])
    visitor = await admitted(portal, link, Host=domain)
    await portal.change(link, custom_branding={"custom_domain": None})
    assert (await visitor.get("/workorders/42")).reason == "misdirected"
    assert (await visitor.get(path(link))).reason == "misdirected"


async def test_the_page_for_a_host_that_is_not_ours_needs_nothing_from_it(portal: Portal) -> None:
    answer = await portal.visitor(Host="evil.example").get("/", navigate=True)
    assert answer.status == 421
    assert b"/-/assets/" not in answer.body.replace(b"/-/assets/icon", b"")
    assert b"evil.example" not in answer.body


# ---- the gates' own paths


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("name", ["open", "password", "email", "code", "leave"])
async def test_gates_are_for_post(portal: Portal, name: str, method: str) -> None:
    link = await portal.link(**restricted(max_uses=1))
    visitor = portal.visitor()
    sent = await visitor.ask(method, gate(link, name), navigate=True)
    assert (sent.status, sent.headers["Location"]) == (303, path(link))
    refused = await visitor.ask(method, gate(link, name))
    assert (refused.status, refused.reason) == (404, "no_route")
    assert visitor.cookies == {}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"is_active": False}, "inactive", id="inactive"),
        pytest.param({"expiry_date": PAST}, "expired", id="expired"),
        pytest.param(restricted(allowed_ips=["192.0.2.1"]), "ip_not_allowed", id="address"),
    ],
)
async def test_the_link_is_judged_before_its_gates(
    portal: Portal, fields: dict[str, Any], reason: str, method: str
) -> None:
    link = await portal.link(**fields)
    for name in ("open", "password", "email", "code", "leave"):
        assert (await portal.visitor().ask(method, gate(link, name))).reason == reason


async def test_leaving(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    page = await visitor.post(gate(link, "leave"), navigate=True)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert_common_headers(page)
    assert session_name(link) not in visitor.cookies
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    told = json.loads((await visitor.post(gate(link, "leave"))).body)
    assert told == {"success": True}


# ---- the order of the rules


async def test_the_first_rule_that_does_not_hold_decides(portal: Portal) -> None:
    """Each rule is mended in turn, and the next one speaks."""
    link = await portal.link(
        is_active=False,
        expiry_date=PAST,
        permissions={"can_add_comments": False},
        **restricted(
            allowed_ips=["192.0.2.1"],
            max_uses=1,
            password=PASSWORD,
            require_email_verification=True,
        ),
    )
    visitor = portal.visitor(Origin="https://evil.example", X_Forwarded_For="203.0.113.9")

    async def reason(below: str = "/comments") -> str | None:
        return (await visitor.post(path(link, below))).reason

    assert await reason() == "inactive"
    await portal.act(link, "activate")
    assert await reason() == "expired"
    await portal.change(link, expiry_date=None)
    assert await reason() == "ip_not_allowed"
    await portal.change(link, access_restrictions={"allowed_ips": []})
    assert await reason("/nothing") == "no_route"
    assert await reason() == "not_permitted"
    await portal.change(link, permissions={"can_add_comments": True})
    assert await reason() == "origin_refused"
    visitor.headers["Origin"] = portal.origin
    assert await reason() == "password_required"
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    assert await reason() == "email_required"
    code = await ask_code(portal, visitor, link)
    assert await reason() == "code_required"
    await portal.change(link, access_restrictions={"max_uses": 2})
    opened = await visitor.post(gate(link, "code"), {"code": code})
    assert (opened.status, opened.reason) == (200, None)
    assert await reason() is None


async def test_exhausted_comes_before_the_gates(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=1, password=PASSWORD))
    opened = await portal.visitor().post(gate(link, "password"), {"password": PASSWORD})
    assert opened.status == 200
    for method, target in (("GET", path(link)), ("POST", gate(link, "password"))):
        assert (await portal.visitor().ask(method, target)).reason == "exhausted"


# ---- link types


async def test_a_secure_link_needs_a_gate(portal: Portal) -> None:
    body = {"workorder": "42", "link_type": "secure"}
    status, answer = await portal.call("POST", "/v1/workorder-portal-link", body)
    assert status == 422
    assert answer["details"]
    link = await portal.link(link_type="secure", **restricted(password=PASSWORD))
    status, _ = await portal.call(
        "PATCH",
        f"/v1/workorder-portal-link/{link['_id']}",
        restricted(password_protected=False),
    )
    assert status == 422


async def answering_with(portal: Portal, *fields: str) -> None:
    async def behave(talk: Conversation) -> None:
        await talk.read_body()
        head = "\r\n".join(["HTTP/1.1 200 OK", *fields, "Content-Length: 2", "", "ok"])
        await talk.send(head.encode())

    portal.backend.behave = behave


@pytest.mark.parametrize(
    ("link_type", "kept"),
    [
        pytest.param("public", "private, max-age=60", id="public"),
        pytest.param("private", "private, max-age=60", id="private"),
        pytest.param("secure", "private, no-store", id="secure"),
    ],
)
async def test_what_browsers_may_keep(portal: Portal, link_type: str, kept: str) -> None:
    link = await portal.link(link_type=link_type, **restricted(password=PASSWORD))
    visitor = portal.visitor()
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    await answering_with(portal, "Cache-Control: public, max-age=60, s-maxage=600", 'ETag: "1"')
    cacheable = await visitor.get("/static/style.css")
    caching = sorted(cacheable.headers["Cache-Control"].split(", "))
    assert caching == sorted(kept.split(", "))
    assert (await visitor.get("/workorders/42")).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("link_type", "policies"),
    [
        pytest.param("public", ["default-src 'self'"], id="public"),
        pytest.param(
            "private",
            ["default-src 'self'; frame-ancestors *", "frame-ancestors 'self'"],
            id="private",
        ),
    ],
)
async def test_who_may_frame(portal: Portal, link_type: str, policies: list[str]) -> None:
    visitor = await admitted(portal, await portal.link(link_type=link_type))
    await answering_with(
        portal,
        "Content-Security-Policy: default-src 'self'; frame-ancestors *",
        "X-Frame-Options: DENY",
    )
    answer = await visitor.get("/workorders/42")
    assert [
        policy.strip(" ;") for policy in answer.headers.getall("Content-Security-Policy")
    ] == policies
    framing = answer.headers.getall("X-Frame-Options", [])
    assert framing == ([] if link_type == "public" else ["SAMEORIGIN"])


# ---- a landing page that is named by a query


async def test_a_landing_page_with_a_query(tmp_path: Path) -> None:
    ticket = "/Ticket/Display.html?id={workorder}"
    rows = [
        {"methods": ["GET"], "path": ticket, "permission": "can_view_details", "action": "view"}
    ]
    async with running_portal(
        tmp_path, upstream={"url": "http://127.0.0.1:1", "path": ticket, "routes": rows}
    ) as portal:
        link = await portal.link(workorder="a b&c")
        visitor = portal.visitor()
        sent = await visitor.get(path(link), navigate=True)
        landing = "/Ticket/Display.html?id=a%20b%26c"
        assert (sent.status, sent.headers["Location"]) == (303, landing)
        # Admitted, and then nobody is there: the rules are what this is about.
        assert (await visitor.get(landing)).reason == "upstream_unavailable"
        assert (await visitor.get("/Ticket/Display.html?id=43")).reason == "not_permitted"
        assert (await visitor.get(f"{landing}&id=43")).reason == "no_route"
        assert (await visitor.get(path(link, "/history"))).reason == "no_route"
        told = json.loads((await visitor.post(gate(link, "open"))).body)
        assert told == {"success": True, "location": landing}


# ---- what is the gateway's own


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example", DOMAIN])
@pytest.mark.parametrize("name", ["live", "ready"])
async def test_health_for_any_host(portal: Portal, name: str, host: str) -> None:
    answer = await portal.visitor(Host=host).get(f"/-/health/{name}")
    assert answer.status == 200
    assert json.loads(answer.body) == {"status": "up"}
    assert_common_headers(answer)


async def test_an_upgrade_passes_only_where_a_row_says_so(portal: Portal) -> None:
    visitor = await admitted(portal, await portal.link())
    handshake = {
        "Origin": portal.origin,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert (await visitor.get("/workorders/42", headers=handshake)).reason == "no_route"
    ignored = handshake | {"Upgrade": "h2c"}
    assert (await visitor.get("/workorders/42", headers=ignored)).status == 200
    assert portal.backend.last.one(b"Upgrade") is None


async def test_what_the_backend_learns(portal: Portal) -> None:
    link = await portal.link(permissions={"can_view_history": False})
    await portal.visitor(
        X_Forwarded_For="198.51.100.7, 203.0.113.9",
        X_Portal_Email="boss@example.com",
        Authorization="Bearer stolen",
    ).get(path(link))
    request = portal.backend.last
    told = {name: request.one(name.encode()) for name in ("X-Portal-Link", "X-Portal-Workorder")}
    assert told == {"X-Portal-Link": link["_id"].encode(), "X-Portal-Workorder": b"42"}
    permissions = request.one(b"X-Portal-Permissions")
    assert permissions is not None
    assert sorted(permissions.split(b",")) == [b"can_add_comments", b"can_view_details"]
    assert request.one(b"X-Portal-Link-Type") == b"private"
    assert request.one(b"X-Forwarded-For") == b"203.0.113.9"
    assert request.all(b"X-Portal-Email") == []
    assert request.all(b"Authorization") == []
    assert request.all(b"Cookie") == []
    assert link["link_token"].encode() not in request.head


async def test_nothing_is_forwarded_that_was_not_entered(tmp_path: Path) -> None:
    backend = await EchoBackend().start()
    try:
        async with running_portal(tmp_path, backend=backend) as portal:
            link = await portal.link()
            await asyncio.gather(*(portal.visitor().get(path(link)) for _ in range(5)))
            entries = await portal.log(link)
            sent = {r.one(b"X-Request-Id") for r in backend.requests}
            assert {e["request_id"].encode() for e in entries} == sent
    finally:
        await backend.stop()
