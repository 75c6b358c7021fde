"""The page at /docs, in a browser that obeys its policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page

from admin_api.operations import OPERATIONS
from gateway.store.links import LinkQuery
from tests.admin_service import ADMIN_KEY, Service, serve
from tests.browser.demo_process import DemoProcess
from tests.chromium import DESKTOP, NARROW, PHONE, People

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serve(f"sqlite:///{tmp_path / 'admin.db'}") as running:
        yield running


@pytest_asyncio.fixture(params=["light", "dark"], loop_scope="session")
async def page(
    request: pytest.FixtureRequest, people: People, service: Service
) -> AsyncIterator[Page]:
    """A page that asks for nothing from elsewhere, and of which the browser says nothing."""
    person = await people(dark=request.param == "dark")
    yield person.page
    await person.check(service.url)


async def test_every_operation_is_shown(service: Service, page: Page) -> None:
    await page.goto(f"{service.url}/docs")
    await page.get_by_role("heading", name="Workorder portal links").wait_for()
    for operation in OPERATIONS:
        item = page.locator(f"details#{operation.id}")
        assert await item.locator("h3").inner_text() == operation.path
        assert await item.get_by_text(operation.summary, exact=True).count() == 1
    assert await page.locator("details[id^=schema-]").count() == 7


async def test_a_call_is_tried_with_a_key(service: Service, page: Page) -> None:
    await page.goto(f"{service.url}/docs#createLink")
    form = page.get_by_role("form", name="Try createLink")
    await page.get_by_label("API key").fill(ADMIN_KEY)
    example = await form.get_by_label("Body (JSON)").input_value()
    assert '"workorder": ""' in example
    sent = example.replace('"workorder": ""', '"workorder": "<img src=x>"')
    await form.get_by_label("Body (JSON)").fill(sent)
    await form.get_by_role("button", name="Send").click()
    await form.get_by_text("201 Created").wait_for()
    assert '"workorder": "<img src=x>"' in await form.locator("pre").last.inner_text()
    (made,), _ = await service.links.list(LinkQuery())
    assert made.link.workorder == "<img src=x>"


async def test_nothing_is_kept_of_the_key(service: Service, page: Page) -> None:
    await page.goto(f"{service.url}/docs#listLinks")
    await page.get_by_label("API key").fill(ADMIN_KEY)
    form = page.get_by_role("form", name="Try listLinks")
    await form.get_by_role("button", name="Send").click()
    await form.get_by_text("200 OK").wait_for()
    kept = await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    assert kept == [0, 0, ""]
    assert ADMIN_KEY not in page.url


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_key_of_the_demo_lists_its_links(
    shared_demo: DemoProcess, people: People, dark: bool
) -> None:
    person = await people(dark=dark)
    await person.open(f"{shared_demo.docs}#listLinks")
    await person.page.get_by_label("API key").fill(shared_demo.key)
    form = person.page.get_by_role("form", name="Try listLinks")
    await form.get_by_role("button", name="Send").click()
    await form.get_by_text("200 OK").wait_for()
    assert shared_demo.link("private") in await form.locator("pre").last.inner_text()
    await form.scroll_into_view_if_needed()
    for screen, size in (("desktop", DESKTOP), ("phone", PHONE), ("narrow", NARROW)):
        await person.resize(size)
        assert await person.faults() == []
        assert await person.fits()
        if size is not NARROW:
            await person.picture(f"admin-page-{'dark' if dark else 'light'}-{screen}")
    await person.check(shared_demo.docs.removesuffix("/docs"))
