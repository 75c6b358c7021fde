"""Debian's Chromium for the tests, and people who use it.

Each person has a browser of their own (cookies, colours, a screen), and all that the browser
asked for and complained about is kept: `Person.check` says what it must never be.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    async_playwright,
)

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTEFACTS = Path(__file__).parent / "artefacts"
DESKTOP = (1180, 860)
PHONE = (390, 780)
# What is left of a desktop's width at 400 % zoom (WCAG 2.2, success criterion 1.4.10).
NARROW = (320, 640)
_TOKEN = re.compile(r"wpl_[0-9A-Za-z]+")
_STATUS = re.compile(r"Failed to load resource: the server responded with a status of [45]")


def require_chromium() -> str:
    """Its path. Fails, or skips where `PORTAL_TESTS_WITHOUT` allows it, if it is not there."""
    if "chromium" in os.environ.get("PORTAL_TESTS_WITHOUT", "").split(","):
        pytest.skip("PORTAL_TESTS_WITHOUT=chromium")
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing; set PORTAL_TESTS_WITHOUT=chromium to skip these tests")
    return str(CHROMIUM)


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """A browser without a window, closed at the end."""
    path = require_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Person:
    """Somebody before a screen, at the first page that they opened."""

    context: BrowserContext
    page: Page
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    documents: set[str] = field(default_factory=set)

    async def open(self, url: str) -> Response:
        """Go to `url`, as from a mail."""
        response = await self.page.goto(url)
        assert response is not None
        return response

    async def press(self, button: str) -> None:
        """Press the button, and wait for the page that it leads to."""
        async with self.page.expect_navigation():
            await self.page.get_by_role("button", name=button, exact=True).click()

    async def heading(self) -> str:
        """The words of the page's first heading."""
        return await self.page.locator("h1").first.inner_text()

    async def colour(self, selector: str = "body", what: str = "background-color") -> str:
        """A colour as the browser computes it: what the style sheet says, once it is loaded."""
        return await self.page.locator(selector).first.evaluate(
            "(element, what) => getComputedStyle(element).getPropertyValue(what)", what
        )

    async def fits(self) -> bool:
        """Whether nothing on the page is wider than the screen."""
        return await self.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )

    async def resize(self, screen: tuple[int, int]) -> None:
        """Look at the same page on another screen."""
        await self.page.set_viewport_size({"width": screen[0], "height": screen[1]})

    async def faults(self) -> list[str]:
        """What axe-core finds wrong with the page, each with the element that it is about."""
        found = await _AXE.run(self.page, options=_AXE_OPTIONS)
        return [
            f"{violation['id']}: {node['html']}"
            for violation in found.response["violations"]
            for node in violation["nodes"]
        ]

    async def small_targets(self) -> list[str]:
        """What is to be pressed and is less than 44 by 44 pixels, links within a text aside."""
        return await self.page.evaluate(_SMALL_TARGETS)

    async def picture(self, name: str) -> None:
        """Keep a picture of the page among the artefacts of the tests."""
        ARTEFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)

    @property
    def asked_with_token(self) -> list[str]:
        """The URLs with a token that were asked for, in their order."""
        return [request.url for request in self.requests if _TOKEN.search(request.url)]

    async def referers(self) -> set[str]:
        """Every `Referer` that was sent."""
        sent = {(await request.all_headers()).get("referer") for request in self.requests}
        return {referer for referer in sent if referer is not None}

    async def check(self, *origins: str) -> None:
        """Assert what holds for everybody: nothing from elsewhere, no token in a `Referer`, and
        no complaint of the browser (an error of a script, or of its policy)."""
        elsewhere = [r.url for r in self.requests if not r.url.startswith(origins)]
        assert elsewhere == []
        assert [r for r in await self.referers() if _TOKEN.search(r)] == []
        assert self.complaints == []

    def _hear(self, message: ConsoleMessage) -> None:
        # That a page itself came with 401 or 502 is no fault: it is what the tests ask for.
        # Nor is that of the icon which browsers ask for by themselves where a page names none.
        url = message.location["url"]
        is_page = url in self.documents or url.endswith("/favicon.ico")
        if is_page and _STATUS.match(message.text):
            return
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        if request.is_navigation_request():
            self.documents.add(request.url)

    def _failed(self, request: Request) -> None:
        # A download is a navigation that ends without a page.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url}: {request.failure}")


_AXE = Axe()
_AXE_OPTIONS = {
    "resultTypes": ["violations"],
    # Off by itself: 24 by 24 pixels, or room around (WCAG 2.2, success criterion 2.5.8).
    "rules": {"target-size": {"enabled": True}},
}
_SMALL_TARGETS = """() => [...document.querySelectorAll("button, input, textarea, summary, .button")]
    .filter(each => {
        const { width, height } = each.getBoundingClientRect();
        return height > 0 && (width < 44 || height < 44);
    })
    .map(each => each.outerHTML)"""

People = Callable[..., Awaitable[Person]]


async def new_person(
    browser: Browser,
    *,
    script: bool = True,
    dark: bool = False,
    screen: tuple[int, int] = DESKTOP,
    language: str = "en-GB",
) -> Person:
    """Somebody with a new browser: no cookie, nothing kept."""
    context = await browser.new_context(
        java_script_enabled=script,
        color_scheme="dark" if dark else "light",
        viewport={"width": screen[0], "height": screen[1]},
        locale=language,
    )
    context.set_default_timeout(15_000)
    person = Person(context, await context.new_page())
    context.on("request", person._asked)
    context.on("console", person._hear)
    context.on("weberror", lambda error: person.complaints.append(str(error.error)))
    context.on("requestfailed", person._failed)
    return person
