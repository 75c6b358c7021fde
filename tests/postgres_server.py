"""A real PostgreSQL for the tests: on a free port, in a folder of its own, stopped at the end."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.store.database import Database
from tests.redis_server import free_port

START_SECONDS = 30.0
# English rules where the server can have them, so that a sort that leans on the database's own
# collation differs from SQLite's and is caught.
_LOCALES = (
    ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"],
    ["--locale=C"],
)
# Nothing here outlives the test, so nothing is written through to the disk.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "unix_socket_directories": "",
}


class PostgresServer:
    """One PostgreSQL server over a cluster of its own; its only role needs no password."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._cluster = folder / "cluster"
        self._binaries = _find_binaries()
        # PostgreSQL refuses to run as root; its package made a user for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """One of the server's databases as a `database_url`."""
        return f"postgresql://portal@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the cluster."""
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        for locale in _LOCALES:
            done = self._run(
                "initdb",
                "--pgdata",
                str(self._cluster),
                "--username=portal",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                *locale,
            )
            if done.returncode == 0:
                return
        pytest.fail(f"initdb failed:\n{done.stderr.decode()}")

    def start(self) -> None:
        """Start, and return once it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self._cluster), "-p", str(self.port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        log_path = self._folder / "postgres.log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, user=self._user
            )
        deadline = time.monotonic() + START_SECONDS
        while self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port)).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"PostgreSQL did not start:\n{log_path.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop at once; connections are cut off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)
            self._process = None

    async def create_database(self, template: str = "template1") -> str:
        """A new database, a copy of `template`; its name."""
        name = f"portal_{secrets.token_hex(8)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement, as an administrator would."""
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(self._binaries / program), *words],
            capture_output=True,
            cwd=self._folder,
            user=self._user,
        )


def _find_binaries() -> Path:
    # Debian keeps each version in a folder outside PATH.
    newest_first = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parent.parent.name),
        reverse=True,
    )
    on_path = shutil.which("initdb")
    found = newest_first or ([Path(on_path)] if on_path else [])
    for initdb in found:
        if (initdb.parent / "postgres").exists():
            return initdb.parent
    pytest.fail(
        "PostgreSQL's server is not installed (on Debian: apt-get install postgresql); "
        "set PORTAL_TESTS_WITHOUT=postgres to skip these tests"
    )


def require_postgres() -> None:
    """Fail, or skip where `PORTAL_TESTS_WITHOUT` allows it, if PostgreSQL cannot be run."""
    if "postgres" in os.environ.get("PORTAL_TESTS_WITHOUT", "").split(","):
        pytest.skip("PORTAL_TESTS_WITHOUT=postgres")
    _find_binaries()
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.fail("PostgreSQL does not run as root, and there is no user `postgres` to run it as")


def _running_server() -> Iterator[PostgresServer]:
    require_postgres()
    with tempfile.TemporaryDirectory(prefix="portal-postgres-") as folder:
        server = PostgresServer(Path(folder))
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server for the whole session; tests use databases of their own on it."""
    yield from _running_server()


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A running server for one test, which may stop and start it."""
    yield from _running_server()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database with the present schema, to make copies of."""

    async def make() -> str:
        name = await postgres_server.create_database()
        database = Database.open(postgres_server.url(name))
        await database.migrate()
        await database.close()
        return name

    with asyncio.Runner() as runner:
        return runner.run(make())


@pytest.fixture
async def empty_postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A new database without a schema, as a `database_url`."""
    name = await postgres_server.create_database()
    yield postgres_server.url(name)
    await postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def postgres_url(
    postgres_server: PostgresServer, postgres_template: str
) -> AsyncIterator[str]:
    """A new database with the present schema, as a `database_url`."""
    name = await postgres_server.create_database(postgres_template)
    yield postgres_server.url(name)
    await postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
