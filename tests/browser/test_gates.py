"""The pages that ask for something, and what happens with right and wrong answers."""

from __future__ import annotations

import pytest

from tests.browser.demo_process import DemoProcess
from tests.chromium import People, Person

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def told_at_field(person: Person, label: str) -> str:
    """The words that the browser reads out with the field: what went wrong, and the hint."""
    field = person.page.get_by_label(label, exact=True)
    assert await field.get_attribute("aria-invalid") == "true"
    described_by = (await field.get_attribute("aria-describedby") or "").split()
    assert described_by[0] == "problem"
    return await person.page.locator(f"#{described_by[0]}").inner_text()


async def test_password_wrong_then_right(demo: DemoProcess, people: People, script: bool) -> None:
    person = await people(script=script)
    url = demo.link("with a password")
    assert (await person.open(url)).status == 401
    field = person.page.get_by_label("Password", exact=True)
    assert await field.get_attribute("aria-invalid") is None
    assert await field.evaluate("field => field === document.activeElement")
    await field.fill("wrong")
    await person.press("Continue")
    assert "password" in (await told_at_field(person, "Password")).lower()
    assert (await person.page.title()).startswith("Error: ")
    assert await person.page.get_by_label("Password", exact=True).input_value() == ""
    await person.page.get_by_label("Password", exact=True).fill("open-sesame")
    await person.press("Continue")
    assert person.page.url == f"{demo.origin}/workorders/WO-1042"
    assert await person.page.evaluate("document.referrer") in {"", f"{demo.origin}/"}
    await person.page.get_by_role("link", name="History of this work order").click()
    assert person.asked_with_token == [url, f"{url}/-/password", f"{url}/-/password"]
    await person.check(demo.origin)


async def test_emailed_code(demo: DemoProcess, people: People, script: bool) -> None:
    person, thief = await people(script=script), await people(script=script)
    code = await ask_for_code(person, demo)
    assert code != await ask_for_code(thief, demo)
    await try_code(person, _another(code))
    assert "code" in (await told_at_field(person, "Code from the mail")).lower()
    await try_code(thief, code)
    assert "code" in (await told_at_field(thief, "Code from the mail")).lower()
    await try_code(person, code)
    assert person.page.url == f"{demo.origin}/workorders/WO-1043"
    assert "guest@example.com" in await person.page.locator("header").inner_text()
    await person.check(demo.origin)
    await thief.check(demo.origin)


async def ask_for_code(person: Person, demo: DemoProcess) -> str:
    """Open the link, have a code sent, and return it."""
    await person.open(demo.link("with a code by mail"))
    await person.page.get_by_label("Email address").fill("guest@example.com")
    before = demo.printed
    await person.press("Send the code")
    assert "guest@example.com" in await person.page.locator("main").inner_text()
    return await demo.code_after(before)


async def try_code(person: Person, code: str) -> None:
    """Enter a code."""
    await person.page.get_by_label("Code from the mail").fill(code)
    await person.press("Continue")


def _another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_a_link_for_one_visitor(demo: DemoProcess, people: People, script: bool) -> None:
    first, second = await people(script=script), await people(script=script)
    url = demo.link("good for one visitor")
    for person in (first, second):
        response = await person.open(url)
        assert (response.status, response.headers["x-portal-reason"]) == (401, "confirm_required")
    await first.press("Open the work order")
    assert first.page.url == f"{demo.origin}/workorders/WO-1042"
    await second.press("Open the work order")
    assert await second.heading() == "This link is used up"
    await second.picture("used-up")
    await first.page.reload()
    assert await first.heading() == "Boiler 2 loses pressure"
    assert (await first.open(url)).status == 200
    assert first.page.url == f"{demo.origin}/workorders/WO-1042"
    assert (await second.open(url)).status == 410
    await first.check(demo.origin)
    await second.check(demo.origin)


async def test_the_brand_of_a_link(shared_demo: DemoProcess, people: People) -> None:
    person = await people()
    await person.open(shared_demo.link("brand"))
    assert await person.colour("button") == "rgb(11, 110, 79)"
    assert await person.page.locator("footer").inner_text() == "Alder & Quay Facility Services"
    await person.check(shared_demo.origin)
