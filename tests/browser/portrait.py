"""Makes docs/images from the demo: a work order through a link, and the gates on telephones.

python -m tests.browser.portrait
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Browser

from tests.browser.demo_process import DemoProcess, running_demo
from tests.chromium import Person, new_person, running_chromium

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
ORDER, GATE, PHONE = (1040, 880), (360, 600), (360, 640)
# The work order is shown somewhat smaller, so that nothing of it is hidden.
_SHEET = """<!doctype html><style>
body {{ margin: 0; background: #dfe5e2 }}
img {{ position: absolute; border-radius: 8px; box-shadow: 0 4px 18px #0003 }}
</style>
<img src="{order}" style="left: 28px; top: 28px; width: 860px">
<img src="{gate}" style="right: 28px; bottom: 28px; width: 330px">"""
_SHEET_SIZE = (1262, 784)
_ROW = """<!doctype html><style>
body {{ margin: 0; padding: 28px; display: flex; gap: 20px; background: #dfe5e2 }}
img {{ width: 288px; border-radius: 14px; box-shadow: 0 4px 18px #0003 }}
</style>{images}"""
_ROW_SIZE = (4 * 288 + 3 * 20 + 2 * 28, 512 + 2 * 28)

Steps = Callable[[Person], Awaitable[object]]


async def main() -> None:
    """Take the pictures, lay them together, and keep the results."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with running_demo() as demo, running_chromium() as browser:
        await _with_branding(browser, demo)
        order = await _taken(browser, _opens(demo.link("private")), ORDER)
        gate = await _taken(browser, _opens(demo.link("with a brand")), GATE)
        await _laid(browser, _SHEET.format(order=order, gate=gate), _SHEET_SIZE, "portal.png")
        phones = [
            await _taken(browser, _opens(demo.link("one visitor")), PHONE, language="fr"),
            await _taken(browser, _asks_for_code(demo), PHONE, dark=True),
            await _taken(browser, _opens(demo.link("with a brand")), PHONE, language="ar"),
            await _taken(browser, _opens(demo.link("expired")), PHONE, dark=True, language="de"),
        ]
        images = "".join(f'<img src="{phone}">' for phone in phones)
        await _laid(browser, _ROW.format(images=images), _ROW_SIZE, "gates.png")


async def _with_branding(browser: Browser, demo: DemoProcess) -> None:
    """Return once the branded link shows its logo, which the worker fetches in its own time."""
    person = await new_person(browser)
    async with asyncio.timeout(15):
        while True:
            await person.open(demo.link("with a brand"))
            if await person.page.locator(".logo").count():
                return
            await asyncio.sleep(0.1)


def _opens(url: str) -> Steps:
    return lambda person: person.open(url)


def _asks_for_code(demo: DemoProcess) -> Steps:
    async def steps(person: Person) -> None:
        await person.open(demo.link("with a code by mail"))
        await person.page.get_by_label("Email address").fill("guest@example.com")
        await person.press("Send the code")

    return steps


async def _taken(
    browser: Browser,
    steps: Steps,
    screen: tuple[int, int],
    *,
    dark: bool = False,
    language: str = "en-GB",
) -> str:
    """A picture of what the steps lead to, as the address of an image."""
    person = await new_person(browser, screen=screen, dark=dark, language=language)
    await steps(person)
    taken = await person.page.screenshot()
    return f"data:image/png;base64,{base64.b64encode(taken).decode()}"


async def _laid(browser: Browser, sheet: str, size: tuple[int, int], name: str) -> None:
    person = await new_person(browser, screen=size)
    await person.page.set_content(sheet)
    await person.page.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    asyncio.run(main())
