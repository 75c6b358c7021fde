"""The decision. Facts in, verdict out: no clock, no randomness, no I/O, no await.

The rules stand in the order of the specification; the first that does not hold decides. Rules 1
and 2 (a well-formed request, a known token) need no link and are judged where these are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.links.model import IPAddress, IPNetwork, Link
from gateway.links.routes import Match
from gateway.links.session import NOTHING_PROVEN, Lifetime, Proven, Session, is_current, satisfies
from gateway.links.verdict import ALLOWED, Reason, Verdict


@dataclass(slots=True)
class Facts:
    """Everything that the decision depends on, besides the link.

    `skips_route` is true for the gates' own paths and for the portal URL. `session` is what the
    cookie says, or None. `proven` is what this visitor has shown at the gates so far.
    `uses_spent` is the database's own count; None where it was not needed. `confirmed` is true
    for the POST that may spend a use, `code_asked` once this browser has asked for a code.
    """

    now: float
    address: IPAddress
    lifetime: Lifetime
    match: Match | None
    skips_route: bool
    origin_holds: bool
    session: Session | None
    proven: Proven = NOTHING_PROVEN
    uses_spent: int | None = None
    confirmed: bool = False
    code_asked: bool = False


def decide(link: Link, facts: Facts) -> Verdict:
    """The verdict of rules 3 to 8 for one request on one link."""
    reason = (
        judge_link(link, facts.now, facts.address)
        or (None if facts.skips_route else judge_route(link, facts.match))
        or (None if facts.origin_holds else Reason.ORIGIN_REFUSED)
    )
    if reason is not None:
        return Verdict(reason)
    if has_session(link, facts):
        return ALLOWED
    return judge_entry(link, facts)


def needs_uses(link: Link, facts: Facts) -> bool:
    """Whether the verdict hangs on how many uses are spent: ask the database, then decide."""
    return (
        link.is_limited
        and facts.uses_spent is None
        and decide(link, facts).reason is Reason.STORE_UNAVAILABLE
    )


def judge_link(link: Link, now: float, address: IPAddress) -> Reason | None:
    """Rules 3 to 5: active, not expired, from an allowed address."""
    if not link.is_active:
        return Reason.INACTIVE
    if link.expires_at is not None and now >= link.expires_at:
        return Reason.EXPIRED
    if not is_allowed(address, link.allowed_ips):
        return Reason.IP_NOT_ALLOWED
    return None


def is_allowed(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    """Whether `address` is in one of `networks`; an empty list allows any."""
    return not networks or any(address in network for network in networks)


def judge_route(link: Link, match: Match | None) -> Reason | None:
    """Rules 6 and 7: a row names the request, and the link permits it on its own record."""
    if match is None:
        return Reason.NO_ROUTE
    permission = match.route.permission
    if permission is not None and permission not in link.permissions:
        return Reason.NOT_PERMITTED
    if not match.names_only(link.workorder):
        return Reason.NOT_PERMITTED
    return None


def has_session(link: Link, facts: Facts) -> bool:
    """Rule 8, first part: a session that is valid for the link as it is now."""
    session = facts.session
    return (
        session is not None
        and is_current(session, link, facts.lifetime, facts.now)
        and satisfies(session.proven, link)
    )


def judge_entry(link: Link, facts: Facts) -> Verdict:
    """Rule 8, second part: may a session open? If not, which gate is next?"""
    if link.is_limited:
        if facts.uses_spent is None:
            # Nobody could say how many are left: refuse, never guess.
            return Verdict(Reason.STORE_UNAVAILABLE)
        if facts.uses_spent >= link.max_uses:
            return Verdict(Reason.EXHAUSTED)
    if link.password_protected and not facts.proven.password:
        return Verdict(Reason.PASSWORD_REQUIRED)
    if link.require_email_verification and not satisfies(
        Proven(password=True, email=facts.proven.email), link
    ):
        return Verdict(Reason.CODE_REQUIRED if facts.code_asked else Reason.EMAIL_REQUIRED)
    if link.is_limited and not facts.confirmed:
        return Verdict(Reason.CONFIRM_REQUIRED)
    return ALLOWED
