"""`check`: every part is tried, and every fault is in one report."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from config.models import Settings, UpstreamSettings
from gateway.check import Finding, check_all, landing_problem, report
from gateway.probe import ProbeFailed, probe_upstream
from gateway.store.database import Database

ROW = {"methods": ["GET"], "path": "/w/{workorder}", "permission": "none", "action": "view"}
Serve = Callable[[bytes], Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers that answer whatever comes with these bytes; gives each one's port."""
    servers = []

    async def start(answer: bytes) -> int:
        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(reply, "127.0.0.1", 0)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "database_url": f"sqlite:///{folder}/portal.db",
            "data_dir": folder / "data",
            "secret_keys": ["k" * 32],
            **changes,
        }
    )


async def problems(found: Settings) -> dict[str, str]:
    return {f.part: f.problem for f in await check_all(found) if f.problem is not None}


async def test_all_is_well(tmp_path: Path, serve: Serve) -> None:
    port = await serve(b"HTTP/1.1 404 Not Found\r\n\r\n")
    found = settings(tmp_path, upstream={"url": f"http://127.0.0.1:{port}"})
    findings = await check_all(found)
    assert [f.problem for f in findings] == [None] * 6
    notes = {finding.part: finding.note for finding in findings}
    assert notes["database"] == "serve will make the file"
    assert notes["upstream.url"] == "it answers HTTP (status 404)"
    assert "refuse every code" in notes["smtp_url"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "a check makes no database"
    assert list((tmp_path / "data").iterdir()) == []


async def test_a_database_that_is_there(tmp_path: Path, serve: Serve) -> None:
    port = await serve(b"HTTP/1.0 200 OK\r\n\r\n")
    found = settings(tmp_path, upstream={"url": f"http://127.0.0.1:{port}"})
    database = Database.open(found.database_url)
    await database.migrate()
    await database.close()
    notes = {finding.part: finding.note for finding in await check_all(found)}
    assert notes["database"] == "it answers, and its schema is up to date"
    assert notes["secret_keys"] == "everything is encrypted under the first key"


async def test_every_fault_is_found_at_once(tmp_path: Path, closed_port: int) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    (tmp_path / "portal.db").write_bytes(b"no database " * 200)
    dead = f"127.0.0.1:{closed_port}"
    found = settings(
        tmp_path,
        upstream={"url": f"http://{dead}", "path": "/x/{workorder}"},
        upstreams={
            "acme": {"url": f"https://{dead}", "ca_file": tmp_path / "absent", "path": "/w/{workorder}"},
            "b": {"url": "http+unix://%2Fabsent.sock", "routes": [ROW], "path": "/w/{workorder}"},
        },
        redis_url=f"redis://:HUNTER2@{dead}",
        smtp_url=f"smtp://u:HUNTER2@{dead}",
        mail_from="portal@example.com",
    )  # fmt: skip
    faults = await problems(found)
    assert {name: message for name, message in faults.items() if "HUNTER2" in message} == {}
    assert set(faults) == {
        "data_dir", "database", "secret_keys", "redis_url", "smtp_url", "upstream.url",
        "upstreams.acme.url", "upstreams.b.url", "upstream.path", "upstreams.acme.path",
    }  # fmt: skip
    assert "Connect call failed" in faults["upstream.url"] or "refused" in faults["upstream.url"]
    assert faults["upstreams.acme.url"].startswith("ca_file")
    assert faults["upstream.path"] == "no route lets GET /x/{workorder} pass"


async def test_keys_of_this_machine_that_are_broken(tmp_path: Path, serve: Serve) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_keys").write_text("short")
    found = settings(tmp_path, upstream={"url": f"http://127.0.0.1:{port}"}, secret_keys=[])
    assert set(await problems(found)) == {"secret_keys"}


@pytest.mark.parametrize(
    ("url", "allow_private", "said"),
    [
        pytest.param("http://127.0.0.1:{port}/x", False, "FAULT allow_private_addresses", id="own network"),
        pytest.param("http://localhost:{port}/x", False, "FAULT allow_private_addresses", id="by name"),
        pytest.param("http://127.0.0.1:{port}/x", True, "nothing was sent", id="allowed"),
        pytest.param("http://169.254.169.254/x", True, "FAULT may not be asked", id="never allowed"),
        pytest.param("https://nowhere.invalid/x", False, "FAULT cannot be resolved", id="no such host"),
        pytest.param("https://8.8.8.8/x", False, "nothing was sent", id="public"),
        pytest.param("http://8.8.8.8/x", False, "use https", id="in the clear"),
    ],
)  # fmt: skip
async def test_webhooks_are_looked_at_and_sent_nothing(
    tmp_path: Path, url: str, allow_private: bool, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        receiver.setblocking(False)
        webhook = {
            "url": url.format(port=receiver.getsockname()[1]),
            "secret": "whsec_" + "a" * 32,
            "allow_private_addresses": allow_private,
        }
        found = settings(
            tmp_path,
            upstream={"url": "http://127.0.0.1:1"},
            notification_webhooks={"acme": webhook},
        )
        (finding,) = (f for f in await check_all(found) if f.part.startswith("notification"))
        with pytest.raises(BlockingIOError):
            receiver.accept()
    assert finding.part == "notification_webhooks.acme.url"
    assert (finding.problem is not None) is said.startswith("FAULT")
    assert said.removeprefix("FAULT ") in (finding.problem or finding.note)
    assert "/x" not in (finding.problem or finding.note)


@pytest.mark.parametrize(
    ("path", "routes", "message"),
    [
        pytest.param("/workorders/{workorder}", None, None, id="default"),
        pytest.param("/workorders/{workorder}/", None, "no route", id="a slash more"),
        pytest.param("/show?id={workorder}", [{**ROW, "path": "/show?id={workorder}"}], None, id="query"),
        pytest.param("/show?id={workorder}&a=1", [{**ROW, "path": "/show?id={workorder}"}], "no route", id="parameter"),
        pytest.param("/w/{workorder}", [{**ROW, "methods": ["POST"]}], "no route", id="method"),
        pytest.param("/a{workorder}", [{**ROW, "path": "/{workorder}"}], "refuses", id="not its own"),
    ],
)  # fmt: skip
def test_landing_page_that_no_route_lets_pass(
    path: str, routes: list[dict[str, Any]] | None, message: str | None
) -> None:
    upstream = {"url": "http://b", "path": path, "routes": routes}
    found = landing_problem(Settings.model_validate({"upstream": upstream}))
    assert len(found) == (message is not None)
    assert message is None or (found[0].startswith("upstream.path: ") and message in found[0])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 xyz\r\n\r\n", id="no status"),
    ],
)
async def test_what_is_no_http(serve: Serve, answer: bytes) -> None:
    upstream = UpstreamSettings(url=f"http://127.0.0.1:{await serve(answer)}")
    with pytest.raises(ProbeFailed, match="no HTTP"):
        await probe_upstream(upstream, 5.0)


async def test_tls_where_there_is_none(serve: Serve) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    upstream = UpstreamSettings(url=f"https://127.0.0.1:{port}")
    with pytest.raises(ProbeFailed):
        await probe_upstream(upstream, 1.0)


async def test_backend_behind_a_socket(tmp_path: Path) -> None:
    heads = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(reply, tmp_path / "a.sock")
    upstream = UpstreamSettings(
        url=f"http+unix://{str(tmp_path / 'a.sock').replace('/', '%2F')}",
        headers={"Authorization": "HUNTER2"},  # type: ignore[dict-item]  # as text, as in a file
    )
    assert await probe_upstream(upstream, 5.0) == 302
    server.close()
    await server.wait_closed()
    assert heads == [b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]


async def test_silence_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ProbeFailed, match="in time"):
            await probe_upstream(UpstreamSettings(url=f"http://127.0.0.1:{port}"), 0.05)


def test_certificate_files_are_named(tmp_path: Path) -> None:
    upstream = UpstreamSettings(url="https://127.0.0.1:9", client_cert_file=tmp_path / "absent")
    with pytest.raises(ProbeFailed, match="client_cert_file"):
        asyncio.run(probe_upstream(upstream, 1.0))


def test_report() -> None:
    text = report([Finding("a", note="fine"), Finding("longer", "broken", "note")])
    assert text.splitlines() == ["ok     a       fine", "FAULT  longer  broken", "Faults: 1"]
