"""A person with a private link clicks through all of it, with scripts and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.demo_process import DemoProcess
from tests.chromium import People, Person

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CARD = "rgb(255, 255, 255)"
CONTENT = bytes(range(256)) * 40


async def test_all_that_a_link_permits(demo: DemoProcess, people: People, script: bool) -> None:
    person = await people(script=script)
    url = demo.link("private")
    await _arrive(person, demo, url)
    await _comment(person)
    await _exchange_files(person)
    await _read_history(person, demo)
    await _approve(person)
    await person.check(demo.origin)
    assert person.asked_with_token == [url]
    assert f"{demo.origin}/workorders/WO-1042" in await person.referers()


async def _arrive(person: Person, demo: DemoProcess, url: str) -> None:
    response = await person.open(url)
    assert response.status == 200
    assert person.page.url == f"{demo.origin}/workorders/WO-1042"
    assert await person.heading() == "Boiler 2 loses pressure"
    assert await person.colour("section") == CARD
    picture = person.page.locator("header img")
    assert await picture.evaluate("image => image.complete && image.naturalWidth") > 0


async def _comment(person: Person) -> None:
    await person.page.get_by_label("Your comment").fill("Please ring at <b>the gate</b>.\nThanks")
    await person.press("Add comment")
    last = person.page.locator(".comments li").last
    assert "Please ring at <b>the gate</b>.\nThanks" in await last.inner_text()
    assert "Visitor" in await last.inner_text()


async def _exchange_files(person: Person) -> None:
    await person.page.get_by_label("Add files").set_input_files(
        {"name": "photo of the pump.bin", "mimeType": "image/png", "buffer": CONTENT}
    )
    await person.press("Upload")
    async with person.page.expect_download() as started:
        await person.page.get_by_role("link", name="photo of the pump.bin").click()
    download = await started.value
    assert download.suggested_filename == "photo of the pump.bin"
    assert Path(await download.path()).read_bytes() == CONTENT


async def _read_history(person: Person, demo: DemoProcess) -> None:
    await person.page.get_by_role("link", name="History of this work order").click()
    await person.page.wait_for_url(f"{demo.origin}/workorders/WO-1042/history")
    events = await person.page.locator(".timeline li").all_inner_texts()
    assert "Uploaded photo of the pump.bin" in events[0]
    assert "Commented" in events[1]
    await person.page.get_by_role("link", name="Back to the work order").click()


async def _approve(person: Person) -> None:
    await person.page.get_by_label("Note").fill("Go ahead on Thursday.")
    await person.press("Approve")
    decision = await person.page.locator("#decision").inner_text()
    assert "Approved by Visitor" in decision
    assert "Go ahead on Thursday." in decision
    assert await person.page.get_by_role("button", name="Approve").count() == 0


async def test_a_link_opens_its_own_work_order_only(
    shared_demo: DemoProcess, people: People
) -> None:
    person = await people()
    await person.open(shared_demo.link("private"))
    response = await person.open(f"{shared_demo.origin}/workorders/WO-1043")
    assert (response.status, await person.heading()) == (403, "Your link does not allow this")
    assert (await person.open(f"{shared_demo.origin}/")).status == 404
    await person.check(shared_demo.origin)


async def test_leaving_ends_the_session(shared_demo: DemoProcess, people: People) -> None:
    person = await people()
    url = shared_demo.link("private")
    await person.open(url)
    landing = person.page.url
    async with person.page.expect_navigation():
        await _post(person, f"{url}/-/leave")
    assert await person.heading() == "You have left"
    await person.picture("left")
    response = await person.open(landing)
    assert (response.status, response.headers["x-portal-reason"]) == (401, "session_required")
    await person.picture("session-required")
    await person.check(shared_demo.origin)


async def _post(person: Person, url: str) -> None:
    """Send an empty form of the page that is open to `url`."""
    await person.page.evaluate(
        """url => {
            const form = document.createElement("form");
            form.method = "post";
            form.action = url;
            document.body.append(form);
            form.submit();
        }""",
        url,
    )
