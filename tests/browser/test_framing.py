"""A public link can stand in another site's page; a private one cannot, and the browser sees to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from tests.browser.demo_process import DemoProcess
from tests.chromium import People

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def other_site() -> AsyncIterator[str]:
    """A site of another origin; `/?frame=URL` is a page with that URL in a frame."""
    app = web.Application()
    app.router.add_get("/", _page_with_frame)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _page_with_frame(request: web.Request) -> web.Response:
    body = '<!doctype html><link rel="icon" href="data:,"><h1>Elsewhere</h1>'
    frame = f'<iframe src="{request.query["frame"]}" width="700" height="500"></iframe>'
    # The URL that is framed stands in this page's own: it goes no further.
    headers = {"Referrer-Policy": "no-referrer"}
    return web.Response(text=body + frame, content_type="text/html", headers=headers)


async def test_a_public_link_is_shown(
    shared_demo: DemoProcess, people: People, other_site: str
) -> None:
    person = await people()
    await person.open(f"{other_site}/?frame={shared_demo.link('public')}")
    frame = person.page.frame_locator("iframe")
    assert await frame.locator("h1").inner_text() == "Clear the gutters, north side"
    assert await frame.get_by_role("button").count() == 0
    await person.check(shared_demo.origin, other_site)


async def test_a_private_link_is_refused(
    shared_demo: DemoProcess, people: People, other_site: str
) -> None:
    person = await people()
    await person.open(f"{other_site}/?frame={shared_demo.link('private')}")
    assert await person.page.locator("h1").inner_text() == "Elsewhere"
    shown = person.page.frames[1]
    assert shown.url == "chrome-error://chromewebdata/"
    assert "Boiler" not in await shown.content()
    assert any("frame-ancestors" in complaint for complaint in person.complaints)
