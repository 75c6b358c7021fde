"""Makes docs/images/portal.png from the demo: a work order through a link, and a gate.

python -m tests.browser.portrait
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from playwright.async_api import Browser

from tests.browser.demo_process import running_demo
from tests.chromium import new_person, running_chromium

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images" / "portal.png"
ORDER, GATE = (1040, 880), (360, 560)
# The work order is shown somewhat smaller, so that nothing of it is hidden.
_SHEET = """<!doctype html><style>
body {{ margin: 0; background: #dfe5e2 }}
img {{ position: absolute; border-radius: 8px; box-shadow: 0 4px 18px #0003 }}
</style>
<img src="{order}" style="left: 28px; top: 28px; width: 860px">
<img src="{gate}" style="right: 28px; bottom: 28px; width: 330px">"""
_SHEET_SIZE = (1262, 784)


async def main() -> None:
    """Take both pictures, lay one over the other, and keep the result."""
    async with running_demo() as demo, running_chromium() as browser:
        order = await _taken(browser, demo.link("private"), ORDER)
        gate = await _taken(browser, demo.link("with a password"), GATE)
        person = await new_person(browser, screen=_SHEET_SIZE)
        await person.page.set_content(_SHEET.format(order=order, gate=gate))
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        await person.page.screenshot(path=TARGET)


async def _taken(browser: Browser, url: str, screen: tuple[int, int]) -> str:
    """A picture of the page at `url`, as the address of an image."""
    person = await new_person(browser, screen=screen)
    await person.open(url)
    taken = await person.page.screenshot()
    return f"data:image/png;base64,{base64.b64encode(taken).decode()}"


if __name__ == "__main__":
    asyncio.run(main())
