"""Fixtures of the contract tests: each store on each of its databases, for real."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.crypto.sealing import Sealer
from gateway.store.database import Database
from tests.postgres_server import (  # noqa: F401 - fixtures
    empty_postgres_url,
    own_postgres_server,
    postgres_server,
    postgres_template,
    postgres_url,
)
from tests.redis_server import own_redis_server, redis_server  # noqa: F401 - fixtures

KINDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the present schema, to make copies of."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"

    async def make() -> None:
        database = Database.open(f"sqlite:///{path}")
        await database.migrate()
        await database.close()

    with asyncio.Runner() as runner:
        runner.run(make())
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A new file with the present schema, as a `database_url`."""
    path = tmp_path / "portal.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """A new database with the present schema, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database at `database_url`, open."""
    database = Database.open(database_url)
    yield database
    await database.close()


@pytest.fixture
def sealer() -> Sealer:
    """Seals tokens with a key that is as good as any."""
    return Sealer(["k" * 32])
