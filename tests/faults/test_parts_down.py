"""Each part down, one at a time: what goes on, what is refused, and that it comes back.

Never is a rule skipped because a part is down: what cannot be decided or recorded is refused.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.store.database import Database
from tests.echo_backend import Conversation, EchoBackend, echo, simple
from tests.flow.doors import PASSWORD, admitted, ask_code, gate, path, restricted, until
from tests.gateway_process import GatewayProcess, quiet_port, run_program, served_portal
from tests.logo_site import locked_with_logo, running_logo_site, shown, shown_soon
from tests.portal import LINKS, Answer, Portal, Visitor, running_portal
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer

PAGE = "/workorders/42"


@pytest.fixture
async def backend() -> AsyncIterator[EchoBackend]:
    backend = await EchoBackend().start()
    yield backend
    await backend.stop()


async def eventually(visitor: Visitor, method: str, target: str, **more: Any) -> Answer:
    """Ask until the answer is 200; it is a part's time to come back that is waited for."""
    async with asyncio.timeout(15):
        while (answer := await visitor.ask(method, target, **more)).status != 200:
            await asyncio.sleep(0.05)
    return answer


def assert_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.reason) == (503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


async def assert_admin_refuses(portal: Portal) -> None:
    """A write of the admin API is answered 503, and says when to ask again."""
    async with portal.http.post(
        portal.admin + LINKS,
        json={"workorder": "42"},
        headers={"Authorization": f"Bearer {portal.settings.admin_key.get_secret_value()}"},
    ) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0


# ---- the journal's disk


def limit_files(pid: int, size: int) -> None:
    """From now on the process can make no file longer than `size`: as on a full disk."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


async def test_a_full_disk_refuses_all_that_cannot_be_recorded(
    tmp_path: Path, backend: EchoBackend
) -> None:
    gateway = GatewayProcess(tmp_path, backend.origin)
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        link = await portal.link()
        limited = await portal.link(**restricted(max_uses=1))
        visitor = await admitted(portal, link)
        assert (await visitor.get(PAGE)).status == 200
        await portal.settled()
        served = len(backend.requests)
        limit_files(gateway.pid, 1)
        for _ in range(3):
            assert_unavailable(await visitor.get(PAGE))
            assert_unavailable(await visitor.post(f"{PAGE}/comments", b"hello"))
            assert_unavailable(await portal.visitor().get(path(link)))
            assert_unavailable(await portal.visitor().post(gate(limited, "open")))
            assert_unavailable(await visitor.get("/nothing"))
        # What is not entered in the access log is served: there is nothing to record.
        assert (await visitor.get("/static/a.css")).status == 200
        assert [each.request_line for each in backend.requests[served:]] == [
            b"GET /static/a.css HTTP/1.1"
        ]
        async with asyncio.timeout(10):
            while (await visitor.get("/-/health/ready")).status != 503:
                await asyncio.sleep(0.05)
        limit_files(gateway.pid, resource.RLIM_INFINITY)
        await eventually(visitor, "GET", PAGE)
        await eventually(visitor, "GET", "/-/health/ready")
        entries = await portal.log(link)
        assert [e["reason"] for e in entries] == ["ok"] * len(entries)
        assert len(entries) == 2 + len(backend.requests) - served - 1
        gateway.terminate()
        assert await gateway.ended() == 0
    assert "Traceback" not in gateway.stderr


# ---- the database


@contextmanager
def locked(path: Path) -> Any:
    """Somebody else is writing to the SQLite file, and does not stop."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_locked_database_stops_only_what_has_to_be_written(tmp_path: Path) -> None:
    async with running_portal(tmp_path, database={"statement_timeout": 0.2}) as portal:
        link, fresh = await portal.link(), await portal.link()
        limited = await portal.link(**restricted(max_uses=1))
        mailed = await portal.link(**restricted(require_email_verification=True))
        visitor = await admitted(portal, link)
        await portal.settled()
        with locked(tmp_path / "portal.db"):
            for address in ("ann@example.com", "bob@example.com"):
                asking = portal.visitor().post(gate(mailed, "email"), {"email": address})
                assert_unavailable(await asking)
            assert (await visitor.get(PAGE)).status == 200
            await admitted(portal, fresh)
            assert_unavailable(await portal.visitor().post(gate(limited, "open")))
            await assert_admin_refuses(portal)
            journal = portal.process.settings.data_dir / "journal"
            assert any(each.stat().st_size for each in journal.rglob("*.jsonl"))
        await eventually(portal.visitor(), "POST", gate(limited, "open"))
        assert portal.mails == []
        guest = portal.visitor()
        code = await ask_code(portal, guest, mailed)
        assert (await guest.post(gate(mailed, "code"), {"code": code})).status == 200
        assert [e["action"] for e in await portal.log(link)] == ["open", "view"]
        assert [e["reason"] for e in await portal.log(limited)] == ["store_unavailable", "ok"]


async def _migrated(server: PostgresServer) -> str:
    url = server.url(await server.create_database())
    database = Database.open(url)
    await database.migrate()
    await database.close()
    return url


async def test_without_postgresql_what_is_known_goes_on(
    tmp_path: Path, own_postgres_server: PostgresServer, own_redis_server: RedisServer
) -> None:
    url = await _migrated(own_postgres_server)
    async with running_portal(tmp_path, database_url=url, redis_url=own_redis_server.url) as portal:
        link, locked_link = await portal.link(), await portal.link(**restricted(password=PASSWORD))
        limited, unseen = await portal.link(**restricted(max_uses=1)), await portal.link()
        visitor = await admitted(portal, link)
        assert (await portal.visitor().get(path(locked_link))).status == 401
        assert (await portal.visitor().get(path(limited))).status == 401
        await portal.settled()
        own_postgres_server.stop()
        assert (await visitor.get(PAGE)).status == 200
        await admitted(portal, link)
        proven = await portal.visitor().post(gate(locked_link, "password"), {"password": PASSWORD})
        assert proven.status == 200
        wrong = await portal.visitor().post(gate(locked_link, "password"), {"password": "x"})
        assert wrong.reason == "password_wrong"
        assert_unavailable(await portal.visitor().post(gate(limited, "open")))
        assert_unavailable(await portal.visitor().get(path(unseen)))
        await assert_admin_refuses(portal)
        own_postgres_server.start()
        await eventually(portal.visitor(), "POST", gate(limited, "open"))
        await eventually(portal.visitor(), "GET", path(unseen))
        assert [e["action"] for e in await portal.log(link)] == ["open", "view", "open"]
        assert (await portal.call("GET", LINKS))[0] == 200


async def test_without_postgresql_pages_keep_the_logo_that_they_have(
    tmp_path: Path, own_postgres_server: PostgresServer, own_redis_server: RedisServer
) -> None:
    url = await _migrated(own_postgres_server)
    async with (
        running_logo_site() as site,
        running_portal(
            tmp_path,
            database_url=url,
            redis_url=own_redis_server.url,
            logos={"allow_private_addresses": True},
        ) as portal,
    ):
        link = await locked_with_logo(portal, f"{site.origin}/logo.png")
        address = await shown_soon(portal, link)
        held = await portal.visitor().get(address)
        own_postgres_server.stop()
        assert await shown(portal, link) == address
        assert (await portal.visitor().get(address)).body == held.body
        # What memory does not hold is refused, and nobody keeps that for a year.
        missing = await portal.visitor().get(f"/-/assets/logo-{'0' * 64}")
        assert_unavailable(missing)
        assert missing.headers["Cache-Control"] == "private, no-store"
        own_postgres_server.start()


# ---- Redis


async def test_without_redis_only_codes_are_refused(
    tmp_path: Path, own_redis_server: RedisServer
) -> None:
    async with running_portal(
        tmp_path, redis_url=own_redis_server.url, throttle={"failures_per_address": 3}
    ) as portal:
        link = await portal.link()
        secret = await portal.link(**restricted(password=PASSWORD))
        mailed = await portal.link(**restricted(require_email_verification=True))
        limited = await portal.link(**restricted(max_uses=1))
        visitor = await admitted(portal, link)
        own_redis_server.stop()
        assert (await visitor.get(PAGE)).status == 200
        await admitted(portal, await portal.link())
        assert (await portal.visitor().post(gate(limited, "open"))).status == 200
        told = [
            (await portal.visitor().post(gate(secret, "password"), {"password": "x"})).reason
            for _ in range(4)
        ]
        assert told == ["password_wrong"] * 3 + ["throttled"]
        asked = await portal.visitor().post(gate(mailed, "email"), {"email": "ann@example.com"})
        assert_unavailable(asked)
        changed = await portal.act(link, "deactivate")
        assert changed["is_active"] is False
        assert (await visitor.get(PAGE)).reason == "session_required"
        own_redis_server.start()
        guest = portal.visitor()
        async with asyncio.timeout(10):
            while (
                await guest.post(gate(mailed, "email"), {"email": "bob@example.com"})
            ).status != 401:
                await asyncio.sleep(0.05)
        code = await ask_code(portal, guest, mailed, "bob@example.com")
        assert (await guest.post(gate(mailed, "code"), {"code": code})).status == 200


# ---- the backend


async def test_a_backend_that_is_not_there_is_502_until_it_is(tmp_path: Path) -> None:
    port, backend = quiet_port(), EchoBackend()
    backend.origin = f"http://127.0.0.1:{port}"
    async with running_portal(tmp_path, backend=backend) as portal:
        link = await portal.link(custom_branding={"footer_text": "Acme Works"})
        visitor = await admitted(portal, link)
        missing = await visitor.get(PAGE, navigate=True)
        assert (missing.status, missing.reason) == (502, "upstream_unavailable")
        assert b"Acme Works" in missing.body
        await backend.start(port=port)
        assert (await visitor.get(PAGE)).status == 200
        await backend.stop()
        assert (await visitor.get(PAGE)).status == 502
        again = EchoBackend()
        await again.start(port=port)
        assert (await visitor.get(PAGE)).status == 200
        await again.stop()
        # Each was allowed: that nobody answered is the backend's business.
        assert {e["reason"] for e in await portal.log(link)} == {"ok"}


# ---- the start


async def test_every_fault_of_the_settings_is_told_at_once(tmp_path: Path) -> None:
    code, printed = await run_program(
        "serve", folder=tmp_path,
        PUBLIC_URL="http://example.com/path", LISTEN="nowhere", DATABASE_URL="mysql://x",
        SECRET_KEYS="too-short-to-be-one", REDIS_URL="memcached://x", LIMITS__MAX_BODY="-1",
        NO_SUCH_SETTING="1", TRUSTED_PROXIES="10.0.0.0/99",
    )  # fmt: skip
    assert code == 1
    assert "Traceback" not in printed
    assert "too-short-to-be-one" not in printed
    for setting in (
        "public_url", "listen", "database_url", "secret_keys", "redis_url", "limits.max_body",
        "no_such_setting", "trusted_proxies", "upstream.url",
    ):  # fmt: skip
        assert any(line.startswith(setting) for line in printed.splitlines()), (setting, printed)


async def test_a_second_process_on_one_folder_is_refused(
    tmp_path: Path, backend: EchoBackend
) -> None:
    gateway = GatewayProcess(tmp_path, backend.origin)
    async with served_portal(gateway, backend):
        await gateway.start()
        settings = gateway.settings | {
            "LISTEN": f"127.0.0.1:{quiet_port()}",
            "ADMIN_LISTEN": f"127.0.0.1:{quiet_port()}",
        }
        code, printed = await run_program("serve", folder=tmp_path, **settings)
        assert (code, "Traceback" in printed) == (1, False)
        assert "in use by another gateway" in printed
        assert str(tmp_path / "data") in printed


@pytest.mark.parametrize("taken", ["LISTEN", "ADMIN_LISTEN"])
async def test_a_port_in_use_is_named(tmp_path: Path, backend: EchoBackend, taken: str) -> None:
    gateway = GatewayProcess(tmp_path, backend.origin)
    address = backend.origin.removeprefix("http://")
    code, printed = await run_program(
        "serve", folder=tmp_path, **(gateway.settings | {taken: address})
    )
    await gateway.close()
    assert (code, "Traceback" in printed) == (1, False)
    assert address in printed
    assert "in use" in printed


async def test_a_schema_that_is_behind_on_postgresql_names_the_command(
    tmp_path: Path, backend: EchoBackend, empty_postgres_url: str
) -> None:
    gateway = GatewayProcess(
        tmp_path, backend.origin, DATABASE_URL=empty_postgres_url, SECRET_KEYS="k" * 32
    )
    code, printed = await run_program("serve", folder=tmp_path, **gateway.settings)
    assert (code, "Traceback" in printed) == (1, False)
    assert "portal-gateway migrate" in printed
    code, printed = await run_program("migrate", folder=tmp_path, **gateway.settings)
    assert code == 0, printed
    async with served_portal(gateway, backend):
        await gateway.start()
        gateway.terminate()
        assert await gateway.ended() == 0


# ---- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_the_end_of_a_process_cuts_nobody_off(
    tmp_path: Path, backend: EchoBackend, number: signal.Signals
) -> None:
    release = asyncio.Event()

    async def slow(talk: Conversation) -> None:
        await talk.read_body()
        await release.wait()
        await talk.send(simple(b"at last"))

    gateway = GatewayProcess(tmp_path, backend.origin, DRAIN__DELAY="1", DRAIN__TIMEOUT="10")
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        link = await portal.link()
        visitor = await admitted(portal, link)
        backend.behave = slow
        waiting = asyncio.create_task(visitor.get(PAGE))
        await backend.arrived()
        assert gateway.process is not None
        gateway.process.send_signal(number)
        await gateway.says("STOPPING=1")
        async with asyncio.timeout(5):
            while (await portal.visitor().get("/-/health/ready")).status != 503:
                await asyncio.sleep(0.01)
        # Whoever is still sent here is served.
        backend.behave = echo
        assert (await visitor.get(PAGE)).status == 200
        await until(lambda: "draining" in gateway.stderr)
        assert not waiting.done()
        release.set()
        assert (await waiting).body == b"at last"
        assert await gateway.ended() == 0
    assert "Traceback" not in gateway.stderr
    database = sqlite3.connect(tmp_path / "portal.db")
    entered = database.execute("SELECT action FROM access_log ORDER BY id").fetchall()
    database.close()
    assert entered == [("open",), ("view",), ("view",)]


async def test_a_request_that_does_not_end_is_cut_after_the_drain(
    tmp_path: Path, backend: EchoBackend
) -> None:
    async def never(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await talk.wait_closed()
        talk.close()

    backend.behave = never
    gateway = GatewayProcess(tmp_path, backend.origin, DRAIN__TIMEOUT="0.5")
    async with served_portal(gateway, backend) as portal:
        await gateway.start()
        visitor = await admitted(portal, await portal.link())
        waiting = asyncio.create_task(visitor.get(PAGE))
        await backend.arrived()
        gateway.terminate()
        assert await gateway.ended() == 0
        with pytest.raises(Exception, match=r"(?i)payload|reset|disconnect"):
            await waiting
    assert "Traceback" not in gateway.stderr
