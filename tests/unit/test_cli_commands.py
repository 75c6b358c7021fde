"""The command line as an operator meets it: what it prints, where, and how it exits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_id, new_token
from gateway.links.model import Link, LinkRecord
from gateway.store.database import Database
from gateway.store.keys import ApiKey, KeyStore
from gateway.store.links import LinkStore
from gateway.store.outbox import SEALED_AS, MailKind, OutboxStore, OutgoingMail

OLD, NEW = "old-" * 8, "new-" * 8
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in an empty folder: its exit code, stdout and stderr."""
    for name in list(os.environ):
        if name.startswith("PORTAL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PORTAL_UPSTREAM__URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return run_command


def authenticated(secret: str) -> ApiKey | None:
    async def ask() -> ApiKey | None:
        database = Database.open("sqlite:///portal.db")
        try:
            return await KeyStore(database).authenticate(secret)
        finally:
            await database.close()

    return asyncio.run(ask())


def store_link(secret_key: str) -> None:
    async def store() -> None:
        database = Database.open("sqlite:///portal.db")
        try:
            await database.migrate()
            token, now = new_token(), time.time()
            link = Link(new_id(), hash_token(token), "17")
            await LinkStore(database, Sealer([secret_key])).create(
                LinkRecord(link, token, created_at=now, modified_at=now)
            )
        finally:
            await database.close()

    asyncio.run(store())


def test_version_and_help_are_fast_for_what_they_do_not_import() -> None:
    program = (
        "import sys, gateway.cli; "
        "print([m for m in ('pydantic', 'sqlalchemy', 'aiohttp', 'alembic') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_version(run: Run) -> None:
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    assert out.startswith("portal-gateway 0.")


def test_console_script_lists_every_command() -> None:
    script = Path(sys.executable).with_name("portal-gateway")
    found = subprocess.run([script, "--help"], capture_output=True, text=True)
    assert found.returncode == 0
    for command in (
        "demo",
        "serve",
        "check",
        "explain",
        "migrate",
        "forget",
        "key",
        "rewrap",
        "--version",
    ):
        assert f"  {command} " in found.stdout


def test_a_key_is_printed_once_alone_on_the_last_line(run: Run) -> None:
    code, out, err = run(
        "key", "create", "--name", "Bob", "--role", "editor", "--namespace", "a", "--namespace", "b"
    )
    assert (code, err) == (0, "")
    secret = out.splitlines()[-1]
    key = authenticated(secret)
    assert key is not None
    assert (key.name, key.role, key.namespaces) == ("Bob", "editor", ("a", "b"))
    assert secret.encode() not in Path("portal.db").read_bytes()

    code, listed, _ = run("key", "list")
    assert code == 0
    assert secret not in listed
    header, row = listed.splitlines()
    assert header.split() == ["ID", "ROLE", "NAME", "NAMESPACES", "CREATED", "LAST", "USED"]
    assert row.split()[:5] == [key.id, "editor", "Bob", "a,", "b"]

    assert run("key", "revoke", key.id)[0] == 0
    assert authenticated(secret) is None
    code, out, err = run("key", "revoke", key.id)
    assert (code, out) == (1, "")
    assert "no key" in err


def test_a_visitor_of_whom_nothing_is_kept_is_forgotten_all_the_same(run: Run) -> None:
    assert run("forget", "ann@example.org") == (0, "Entries of the access log deleted: 0\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("key", "create", "--name", "x", "--role", "owner"), id="role"),
        pytest.param(("key", "create", "--role", "admin"), id="no name"),
        pytest.param(("serve", "--part", "none"), id="part"),
        pytest.param(("explain", "GET", "/x"), id="no work order"),
    ],
)
def test_bad_command_line(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "Error" in err


@pytest.mark.parametrize(
    "command",
    [
        ("serve",),
        ("check",),
        ("explain", "GET", "/", "--workorder", "1"),
        ("migrate",),
        ("forget", "ann@example.org"),
        ("rewrap",),
        ("key", "list"),
        ("key", "create", "--name", "x", "--role", "admin"),
        ("key", "revoke", "x"),
    ],
    ids=" ".join,
)
def test_faults_of_the_settings_are_listed_without_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PORTAL_LISSTEN", "HUNTER2")
    monkeypatch.setenv("PORTAL_WORKERS", "HUNTER2")
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "workers (PORTAL_WORKERS)",
        "lissten (PORTAL_LISSTEN)",
    ]
    assert "HUNTER2" not in err


def test_one_part_with_an_embedded_redis_is_refused(run: Run) -> None:
    code, _, err = run("serve", "--part", "gateway")
    assert code == 1
    assert err.startswith("redis_url: ")


def test_config_option(run: Run, tmp_path: Path) -> None:
    code, _, err = run("migrate", "--config", str(tmp_path / "absent.toml"))
    assert code == 1
    assert err.startswith("config: ")


def test_migrate(run: Run) -> None:
    assert run("migrate") == (0, "The schema was made.\n", "")
    assert run("migrate") == (0, "The schema is up to date.\n", "")


def test_a_database_that_cannot_be_is_a_fault_of_its_setting(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_DATABASE_URL", "sqlite:///absent/portal.db")
    code, _, err = run("migrate")
    assert code == 1
    assert err.startswith("database_url: ")


def test_a_damaged_database_is_told_in_one_line(run: Run) -> None:
    Path("portal.db").write_bytes(b"not a database " * 100)
    code, _, err = run("key", "list")
    assert code == 1
    assert err.startswith("database is unavailable")
    assert len(err.splitlines()) == 1


def store_mail(secret_key: str) -> None:
    async def store() -> None:
        database = Database.open("sqlite:///portal.db")
        try:
            now = time.time()
            mail = OutgoingMail(MailKind.CODE, new_id(), "<1@x>", "hello", now, now + 600)
            await OutboxStore(database, Sealer([secret_key], SEALED_AS)).put(mail)
        finally:
            await database.close()

    asyncio.run(store())


def test_keys_are_rotated(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store_link(OLD)
    store_mail(OLD)
    monkeypatch.setenv("PORTAL_SECRET_KEYS", f"{NEW},{OLD}")
    assert "an old key is still needed" in run("check")[1]
    assert run("rewrap") == (
        0,
        "Links encrypted anew: 1\nMails encrypted anew: 1\nWebhooks encrypted anew: 0\n",
        "",
    )
    assert run("rewrap") == (
        0,
        "Links encrypted anew: 0\nMails encrypted anew: 0\nWebhooks encrypted anew: 0\n",
        "",
    )
    monkeypatch.setenv("PORTAL_SECRET_KEYS", NEW)
    assert "everything is encrypted under the first key" in run("check")[1]


def test_a_mail_that_waits_needs_its_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store_link(NEW)
    store_mail(OLD)
    monkeypatch.setenv("PORTAL_SECRET_KEYS", f"{NEW},{OLD}")
    assert "an old key is still needed" in run("check")[1]


def test_rewrap_without_the_old_key_is_told_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_link(OLD)
    monkeypatch.setenv("PORTAL_SECRET_KEYS", NEW)
    code, _, err = run("rewrap")
    assert code == 1
    assert "cannot be read with the secret keys" in err
    assert len(err.splitlines()) == 1
