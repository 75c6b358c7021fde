"""The sample system's pages, which a visitor sees behind the gates: on a desk and on a phone, in
light and in dark.

The pictures go to tests/artefacts, for people to look at.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.backend import start_backend
from tests.browser.demo_process import DemoProcess
from tests.browser.postings import post_form
from tests.chromium import DESKTOP, NARROW, PHONE, People, Person

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_work_orders_pages(shared_demo: DemoProcess, people: People, dark: bool) -> None:
    person = await people(dark=dark)
    kind = "dark" if dark else "light"
    await person.open(shared_demo.link("private"))
    await _look(person, f"order-{kind}")
    for name in ("history", "comments"):
        await person.open(f"{shared_demo.origin}/workorders/WO-1042/{name}")
        await _look(person, f"{name}-{kind}")
    nothing = await post_form(person, f"{shared_demo.origin}/workorders/WO-1042/comments", {})
    assert nothing.status == 400
    await _look(person, f"no-comment-{kind}")
    await person.open(shared_demo.link("public"))
    await _look(person, f"public-{kind}")
    await person.check(shared_demo.origin)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_the_systems_own_pages(tmp_path: Path, people: People, dark: bool) -> None:
    """What the people inside see, without the portal."""
    person = await people(dark=dark)
    runner, origin = await start_backend(tmp_path)
    try:
        for name, path in (("inside", "/"), ("inside-order", "/workorders/WO-1047")):
            await person.open(origin + path)
            await _look(person, f"{name}-{'dark' if dark else 'light'}")
        await person.check(origin)
    finally:
        await runner.cleanup()


async def _look(person: Person, name: str) -> None:
    for screen, size in (("desktop", DESKTOP), ("phone", PHONE), ("narrow", NARROW)):
        await person.resize(size)
        assert await person.faults() == [], (name, screen)
        assert await person.fits(), (name, screen)
        assert await person.small_targets() == [], (name, screen)
        if size is not NARROW:
            await person.picture(f"{name}-{screen}")
