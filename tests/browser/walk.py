"""The way to every page of the gateway that a browser can be shown: requests, as a visitor makes them.

`PAGES` is a table: the page's name, the reason that it stands for, and how somebody gets there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Response

from tests.browser.postings import post_form
from tests.chromium import Person
from tests.flow.doors import PASSWORD, gate, path, restricted
from tests.portal import Portal, free_port, running_portal

FOOTER = "Alder & Quay Facility Services\nQuestions: 0800 1042"
# More than a gate's form may have.
TOO_MUCH = 17 * 1024


LOGO = (files("gateway.demo") / "assets" / "logo.png").read_bytes()
LOGO_PORT = free_port()
BRANDED = {
    "custom_branding": {
        "brand_color": "#c2410c",
        "footer_text": FOOTER,
        "logo_url": f"http://127.0.0.1:{LOGO_PORT}/logo.png",
    }
}


@dataclass(frozen=True)
class Site:
    """A gateway before a backend that works, one that is down and one that is slow; and another
    gateway that cannot send mails."""

    portal: Portal
    without_mail: Portal


@asynccontextmanager
async def running_site(folder: Path) -> AsyncIterator[Site]:
    """Both gateways, each with a database of its own."""
    async with (
        await asyncio.start_server(_never_answer, "127.0.0.1", 0) as slow,
        _running_logo_server(),
    ):
        port = slow.sockets[0].getsockname()[1]
        async with (
            running_portal(
                _made(folder / "one"),
                limits={"upstream_read_timeout": 0.2},
                throttle={"failures_per_address": 3},
                logos={"allow_private_addresses": True},
                upstreams={
                    "down": {"url": f"http://127.0.0.1:{free_port()}"},
                    "slow": {"url": f"http://127.0.0.1:{port}"},
                },
            ) as portal,
            running_portal(_made(folder / "two"), prints_mails=False) as without_mail,
        ):
            await _wait_for_logo(portal)
            yield Site(portal, without_mail)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@asynccontextmanager
async def _running_logo_server() -> AsyncIterator[None]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=LOGO, content_type="image/png")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", LOGO_PORT).start()
    yield
    await runner.cleanup()


async def _wait_for_logo(portal: Portal) -> None:
    """Return once branded pages have their logo: the worker fetches it in its own time."""
    link = await portal.link(**restricted(password=PASSWORD), **BRANDED)
    async with asyncio.timeout(10):
        while (
            b"/-/assets/logo-" not in (await portal.visitor().get(path(link), navigate=True)).body
        ):
            await asyncio.sleep(0.05)


async def _never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass
    writer.close()


Way = Callable[[Person, Site], Awaitable[Response]]


@dataclass(frozen=True)
class Page:
    """One page: `name` is the picture's, `reason` what the answer says; None for the goodbye."""

    name: str
    reason: str | None
    way: Way


def _opened(below: str = "", **body: Any) -> Way:
    """Make a link and open it, or a path below it."""

    async def go(person: Person, site: Site) -> Response:
        link = await site.portal.link(**body)
        return await person.open(site.portal.origin + path(link, below))

    return go


def _answered(*tries: tuple[str, str], **body: Any) -> Way:
    """Make a link, open it, and fill in the forms that it shows: field and text."""

    async def go(person: Person, site: Site) -> Response:
        link = await site.portal.link(**body)
        response = await person.open(site.portal.origin + path(link))
        for name, text in tries:
            response = await _fill(person, name, text)
        return response

    return go


async def _fill(person: Person, name: str, text: str) -> Response:
    field = person.page.locator(f"main > form input[name={name}]")
    await field.fill(text)
    async with person.page.expect_navigation() as navigation:
        await field.press("Enter")
    response = await navigation.value
    assert response is not None
    return response


def _with_session(target: str, **body: Any) -> Way:
    """Open a link, and then another address of the same host."""

    async def go(person: Person, site: Site) -> Response:
        link = await site.portal.link(**body)
        await person.open(site.portal.origin + path(link))
        return await person.open(site.portal.origin + target)

    return go


async def _used_up(person: Person, site: Site) -> Response:
    link = await site.portal.link(**restricted(max_uses=1))
    await site.portal.visitor().post(gate(link, "open"))
    return await person.open(site.portal.origin + path(link))


async def _unknown(person: Person, site: Site) -> Response:
    return await person.open(f"{site.portal.origin}/workorder/wpl_{'0' * 43}")


async def _without_session(person: Person, site: Site) -> Response:
    await person.context.clear_cookies()
    return await person.open(f"{site.portal.origin}/workorders/42")


async def _elsewhere(person: Person, site: Site) -> Response:
    return await person.open(site.portal.origin.replace("127.0.0.1", "localhost"))


async def _from_another_site(person: Person, site: Site) -> Response:
    link = await site.portal.link(**restricted(password=PASSWORD))
    await person.page.goto("about:blank")
    return await post_form(person, site.portal.origin + gate(link, "password"), {"password": "x"})


async def _too_large(person: Person, site: Site) -> Response:
    link = await site.portal.link(**restricted(password=PASSWORD))
    await person.open(site.portal.origin + path(link))
    return await post_form(
        person, site.portal.origin + gate(link, "password"), {"password": "x" * TOO_MUCH}
    )


async def _left(person: Person, site: Site) -> Response:
    link = await site.portal.link(**BRANDED)
    await person.open(site.portal.origin + path(link))
    return await post_form(person, site.portal.origin + gate(link, "leave"), {})


async def _no_mail(person: Person, site: Site) -> Response:
    link = await site.without_mail.link(**_MAIL)
    await person.open(site.without_mail.origin + path(link))
    return await _fill(person, "email", "ann@example.com")


_MAIL = restricted(require_email_verification=True)
_LOCKED = restricted(password=PASSWORD)
_ADDRESS = ("email", "a.rather.long.name@a-rather-long-company-name.example")

PAGES = [
    Page("confirm", "confirm_required", _opened(**restricted(max_uses=3))),
    Page("password", "password_required", _opened(**_LOCKED)),
    Page("password-branded", "password_required", _opened(**_LOCKED, **BRANDED)),
    Page("password-wrong", "password_wrong", _answered(("password", "wrong"), **_LOCKED)),
    Page("throttled", "throttled", _answered(*[("password", "wrong")] * 4, **_LOCKED)),
    Page("email", "email_required", _opened(**_MAIL)),
    Page("email-branded", "email_required", _opened(**_MAIL, **BRANDED)),
    Page(
        "email-no-address", "email_required", _answered(("email", "ann..lee@example.com"), **_MAIL)
    ),
    Page("code", "code_required", _answered(_ADDRESS, **_MAIL)),
    Page("code-wrong", "code_wrong", _answered(_ADDRESS, ("code", "000000"), **_MAIL)),
    Page("unknown", "unknown_token", _unknown),
    Page("session-required", "session_required", _without_session),
    Page("inactive", "inactive", _opened(is_active=False)),
    Page("expired", "expired", _opened(expiry_date="2026-01-02T03:04:05Z")),
    Page("expired-branded", "expired", _opened(expiry_date="2026-01-02T03:04:05Z", **BRANDED)),
    Page("exhausted", "exhausted", _used_up),
    Page("address", "ip_not_allowed", _opened(**restricted(allowed_ips=["192.0.2.1"]))),
    Page("no-route", "no_route", _with_session("/nowhere")),
    Page("not-permitted", "not_permitted", _with_session("/workorders/43")),
    Page("origin", "origin_refused", _from_another_site),
    Page("misdirected", "misdirected", _elsewhere),
    Page("bad-request", "bad_request", _with_session("/workorders//42")),
    Page("body-too-large", "body_too_large", _too_large),
    Page("backend-down", "upstream_unavailable", _opened(company_namespace=["down"], **BRANDED)),
    Page("backend-slow", "upstream_timeout", _opened(company_namespace=["slow"])),
    Page("not-possible", "store_unavailable", _no_mail),
    Page("left", None, _left),
]
