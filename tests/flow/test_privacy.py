"""What is kept of a visitor, where the settings or the visitor ask for less."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway import upkeep
from tests.flow.doors import PASSWORD, ask_code, gate, path, restricted
from tests.portal import LINKS, Portal, running_portal

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"
SETTINGS: dict[str, Any] = {
    "trusted_proxies": ("127.0.0.1",),
    "throttle": {"failures_per_address": 2},
}
IPV4, IPV6 = "203.0.113.77", "2001:db8:1234:5678:9abc:def0:1234:5678"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(tmp_path_factory.mktemp("portal"), **SETTINGS) as portal:
        yield portal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shortening(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    """The same with `anonymize_ip`."""
    folder = tmp_path_factory.mktemp("portal")
    settings = {**SETTINGS, "access_log": {"anonymize_ip": True}}
    async with running_portal(folder, **settings) as portal:
        yield portal


def everything_stored(portal: Portal) -> bytes:
    """The database and the journals, byte for byte, as far as they are written."""
    folder = Path(portal.settings.database_url.removeprefix("sqlite:///")).parent
    files = [each for each in folder.rglob("*") if each.is_file()]
    return b"".join(each.read_bytes() for each in files)


# ---- access_log.anonymize_ip


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        pytest.param(IPV4, "203.0.113.0", id="IPv4 /24"),
        pytest.param(IPV6, "2001:db8:1234::", id="IPv6 /48"),
        pytest.param(f"::ffff:{IPV4}", "203.0.113.0", id="IPv4 in IPv6"),
    ],
)
async def test_only_the_network_of_an_address_is_kept(
    shortening: Portal, address: str, kept: str
) -> None:
    link = await shortening.link(**restricted(password=PASSWORD))
    visitor = shortening.visitor(X_Forwarded_For=address)
    await visitor.get(path(link))
    await visitor.post(gate(link, "password"), {"password": "wrong"})
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    await visitor.get("/workorders/42")
    entries = await shortening.log(link)
    assert [entry["ip_address"] for entry in entries] == [kept] * 4
    assert address.encode() not in everything_stored(shortening)
    # The backend's own rules may need the whole address: it is told, and not kept.
    told = shortening.backend.last.one(b"X-Forwarded-For")
    assert told == address.removeprefix("::ffff:").encode()


async def test_rules_and_throttles_judge_the_whole_address(shortening: Portal) -> None:
    link = await shortening.link(**restricted(password=PASSWORD, allowed_ips=[IPV4]))
    neighbour = shortening.visitor(X_Forwarded_For="203.0.113.78")
    assert (await neighbour.get(path(link))).reason == "ip_not_allowed"
    open_to_all = await shortening.link(**restricted(password=PASSWORD))
    guesser = shortening.visitor(X_Forwarded_For=IPV4)
    wrong = {"password": "wrong"}
    answers = [await guesser.post(gate(open_to_all, "password"), wrong) for _ in range(3)]
    assert answers[-1].reason == "throttled"
    answer = await neighbour.post(gate(open_to_all, "password"), {"password": PASSWORD})
    assert answer.status == 200


async def test_the_pseudonym_is_made_of_what_is_kept(shortening: Portal, portal: Portal) -> None:
    """Two of one network and with one program are one pseudonym; so nothing finer is derived."""

    async def pseudonyms(of: Portal) -> set[str]:
        link = await of.link(is_active=False)
        for address in (IPV4, "203.0.113.78"):
            await of.visitor(X_Forwarded_For=address, User_Agent=PHONE).get(path(link))
        return {entry["visitor"] for entry in await of.log(link)}

    assert len(await pseudonyms(shortening)) == 1
    assert len(await pseudonyms(portal)) == 2


# ---- Sec-GPC


@pytest.mark.parametrize(
    ("headers", "is_kept"),
    [
        pytest.param({"Sec-GPC": "1"}, False, id="the signal"),
        pytest.param({"Sec-GPC": "0"}, True, id="no signal"),
        pytest.param({"Sec-GPC": ""}, True, id="nothing said"),
        pytest.param({"DNT": "1"}, True, id="something else"),
        pytest.param({}, True, id="absent"),
    ],
)
async def test_whoever_opts_out_leaves_no_address_and_no_user_agent(
    portal: Portal, headers: dict[str, str], is_kept: bool
) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    visitor = portal.visitor(X_Forwarded_For="198.51.100.99", User_Agent=PHONE)
    visitor.headers |= headers
    await visitor.get(path(link))
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    await visitor.get("/workorders/42")
    entries = await portal.log(link)
    kept = {(entry["ip_address"], entry["user_agent"]) for entry in entries}
    assert kept == {("198.51.100.99", PHONE) if is_kept else ("", "")}
    # It is counted all the same: the number names nobody.
    assert [entry["action"] for entry in entries] == ["denied", "password", "view"]
    _, answer = await portal.call("GET", f"{LINKS}/{link['_id']}")
    assert answer["data"]["usage_stats"]["unique_visitors"] == 1


async def test_of_two_who_opt_out_no_pseudonym_is_made(portal: Portal) -> None:
    link = await portal.link(is_active=False)
    for address, agent in (("198.51.100.1", PHONE), ("198.51.100.2", "curl/8")):
        visitor = portal.visitor(X_Forwarded_For=address, User_Agent=agent, Sec_GPC="1")
        await visitor.get(path(link))
    assert len({entry["visitor"] for entry in await portal.log(link)}) == 1


async def test_opting_out_does_not_help_a_guesser_or_a_bot(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    guesser = portal.visitor(X_Forwarded_For="198.51.100.7", Sec_GPC="1")
    wrong = {"password": "wrong"}
    answers = [await guesser.post(gate(link, "password"), wrong) for _ in range(3)]
    assert answers[-1].reason == "throttled"
    bot = portal.visitor(User_Agent="Googlebot/2.1", Sec_GPC="1")
    await bot.get(path(link))
    assert (await portal.log(link))[-1]["bot"] is True


# ---- erasure


async def test_one_visitor_is_forgotten_and_nobody_else(portal: Portal) -> None:
    gated = restricted(require_email_verification=True)
    link, other = await portal.link(**gated), await portal.link(**gated)
    for each in (link, other):
        for name in ("ann", "bob"):
            visitor = portal.visitor()
            code = await ask_code(portal, visitor, each, f"{name}@forget.example")
            await visitor.post(gate(each, "code"), {"code": code})
            await visitor.get("/workorders/42")
    await portal.settled()
    assert b"bob@forget.example" in everything_stored(portal)
    # What is kept to count holds no address to begin with.
    file = portal.settings.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as database:
        kept = database.execute("SELECT visitor FROM link_visitors").fetchall()
    database.close()
    assert [visitor for (visitor,) in kept if "@" in visitor] == []
    # Two entries a link: the code that was right, and the page.
    assert await upkeep.forget(portal.settings, "ANN@forget.example") == 4
    assert await upkeep.forget(portal.settings, "ann@forget.example") == 0
    for each in (link, other):
        entries = await portal.log(each)
        assert {entry["email"] for entry in entries if "email" in entry} == {"bob@forget.example"}
        _, answer = await portal.call("GET", f"{LINKS}/{each['_id']}")
        stats = answer["data"]["usage_stats"]
        assert (stats["total_views"], stats["unique_visitors"]) == (2, 2)
