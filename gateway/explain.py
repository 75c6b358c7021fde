"""What the gateway makes of a request, told step by step: the tool to write routes with.

The steps are those of the hot path, and so are the functions. Nothing is asked of a backend, no
token is shown, and of the operator's headers only that they are set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from config.load import resolve_secret_keys
from config.models import Settings, UpstreamSettings
from gateway.bodies.judges import judge_for
from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token
from gateway.errors import GatewayError, Refusal
from gateway.links.body_rules import BodyRules
from gateway.links.model import Link, Permission
from gateway.links.routes import Match
from gateway.links.rules import judge_link, judge_route
from gateway.links.verdict import Reason
from gateway.proxy.headers import Identity, request_headers
from gateway.proxy.upstream import upstream_headers
from gateway.request.host import normal_host, parse_host
from gateway.request.path import PortalPath, Target, parse_target, portal_path
from gateway.steps.backends import below_landing, landing_target
from gateway.store.links import LinkStore
from gateway.upkeep import opened_current

GATES = ("open", "password", "email", "code", "leave")
_HIDDEN = "wpl_..."
# Stands for the visitor's address; which one it is decides nothing here.
_ANY_ADDRESS = ip_address("192.0.2.1")
_SAMPLE_ID = "0" * 24


class NoSuchLink(GatewayError):
    """There is no link with the id that was given."""


class Body(NamedTuple):
    """A request's body, and what its head says of it."""

    data: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Case:
    """A request to explain, parsed, and the link that it is judged by.

    `is_stored` is false for a made-up link, which has every permission.
    """

    settings: Settings
    link: Link
    is_stored: bool
    method: str
    host: str
    target: Target
    portal: PortalPath | None
    body: Body | None = None

    @property
    def upstream(self) -> UpstreamSettings:
        return self.settings.upstream_for(self.link.namespaces)

    @property
    def landing(self) -> Target:
        return landing_target(self.upstream.path, self.link.workorder)

    @property
    def scheme(self) -> str:
        return self.settings.scheme if self.host == self.settings.public_host else "https"


Line = tuple[str, str]


async def explain(
    settings: Settings,
    method: str,
    url: str,
    workorder: str,
    link_id: str | None = None,
    body: Body | None = None,
) -> str:
    """An aligned text of what becomes of `method` `url` on a link to `workorder`.

    With `link_id`, that link's permissions, type and backend count. Raises NoSuchLink, and what
    the settings and the database raise.
    """
    link = await _stored_link(settings, link_id) if link_id else _sample_link(workorder)
    lines = _lines(settings, method.upper(), url, replace(link, workorder=workorder), link, body)
    return "\n".join(f"{label:<12}{text}".rstrip() for label, text in lines)


async def _stored_link(settings: Settings, link_id: str) -> Link:
    sealer = Sealer(resolve_secret_keys(settings))
    async with opened_current(settings) as database:
        link = await LinkStore(database, sealer).snapshot_by_id(link_id)
    if link is None:
        raise NoSuchLink(f"there is no link {link_id}")
    return link


def _sample_link(workorder: str) -> Link:
    return Link(_SAMPLE_ID, b"", workorder, permissions=frozenset(Permission))


def _lines(
    settings: Settings, method: str, url: str, link: Link, stored: Link, body: Body | None
) -> Iterator[Line]:
    try:
        host, target = _parse(settings, url)
    except Refusal as refusal:
        yield "request", f"{method} (not parsed)"
        yield from _verdict(refusal.reason, refusal.detail)
        return
    is_stored = stored.id != _SAMPLE_ID
    case = Case(settings, link, is_stored, method, host, target, portal_path(target), body)
    yield "request", f"{method} {_shown(case)} on {case.scheme}://{host}"
    if is_stored:
        yield from _about_link(case, stored)
    yield from _judged(case)


def _parse(settings: Settings, url: str) -> tuple[str, Target]:
    """The host, normalised, and the target. Raises Refusal (`bad_request`)."""
    raw_host = settings.public_host if url.startswith("/") else urlsplit(url).netloc
    scheme = settings.scheme if url.startswith("/") else url.partition(":")[0].lower()
    host = parse_host([raw_host])
    target = parse_target(url, host)
    return normal_host(host, scheme if scheme in {"http", "https"} else settings.scheme), target


def _shown(case: Case) -> str:
    """The target, without the token."""
    if case.portal is None:
        return case.target.path_qs
    query = "" if case.target.query is None else f"?{case.target.query}"
    return f"/workorder/{_HIDDEN}{case.portal.rest}{query}"


def _about_link(case: Case, stored: Link) -> Iterator[Line]:
    link = case.link
    yield "link", f"{link.id}, {link.link_type.value}"
    if stored.workorder != link.workorder:
        yield "", f"its work order is {stored.workorder}; judged as if it were {link.workorder}"
    if link.allowed_ips:
        yield "", "allowed_ips are not judged here"
    gates = [
        name
        for name, is_asked in (
            ("password", link.password_protected),
            ("email", link.require_email_verification),
            ("confirm", link.is_limited),
        )
        if is_asked
    ]
    yield "gates", ", ".join(gates) or "none"


def _judged(case: Case) -> Iterator[Line]:
    """From the host to the verdict, in the order of the rules."""
    if case.portal is None and case.target.path.startswith(("/-/health/", "/-/assets/")):
        yield "answered by", "the gateway itself"
        return
    if case.host not in {case.settings.public_host, case.link.branding.custom_domain}:
        yield from _verdict(Reason.MISDIRECTED, "only as the custom domain of a link")
        return
    if case.portal is None:
        yield "found by", "a session"
    else:
        yield "found by", f"the token in the path{_whose_token(case, case.portal)}"
        if case.portal.gate in GATES:
            yield "answered by", f"the gateway itself: /-/{case.portal.gate}"
            return
    yield from _about_route(case)


def _whose_token(case: Case, portal: PortalPath) -> str:
    if not case.is_stored:
        return ", which is not looked up"
    is_own = hash_token(portal.token) == case.link.token_hash
    return ", this link's" if is_own else ", which is not this link's"


def _about_route(case: Case) -> Iterator[Line]:
    try:
        target = _backend_target(case)
        match = case.upstream.route_table().match(case.method, target.segments, target.query)
    except Refusal as refusal:
        yield from _verdict(refusal.reason, refusal.detail)
        return
    yield "landing", case.landing.path_qs
    yield "target", f"{target.path_qs} at {case.upstream.url}"
    if match is None:
        yield "route", "none"
    else:
        yield from _about_match(match, case.link)
    unlisted = replace(case.link, allowed_ips=())
    reason = judge_link(unlisted, time.time(), _ANY_ADDRESS) or judge_route(case.link, match)
    if reason is not None or match is None:
        yield from _verdict(reason or Reason.NO_ROUTE, "")
        return
    try:
        condition = _judged_body(case, match.route.body)
    except Refusal as refusal:
        yield from _verdict(refusal.reason, refusal.detail or "for what the body says")
        return
    yield from _verdict(Reason.OK, f"once there is a session{condition}")
    yield from _sent(case, target)


def _judged_body(case: Case, rules: BodyRules | None) -> str:
    """What is left to say of the body, if anything. Raises Refusal, as the hot path does."""
    if rules is None:
        return ""
    if case.body is None:
        return ", for a body that fits" if rules.wants_body else ""
    judge = judge_for(rules, case.link.workorder, [case.body.content_type])
    judge.feed(case.body.data.encode("utf-8"))
    judge.finish()
    return ""


def _backend_target(case: Case) -> Target:
    """What the backend would be asked for. Raises Refusal, as the hot path does."""
    landing = case.landing
    if case.portal is None:
        return case.target
    if case.portal.rest == "":
        return landing
    return below_landing(landing, case.portal.rest, case.target.query)


def _about_match(match: Match, link: Link) -> Iterator[Line]:
    route = match.route
    yield "route", f"{', '.join(sorted(route.methods))} {route.path}"
    flags = [flag for flag in ("cacheable", "websocket") if getattr(route, flag)]
    yield "action", " ".join([route.action, *(f"({flag})" for flag in flags)])
    if route.permission is None:
        yield "permission", "none"
    else:
        has_it = route.permission in link.permissions
        yield "permission", f"{route.permission.value}: the link {'has' if has_it else 'lacks'} it"
    if route.body is not None:
        yield from _about_body(route.body)
    for named in match.workorders:
        yield "work order", f"{named}: {'the' if named == link.workorder else 'not the'} link's own"


def _about_body(rules: BodyRules) -> Iterator[Line]:
    """What the row judges, a line for each field."""
    lines = [f"form {name}: {wanted}" for name, wanted in rules.form]
    lines += [f"json /{'/'.join(pointer)}: {wanted}" for pointer, wanted in rules.json]
    absent = [*rules.absent, *(f"/{'/'.join(pointer)}" for pointer in rules.absent_members)]
    lines += [f"absent {name}" for name in absent]
    for number, line in enumerate(lines):
        yield "" if number else "body", line


def _verdict(reason: Reason, detail: str) -> Iterator[Line]:
    yield "verdict", f"{reason.value}{': ' if detail else ''}{detail}"


def _sent(case: Case, target: Target) -> Iterator[Line]:
    """The head that the backend would receive from a visitor who sends no header but `Host`."""
    yield "sends", f"{case.method} {target.path_qs} HTTP/1.1"
    identity = _identity(case)
    upstream = upstream_headers(case.upstream)
    told = replace(upstream, extra=dict.fromkeys(upstream.extra, "[set]"))
    headers = request_headers([], identity, told, identity.origin, case.landing.path_qs)
    for name, value in headers:
        yield "", f"{name}: {value.encode('latin-1').decode()}"
    yield "cookies", _about_cookies(case.upstream)


def _about_cookies(upstream: UpstreamSettings) -> str:
    """What becomes of the cookies that the backend sets."""
    match upstream.cookies:
        case "pass":
            return "pass: as the backend set them, on every link"
        case "drop":
            return "drop: none that the backend sets"
    readable = ", ".join(upstream.readable_cookies)
    copies = f"; scripts read {readable}" if readable else ""
    return f"seal: those that this backend set in the same session{copies}"


def _identity(case: Case) -> Identity:
    link = case.link
    return Identity(
        link_id=link.id if case.is_stored else "[link]",
        workorder=link.workorder,
        link_type=link.link_type,
        permissions=tuple(permission.value for permission in link.permissions),
        visitor="[visitor]",
        email="[email]" if link.require_email_verification else None,
        request_id="[request id]",
        address="[address]",
        scheme=case.scheme,
        host=case.host,
    )
