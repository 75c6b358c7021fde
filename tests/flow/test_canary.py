"""The secrets are where they belong, and nowhere else.

One gateway is walked through: every gate, every refusal, broken requests, broken backends, a fault
of its own. Then each place that could have kept a token, a password, a code, a key or a cookie is
searched: what was logged, the metrics, what the backend was sent, what visitors were answered,
every file, every key of a real Redis, and every command that was sent to it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.steps.resolve import Resolve
from tests.echo_backend import Conversation, EchoBackend, answer, echo, simple
from tests.flow.canaries import (
    PASSWORD,
    SECRET_KEY,
    WRONG_PASSWORD,
    Walk,
    everything_logged,
    kept_in_redis,
    monitored,
)
from tests.flow.doors import gate, path, restricted
from tests.gateway_process import GatewayProcess, served_portal
from tests.portal import LINKS, running_portal
from tests.raw_client import exchange
from tests.redis_server import RedisServer
from tests.smtp_server import SmtpServer, running_smtp_server

PAGE = "/workorders/42"
Leg = Callable[[Walk, SmtpServer], Awaitable[None]]


async def open_link(walk: Walk, mails: SmtpServer) -> None:
    link = await walk.link(permissions={"can_add_comments": True, "can_view_history": False})
    browser, client = walk.visitor(), walk.visitor()
    assert (await browser.get(link["full_url"], navigate=True)).status == 303
    assert (await client.get(path(link))).status == 200
    walk.keep_cookies(browser, client)
    referer = {"Referer": link["full_url"], "HX-Current-URL": link["full_url"]}
    assert (await browser.get(PAGE, headers=referer)).status == 200
    assert (await client.get(path(link, "/comments?page=2"), headers=referer)).status == 200
    posted = await browser.post(f"{PAGE}/comments", "hello", headers=referer)
    assert posted.status == 200
    assert (await client.get(path(link, "/history"))).reason == "not_permitted"
    assert (await client.get(path(link, "/nothing"))).reason == "no_route"
    assert (await client.post(gate(link, "leave"))).status == 200
    assert (await browser.post(gate(link, "leave"), navigate=True)).status == 200


async def password_gate(walk: Walk, mails: SmtpServer) -> None:
    link = await walk.link(**restricted(password=PASSWORD))
    visitor = walk.visitor()
    assert (await visitor.get(path(link), navigate=True)).reason == "password_required"
    for navigate in (True, False):
        wrong = await visitor.post(
            gate(link, "password"), {"password": WRONG_PASSWORD}, navigate=navigate
        )
        assert wrong.reason == "password_wrong"
    bad = await visitor.post(gate(link, "password"), f'{{"password": ["{PASSWORD}"]}}')
    assert bad.reason == "bad_request"
    for _ in range(10):
        last = await visitor.post(gate(link, "password"), {"password": WRONG_PASSWORD})
    assert last.reason == "throttled"
    other = await walk.link(**restricted(password=PASSWORD))
    right = await visitor.post(gate(other, "password"), json={"password": PASSWORD})
    assert right.status == 200
    walk.keep_cookies(visitor)


async def mail_gate(walk: Walk, mails: SmtpServer) -> None:
    link = await walk.link(link_type="secure", **restricted(require_email_verification=True))
    visitor = walk.visitor()
    asked = await visitor.post(gate(link, "email"), {"email": "ann@example.com"}, navigate=True)
    assert asked.reason == "code_required"
    walk.keep_cookies(visitor)
    code = (await mails.next_mail()).code
    walk.canaries.codes.add(code)
    wrong = "000000" if code != "000000" else "000001"
    assert (await visitor.post(gate(link, "code"), {"code": wrong})).reason == "code_wrong"
    assert (await visitor.post(gate(link, "code"), {"code": code}, navigate=True)).status == 303
    walk.keep_cookies(visitor)
    assert (await visitor.get(PAGE)).status == 200


async def limited_link(walk: Walk, mails: SmtpServer) -> None:
    link = await walk.link(**restricted(max_uses=1))
    first, second = walk.visitor(), walk.visitor()
    assert (await first.get(path(link), navigate=True)).reason == "confirm_required"
    assert (await first.post(gate(link, "open"), navigate=True)).status == 303
    for navigate in (True, False):
        assert (await second.get(path(link), navigate=navigate)).reason == "exhausted"
    walk.keep_cookies(first)


async def strayed_token(walk: Walk, mails: SmtpServer) -> None:
    """The token of one link in every part of a request to another one."""
    token = (await walk.link())["link_token"]
    link = await walk.link()
    visitor = walk.visitor(User_Agent=f"Reader ({walk.portal.origin}/workorder/{token})")
    assert (await visitor.get(path(link, f"?next={token}"), navigate=True)).status == 303
    for target in (
        f"{PAGE}?next={token}",
        f"{PAGE}/files/{token}",
        path(link, f"/files/{token}.pdf"),
        path(link, f"/comments?next={token}"),
        f"{PAGE}?next=wpl%5F{token.removeprefix('wpl_')}",
    ):
        for navigate in (True, False):
            assert (await visitor.get(target, navigate=navigate)).reason == "bad_request", target
    encoded = token.replace("_", "%5F")
    for name, value in (
        ("Referer", f"{walk.portal.origin}/workorder/{token}"),
        ("Referer", f"https://elsewhere.example/?u={encoded}"),
        ("X-Page", f"/workorder/{token}"),
        ("X-Forwarded-For", token),
        ("Origin", f"https://{token}.example"),
        ("X-Portal-Email", token),
    ):
        assert (await visitor.get(PAGE, headers={name: value})).status == 200
    visitor.cookies |= {"theirs": token, "also": encoded, f"portal_{link['_id']}x": token}
    assert (await visitor.get(PAGE)).status == 200
    assert (await visitor.get(path(link), headers={"Host": f"{token}.example"})).reason in {
        "misdirected",
        "bad_request",
    }
    assert (await visitor.ask(token, PAGE)).reason in {"bad_request", "no_route"}


async def broken_cookies(walk: Walk, mails: SmtpServer) -> None:
    link = await walk.link()
    visitor = walk.visitor()
    name = f"portal_{link['_id']}"
    for value in (link["link_token"], "x", "a.b.c", '"', PASSWORD):
        visitor.cookies = {name: value, f"portal_g_{link['_id']}": value, "portal_v": value}
        assert (await visitor.get(PAGE, navigate=True)).reason == "session_required"
        assert (await visitor.get(path(link))).status == 200


async def malformed_requests(walk: Walk, mails: SmtpServer) -> None:
    token = (await walk.link())["link_token"]
    address = walk.portal.origin.removeprefix("http://")
    host = f"Host: {address}\r\n"
    for raw in (
        f"GET /workorder/{token}/../x HTTP/1.1\r\n{host}\r\n",
        f"GET /workorder/{token}%2fx HTTP/1.1\r\n{host}Accept: text/html\r\n\r\n",
        f"GET /workorder/{token} HTTP/3.0\r\n{host}\r\n",
        f"GET /workorder/{token}\r\n\r\n",
        f"{token}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{host}{token}\r\n\r\n",
        f"GET /workorder/{token} HTTP/1.1\r\nHost: a\r\nHost: {token}\r\n\r\n",
        f"GET /workorder/{token} HTTP/1.1\r\n{host}Content-Length: {token}\r\n\r\n",
        f"GET /workorder/{token} HTTP/1.1\r\n{host}X: {token * 500}\r\n\r\n",
        f"POST /workorder/{token}/-/password HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n"
        f"{token}\r\n",
        f"CONNECT {token}:443 HTTP/1.1\r\n{host}\r\n",
    ):
        (refused,) = await exchange(address, raw.encode())
        assert refused.headers["x-portal-reason"] in {"bad_request", "header_too_large"}, raw
        told = refused.text + str(refused.headers)
        assert walk.canaries.found_in(told) == []


async def broken_backend(walk: Walk, mails: SmtpServer) -> None:
    link = await walk.link()
    visitor, backend = walk.visitor(), walk.portal.backend
    assert (await visitor.get(path(link), navigate=True)).status == 303
    walk.keep_cookies(visitor)

    async def cut(talk: Conversation) -> None:
        talk.reset()

    behaviours = [
        (cut, 502),
        (answer(b"nonsense\r\n\r\n", close=True), 502),
        (answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", close=True), 502),
        (answer(simple(b"", "Location: /elsewhere", status="302 Found")), 302),
        (answer(simple(b"", f"Location: {path(link)}", status="302 Found")), 302),
    ]
    for behaviour, status in behaviours:
        backend.behave = behaviour
        for target in (path(link, "/"), PAGE):
            for navigate in (True, False):
                got = await visitor.get(target, navigate=navigate)
                assert got.status in {status, 404}
    backend.behave = echo


async def owner(walk: Walk, mails: SmtpServer) -> None:
    """The admin API, its refusals included. Its answers hold tokens: that is what it is for."""
    portal, link = walk.portal, await walk.link()
    token = link["link_token"]
    where = f"{LINKS}/{link['_id']}"
    for method, target, body in (
        ("PATCH", where, {"link_token": token}),
        ("PATCH", where, {"access_restrictions": {"password": 5, PASSWORD: 1}}),
        ("GET", f"{LINKS}/{token}", None),
        ("GET", f"{LINKS}?sort={token}", None),
        ("GET", f"/workorder/{token}", None),
        ("GET", f"/domains?domain={token}", None),
    ):
        assert (await portal.call(method, target, body))[0] >= 400
    assert (await portal.call("GET", where, key=token))[0] == 401
    changed = await portal.act(link, "regenerate")
    walk.canaries.tokens.add(changed["link_token"])
    await portal.act(link, "deactivate")
    for old in (token, changed["link_token"]):
        for navigate in (True, False):
            got = await walk.visitor().get(f"/workorder/{old}", navigate=navigate)
            assert got.reason in {"unknown_token", "inactive"}
    status, made = await portal.call("POST", "/v1/keys", {"name": "office", "role": "editor"})
    assert status == 201
    key = _only_secret(made)
    walk.canaries.others.add(key)
    assert (await portal.call("GET", LINKS, key=key))[0] == 200
    assert (await portal.call("GET", LINKS, key=f"{key}x"))[0] == 401


def _only_secret(answer: Any) -> str:
    text = json.dumps(answer)
    start = text.index("pgk_")
    return text[start : text.index('"', start)]


LEGS: tuple[Leg, ...] = (
    open_link,
    password_gate,
    mail_gate,
    limited_link,
    strayed_token,
    broken_cookies,
    malformed_requests,
    broken_backend,
    owner,
)


@pytest.fixture
async def mails() -> AsyncIterator[SmtpServer]:
    async with running_smtp_server() as server:
        yield server


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


async def test_no_secret_is_anywhere_in_reach(
    tmp_path: Path,
    own_redis_server: RedisServer,
    mails: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with everything_logged() as lines:
        async with (
            monitored(own_redis_server) as commands,
            running_portal(
                tmp_path,
                redis_url=own_redis_server.url,
                secret_keys=(SECRET_KEY,),
                smtp_url=mails.url,
                mail_from="portal@example.com",
            ) as portal,
        ):
            walk = Walk(portal)
            for leg in LEGS:
                await leg(walk, mails)
            await _unforeseen_fault(walk, monkeypatch)
            await portal.settled()
            async with portal.http.get(f"{portal.admin}/metrics") as response:
                metrics = await response.text()
            # While it runs: the write-ahead log and the journal are there.
            assert {path.suffix for path in tmp_path.rglob("*.db-wal")} == {".db-wal"}
            on_disk = walk.found_on_disk(tmp_path)
            in_redis = [*kept_in_redis(own_redis_server)]
        on_disk += walk.found_on_disk(tmp_path)
    canaries = walk.canaries
    assert len(canaries.tokens) > 10
    assert len(canaries.cookies) > 5
    assert len(canaries.codes) == 1
    assert len(portal.backend.requests) > 20
    assert len(in_redis) > 20
    assert b"portal:" in commands
    assert walk.found_at_the_backend() == []
    assert walk.found_in_answers() == []
    assert [line for line in lines if canaries.found_in(line)] == []
    assert canaries.found_in(metrics) == []
    assert on_disk == []
    assert [found for value in in_redis for found in canaries.found_in(value)] == []
    assert canaries.found_in(bytes(commands)) == []


async def _unforeseen_fault(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the program whose exception quotes what it was given, as many do."""
    link = await walk.link()

    async def fail(self: Resolve, visit: object, portal: object) -> None:
        raise KeyError(f"/workorder/{link['link_token']} {PASSWORD}")

    with monkeypatch.context() as patch:
        patch.setattr(Resolve, "by_token", fail)
        for navigate in (True, False):
            assert (await walk.visitor().get(path(link), navigate=navigate)).status == 500


async def test_a_process_at_debug_level_logs_no_secret(
    tmp_path: Path, mails: SmtpServer, backend: EchoBackend
) -> None:
    gateway = GatewayProcess(
        tmp_path,
        backend.origin,
        LOG_LEVEL="debug",
        SMTP_URL=mails.url,
        MAIL_FROM="portal@example.com",
        SECRET_KEYS=SECRET_KEY,
    )
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        walk = Walk(portal)
        for leg in LEGS:
            await leg(walk, mails)
        await portal.settled()
        canaries = walk.canaries
        assert canaries.found_in(await portal.metrics()) == []
        gateway.terminate()
        assert await gateway.ended() == 0
    assert walk.found_on_disk(tmp_path) == []  # stderr.log is one of the files
    assert "gateway.app" in gateway.stderr
    assert walk.found_at_the_backend() == []
    assert walk.found_in_answers() == []


async def test_the_one_redirect_with_a_token_leads_back_to_where_the_visitor_was(
    tmp_path: Path,
) -> None:
    """A reload of a gate's page asks by GET; only the portal URL's own visitor is told it."""
    async with running_portal(tmp_path) as portal:
        link = await portal.link(**restricted(password=PASSWORD))
        answer = await portal.visitor().get(gate(link, "password"), navigate=True)
        assert (answer.status, answer.headers["Location"]) == (303, path(link))
        assert answer.headers["Referrer-Policy"] == "same-origin"
