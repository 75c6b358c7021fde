"""What operators see: every metric by its name, what moves it, and who is up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.health import journal_probe
from gateway.links.verdict import Decision, Reason
from gateway.store.database import Database
from tests.echo_backend import EchoBackend, answer
from tests.flow.doors import (
    PASSWORD,
    ROUTES,
    admitted,
    ask_code,
    gate,
    path,
    repeat_frames,
    restricted,
    socket,
    until,
)
from tests.portal import Portal, running_portal
from tests.postgres_server import PostgresServer
from tests.raw_client import exchange
from tests.redis_server import RedisServer

# The names and the labels that dashboards and alerts are built on.
SPECIFIED: dict[str, set[str]] = {
    "portal_requests_total": {"decision", "reason", "action"},
    "portal_request_duration_seconds": {"action"},
    "portal_requests_in_flight": set(),
    "portal_upstream_duration_seconds": set(),
    "portal_upstream_responses_total": {"code_class"},
    "portal_upstream_errors_total": {"kind"},
    "portal_websockets_open": set(),
    "portal_sessions_opened_total": {"link_type"},
    "portal_gate_attempts_total": {"gate", "result"},
    "portal_link_lookups_total": {"source"},
    "portal_links": {"status"},
    "portal_journal_pending_entries": set(),
    "portal_journal_entries_total": set(),
    "portal_invalidation_lag_seconds": set(),
    "portal_outbox_pending_messages": set(),
    "portal_outbox_oldest_age_seconds": set(),
    "portal_outbox_messages_total": {"kind", "result"},
    "portal_store_errors_total": {"store"},
    "portal_webhook_deliveries_total": {"result"},
    "portal_webhook_pending_deliveries": set(),
    "portal_dependency_up": {"dependency"},
    "portal_config_last_reload_successful": set(),
    "portal_build_info": {"version"},
}
ACTIONS = {
    "view", "comment", "upload", "download", "history", "approve", "reject", "asset",
    "open", "password", "email", "code", "denied",
}  # fmt: skip

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(portal: Portal) -> list[Metric]:
    """What a scraper reads, but for the process's and the interpreter's own metrics."""
    async with portal.http.get(f"{portal.admin}/metrics") as response:
        assert response.status == 200
        text = await response.text()
    families = text_string_to_metric_families(text)
    return [each for each in families if not each.name.startswith(("process_", "python_"))]


async def values(portal: Portal) -> Values:
    """Every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in await scraped(portal)
        for sample in family.samples
    }


def full_name(family: Metric) -> str:
    """A family's name as it is specified; the parser takes the ending of counters off."""
    return f"{family.name}_total" if family.type == "counter" else family.name


async def moved(
    portal: Portal, act: Callable[[], Awaitable[object]], name: str, **labels: str
) -> float:
    """How far one sample moves while something is done."""
    key = (name, frozenset(labels.items()))
    before = (await values(portal)).get(key, 0.0)
    await act()
    return (await values(portal)).get(key, 0.0) - before


async def test_the_names_and_labels_are_those_that_are_promised(portal: Portal) -> None:
    needles = await _all_kinds_of_traffic(portal)
    families = await scraped(portal)
    assert {full_name(family) for family in families} == set(SPECIFIED)
    for family in families:
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert family.samples, family.name
        assert labels == SPECIFIED[full_name(family)], family.name
        assert family.documentation
    shown = {
        value
        for family in families
        for sample in family.samples
        for name, value in sample.labels.items()
        if name not in {"le", "version"}
    }
    assert all(value.replace("_", "").isalnum() and len(value) < 30 for value in shown), shown
    assert not {needle for needle in needles for value in shown if needle in value}


async def _all_kinds_of_traffic(portal: Portal) -> set[str]:
    """Make every metric have a sample; what must not be in a label."""
    open_link = await portal.link()
    visitor = await admitted(portal, open_link)
    await visitor.get("/workorders/42")
    locked = await portal.link(**restricted(password=PASSWORD))
    await visitor.post(gate(locked, "password"), {"password": "wrong"})
    mailed = await portal.link(**restricted(require_email_verification=True))
    await ask_code(portal, portal.visitor(), mailed, "ann@example.com")
    portal.backend.behave = answer(b"", close=True)
    await visitor.get("/workorders/42")
    await visitor.get("/workorder/wpl_" + "0" * 43)
    await visitor.ask("BREW", "/workorders/42")
    await exchange(portal.origin.removeprefix("http://"), b"\x00\r\n\r\n")
    await portal.act(open_link, "deactivate")
    return {
        open_link["_id"], open_link["link_token"], locked["_id"], locked["link_token"],
        "127.0.0.1", "/", "wpl_", "ann", "example", *visitor.cookies.values(),
    }  # fmt: skip


async def test_decisions_are_counted_by_reason_and_action(portal: Portal) -> None:
    link = await portal.link(permissions={"can_view_history": False})
    locked = await portal.link(**restricted(password=PASSWORD))
    visitor = portal.visitor()
    for act, decision, reason, action in (
        (lambda: visitor.get(path(link), navigate=True), "allow", "ok", "open"),
        (lambda: visitor.get("/workorders/42"), "allow", "ok", "view"),
        (lambda: visitor.get("/static/a.css"), "allow", "ok", "asset"),
        (lambda: visitor.get("/workorders/42/history"), "deny", "not_permitted", "denied"),
        (lambda: visitor.get("/elsewhere"), "deny", "no_route", "denied"),
        (lambda: visitor.get(path(locked)), "challenge", "password_required", "denied"),
        (
            lambda: visitor.post(gate(locked, "password"), {"password": "x"}),
            "challenge",
            "password_wrong",
            "password",
        ),
        (lambda: visitor.get("/%2e%2e"), "deny", "bad_request", "denied"),
        (lambda: portal.visitor().get("/x"), "deny", "session_required", "denied"),
    ):
        labels = {"decision": decision, "reason": reason, "action": action}
        assert await moved(portal, act, "portal_requests_total", **labels) == 1, labels
    counted = {
        dict(labels)[name]
        for (sample, labels) in await values(portal)
        if sample == "portal_requests_total"
        for name in ("decision", "reason", "action")
    }
    assert counted <= {*Decision, *Reason, *ACTIONS}


async def test_what_happens_at_the_gates_is_counted(portal: Portal) -> None:
    name = "portal_gate_attempts_total"
    link = await portal.link(**restricted(password=PASSWORD, require_email_verification=True))
    visitor = portal.visitor()

    async def try_password(password: str) -> None:
        await visitor.post(gate(link, "password"), {"password": password})

    for password, result in (("wrong", "failed"), (PASSWORD, "passed")):
        act = lambda password=password: try_password(password)  # noqa: E731
        assert await moved(portal, act, name, gate="password", result=result) == 1
    code = await ask_code(portal, visitor, link)
    for sent, result in (("x", "failed"), (code, "passed")):
        act = lambda sent=sent: visitor.post(gate(link, "code"), {"code": sent})  # noqa: E731
        assert await moved(portal, act, name, gate="code", result=result) == 1
    opened = await values(portal)
    assert opened[("portal_sessions_opened_total", frozenset({("link_type", "private")}))] == 1
    assert opened[(name, frozenset({("gate", "email"), ("result", "passed")}))] == 1


async def test_lookups_tell_where_a_link_was_found(portal: Portal) -> None:
    name = "portal_link_lookups_total"
    link = await portal.link()
    first = portal.visitor()
    assert await moved(portal, lambda: first.get(path(link)), name, source="database") == 1
    assert await moved(portal, lambda: first.get(path(link)), name, source="memory") == 1
    unknown = "/workorder/wpl_" + "0" * 43
    assert await moved(portal, lambda: first.get(unknown), name, source="absent") == 1


async def test_the_backend_is_counted_by_class_and_by_error(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)

    async def ask(raw: bytes) -> None:
        portal.backend.behave = answer(raw, close=True)
        await visitor.get("/workorders/42")

    for status in (200, 302, 404, 500):
        raw = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
        act = lambda raw=raw: ask(raw)  # noqa: E731
        counted = await moved(
            portal, act, "portal_upstream_responses_total", code_class=f"{status // 100}xx"
        )
        assert counted == 1
    for raw, kind in ((b"", "reset"), (b"nonsense\r\n\r\n", "protocol")):
        act = lambda raw=raw: ask(raw)  # noqa: E731
        assert await moved(portal, act, "portal_upstream_errors_total", kind=kind) == 1


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


async def test_open_websockets_are_gauged(tmp_path: Path, backend: EchoBackend) -> None:
    upstream = {"url": backend.origin, "routes": ROUTES}
    async with running_portal(tmp_path, backend=backend, upstream=upstream) as portal:
        link = await portal.link()
        visitor = await admitted(portal, link)
        portal.backend.behave = repeat_frames
        key = ("portal_websockets_open", frozenset[tuple[str, str]]())
        async with socket(portal, visitor, "/workorders/42/live") as opened:
            await opened.send_str("hello")
            assert (await opened.receive()).data == "hello"
            assert (await values(portal))[key] == 1
        async with asyncio.timeout(5):
            while (await values(portal))[key]:
                await asyncio.sleep(0.01)


async def test_nothing_is_left_in_flight(portal: Portal) -> None:
    link = await portal.link()
    visitor = await admitted(portal, link)
    await asyncio.gather(*(visitor.get("/workorders/42") for _ in range(20)))
    after = await values(portal)
    assert after[("portal_requests_in_flight", frozenset())] == 0
    durations = ("portal_request_duration_seconds_count", frozenset({("action", "view")}))
    assert after[durations] == 20


async def test_the_journal_is_counted_and_drained(portal: Portal) -> None:
    link = await portal.link()
    act = lambda: admitted(portal, link)  # noqa: E731
    assert await moved(portal, act, "portal_journal_entries_total") == 1
    await portal.settled()
    assert (await values(portal))[("portal_journal_pending_entries", frozenset())] == 0


# ---- health


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example", "10.0.0.7:8080", "[::1]:80"])
@pytest.mark.parametrize("kind", ["live", "ready"])
async def test_health_says_up_to_any_host_and_no_more(portal: Portal, kind: str, host: str) -> None:
    got = await portal.visitor().get(f"/-/health/{kind}", headers={"Host": host})
    assert (got.status, json.loads(got.body)) == (200, {"status": "up"})
    assert "Set-Cookie" not in got.headers
    assert "Server" not in got.headers


@pytest.mark.parametrize(
    "target",
    [
        "/metrics", "/health/ready", "/health/live", "/-/metrics", "/-/health", "/-/health/",
        "/-/health/ready/database", "/-/health/readyx", "/-/health/..", "/v1/keys", "/docs",
        "/openapi.json", "/domains?domain=x", "/-/debug",
    ],
)  # fmt: skip
async def test_visitors_are_told_nothing_else(portal: Portal, target: str) -> None:
    visitor = await admitted(portal, await portal.link())
    for headers in ({}, {"User-Agent": "kube-probe/1.30"}, {"User-Agent": "GoogleHC/1.0"}):
        got = await visitor.get(target, headers=headers)
        assert got.reason in {"no_route", "bad_request"}, target
        assert b"database" not in got.body
    assert portal.backend.requests == []


async def test_readiness_fails_before_anything_else_ends(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        portal = await stack.enter_async_context(
            running_portal(tmp_path, drain={"delay": 1.0, "timeout": 5.0})
        )
        visitor = await admitted(portal, await portal.link())
        assert (await visitor.get("/-/health/ready")).status == 200
        ending = asyncio.create_task(stack.aclose())
        await until(lambda: portal.process.health.is_draining)
        down = await visitor.get("/-/health/ready")
        assert (down.status, json.loads(down.body)) == (503, {"status": "down"})
        assert (await visitor.get("/-/health/live")).status == 200
        assert (await visitor.get("/workorders/42")).status == 200
        async with portal.http.get(f"{portal.admin}/health/ready") as response:
            assert response.status == 503
            assert "gateway" in await response.text()
        assert not ending.done()
        await ending


async def test_operators_are_told_which_part_is_down(
    tmp_path: Path, own_redis_server: RedisServer, own_postgres_server: PostgresServer
) -> None:
    url = own_postgres_server.url(await own_postgres_server.create_database())
    database = Database.open(url)
    await database.migrate()
    await database.close()
    async with running_portal(tmp_path, redis_url=own_redis_server.url, database_url=url) as portal:
        assert await _parts_down(portal) == (200, set())
        own_redis_server.stop()
        assert await _parts_down(portal) == (503, {"redis"})
        own_postgres_server.stop()
        assert await _parts_down(portal) == (503, {"redis", "database"})
        gauges = await values(portal)
        up = {
            dict(labels)["dependency"]: value
            for (name, labels), value in gauges.items()
            if name == "portal_dependency_up"
        }
        assert up == {"redis": 0, "database": 0, "journal": 1}
        # Another gateway would do no better: visitors are still sent here.
        assert (await portal.visitor().get("/-/health/ready")).status == 200
        own_redis_server.start()
        own_postgres_server.start()
        async with asyncio.timeout(10):
            while await _parts_down(portal) != (200, set()):
                await asyncio.sleep(0.05)


async def _parts_down(portal: Portal) -> tuple[int, set[str]]:
    async with portal.http.get(f"{portal.admin}/health/ready") as response:
        told = await response.json()
        return response.status, {detail["field"] for detail in told.get("details", ())}


async def test_many_looks_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    look = journal_probe(tmp_path)
    for _ in range(20):
        await asyncio.gather(*(look() for _ in range(8)))
    assert list(tmp_path.iterdir()) == []
