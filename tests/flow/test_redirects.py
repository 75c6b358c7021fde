"""No redirect leaves the host, whatever is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.flow.doors import PASSWORD, gate, path, restricted
from tests.portal import Answer, Portal, running_portal

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = "evil.example"
HEADERS = [
    pytest.param({}, id="nothing"),
    pytest.param({"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https"}, id="X-Forwarded-Host"),
    pytest.param({"Forwarded": f"host={EVIL};proto=https"}, id="Forwarded"),
    pytest.param({"X-Original-URL": f"//{EVIL}/", "X-Rewrite-URL": f"//{EVIL}/"}, id="rewrites"),
    pytest.param({"Referer": f"https://{EVIL}/"}, id="Referer"),
    pytest.param({"X-Forwarded-Prefix": f"//{EVIL}"}, id="a prefix"),
]
BELOW = [
    f"?next=//{EVIL}/",
    f"?url=https://{EVIL}/&return_to=//{EVIL}&location=//{EVIL}",
    f"//{EVIL}",
    f"/%2f%2f{EVIL}",
    f"/%5c{EVIL}",
    f"/..//{EVIL}",
    f"/;//{EVIL}",
    f"/@{EVIL}",
    f"/-/open/..//{EVIL}",
    f"/-/open?next=//{EVIL}",
    f"/-/password?next=https://{EVIL}",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(
        tmp_path_factory.mktemp("portal"), trusted_proxies=("127.0.0.1",)
    ) as portal:
        yield portal


def assert_stays(answer: Answer) -> None:
    """Whatever redirect there is names a path of this host, and nobody else is named at all."""
    location = answer.headers.get("Location")
    if location is not None:
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert EVIL not in location
    assert "Refresh" not in answer.headers


@pytest.mark.parametrize("headers", HEADERS)
async def test_on_the_way_in(portal: Portal, headers: dict[str, str]) -> None:
    link = await portal.link()
    for below in ("", *BELOW):
        visitor = portal.visitor()
        visitor.headers |= headers
        answer = await visitor.get(path(link, below), navigate=True)
        assert_stays(answer)
        if not below:
            assert (answer.status, answer.headers["Location"]) == (303, "/workorders/42")


@pytest.mark.parametrize("headers", HEADERS)
async def test_at_a_gate(portal: Portal, headers: dict[str, str]) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    fields = {"password": PASSWORD, "next": f"//{EVIL}", "location": f"https://{EVIL}", "url": EVIL}
    for query in ("", f"?next=//{EVIL}", f"?location=https://{EVIL}"):
        visitor = portal.visitor()
        visitor.headers |= headers
        answer = await visitor.post(gate(link, "password") + query, fields, navigate=True)
        assert (answer.status, answer.headers["Location"]) == (303, "/workorders/42")
        again = await visitor.get(gate(link, "password") + query, navigate=True)
        assert_stays(again)


@pytest.mark.parametrize(
    "host", [EVIL, f"127.0.0.1@{EVIL}", f"{EVIL}#", f"127.0.0.1.{EVIL}", "", f"127.0.0.1, {EVIL}"]
)
async def test_under_another_host(portal: Portal, host: str) -> None:
    link = await portal.link()
    answer = await portal.visitor().get(path(link), navigate=True, headers={"Host": host})
    assert answer.reason in {"misdirected", "bad_request"}
    assert "Location" not in answer.headers
    assert EVIL.encode() not in answer.body


async def test_a_work_order_that_looks_like_a_host(portal: Portal) -> None:
    """The landing page's path is made of what the link's owner wrote."""
    link = await portal.link(workorder=f"@{EVIL}")
    answer = await portal.visitor().get(path(link), navigate=True)
    assert answer.status == 303
    assert answer.headers["Location"] == f"/workorders/@{EVIL}"
