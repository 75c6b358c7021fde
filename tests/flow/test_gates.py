"""The gates over HTTP: what is asked, in which order, and what proves nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.flow.doors import (
    PASSWORD,
    Link,
    ask_code,
    gate,
    path,
    reasons,
    restricted,
    session_name,
)
from tests.portal import Answer, Portal, Visitor, running_portal
from tests.raw_client import exchange
from tests.smtp_server import running_smtp_server

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

ANN = "ann@example.com"
EMAIL = restricted(require_email_verification=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(
        tmp_path_factory.mktemp("portal"), trusted_proxies=("127.0.0.1",)
    ) as portal:
        yield portal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locked(portal: Portal) -> Link:
    """A link with a password, for whatever fails before it is looked at."""
    return await portal.link(**restricted(password=PASSWORD))


def gate_cookie(visitor: Visitor, link: Link) -> str | None:
    return visitor.cookies.get(f"portal_g_{link['_id']}")


# ---- one gate


async def test_a_password(portal: Portal) -> None:
    link = await portal.link(**restricted(password="Grüße, 42"))
    visitor = portal.visitor()
    page = await visitor.get(path(link), navigate=True)
    assert page.reason == "password_required"
    assert f'action="{gate(link, "password")}"'.encode() in page.body
    wrong = await visitor.post(gate(link, "password"), {"password": "Grüße, 43"}, navigate=True)
    assert wrong.reason == "password_wrong"
    assert visitor.cookies == {}
    right = await visitor.post(gate(link, "password"), {"password": "Grüße, 42"}, navigate=True)
    assert (right.status, right.headers["Location"]) == (303, "/workorders/42")
    assert set(visitor.cookies) == {"portal_v", session_name(link)}
    assert (await visitor.get("/workorders/42")).status == 200


async def test_a_code(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    assert (await visitor.get(path(link))).reason == "email_required"
    code = await ask_code(portal, visitor, link, " Ann@Example.com ")
    assert (await visitor.get(path(link))).reason == "code_required"
    assert set(visitor.cookies) == {f"portal_g_{link['_id']}"}
    opened = await visitor.post(gate(link, "code"), {"code": f" {code[:3]}-{code[3:]} "})
    assert json.loads(opened.body) == {"success": True, "location": "/workorders/42"}
    # The address says who this is: no random id is needed.
    assert set(visitor.cookies) == {session_name(link)}
    await visitor.get("/workorders/42")
    assert portal.backend.last.one(b"X-Portal-Email") == ANN.encode()
    assert link["link_token"] not in portal.mails[-1]


async def test_the_button_of_a_limited_link(portal: Portal) -> None:
    link = await portal.link(**restricted(max_uses=2))
    visitor = portal.visitor()
    page = await visitor.get(path(link), navigate=True)
    assert page.reason == "confirm_required"
    assert f'action="{gate(link, "open")}"'.encode() in page.body
    opened = await visitor.post(gate(link, "open"), navigate=True)
    assert (opened.status, opened.headers["Location"]) == (303, "/workorders/42")


async def test_a_gate_with_a_session_is_already_passed(portal: Portal, locked: Link) -> None:
    visitor = portal.visitor()
    await visitor.post(gate(locked, "password"), {"password": PASSWORD})
    held = dict(visitor.cookies)
    for name in ("open", "password", "email", "code"):
        answer = await visitor.post(gate(locked, name), {name: "wrong"}, navigate=True)
        assert (answer.status, answer.headers["Location"]) == (303, "/workorders/42")
    assert visitor.cookies == held


# ---- several gates


async def test_gates_are_asked_for_in_their_order(portal: Portal) -> None:
    link = await portal.link(
        **restricted(password=PASSWORD, require_email_verification=True, max_uses=1)
    )
    visitor = portal.visitor()
    assert (await visitor.get(path(link))).reason == "password_required"
    passed = await visitor.post(gate(link, "password"), {"password": PASSWORD}, navigate=True)
    assert passed.reason == "email_required"
    code = await ask_code(portal, visitor, link)
    assert (await visitor.post(gate(link, "open"))).reason == "code_required"
    opened = await visitor.post(gate(link, "code"), {"code": code}, navigate=True)
    assert opened.status == 303
    assert gate_cookie(visitor, link) is None
    assert await uses(portal, link) == 1


async def test_no_gate_passes_another(portal: Portal) -> None:
    link = await portal.link(
        **restricted(password=PASSWORD, require_email_verification=True, max_uses=3)
    )
    by_mail = portal.visitor()
    code = await ask_code(portal, by_mail, link)
    assert (await by_mail.post(gate(link, "code"), {"code": code})).reason == "password_required"
    assert (await by_mail.post(gate(link, "open"))).reason == "password_required"
    by_password = portal.visitor()
    answer = await by_password.post(gate(link, "password"), {"password": PASSWORD})
    assert answer.reason == "email_required"
    assert (await by_password.post(gate(link, "code"), {"code": code})).reason == "email_required"
    assert (await by_password.post(gate(link, "open"))).reason == "email_required"
    assert await uses(portal, link) == 0
    assert (await by_mail.post(gate(link, "password"), {"password": PASSWORD})).status == 200
    assert await uses(portal, link) == 1


@pytest.mark.parametrize("name", ["password", "email", "code"])
async def test_a_gate_that_the_link_does_not_have_proves_nothing(portal: Portal, name: str) -> None:
    link = await portal.link(**restricted(max_uses=1))
    answer = await portal.visitor().post(
        gate(link, name), {"password": PASSWORD, "email": ANN, "code": "123456"}
    )
    assert answer.reason == "confirm_required"
    assert await uses(portal, link) == 0


async def uses(portal: Portal, link: Link) -> int:
    _, answer = await portal.call("GET", f"/v1/workorder-portal-link/{link['_id']}")
    spent: int = answer["data"]["usage_stats"]["uses"]
    return spent


# ---- codes


async def test_a_code_works_in_its_own_browser_only(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    owner, thief = portal.visitor(), portal.visitor()
    code = await ask_code(portal, owner, link)
    await ask_code(portal, thief, link)
    assert (await thief.post(gate(link, "code"), {"code": code})).reason == "code_wrong"
    nobody = portal.visitor()
    assert (await nobody.post(gate(link, "code"), {"code": code})).reason == "email_required"
    assert (await owner.post(gate(link, "code"), {"code": code})).status == 200


async def test_a_code_is_for_its_own_address_only(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    first = await ask_code(portal, visitor, link, "first@example.com")
    second = await ask_code(portal, visitor, link, "second@example.com")
    assert (await visitor.post(gate(link, "code"), {"code": first})).reason == "code_wrong"
    assert (await visitor.post(gate(link, "code"), {"code": second})).status == 200
    await visitor.get("/workorders/42")
    assert portal.backend.last.one(b"X-Portal-Email") == b"second@example.com"


async def test_an_older_gate_cookie_cannot_claim_another_address(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    await ask_code(portal, visitor, link, "boss@example.com")
    for_the_boss = dict(visitor.cookies)
    own = await ask_code(portal, visitor, link, "ann@example.com")
    visitor.cookies = for_the_boss
    assert (await visitor.post(gate(link, "code"), {"code": own})).reason == "code_wrong"


async def test_a_code_of_another_link_is_none(portal: Portal) -> None:
    link, other = await portal.link(**EMAIL), await portal.link(**EMAIL)
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    visitor.cookies[f"portal_g_{other['_id']}"] = visitor.cookies[f"portal_g_{link['_id']}"]
    assert (await visitor.post(gate(other, "code"), {"code": code})).reason == "email_required"


async def test_a_code_works_once(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    asked = dict(visitor.cookies)
    assert (await visitor.post(gate(link, "code"), {"code": code})).status == 200
    visitor.cookies = asked
    assert (await visitor.post(gate(link, "code"), {"code": code})).reason == "code_wrong"


async def test_fifty_right_codes_at_once_open_one_session(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    crowd = [Visitor(portal.http, portal.origin, {}, dict(visitor.cookies)) for _ in range(50)]
    answers = await asyncio.gather(*(v.post(gate(link, "code"), {"code": code}) for v in crowd))
    found = reasons(answers)
    assert found.pop("ok") == 1
    assert set(found) <= {"code_wrong", "throttled"}
    assert sum(session_name(link) in v.cookies for v in crowd) == 1


async def test_a_code_dies_after_five_wrong_tries(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for _ in range(5):
        assert (await visitor.post(gate(link, "code"), {"code": wrong})).reason == "code_wrong"
    assert (await visitor.post(gate(link, "code"), {"code": code})).reason == "code_wrong"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("{code}0", id="a digit too many"),
        pytest.param("{code}\x00", id="NUL"),
        pytest.param("٠١٢٣٤٥", id="other digits"),
        pytest.param("{code},{code}", id="twice"),
        pytest.param("0x{code}", id="hexadecimal"),
        pytest.param("*", id="a pattern"),
    ],
)
async def test_what_is_no_code(portal: Portal, sent: str) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    answer = await visitor.post(gate(link, "code"), {"code": sent.format(code=code)})
    assert answer.reason == "code_wrong"
    assert (await visitor.post(gate(link, "code"), {"code": code})).status == 200


async def test_a_code_ends_with_the_access_version(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    code = await ask_code(portal, visitor, link)
    await portal.change(link, link_type="secure")
    assert (await visitor.post(gate(link, "code"), {"code": code})).reason == "email_required"


# ---- which addresses


@pytest.mark.parametrize(
    ("allowed", "asked", "arrives"),
    [
        pytest.param([], ANN, True, id="no list"),
        pytest.param([ANN], ANN, True, id="the address"),
        pytest.param(["Ann@EXAMPLE.com"], "aNN@example.COM", True, id="in other letters"),
        pytest.param(["@example.com"], ANN, True, id="the domain"),
        pytest.param(["@bücher.example"], "a@xn--bcher-kva.example", True, id="punycode"),
        pytest.param(["@xn--bcher-kva.example"], "a@Bücher.example", True, id="its letters"),
        pytest.param([ANN], "anne@example.com", False, id="another address"),
        pytest.param(["@example.com"], "ann@sub.example.com", False, id="a domain below"),
        pytest.param(["@example.com"], "ann@notexample.com", False, id="a longer domain"),
        pytest.param([ANN], "ann+portal@example.com", False, id="with a tag"),
    ],
)
async def test_allowed_emails(
    portal: Portal, allowed: list[str], asked: str, arrives: bool
) -> None:
    link = await portal.link(**restricted(require_email_verification=True, allowed_emails=allowed))
    visitor, count = portal.visitor(), len(portal.mails)
    answer = await visitor.post(gate(link, "email"), {"email": asked})
    assert (answer.status, answer.reason) == (401, "code_required")
    await portal.delivered()
    assert len(portal.mails) - count == arrives


@pytest.mark.parametrize("navigate", [False, True], ids=["program", "navigation"])
async def test_the_answer_does_not_tell_who_is_on_the_list(portal: Portal, navigate: bool) -> None:
    link = await portal.link(**restricted(require_email_verification=True, allowed_emails=[ANN]))

    async def asked(address: str) -> tuple[int, bytes, dict[str, str]]:
        answer = await portal.visitor().post(
            gate(link, "email"), {"email": address}, navigate=navigate
        )
        headers = {k: v for k, v in answer.headers.items() if k not in {"Date", "Set-Cookie"}}
        policy = headers.get("Content-Security-Policy", "")
        nonce = policy.partition("'nonce-")[2].partition("'")[0] or "no nonce"
        (cookie,) = answer.headers.getall("Set-Cookie")
        headers["Set-Cookie"] = cookie.partition("=")[0] + cookie.partition(";")[2]
        plain = {k: v.replace(nonce, "NONCE") for k, v in headers.items()}
        return answer.status, answer.body.replace(nonce.encode(), b"NONCE"), plain

    on_the_list, not_on_it = await asked(ANN), await asked("bob@example.com")
    named = (not_on_it[0], not_on_it[1].replace(b"bob@", b"ann@"), not_on_it[2])
    assert on_the_list == named
    code = portal.visitor()
    await code.post(gate(link, "email"), {"email": "bob@example.com"})
    assert (await code.post(gate(link, "code"), {"code": "123456"})).reason == "code_wrong"


SPELLINGS = (
    "ann@example.com",
    "ANN@example.com",
    "Ann@Example.Com",
    "aNN@EXAMPLE.COM",
    " ann@example.com",
    "ann@example.com ",
    "\tann@example.com",
    "ann@EXAMPLE.com",
    "ann@ｅｘａｍｐｌｅ.com",
    "ann@example。com",
)


async def test_ten_spellings_are_one_address_for_the_throttle(portal: Portal) -> None:
    """Five codes an hour, however the address is written, and from wherever."""
    link = await portal.link(**EMAIL)
    answers = [
        await portal.visitor(X_Forwarded_For=f"203.0.113.{i}").post(
            gate(link, "email"), {"email": spelling}
        )
        for i, spelling in enumerate(SPELLINGS)
    ]
    found = reasons(answers)
    # What is read as no address at all is refused, and not sent anywhere.
    assert found["code_required"] == 5
    assert set(found) <= {"code_required", "throttled", "email_required"}
    assert found["throttled"] >= 3


async def test_a_code_cannot_be_guessed_by_asking_anew(portal: Portal) -> None:
    """Five codes with five tries each would be 25: the throttle on tries knows one gate."""
    link = await portal.link(**EMAIL)
    visitor = portal.visitor()
    tried = []
    for spelling in SPELLINGS:
        await visitor.post(gate(link, "email"), {"email": spelling})
        tried += [await visitor.post(gate(link, "code"), {"code": "x"}) for _ in range(5)]
    found = reasons(tried)
    assert found == {"code_wrong": 10, "throttled": 40}


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("", id="nothing"),
        pytest.param("ann", id="no domain"),
        pytest.param("ann@example.com, bob@example.com", id="two, by a comma"),
        pytest.param("ann@example.com;bob@example.com", id="two, by a semicolon"),
        pytest.param("ann@example.com bob@example.com", id="two, by a blank"),
        pytest.param("ann@example.com\r\nBcc: bob@example.com", id="CR LF"),
        pytest.param("ann@example.com\nbob@example.com", id="LF"),
        pytest.param("ann@example.com\x00", id="NUL"),
        pytest.param("Ann <ann@example.com>", id="with a name"),
        pytest.param('"ann bob"@example.com', id="quoted"),
        pytest.param("ann@[127.0.0.1]", id="a literal"),
        pytest.param("ann%bob@example.com@evil.example", id="two at signs"),
        pytest.param("a" * 10_000 + "@example.com", id="10 kB"),
        pytest.param("ann@" + "a." * 5_000 + "com", id="10 kB of domain"),
        pytest.param("\ud800@example.com", id="half a character"),
        pytest.param("аnn@example.com", id="a Cyrillic a before the at sign"),
        pytest.param("ann＠example.com", id="a wide at sign"),
        pytest.param("ann@example.com＠evil.example", id="a second at sign, wide"),
        pytest.param("ann\u200b@example.com", id="a blank of no width"),
        pytest.param("ann@exa\u200dmple.com", id="a joiner in the domain"),
        pytest.param("\u202emoc.elpmaxe@nna", id="turned round"),
        pytest.param("ann@example.com\u2028bob@example.com", id="a line separator"),
        pytest.param("ann@example\uff0ecom\uff0cbob@example.com", id="two, by a wide comma"),
        pytest.param("ann@@example.com", id="two at signs in a row"),
        pytest.param("mailto:ann@example.com,bob@example.com", id="an address of two as a URL"),
        pytest.param("ann@example.com?bcc=bob@example.com", id="a query"),
    ],
)
async def test_what_is_no_address(portal: Portal, address: str) -> None:
    link = await portal.link(**EMAIL)
    count = len(portal.mails)
    answer = await portal.visitor().post(
        gate(link, "email"),
        json.dumps({"email": address}),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status, answer.reason) == (401, "email_required")
    assert answer.headers.getall("Set-Cookie", []) == []
    assert len(portal.mails) == count


LISTED = restricted(require_email_verification=True, allowed_emails=[ANN])


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("ann@exаmple.com", id="a Cyrillic a"),
        pytest.param("ann@examp1e.com", id="a digit for a letter"),
        pytest.param("ann@example.co", id="cut off"),
        pytest.param("ann@example.com.evil.example", id="a longer domain"),
        pytest.param("ann@éxample.com", id="an accent"),
        pytest.param("ann+example.com@evil.example", id="the listed one inside"),
    ],
)
async def test_a_look_alike_is_another_address(portal: Portal, address: str) -> None:
    """It is told the same as anybody, gets nothing, and nothing goes to whom it looks like."""
    link = await portal.link(**LISTED)
    count = len(portal.mails)
    visitor = portal.visitor()
    answer = await visitor.post(gate(link, "email"), {"email": address})
    assert (answer.status, answer.reason) == (401, "code_required")
    code = await ask_code(portal, portal.visitor(), link, ANN)
    assert len(portal.mails) == count + 1, "the listed address alone was written to"
    assert (await visitor.post(gate(link, "code"), {"code": code})).reason == "code_wrong"


async def test_two_fields_are_not_one_address(portal: Portal) -> None:
    link = await portal.link(**LISTED)
    count = len(portal.mails)
    for body in (f"email={ANN}&email=bob@example.com", f"email[]={ANN}&email[]=bob@example.com"):
        answer = await portal.visitor().post(
            gate(link, "email"),
            body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.reason in {"bad_request", "email_required"}
    assert len(portal.mails) == count


async def test_what_is_wrong_with_an_address_is_said_at_the_field(portal: Portal) -> None:
    link = await portal.link(**EMAIL)
    two = {"email": "ann@example.com, bob@example.com"}
    page = await portal.visitor().post(gate(link, "email"), two, navigate=True)
    text = page.body.decode()
    assert "That is not one email address, such as name@example.com." in text
    assert 'aria-describedby="problem hint" aria-invalid="true"' in text
    assert "bob" not in text


# ---- the mail


async def test_a_code_comes_by_a_real_mail_server(tmp_path: Path) -> None:
    async with (
        running_smtp_server() as server,
        running_portal(tmp_path, smtp_url=server.url, mail_from="portal@example.com") as portal,
    ):
        link = await portal.link(**EMAIL, custom_branding={"footer_text": "Acme Ltd"})
        visitor = portal.visitor()
        answer = await visitor.post(gate(link, "email"), {"email": ANN})
        assert answer.reason == "code_required"
        mail = await server.next_mail()
        assert (mail.sender, mail.recipients) == ("portal@example.com", [ANN])
        for content in (mail.text, mail.html):
            assert mail.code in content
            assert "Acme Ltd" in content
            assert link["link_token"] not in content
            assert portal.origin not in content
        assert (await visitor.post(gate(link, "code"), {"code": mail.code})).status == 200


async def test_a_mail_server_that_is_down_makes_nobody_wait(tmp_path: Path) -> None:
    async with running_smtp_server() as server:
        url = server.url
    async with running_portal(tmp_path, smtp_url=url, mail_from="portal@example.com") as portal:
        link = await portal.link(**EMAIL)
        answer = await portal.visitor().post(gate(link, "email"), {"email": ANN})
        assert answer.reason == "code_required"


async def test_without_a_mail_server_codes_are_refused(tmp_path: Path) -> None:
    async with running_portal(tmp_path, prints_mails=False) as portal:
        link = await portal.link(
            **restricted(require_email_verification=True, allowed_emails=[ANN])
        )
        for address in (ANN, "bob@example.com"):
            answer = await portal.visitor().post(gate(link, "email"), {"email": address})
            assert (answer.status, answer.reason) == (503, "store_unavailable")
            assert "mail server" in json.loads(answer.body)["error"]
            assert "Retry-After" in answer.headers


# ---- what is sent


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(FORM, b"password=correct+horse", id="form"),
        pytest.param(f"{FORM}; charset=UTF-8", b"password=correct%20horse", id="with a charset"),
        pytest.param(JSON, b'{"password": "correct horse"}', id="JSON"),
        pytest.param("Application/JSON; charset=utf-8", b'{"password":"correct horse"}', id="json"),
        pytest.param(FORM, b"other=1&password=correct+horse&email=", id="other fields"),
    ],
)
async def test_bodies(portal: Portal, locked: Link, content_type: str, body: bytes) -> None:
    answer = await portal.visitor().post(
        gate(locked, "password"), body, headers={"Content-Type": content_type}
    )
    assert (answer.status, answer.reason) == (200, None)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(FORM, b"password=a&password=correct+horse", id="doubled in a form"),
        pytest.param(JSON, b'{"password": "a", "password": "correct horse"}', id="doubled"),
        pytest.param(JSON, b'{"password": ["correct horse"]}', id="a list"),
        pytest.param(JSON, b'{"password": 1}', id="a number"),
        pytest.param(JSON, b'{"password": null}', id="null"),
        pytest.param(JSON, b'["correct horse"]', id="no object"),
        pytest.param(JSON, b'{"password":', id="half of it"),
        pytest.param(JSON, b"[" * 16_000, id="nested deeply"),
        pytest.param(JSON, b'{"password": "\xff"}', id="not UTF-8"),
        pytest.param(FORM, b"password=%ff", id="a form that is not UTF-8"),
        pytest.param(FORM, b"&".join(b"f%d=1" % i for i in range(100)), id="many fields"),
        pytest.param("text/plain", b"password=correct horse", id="plain text"),
        pytest.param("multipart/form-data; boundary=b", b"--b--", id="multipart"),
    ],
)
async def test_bodies_that_cannot_be_read(
    portal: Portal, locked: Link, content_type: str, body: bytes
) -> None:
    answer = await portal.visitor().post(
        gate(locked, "password"), body, headers={"Content-Type": content_type}
    )
    assert (answer.status, answer.reason) == (400, "bad_request")


async def test_a_body_without_its_length_is_bounded_too(portal: Portal, locked: Link) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    answer = await portal.visitor().post(gate(locked, "password"), endless())
    assert (answer.status, answer.reason) == (413, "body_too_large")


async def test_no_body_at_all(portal: Portal, locked: Link) -> None:
    for name in ("open", "password", "email", "code"):
        answer = await portal.visitor().post(gate(locked, name))
        assert answer.reason == "password_required"


# ---- what has been proven, kept


async def test_a_used_gate_cookie_is_worth_nothing(portal: Portal) -> None:
    link = await portal.link(**restricted(password=PASSWORD, require_email_verification=True))
    visitor = portal.visitor()
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    with_password = dict(visitor.cookies)
    code = await ask_code(portal, visitor, link)
    await visitor.post(gate(link, "code"), {"code": code})
    assert session_name(link) in visitor.cookies
    replayed = Visitor(portal.http, portal.origin, {}, with_password)
    assert (await replayed.get(path(link))).reason == "password_required"
    assert (await replayed.post(gate(link, "email"), {"email": ANN})).reason == "password_required"


async def test_a_gate_cookie_is_of_one_link_and_its_access_version(portal: Portal) -> None:
    both = restricted(password=PASSWORD, require_email_verification=True)
    link, other = await portal.link(**both), await portal.link(**both)
    visitor = portal.visitor()
    await visitor.post(gate(link, "password"), {"password": PASSWORD})
    proven = gate_cookie(visitor, link)
    assert proven is not None
    visitor.cookies[f"portal_g_{other['_id']}"] = proven
    assert (await visitor.get(path(other))).reason == "password_required"
    visitor.cookies[session_name(link)] = proven
    assert (await visitor.get(path(link))).reason == "email_required"
    await portal.change(link, access_restrictions={"password": "another horse"})
    assert (await visitor.get(path(link))).reason == "password_required"


# ---- where a request comes from

OWN = "own"
ORIGINS: list[Any] = [
    pytest.param({"Origin": OWN}, True, id="own"),
    pytest.param({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, True, id="own, whatever else"),
    pytest.param({}, True, id="none"),
    pytest.param({"Sec-Fetch-Site": "same-origin"}, True, id="none, same-origin"),
    pytest.param({"Sec-Fetch-Site": "none"}, True, id="none, typed"),
    pytest.param({"Sec-Fetch-Site": "same-site"}, False, id="none, same-site"),
    pytest.param({"Sec-Fetch-Site": "cross-site"}, False, id="none, cross-site"),
    pytest.param({"Sec-Fetch-Site": ""}, False, id="none, empty"),
    pytest.param({"Origin": "null"}, False, id="null"),
    pytest.param(
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, False, id="null, same-origin"
    ),
    pytest.param({"Origin": ""}, False, id="empty"),
    pytest.param({"Origin": "https://evil.example"}, False, id="foreign"),
    pytest.param({"Origin": "http://127.0.0.1"}, False, id="another port"),
    pytest.param({"Origin": "https" + OWN}, False, id="another scheme"),
    pytest.param({"Origin": OWN + ".evil.example"}, False, id="a longer host"),
    pytest.param({"Origin": OWN + "/"}, False, id="a path"),
    pytest.param({"Origin": f"{OWN}, {OWN}"}, False, id="two"),
]


def with_origin(portal: Portal, headers: dict[str, str]) -> dict[str, str]:
    origin = portal.origin
    return {
        name: value.replace("httpsown", origin.replace("http:", "https:")).replace(OWN, origin)
        if name == "Origin"
        else value
        for name, value in headers.items()
    }


@pytest.mark.parametrize("name", ["open", "password", "email", "code", "leave"])
@pytest.mark.parametrize(("headers", "holds"), ORIGINS)
async def test_origins_at_a_gate(
    portal: Portal, name: str, headers: dict[str, str], holds: bool
) -> None:
    link = await portal.link(**restricted(max_uses=1))
    answer = await portal.visitor().post(gate(link, name), {}, headers=with_origin(portal, headers))
    assert (answer.reason == "origin_refused") is not holds
    assert await uses(portal, link) == int(holds and name == "open")


async def test_a_refused_origin_tries_no_password(portal: Portal, locked: Link) -> None:
    answer: Answer = await portal.visitor(Origin="https://evil.example").post(
        gate(locked, "password"), {"password": PASSWORD}
    )
    assert (answer.status, answer.reason) == (403, "origin_refused")
    assert answer.headers.getall("Set-Cookie", []) == []


@pytest.mark.parametrize(("headers", "holds"), ORIGINS)
async def test_origins_on_the_way_to_the_backend(
    portal: Portal, headers: dict[str, str], holds: bool
) -> None:
    link = await portal.link()
    arrived = len(portal.backend.requests)
    for target in (path(link, "/comments"), "/workorders/42/comments"):
        visitor = portal.visitor()
        await visitor.get(path(link), navigate=True)
        answer = await visitor.post(target, b"text", headers=with_origin(portal, headers))
        assert (answer.status, answer.reason) == ((200, None) if holds else (403, "origin_refused"))
        assert (await visitor.get("/workorders/42", headers={"Origin": "null"})).status == 200
    assert len(portal.backend.requests) - arrived == (4 if holds else 2)


async def test_two_origins_are_none(portal: Portal) -> None:
    """A proxy and a gateway that each read another one of two headers would not agree."""
    link = await portal.link(**restricted(max_uses=1))
    host = portal.origin.removeprefix("http://")
    for first, second in ((portal.origin, "https://evil.example"), ("null", portal.origin)):
        head = f"POST {gate(link, 'open')} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        origins = f"Origin: {first}\r\nOrigin: {second}\r\nContent-Length: 0\r\n\r\n"
        (answer,) = await exchange(host, (head + origins).encode())
        assert answer.headers["x-portal-reason"] == "origin_refused"
    assert await uses(portal, link) == 0


async def test_the_gates_take_no_tries_from_a_closed_link(portal: Portal) -> None:
    link = await portal.link(is_active=False, **EMAIL)
    count = len(portal.mails)
    answers = [await portal.visitor().post(gate(link, "email"), {"email": ANN}) for _ in range(10)]
    assert reasons(answers) == {"inactive": 10}
    await portal.act(link, "activate")
    assert len(await ask_code(portal, portal.visitor(), link)) == 6
    assert len(portal.mails) == count + 1
