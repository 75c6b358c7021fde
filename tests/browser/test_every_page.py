"""Every page of the gateway: on a desk, on a phone, at 400 % zoom; light and dark; in both
directions of writing; with scripts and without.

The pictures go to tests/artefacts, for people to look at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.languages import language
from tests.browser.walk import PAGES, Page, Site, running_site
from tests.chromium import DESKTOP, NARROW, PHONE, People, Person

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("dark", "code", "script"),
    [
        pytest.param(False, "en", True, id="light, ltr"),
        pytest.param(True, "en", True, id="dark, ltr"),
        pytest.param(False, "ar", True, id="light, rtl"),
        pytest.param(True, "ar", True, id="dark, rtl"),
        pytest.param(False, "en", False, id="light, ltr, no script"),
        pytest.param(True, "ar", False, id="dark, rtl, no script"),
    ],
)
async def test_every_page(site: Site, people: People, dark: bool, code: str, script: bool) -> None:
    person = await people(dark=dark, language=code, script=script)
    kind = f"{code}-{'dark' if dark else 'light'}"
    for page in PAGES:
        await person.resize(DESKTOP)
        await _arrives(person, site, page, code)
        # Scripts are what axe-core is; without them the same page has to come, and to fit.
        if script:
            assert await person.faults() == [], page.name
            await person.picture(f"{page.name}-{kind}-desktop")
        for screen in (PHONE, NARROW):
            await person.resize(screen)
            await _suits(person, page)
            if script and screen is PHONE:
                await person.picture(f"{page.name}-{kind}-phone")
    elsewhere = site.portal.origin.replace("127.0.0.1", "localhost")
    await person.check(site.portal.origin, site.without_mail.origin, elsewhere, "about:blank")


async def _arrives(person: Person, site: Site, page: Page, code: str) -> None:
    response = await page.way(person, site)
    headers = response.headers
    assert headers.get("x-portal-reason") == page.reason, page.name
    assert headers["content-language"] == code, page.name
    assert headers["vary"] == "Accept-Language", page.name
    assert "unsafe" not in headers["content-security-policy"], page.name
    root = person.page.locator("html")
    assert await root.get_attribute("lang") == code, page.name
    assert await root.get_attribute("dir") == language(code).direction, page.name
    # The style sheet has arrived, and the policy has let it in.
    assert await person.colour("main") in {"rgb(255, 255, 255)", "rgb(26, 31, 28)"}, page.name


async def _suits(person: Person, page: Page) -> None:
    assert await person.fits(), page.name
    assert await person.small_targets() == [], page.name


@pytest.mark.parametrize("code", ["de", "es", "fr"])
async def test_the_other_languages(site: Site, people: People, code: str) -> None:
    """Longer words than English has, on the narrowest screen."""
    person = await people(language=code, screen=NARROW)
    for page in PAGES:
        await _arrives(person, site, page, code)
        await _suits(person, page)
        if page.name in {"code-wrong", "throttled", "expired", "backend-down"}:
            await person.resize(PHONE)
            await person.picture(f"{page.name}-{code}-light-phone")
            await person.resize(NARROW)


@pytest.mark.parametrize("name", ["password-wrong", "code-wrong", "email-no-address"])
async def test_the_keyboard_goes_through_a_gate_in_its_order(
    site: Site, people: People, name: str
) -> None:
    """The field has the focus, which can be seen; its error is read out with it; then the button."""
    person = await people()
    (page,) = [page for page in PAGES if page.name == name]
    await page.way(person, site)
    focused = person.page.locator(":focus")
    assert await focused.get_attribute("aria-invalid") == "true"
    assert (await focused.get_attribute("aria-describedby") or "").split() == ["problem", "hint"]
    assert await person.page.get_by_role("alert").count() == 1
    assert await person.colour(":focus", "outline-style") == "solid"
    await person.page.keyboard.press("Tab")
    assert await focused.evaluate("element => element.tagName") == "BUTTON"
    assert await person.colour(":focus", "outline-width") == "3px"


async def test_nothing_moves(site: Site, people: People) -> None:
    person = await people()
    for page in PAGES[:3]:
        await page.way(person, site)
        assert await person.page.evaluate("document.getAnimations().length") == 0
        assert await person.colour("button", "transition-duration") == "0s"
