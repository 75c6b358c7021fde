"""A session, as a value: what a visitor holds after the gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.links.model import Link

# How far another machine's clock may be ahead of ours before its cookie is held to be forged.
CLOCK_SKEW = 60.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lives: `life` from its opening, `idle` from its last use; seconds."""

    life: float
    idle: float


@dataclass(frozen=True, slots=True)
class Proven:
    """What a visitor has shown at the gates: independent facts, none implies another."""

    password: bool = False
    email: str | None = None


NOTHING_PROVEN = Proven()


@dataclass(frozen=True, slots=True)
class Session:
    """What the signed session cookie says. Times are seconds since the epoch.

    `is_unseen`: nobody was taken to look when it opened, nor since; its owner knows of no access.
    """

    id: str
    link_id: str
    access_version: int
    visitor: str
    proven: Proven
    opened_at: float
    seen_at: float
    is_unseen: bool = False

    def ends_at(self, lifetime: Lifetime) -> float:
        """When this session ends if nothing more is done with it."""
        return min(self.opened_at + lifetime.life, self.seen_at + lifetime.idle)


def is_current(session: Session, link: Link, lifetime: Lifetime, now: float) -> bool:
    """Whether `session` is one: of this link as it is now, and within its times."""
    return (
        session.link_id == link.id
        and session.access_version == link.access_version
        and session.opened_at <= now + CLOCK_SKEW
        and session.seen_at <= now + CLOCK_SKEW
        and now < session.ends_at(lifetime)
    )


def satisfies(proven: Proven, link: Link) -> bool:
    """Whether what was proven is what the link's gates ask for as they are now."""
    if link.password_protected and not proven.password:
        return False
    return not link.require_email_verification or (
        proven.email is not None and email_allowed(proven.email, link.allowed_emails)
    )


def email_allowed(email: str, allowed: Sequence[str]) -> bool:
    """Whether a normalised address is named by `allowed` (addresses, or `@domain`).

    An empty list allows every address that can prove itself.
    """
    if not allowed:
        return True
    domain = email[email.rfind("@") :]
    return email in allowed or domain in allowed
