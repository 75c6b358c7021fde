"""The rules, as tables: one named row a case, the whole verdict asserted."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import combinations
from typing import Any

import pytest

from gateway.links.model import Link, LinkType, Permission, ends_older_sessions
from gateway.links.routes import RouteTable, default_routes
from gateway.links.rules import Facts, decide, needs_uses
from gateway.links.session import Lifetime, Proven, Session, email_allowed, is_current, satisfies
from gateway.links.verdict import Decision, Gate, Reason, Verdict

NOW = 1_800_000_000.0
TABLE = RouteTable(default_routes())
LIFETIME = Lifetime(life=3600, idle=600)
LINK = Link(id="a" * 24, token_hash=b"h", workorder="42")
SESSION = Session("s", LINK.id, 1, "v", Proven(), NOW - 60, NOW - 30)


def facts(method: str = "GET", path: str = "/workorders/42", **changes: Any) -> Facts:
    made = Facts(
        now=NOW,
        address=ip_address("192.0.2.7"),
        lifetime=LIFETIME,
        match=TABLE.match(method, path[1:].split("/"), None),
        skips_route=False,
        origin_holds=True,
        session=SESSION,
    )
    return replace(made, **changes)


def link(**changes: Any) -> Link:
    return replace(LINK, **changes)


INSIDE = (ip_network("192.0.2.0/24"),)
OUTSIDE = (ip_network("198.51.100.0/24"), ip_network("2001:db8::/32"))
ALL = frozenset(Permission)


@pytest.mark.parametrize(
    ("a_link", "some_facts", "reason"),
    [
        pytest.param(link(), facts(), Reason.OK, id="an open session"),
        pytest.param(link(), facts(session=None), Reason.OK, id="no gates: anybody may come in"),
        pytest.param(link(is_active=False), facts(), Reason.INACTIVE, id="inactive"),
        pytest.param(link(expires_at=NOW), facts(), Reason.EXPIRED, id="expired in this moment"),
        pytest.param(link(expires_at=NOW + 0.001), facts(), Reason.OK, id="not expired yet"),
        pytest.param(link(allowed_ips=INSIDE), facts(), Reason.OK, id="from an allowed network"),
        pytest.param(link(allowed_ips=OUTSIDE), facts(), Reason.IP_NOT_ALLOWED, id="from elsewhere"),
        pytest.param(link(), facts("GET", "/other"), Reason.NO_ROUTE, id="no row for the path"),
        pytest.param(link(), facts("DELETE"), Reason.NO_ROUTE, id="no row for the method"),
        pytest.param(link(), facts("HEAD"), Reason.OK, id="GET covers HEAD"),
        pytest.param(link(), facts("GET", "/workorders/43"), Reason.NOT_PERMITTED, id="another record"),
        pytest.param(link(), facts("GET", "/workorders/42/"), Reason.NO_ROUTE, id="a trailing slash is significant"),
        pytest.param(link(permissions=frozenset()), facts(), Reason.NOT_PERMITTED, id="may not view"),
        pytest.param(link(permissions=frozenset()), facts("GET", "/static/a.css"), Reason.OK, id="none needs no permission"),
        pytest.param(link(), facts("POST", "/workorders/42/comments"), Reason.OK, id="may comment"),
        pytest.param(link(), facts("POST", "/workorders/42/files"), Reason.NOT_PERMITTED, id="may not upload"),
        pytest.param(link(), facts("POST", "/workorders/42/approve"), Reason.NOT_PERMITTED, id="may not approve"),
        pytest.param(link(), facts(origin_holds=False), Reason.ORIGIN_REFUSED, id="a foreign origin"),
        pytest.param(link(), facts(skips_route=True, match=None), Reason.OK, id="the portal URL has no row"),
        pytest.param(link(password_protected=True), facts(session=None), Reason.PASSWORD_REQUIRED, id="password"),
        pytest.param(
            link(password_protected=True), facts(session=None, proven=Proven(email="a@b.example")),
            Reason.PASSWORD_REQUIRED, id="an email proves no password",
        ),
        pytest.param(
            link(password_protected=True), facts(session=None, proven=Proven(password=True)), Reason.OK, id="password shown",
        ),
        pytest.param(link(require_email_verification=True), facts(session=None), Reason.EMAIL_REQUIRED, id="email"),
        pytest.param(
            link(require_email_verification=True), facts(session=None, code_asked=True), Reason.CODE_REQUIRED, id="code asked for",
        ),
        pytest.param(
            link(require_email_verification=True), facts(session=None, proven=Proven(email="a@b.example")), Reason.OK, id="email shown",
        ),
        pytest.param(
            link(require_email_verification=True, password_protected=True),
            facts(session=None, proven=Proven(True, "a@b.example"), code_asked=True), Reason.OK, id="both shown",
        ),
        pytest.param(
            link(require_email_verification=True), facts(session=None, proven=Proven(password=True)),
            Reason.EMAIL_REQUIRED, id="a password proves no email",
        ),
        pytest.param(
            link(require_email_verification=True, allowed_emails=("@ok.example",)),
            facts(session=None, proven=Proven(email="a@b.example")),
            Reason.EMAIL_REQUIRED, id="an email that is not allowed",
        ),
        pytest.param(
            link(require_email_verification=True, password_protected=True), facts(session=None),
            Reason.PASSWORD_REQUIRED, id="the password comes first",
        ),
        pytest.param(link(max_uses=1), facts(session=None, uses_spent=0), Reason.CONFIRM_REQUIRED, id="limited: the button"),
        pytest.param(link(max_uses=1), facts(session=None, uses_spent=0, confirmed=True), Reason.OK, id="the button was pressed"),
        pytest.param(link(max_uses=1), facts(session=None, uses_spent=1, confirmed=True), Reason.EXHAUSTED, id="none left"),
        pytest.param(link(max_uses=1), facts(uses_spent=1), Reason.OK, id="a session outlives the limit"),
        pytest.param(link(max_uses=1), facts(session=None, confirmed=True), Reason.STORE_UNAVAILABLE, id="uses unknown"),
        pytest.param(
            link(max_uses=1, password_protected=True), facts(session=None, uses_spent=1), Reason.EXHAUSTED,
            id="exhausted stands before the gates",
        ),
        pytest.param(
            link(max_uses=2, password_protected=True), facts(session=None, uses_spent=1, confirmed=True),
            Reason.PASSWORD_REQUIRED, id="the button opens no password gate",
        ),
        pytest.param(link(access_version=2, password_protected=True), facts(), Reason.PASSWORD_REQUIRED, id="an older session"),
        pytest.param(
            link(password_protected=True), facts(session=replace(SESSION, seen_at=NOW - 600)), Reason.PASSWORD_REQUIRED, id="idle",
        ),
        pytest.param(
            link(password_protected=True),
            facts(session=replace(SESSION, opened_at=NOW - 3600, proven=Proven(password=True))),
            Reason.PASSWORD_REQUIRED, id="lived its life",
        ),
        pytest.param(
            link(require_email_verification=True, allowed_emails=("b@b.example",)),
            facts(session=replace(SESSION, proven=Proven(email="a@b.example"))),
            Reason.EMAIL_REQUIRED, id="the list was narrowed",
        ),
    ],
)  # fmt: skip
def test_decide(a_link: Link, some_facts: Facts, reason: Reason) -> None:
    assert decide(a_link, some_facts) == Verdict(reason)


# Each rule broken by itself, in the order of the specification: whatever else is broken, too, the
# first one decides.
BROKEN: list[tuple[Reason, dict[str, Any], dict[str, Any]]] = [
    (Reason.INACTIVE, {"is_active": False}, {}),
    (Reason.EXPIRED, {"expires_at": NOW - 1}, {}),
    (Reason.IP_NOT_ALLOWED, {"allowed_ips": OUTSIDE}, {}),
    (Reason.NO_ROUTE, {}, {"match": None}),
    (Reason.NOT_PERMITTED, {"permissions": frozenset()}, {}),
    (Reason.ORIGIN_REFUSED, {}, {"origin_holds": False}),
    (Reason.EXHAUSTED, {"max_uses": 1}, {"session": None, "uses_spent": 1}),
    (Reason.PASSWORD_REQUIRED, {"password_protected": True}, {"session": None}),
    (Reason.EMAIL_REQUIRED, {"require_email_verification": True}, {"session": None}),
]


@pytest.mark.parametrize(
    ("first", "second"), list(combinations(BROKEN, 2)), ids=lambda b: b[0].value
)
def test_the_first_rule_that_does_not_hold_decides(first: Any, second: Any) -> None:
    reason, link_changes, fact_changes = first
    both = {**second[1], **link_changes}, {**second[2], **fact_changes}
    assert decide(link(**both[0]), facts(**both[1])) == Verdict(reason)


@pytest.mark.parametrize(
    ("a_link", "some_facts", "needed"),
    [
        pytest.param(link(max_uses=3), facts(session=None), True, id="limited, no session"),
        pytest.param(link(max_uses=3), facts(), False, id="limited, with a session"),
        pytest.param(
            link(max_uses=3, is_active=False), facts(session=None), False, id="inactive anyway"
        ),
        pytest.param(
            link(max_uses=3), facts(session=None, uses_spent=1), False, id="counted already"
        ),
        pytest.param(link(), facts(session=None), False, id="unlimited"),
    ],
)
def test_uses_are_counted_only_where_the_verdict_hangs_on_them(
    a_link: Link, some_facts: Facts, needed: bool
) -> None:
    assert needs_uses(a_link, some_facts) is needed


@pytest.mark.parametrize(
    ("changes", "current"),
    [
        pytest.param({}, True, id="now"),
        pytest.param({"link_id": "b" * 24}, False, id="another link"),
        pytest.param({"access_version": 2}, False, id="a newer version"),
        pytest.param({"opened_at": NOW - 3600.0}, False, id="the end of its life"),
        pytest.param({"seen_at": NOW - 599.9}, True, id="just in time"),
        pytest.param({"seen_at": NOW - 600.0}, False, id="idle for too long"),
        pytest.param({"opened_at": NOW}, True, id="opened in this moment"),
        pytest.param({"opened_at": NOW + 60}, True, id="opened by a clock that is ahead"),
        pytest.param({"seen_at": NOW + 60}, True, id="seen by a clock that is ahead"),
        pytest.param({"opened_at": NOW + 61}, False, id="opened in the future"),
        pytest.param({"seen_at": NOW + 61}, False, id="seen in the future"),
        pytest.param({"seen_at": NOW + 59}, True, id="another clock, a little ahead"),
    ],
)
def test_a_session_is_current(changes: dict[str, Any], current: bool) -> None:
    assert is_current(replace(SESSION, **changes), LINK, LIFETIME, NOW) is current


@pytest.mark.parametrize(
    ("email", "allowed", "expected"),
    [
        pytest.param("a@b.example", (), True, id="an empty list allows all"),
        pytest.param("a@b.example", ("a@b.example",), True, id="the address"),
        pytest.param("a@b.example", ("@b.example",), True, id="the domain"),
        pytest.param("a@sub.b.example", ("@b.example",), False, id="a subdomain is another"),
        pytest.param("a@evilb.example", ("@b.example",), False, id="an ending is no domain"),
        pytest.param('"@evil"@b.example', ("@b.example",), True, id="the domain stands last"),
        pytest.param(
            '"@b.example"@evil.example', ("@b.example",), False, id="a domain in the local part"
        ),
    ],
)
def test_email_allowed(email: str, allowed: tuple[str, ...], expected: bool) -> None:
    assert email_allowed(email, allowed) is expected


def test_proofs_are_independent() -> None:
    both = link(password_protected=True, require_email_verification=True)
    assert not satisfies(Proven(), both)
    assert not satisfies(Proven(password=True), both)
    assert not satisfies(Proven(email="a@b.example"), both)
    assert satisfies(Proven(password=True, email="a@b.example"), both)


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        pytest.param({"token_hash": b"other"}, True, id="regenerated"),
        pytest.param({"is_active": False}, True, id="deactivated"),
        pytest.param({"password_hash": "x"}, True, id="a new password"),
        pytest.param({"password_protected": True}, True, id="a password gate"),
        pytest.param({"require_email_verification": True}, True, id="an email gate"),
        pytest.param({"max_uses": 3}, True, id="limited now"),
        pytest.param({"namespaces": ("n",)}, True, id="another namespace"),
        pytest.param({"link_type": LinkType.PUBLIC}, True, id="another type"),
        pytest.param({"permissions": ALL}, False, id="permissions are judged anew anyway"),
        pytest.param({"allowed_ips": INSIDE}, False, id="addresses, too"),
        pytest.param({"expires_at": NOW}, False, id="the expiry, too"),
        pytest.param({"allowed_emails": ("a@b.example",)}, False, id="the list of addresses, too"),
    ],
)
def test_what_ends_older_sessions(changes: dict[str, Any], ends: bool) -> None:
    assert ends_older_sessions(LINK, link(**changes)) is ends


def test_activation_and_another_limit_end_nothing() -> None:
    assert not ends_older_sessions(link(is_active=False), LINK)
    assert not ends_older_sessions(link(max_uses=3), link(max_uses=9))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_one_decision(reason: Reason) -> None:
    verdict = Verdict(reason)
    assert (verdict.decision is Decision.ALLOW) == (reason is Reason.OK)
    assert (verdict.decision is Decision.CHALLENGE) == (verdict.gate is not None)
    assert (
        reason.value.endswith("_wrong")
        or reason.value
        in {"password_required", "email_required", "code_required", "confirm_required"}
    ) == isinstance(verdict.gate, Gate)
