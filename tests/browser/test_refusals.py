"""The pages of links that do not open: what happened, what to do next, and nothing else."""

from __future__ import annotations

import pytest

from tests.browser.demo_process import DemoProcess
from tests.chromium import People

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

UNKNOWN = "/workorder/wpl_" + "0" * 43
CARD = "rgb(255, 255, 255)"


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        pytest.param("expired", 410, "expired", id="expired"),
        pytest.param("for another network", 403, "ip_not_allowed", id="another address"),
        pytest.param("switched off", 410, "inactive", id="inactive"),
        pytest.param(None, 404, "unknown_token", id="unknown"),
    ],
)
async def test_a_link_that_does_not_open(
    shared_demo: DemoProcess,
    people: People,
    words: str | None,
    status: int,
    reason: str,
) -> None:
    person = await people()
    url = shared_demo.link(words) if words else shared_demo.origin + UNKNOWN
    response = await person.open(url)
    assert (response.status, response.headers["x-portal-reason"]) == (status, reason)
    assert await person.page.locator("code").inner_text() == reason
    assert await person.colour("main") == CARD
    assert await person.page.locator("form, script").count() == 0
    assert "WO-1042" not in await person.page.content()
    assert await person.context.cookies() == []
    await person.check(shared_demo.origin)


async def test_no_link_at_all(shared_demo: DemoProcess, people: People) -> None:
    person = await people()
    response = await person.open(f"{shared_demo.origin}/workorders/WO-1042")
    assert (response.status, response.headers["x-portal-reason"]) == (401, "session_required")
    await person.check(shared_demo.origin)
