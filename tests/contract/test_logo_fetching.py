"""The worker fetches logos: from a real server, into each database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from gateway.branding.fetching import FIRST_RETRY, MOST_TRIES, LogoFetcher
from gateway.store.database import Database
from gateway.store.logos import LogoStore, want
from gateway.store.schema import logos
from tests.logo_site import PNG, LogoSite, running_logo_site

NOW = 1_780_000_000.0
DAY = 86_400.0


@pytest.fixture
async def site() -> AsyncIterator[LogoSite]:
    async with running_logo_site() as site:
        yield site


@dataclass
class Worker:
    """A worker whose clock the test turns."""

    database: Database
    now: float = NOW

    async def want(self, url: str) -> None:
        async with self.database.transaction() as connection:
            await want(connection, url, self.now)

    async def step(self, *, allow_private: bool = True) -> None:
        store = LogoStore(self.database)
        await LogoFetcher(store, allow_private=allow_private, now=lambda: self.now).step()

    async def fate(self) -> tuple[str, int, str]:
        """The only logo's state, how often it was tried, and what is wrong with it."""
        statement = select(logos.c.state, logos.c.attempts, logos.c.problem)
        async with self.database.reading() as connection:
            row = (await connection.execute(statement)).one()
        return row.state, row.attempts, row.problem or ""


@pytest.fixture
def worker(database: Database) -> Worker:
    return Worker(database)


async def test_a_logo_is_kept(worker: Worker, site: LogoSite) -> None:
    await worker.want(f"{site.origin}/logo.png")
    await worker.step()
    assert await worker.fate() == ("kept", 1, "")
    (kept,) = await LogoStore(worker.database).kept_since(0, 10)
    picture = await LogoStore(worker.database).picture(kept.content_hash)
    assert picture is not None
    assert (picture.content_type, picture.body) == ("image/png", PNG)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        pytest.param("/logo.svg", "no PNG, JPEG, GIF or WebP", id="SVG"),
        pytest.param("/huge", "larger than", id="too large"),
        pytest.param("/nothing", "404", id="nothing there"),
        pytest.param("/inside", "may not be asked", id="a redirect to the inside"),
    ],
)
async def test_what_is_no_logo_is_given_up_at_once(
    worker: Worker, site: LogoSite, path: str, problem: str
) -> None:
    await worker.want(site.origin + path)
    await worker.step()
    worker.now += DAY
    await worker.step()
    state, tries, told = await worker.fate()
    assert (state, tries) == ("given_up", 1)
    assert problem in told
    assert site.asked[path] == 1


async def test_a_private_address_is_not_asked_unless_the_settings_say_so(
    worker: Worker, site: LogoSite
) -> None:
    await worker.want(f"{site.origin}/logo.png")
    await worker.step(allow_private=False)
    state, _, problem = await worker.fate()
    assert (state, problem) == ("given_up", "the address may not be asked")
    assert site.asked == {}


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_fails_is_asked_again_ever_more_slowly(
    worker: Worker, site: LogoSite, status: int
) -> None:
    site.status = status
    await worker.want(f"{site.origin}/logo.png")
    for tries in range(1, MOST_TRIES):
        await worker.step()
        assert await worker.fate() == ("pending", tries, f"its server answered {status}")
        pause = FIRST_RETRY * 4 ** (tries - 1)
        worker.now += pause - 1
        await worker.step()
        assert site.asked["/logo.png"] == tries, "too early"
        worker.now += 1
    await worker.step()
    assert await worker.fate() == ("given_up", MOST_TRIES, f"its server answered {status}")
    worker.now += 100 * DAY
    await worker.step()
    assert site.asked["/logo.png"] == MOST_TRIES


async def test_a_server_that_comes_back_is_good_enough(worker: Worker, site: LogoSite) -> None:
    site.status = 503
    await worker.want(f"{site.origin}/logo.png")
    await worker.step()
    site.status = None
    worker.now += FIRST_RETRY
    await worker.step()
    assert await worker.fate() == ("kept", 2, "")


async def test_one_that_fails_does_not_hold_up_the_others(worker: Worker, site: LogoSite) -> None:
    for path in ("/logo.svg", "/logo.png", "/moved"):
        await worker.want(site.origin + path)
    await worker.step()
    assert len(await LogoStore(worker.database).kept_since(0, 10)) == 2


async def test_what_is_wrong_is_logged_without_the_address(
    worker: Worker, site: LogoSite, caplog: pytest.LogCaptureFixture
) -> None:
    await worker.want(f"{site.origin}/nothing?key=secret")
    await worker.step()
    assert "a logo is not shown: its server answered 404" in caplog.text
    assert "secret" not in caplog.text
