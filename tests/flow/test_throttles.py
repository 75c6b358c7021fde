"""Throttles over HTTP: how often may be guessed, by one, by many, and who never notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import time_machine

from tests.flow.doors import PASSWORD, Link, ask_code, gate, path, reasons, restricted
from tests.portal import LINKS, Answer, Portal, Visitor, running_portal

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

TRUSTED: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",)}
EMAIL = restricted(require_email_verification=True)
WRONG = {"password": "wrong"}
START = 1_900_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(tmp_path_factory.mktemp("portal"), **TRUSTED) as portal:
        yield portal


def at(portal: Portal, address: str) -> Visitor:
    return portal.visitor(X_Forwarded_For=address)


async def guess_code(visitor: Visitor, link: Link) -> Answer:
    # Not six digits: it costs a try, and no code dies of it.
    return await visitor.post(gate(link, "code"), {"code": "x"})


async def test_twenty_wrong_passwords_from_one_address_are_ten_tries(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    answers = await asyncio.gather(
        *(at(portal, "203.0.113.1").post(gate(link, "password"), WRONG) for _ in range(20))
    )
    assert reasons(answers) == {"password_wrong": 10, "throttled": 10}
    for answer in answers:
        if answer.reason == "throttled":
            assert answer.status == 429
            assert 3590 <= int(answer.headers["Retry-After"]) <= 3600
    # The right one does not help any more, from this address; from another it does.
    right = {"password": PASSWORD}
    assert (await at(portal, "203.0.113.1").post(gate(link, "password"), right)).status == 429
    assert (await at(portal, "203.0.113.2").post(gate(link, "password"), right)).status == 200
    # Nor does a header that only a proxy may send, when more than one is there.
    forged = at(portal, "203.0.113.77, 203.0.113.1")
    assert (await forged.post(gate(link, "password"), right)).status == 429


async def test_a_thousand_guesses_from_a_thousand_addresses_are_a_hundred_tries(
    portal: Portal,
) -> None:
    """The link's own window, at the code's gate, where a try costs no memory-hard hash."""
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    await ask_code(portal, visitor, link)
    answers: list[Answer] = []

    async def guess(part: int) -> None:
        for i in range(100):
            guesser = at(portal, f"198.51.{part}.{i}")
            guesser.cookies = dict(visitor.cookies)
            answers.append(await guess_code(guesser, link))

    await asyncio.gather(*(guess(part) for part in range(10)))
    assert reasons(answers) == {"code_wrong": 100, "throttled": 900}


async def test_the_links_window_holds_for_passwords_from_everywhere(tmp_path: Path) -> None:
    settings = {**TRUSTED, "throttle": {"failures_per_link": 6}}
    async with running_portal(tmp_path, **settings) as portal:
        link = await portal.link(**restricted(password=PASSWORD))
        answers = await asyncio.gather(
            *(at(portal, f"203.0.113.{i}").post(gate(link, "password"), WRONG) for i in range(30))
        )
        assert reasons(answers) == {"password_wrong": 6, "throttled": 24}
        # Another link is not concerned.
        other = await portal.link(**restricted(password=PASSWORD))
        answer = await at(portal, "203.0.113.1").post(
            gate(other, "password"), {"password": PASSWORD}
        )
        assert answer.status == 200


async def test_one_household_has_one_window(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    await ask_code(portal, visitor, link)

    async def guess(address: str) -> str | None:
        guesser = at(portal, address)
        guesser.cookies = dict(visitor.cookies)
        return (await guess_code(guesser, link)).reason

    for i in range(10):
        assert await guess(f"2001:db8:1:2::{i:x}") == "code_wrong"
    assert await guess("2001:db8:1:2:ffff::1") == "throttled"
    assert await guess("2001:db8:1:3::1") == "code_wrong"


async def test_who_has_a_session_notices_nothing(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    inside = at(portal, "203.0.113.5")
    code = await ask_code(portal, inside, link)
    await inside.post(gate(link, "code"), {"code": code})
    guesser = at(portal, "203.0.113.5")
    await ask_code(portal, guesser, link)
    answers = [await guess_code(guesser, link) for _ in range(15)]
    assert reasons(answers) == {"code_wrong": 10, "throttled": 5}
    for target in ("/workorders/42", path(link)):
        assert (await inside.get(target)).status == 200
    assert (await inside.post(gate(link, "code"), {"code": "x"})).status == 200
    assert (await inside.post(gate(link, "password"), WRONG)).status == 200


async def test_a_success_clears_the_visitors_own_window(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    neighbour = at(portal, "203.0.113.8")
    await ask_code(portal, neighbour, link)
    answers = [await guess_code(neighbour, link) for _ in range(10)]
    assert reasons(answers) == {"code_wrong": 10}
    visitor = at(portal, "203.0.113.7")
    code = await ask_code(portal, visitor, link)
    for _ in range(9):
        assert (await guess_code(visitor, link)).reason == "code_wrong"
    asked = dict(visitor.cookies)
    assert (await visitor.post(gate(link, "code"), {"code": code})).status == 200
    # Nine failures are forgotten: ten more are possible. The neighbour's ten are not.
    again = at(portal, "203.0.113.7")
    again.cookies = asked
    answers = [await guess_code(again, link) for _ in range(11)]
    assert reasons(answers) == {"code_wrong": 10, "throttled": 1}
    assert (await guess_code(neighbour, link)).reason == "throttled"


async def test_a_success_does_not_clear_the_links_window(tmp_path: Path) -> None:
    """Or whoever holds one good password could guess for ever."""
    settings = {**TRUSTED, "throttle": {"failures_per_link": 6}}
    async with running_portal(tmp_path, **settings) as portal:
        link = await portal.link(**EMAIL)
        visitor = at(portal, "203.0.113.7")
        found: list[Answer] = []
        for _ in range(3):
            visitor.cookies.clear()
            code = await ask_code(portal, visitor, link)
            found += [await guess_code(visitor, link) for _ in range(3)]
            found.append(await visitor.post(gate(link, "code"), {"code": code}))
        # The first three fail, one succeeds, three fail, and then the link's six are used up.
        assert [answer.reason for answer in found] == [
            *["code_wrong"] * 3,
            None,
            *["code_wrong"] * 3,
            *["throttled"] * 5,
        ]


async def test_gates_have_windows_of_their_own(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD, require_email_verification=True))
    visitor = at(portal, "203.0.113.9")
    await visitor.post(gate(link, "email"), {"email": "ann@example.com"})
    answers = [await guess_code(visitor, link) for _ in range(11)]
    assert reasons(answers) == {"code_wrong": 10, "throttled": 1}
    passed = await visitor.post(gate(link, "password"), {"password": PASSWORD})
    assert passed.reason == "code_required"
    # That success clears the password's window alone.
    assert (await guess_code(visitor, link)).reason == "throttled"


async def test_codes_for_one_address_and_from_one_address(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    email = gate(link, "email")
    to_one = [
        await at(portal, f"203.0.113.{i}").post(email, {"email": "ann@example.com"})
        for i in range(7)
    ]
    assert reasons(to_one) == {"code_required": 5, "throttled": 2}
    from_one = [
        await at(portal, "198.51.100.1").post(email, {"email": f"a{i}@example.com"})
        for i in range(23)
    ]
    assert reasons(from_one) == {"code_required": 20, "throttled": 3}
    other = await portal.link(**EMAIL)
    await ask_code(portal, at(portal, "198.51.100.1"), other)


async def test_a_window_slides(portal: Portal) -> None:
    with time_machine.travel(START, tick=False) as clock:
        link = await portal.link(**EMAIL)
        visitor = at(portal, "203.0.113.3")
        for i in range(10):
            if i % 5 == 0:
                # What has been asked is kept for a quarter of an hour.
                await ask_code(portal, visitor, link)
            assert (await guess_code(visitor, link)).reason == "code_wrong"
            clock.shift(60)
        await ask_code(portal, visitor, link)
        refused = await guess_code(visitor, link)
        assert refused.reason == "throttled"
        wait = int(refused.headers["Retry-After"])
        assert wait == 3600 - 10 * 60
        clock.shift(wait)
        visitor.cookies.clear()
        await ask_code(portal, visitor, link)
        assert (await guess_code(visitor, link)).reason == "code_wrong"
        assert (await guess_code(visitor, link)).reason == "throttled"


# ---- what a visitor is told


@pytest.mark.parametrize("name", ["password", "email", "code"])
@pytest.mark.parametrize("navigate", [True, False], ids=["a page", "JSON"])
async def test_who_has_to_wait_is_told_how_long(portal: Portal, name: str, navigate: bool) -> None:
    """At every gate, in the header and in words; and knocking on does not make it longer."""
    with time_machine.travel(START, tick=False) as clock:
        link = await portal.link(**restricted(password=PASSWORD, require_email_verification=True))
        visitor = at(portal, "203.0.113.30")
        if name == "code":
            await ask_code(portal, visitor, link)
        tries = {
            "password": (WRONG, 10),
            "email": ({"email": "ann@example.com"}, 5),
            "code": ({"code": "x"}, 10),
        }
        fields, count = tries[name]
        for _ in range(count):
            assert (await visitor.post(gate(link, name), fields)).status == 401
        await portal.delivered()
        for passed, wait, words in (
            (0, 3600, "Try again in 1 hour."),
            (20 * 60, 2400, "Try again in 40 minutes."),
            (39 * 60 + 30, 30, "Try again in 30 seconds."),
        ):
            clock.shift(passed)
            visitor.cookies.clear()
            # The code's gate has to know the browser; a new code needs a window of its own.
            if name == "code":
                await visitor.post(gate(link, "email"), {"email": f"b{wait}@example.com"})
                await portal.delivered()  # at this time, and not when the clock was set back
            for _ in range(3):
                refused = await visitor.post(gate(link, name), fields, navigate=navigate)
                assert (refused.status, refused.reason) == (429, "throttled")
                assert refused.headers["Retry-After"] == str(wait)
                assert words in refused.body.decode()
        clock.shift(30)
        if name == "code":
            visitor.cookies.clear()
            await visitor.post(gate(link, "email"), {"email": "c@example.com"})
            await portal.delivered()
        assert (await visitor.post(gate(link, name), fields)).status == 401


# ---- what the owner can do


async def test_an_owner_lets_a_visitor_in_who_tried_too_often(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    visitor = at(portal, "203.0.113.40")
    answers = [await visitor.post(gate(link, "password"), WRONG) for _ in range(11)]
    assert answers[-1].reason == "throttled"
    _, told = await portal.call("GET", f"{LINKS}/{link['_id']}")
    state = told["data"]["throttle"]
    assert (state["failures"], state["locked"]) == (10, True)
    assert state["retry_after"] == pytest.approx(int(answers[-1].headers["Retry-After"]), abs=2)
    cleared = await portal.act(link, "unlock")
    assert cleared["throttle"] == {"failures": 0, "codes": 0, "locked": False}
    right = {"password": PASSWORD}
    assert (await visitor.post(gate(link, "password"), right)).status == 200


async def test_unlocking_opens_no_gate_and_ends_no_session(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD))
    inside = at(portal, "203.0.113.41")
    await inside.post(gate(link, "password"), {"password": PASSWORD})
    await portal.act(link, "unlock")
    assert (await inside.get("/workorders/42")).status == 200
    assert (await at(portal, "203.0.113.42").get(path(link))).reason == "password_required"
