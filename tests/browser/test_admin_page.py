"""The page at /docs, in a browser that obeys its policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from admin_api.operations import OPERATIONS
from gateway.store.links import LinkQuery
from tests.admin_service import ADMIN_KEY, Service, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serve(f"sqlite:///{tmp_path / 'admin.db'}") as running:
        yield running


@pytest.fixture(params=["light", "dark"])
async def page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page that fails the test on any message of the browser: a refused script is one."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = await browser.new_page(color_scheme=request.param)
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("requestfailed", lambda failed: complaints.append(failed.url))
        yield opened
        await browser.close()
    assert complaints == []


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
