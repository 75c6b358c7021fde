"""Logos in the database: wanted with the link, claimed by one, kept once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.branding.shelf import MAX_BYTES, LogoShelf
from gateway.crypto.sealing import Sealer
from gateway.links.model import Branding, LinkRecord
from gateway.store.database import Database
from gateway.store.links import LinkStore
from gateway.store.logos import ClaimedLogo, LogoStore, Picture, want
from gateway.store.schema import logos
from tests.records import new_record

URL = "https://cdn.example/logo.png"
PICTURE = Picture("image/png", b"\x89PNG")
NOW = 1_780_000_000.0


@pytest.fixture
def links(database: Database, sealer: Sealer) -> LinkStore:
    return LinkStore(database, sealer, now=lambda: NOW)


@pytest.fixture
def store(database: Database) -> LogoStore:
    return LogoStore(database)


def record(url: str | None = URL) -> LinkRecord:
    made = new_record()
    return replace(made, link=replace(made.link, branding=Branding(logo_url=url)))


def with_logo(url: str | None) -> Callable[[LinkRecord], LinkRecord]:
    def edit(before: LinkRecord) -> LinkRecord:
        return replace(before, link=replace(before.link, branding=Branding(logo_url=url)))

    return edit


async def states(database: Database) -> dict[str, str]:
    async with database.reading() as connection:
        rows = (await connection.execute(select(logos.c.url, logos.c.state))).all()
    return {row.url: row.state for row in rows}


async def test_a_logo_is_wanted_with_its_link(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    made = await links.create(record(None))
    assert await states(database) == {}
    await links.update(made.link.id, with_logo(URL))
    assert await states(database) == {URL: "pending"}
    assert await store.claim(NOW, 60) == ClaimedLogo(URL, 1)


async def test_two_links_with_one_logo_want_it_once(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    await links.create(record())
    await links.create(record())
    assert await states(database) == {URL: "pending"}
    assert await store.claim(NOW, 60) == ClaimedLogo(URL, 1)
    assert await store.claim(NOW, 60) is None


async def test_a_link_that_is_not_stored_wants_nothing(
    database: Database, links: LinkStore
) -> None:
    made = await links.create(record(None))
    twice = replace(made, link=replace(made.link, branding=Branding(logo_url=URL)))
    with pytest.raises(Exception):  # noqa: B017 - whichever: the id is taken
        await links.create(twice)
    assert await states(database) == {}


async def test_a_claim_is_for_one_until_it_is_over(links: LinkStore, store: LogoStore) -> None:
    await links.create(record())
    claims = await asyncio.gather(*(store.claim(NOW, 60) for _ in range(5)))
    assert [claim for claim in claims if claim is not None] == [ClaimedLogo(URL, 1)]
    assert await store.claim(NOW + 59, 60) is None
    assert await store.claim(NOW + 60, 60) == ClaimedLogo(URL, 2)


async def test_a_claim_that_is_over_settles_nothing(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    await links.create(record())
    late = await store.claim(NOW, 60)
    assert late is not None
    await store.claim(NOW + 60, 60)
    await store.keep(late, PICTURE, NOW)
    assert await states(database) == {URL: "pending"}


async def test_what_is_kept_is_found(links: LinkStore, store: LogoStore) -> None:
    await links.create(record())
    logo = await store.claim(NOW, 60)
    assert logo is not None
    await store.keep(logo, PICTURE, NOW)
    assert await store.picture(PICTURE.content_hash) == PICTURE
    assert await store.picture("0" * 64) is None
    assert await store.claim(NOW + 1000, 60) is None
    (kept,) = await store.kept_since(NOW, 10)
    assert (kept.content_hash, kept.kept_at) == (PICTURE.content_hash, NOW)
    assert await store.kept_since(NOW + 1, 10) == []
    # Writing another link with it asks for nothing again.
    await links.create(record())
    assert await store.claim(NOW + 1000, 60) is None


async def test_a_failed_try_is_made_again(links: LinkStore, store: LogoStore) -> None:
    await links.create(record())
    logo = await store.claim(NOW, 60)
    assert logo is not None
    await store.retry(logo, NOW + 30, "it took too long")
    assert await store.claim(NOW + 29, 60) is None
    assert await store.claim(NOW + 30, 60) == ClaimedLogo(URL, 2)


async def test_what_was_given_up_is_wanted_anew_with_the_next_write(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    made = await links.create(record())
    logo = await store.claim(NOW, 60)
    assert logo is not None
    await store.give_up(logo, "it moves")
    assert await states(database) == {URL: "given_up"}
    assert await store.claim(NOW + 10_000, 60) is None
    await links.update(made.link.id, lambda before: before)
    assert await store.claim(NOW, 60) == ClaimedLogo(URL, 1)


async def test_a_logo_goes_with_the_last_link_that_names_it(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    first, second = await links.create(record()), await links.create(record())
    await links.create(record(None))
    await kept(links, store, URL, PICTURE, NOW)
    for number in range(3):
        await links.update(first.link.id, with_logo(f"{URL}?{number}"))
    assert await states(database) == {URL: "kept", f"{URL}?2": "pending"}
    await links.update(second.link.id, with_logo(None))
    assert URL in await states(database), "a third link names it"
    await links.delete(first.link.id)
    assert await states(database) == {URL: "kept"}


async def test_a_fetch_that_ends_after_its_link_leaves_nothing(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    made = await links.create(record())
    logo = await store.claim(NOW, 60)
    assert logo is not None
    await links.delete(made.link.id)
    await store.keep(logo, PICTURE, NOW)
    assert await states(database) == {}


async def test_a_logo_that_no_link_names_is_forgotten(
    database: Database, links: LinkStore, store: LogoStore
) -> None:
    """As it was left by a version that did not delete it with its link."""
    await links.create(record())
    await links.create(record(None))
    async with database.transaction() as connection:
        await want(connection, f"{URL}?2", NOW)
    assert await store.forget_unused(NOW) == 0, "too young"
    assert await store.forget_unused(NOW + 1) == 1
    assert await states(database) == {URL: "pending"}


async def kept(links: LinkStore, store: LogoStore, url: str, picture: Picture, at: float) -> None:
    await links.create(record(url))
    logo = await store.claim(NOW, 60)
    assert logo is not None
    await store.keep(logo, picture, at)


async def test_the_shelf_learns_what_is_new(links: LinkStore, store: LogoStore) -> None:
    shelf = LogoShelf(store)
    await shelf.refresh()
    assert shelf.name(URL) is None
    await kept(links, store, URL, PICTURE, NOW)
    await shelf.refresh()
    assert shelf.name(URL) == f"logo-{PICTURE.content_hash}"
    # Kept a little earlier by another machine's clock, and committed later.
    await kept(links, store, f"{URL}?2", Picture("image/gif", b"GIF"), NOW - 30)
    await shelf.refresh()
    assert shelf.name(f"{URL}?2") is not None


async def test_a_clock_that_was_ahead_hides_nothing(links: LinkStore, store: LogoStore) -> None:
    shelf = LogoShelf(store, now=lambda: NOW)
    await kept(links, store, URL, PICTURE, NOW + 86_400)
    await shelf.refresh()
    await kept(links, store, f"{URL}?2", PICTURE, NOW)
    await shelf.refresh()
    assert shelf.name(f"{URL}?2") is not None


async def test_the_shelf_asks_for_a_picture_once(
    links: LinkStore, store: LogoStore, database: Database
) -> None:
    shelf = LogoShelf(store)
    await kept(links, store, URL, PICTURE, NOW)
    name = f"logo-{PICTURE.content_hash}"
    assert await shelf.picture(name) == PICTURE
    await database.close()
    async with database.transaction() as connection:
        await connection.execute(logos.delete())
    assert await shelf.picture(name) == PICTURE


@pytest.mark.parametrize(
    "name", ["", "logo-", "logo-" + "0" * 64, "logo-" + "A" * 64, "portal.css", "logo-../x"]
)
async def test_the_shelf_has_nothing_else(store: LogoStore, name: str) -> None:
    assert await LogoShelf(store).picture(name) is None


async def test_the_shelf_is_bounded(links: LinkStore, store: LogoStore) -> None:
    shelf = LogoShelf(store)
    large = [Picture("image/png", bytes([n]) * (MAX_BYTES // 3)) for n in range(4)]
    for number, picture in enumerate(large):
        await kept(links, store, f"{URL}?{number}", picture, NOW)
        assert await shelf.picture(f"logo-{picture.content_hash}") == picture
    assert shelf.held_bytes <= MAX_BYTES
