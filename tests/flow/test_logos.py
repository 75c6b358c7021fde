"""A link's logo on the gateway's pages: fetched once by the worker, served to visitors from here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.logo_site import (
    JPEG,
    PNG,
    LogoSite,
    locked_with_logo,
    running_logo_site,
    shown,
    shown_soon,
)
from tests.portal import Portal, running_portal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[LogoSite]:
    async with running_logo_site() as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(
        tmp_path_factory.mktemp("portal"), logos={"allow_private_addresses": True}
    ) as portal:
        yield portal


async def test_a_logo_is_fetched_once_and_served_from_here(portal: Portal, site: LogoSite) -> None:
    link = await locked_with_logo(portal, f"{site.origin}/logo.png")
    moved = await locked_with_logo(portal, f"{site.origin}/moved")
    addresses = {await shown_soon(portal, link): (PNG, "image/png")}
    addresses[await shown_soon(portal, moved)] = (JPEG, "image/jpeg")
    for address, (body, content_type) in addresses.items():
        assert address.startswith("/-/assets/logo-")
        for _ in range(3):
            logo = await portal.visitor().get(address)
            assert (logo.status, logo.body) == (200, body)
            assert logo.headers["Content-Type"] == content_type
            assert logo.headers["Cache-Control"] == "private, max-age=31536000, immutable"
            assert logo.headers["X-Content-Type-Options"] == "nosniff"
            assert logo.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    # Another link with the same logo has it at once.
    assert (
        await shown(portal, await locked_with_logo(portal, f"{site.origin}/logo.png")) is not None
    )
    assert site.asked["/logo.png"] == site.asked["/moved"] == site.asked["/logo.jpg"] == 1


async def test_with_another_logo_a_link_shows_the_other(portal: Portal, site: LogoSite) -> None:
    link = await locked_with_logo(portal, f"{site.origin}/logo.png")
    first = await shown_soon(portal, link)
    await portal.change(link, custom_branding={"logo_url": f"{site.origin}/moved"})
    second = await shown_soon(portal, link)
    assert first != second
    await portal.change(link, custom_branding={"logo_url": None})
    assert await shown(portal, link) is None
