"""Pages speak the visitor's language; programs are told in English."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.flow.doors import Link, gate, path, restricted
from tests.portal import Answer, Portal, running_portal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    async with running_portal(tmp_path_factory.mktemp("portal")) as portal:
        yield portal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locked(portal: Portal) -> Link:
    return await portal.link(**restricted(password="correct horse"))


async def asked_in(portal: Portal, url: str, language: str, **more: object) -> Answer:
    visitor = portal.visitor(Accept_Language=language)
    return await visitor.ask("GET", url, navigate=True, **more)


@pytest.mark.parametrize(
    ("accept", "code", "words"),
    [
        pytest.param("", "en", "Password needed", id="nothing said"),
        pytest.param("de-AT,de;q=0.9,en;q=0.8", "de", "Passwort erforderlich", id="German"),
        pytest.param("ar", "ar", "كلمة المرور مطلوبة", id="Arabic"),
        pytest.param("nl, es;q=0.1", "es", "Se necesita una contraseña", id="Spanish at last"),
        pytest.param("fr;q=0", "en", "Password needed", id="anything but French"),
        pytest.param("\t;;;=,*", "en", "Password needed", id="rubbish"),
        pytest.param("de," * 2000, "de", "Passwort erforderlich", id="endless"),
    ],
)
async def test_a_gate(portal: Portal, locked: Link, accept: str, code: str, words: str) -> None:
    answer = await asked_in(portal, path(locked), accept)
    assert (answer.status, answer.reason) == (401, "password_required")
    assert answer.headers["Content-Language"] == code
    assert answer.headers["Vary"] == "Accept-Language"
    assert f'lang="{code}"'.encode() in answer.body
    assert words.encode() in answer.body


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("/workorder/wpl_" + "0" * 43, "Dieser Link funktioniert nicht", id="no link"),
        pytest.param("/workorders/42", "Bitte öffnen Sie Ihren Link", id="no session"),
        pytest.param("/a//b", "Diese Anfrage ist nicht lesbar", id="nothing that can be read"),
    ],
)
async def test_a_refusal(portal: Portal, url: str, words: str) -> None:
    answer = await asked_in(portal, url, "de")
    assert answer.headers["Content-Language"] == "de"
    assert words.encode() in answer.body


async def test_what_went_wrong_at_a_gate(portal: Portal, locked: Link) -> None:
    visitor = portal.visitor(Accept_Language="fr")
    for given, words in (("", "Saisissez le mot de passe."), ("x", "Ce mot de passe n&#39;est")):
        answer = await visitor.post(gate(locked, "password"), {"password": given}, navigate=True)
        assert words.encode() in answer.body


async def test_the_goodbye(portal: Portal, locked: Link) -> None:
    visitor = portal.visitor(Accept_Language="es")
    answer = await visitor.post(gate(locked, "leave"), navigate=True)
    assert (answer.status, answer.headers["Content-Language"]) == (200, "es")
    assert b"Ha salido" in answer.body


async def test_programs_are_told_in_english(portal: Portal, locked: Link) -> None:
    visitor = portal.visitor(Accept_Language="de")
    answer = await visitor.get(path(locked))
    assert json.loads(answer.body) == {
        "success": False,
        "error": "This link is protected with a password.",
        "reason": "password_required",
    }
    assert "Content-Language" not in answer.headers


async def test_the_backend_is_told_the_visitors_language(portal: Portal) -> None:
    link = await portal.link()
    visitor = portal.visitor(Accept_Language="de-AT")
    await visitor.get(path(link))
    assert portal.backend.last.one(b"Accept-Language") == b"de-AT"


async def test_the_sheets_of_a_page_are_served(portal: Portal) -> None:
    link = await portal.link(
        custom_branding={"brand_color": "#FFD400"}, **restricted(password="correct horse")
    )
    page = await asked_in(portal, path(link), "en")
    sheets = [
        part.split(b'"')[0].decode()
        for part in page.body.split(b'<link rel="stylesheet" href="')[1:]
    ]
    assert len(sheets) == 2
    for sheet in sheets:
        answer = await portal.visitor().get(sheet)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert b"--brand:#ffd400" in answer.body
    missing = await portal.visitor().get("/-/assets/brand-ffd400.0000000000000000.css")
    assert missing.status == 401
