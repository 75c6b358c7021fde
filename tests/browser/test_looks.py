"""Every page on a wide and a narrow screen, in light and dark: nothing sticks out, all is readable.

The pictures go to tests/artefacts, for people to look at.
"""

from __future__ import annotations

import pytest

from tests.browser.demo_process import DemoProcess
from tests.browser.test_refusals import UNKNOWN
from tests.chromium import DESKTOP, PHONE, People, Person

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# WCAG 2.2, success criterion 1.4.3.
ENOUGH_CONTRAST = 4.5
# The lowest contrast between a text and the nearest ground that is painted behind it.
_LOWEST_CONTRAST = """() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = colour => {
        const [r, g, b] = channels(colour).map(c => linear(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (channels(colour)[3] !== 0) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let lowest = 21;
    while (texts.nextNode()) {
        const text = texts.currentNode, element = text.parentElement;
        if (!text.data.trim() || !element.getClientRects().length) continue;
        const a = luminance(getComputedStyle(element).color), b = luminance(ground(element));
        lowest = Math.min(lowest, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return lowest;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_every_page(
    shared_demo: DemoProcess, people: People, screen: tuple[int, int], dark: bool
) -> None:
    person = await people(screen=screen, dark=dark)
    kind = f"{'phone' if screen is PHONE else 'desktop'}-{'dark' if dark else 'light'}"
    pages = {
        "order": shared_demo.link("private"),
        "history": f"{shared_demo.origin}/workorders/WO-1042/history",
        "not-permitted": f"{shared_demo.origin}/workorders/WO-1043",
        "public": shared_demo.link("public"),
        "brand": shared_demo.link("brand"),
        "confirm": shared_demo.link("good for one visitor"),
        "expired": shared_demo.link("expired"),
        "address": shared_demo.link("for another network"),
        "inactive": shared_demo.link("switched off"),
        "unknown": shared_demo.origin + UNKNOWN,
    }
    for name, url in pages.items():
        await person.open(url)
        await _looks_right(person, f"{name}-{kind}")
    await _gates(person, shared_demo, kind)
    await person.check(shared_demo.origin)


async def _gates(person: Person, demo: DemoProcess, kind: str) -> None:
    await person.open(demo.link("with a password"))
    await _looks_right(person, f"password-{kind}")
    await person.page.get_by_label("Password", exact=True).fill("wrong")
    await person.press("Continue")
    await _looks_right(person, f"password-wrong-{kind}")
    await person.open(demo.link("with a code by mail"))
    await _looks_right(person, f"email-{kind}")
    await person.page.get_by_label("Mail address").fill(f"{kind}@example.com")
    await person.press("Send the code")
    await person.page.get_by_text("No mail, or the wrong address?").click()
    await _looks_right(person, f"code-{kind}")


async def _looks_right(person: Person, name: str) -> None:
    await person.picture(name)
    assert await person.fits(), name
    assert await person.page.evaluate(_LOWEST_CONTRAST) >= ENOUGH_CONTRAST, name
