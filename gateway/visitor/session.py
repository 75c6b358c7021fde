"""The gateway's own cookies: the session, what is proven so far, and the visitor.

A cookie that cannot be read, whatever the cause, is no cookie: there is no branch for a malformed
one. With https every name has the prefix `__Host-` (draft-ietf-httpbis-rfc6265bis section 4.1.3),
so that no other host of the domain can plant one.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.crypto.signing import Keyring, Signer
from gateway.links.model import Link, LinkType
from gateway.links.session import Lifetime, Proven, Session
from gateway.request.remembered import remembered
from gateway.visitor.cookie import HOST_PREFIX, drop_cookie, set_cookie

MAX_SESSIONS = 20
GATE_LIFE = 15 * 60
VISITOR_LIFE = 400 * 24 * 3600
_SESSION_NAME = re.compile(r"portal_([0-9a-f]{24})")
# What is dropped is named in an answer: nothing that could not be in a header.
_SEALED_NAME = re.compile(r"portal_u_([0-9a-f]{24})_[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REMEMBERED = 8192
# Characters of a `Cookie` header that is remembered: a browser sends the same one again and again.
_SHORT = 1024


@dataclass(frozen=True, slots=True)
class GateState:
    """What one browser has shown at one link's gates so far.

    `browser` is a random id that emailed codes are bound to; `asked` is the address that a code
    was last asked for. Times are seconds since the epoch.
    """

    link_id: str
    access_version: int
    browser: str
    started_at: float
    proven: Proven = Proven()  # noqa: RUF009 - frozen, and so safe to share
    asked: str | None = None

    def is_current(self, link: Link, now: float) -> bool:
        """Whether this still says something about `link` as it is now."""
        return (
            self.link_id == link.id
            and self.access_version == link.access_version
            and self.started_at - GATE_LIFE < now < self.started_at + GATE_LIFE
        )


def read_cookies(headers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The cookies of a request (RFC 6265 section 5.4) whose names are the gateway's, in order."""
    if len(headers) == 1:
        return _own_pairs(headers[0])
    return tuple(pair for header in headers for pair in _own_pairs(header))


@remembered(_SHORT)
def _own_pairs(header: str) -> tuple[tuple[str, str], ...]:
    found = []
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if equals and name.removeprefix(HOST_PREFIX).startswith("portal_"):
            found.append((name, value.strip(" \t")))
    return tuple(found)


class VisitorCookies:
    """Reads and writes the cookies of one scheme (`http` or `https`)."""

    def __init__(
        self, keyring: Keyring, lifetimes: Mapping[LinkType, Lifetime], scheme: str
    ) -> None:
        self._session = keyring.signer("session")
        self._gate = keyring.signer("gate")
        self._visitor = keyring.signer("visitor")
        self._lifetimes = lifetimes
        self._secure = scheme == "https"
        self._prefix = HOST_PREFIX if self._secure else ""
        # Checking a signature costs more than all the rules: what was once found to be genuine
        # is remembered by its full text. Times and versions are judged anew on every request.
        self._genuine: OrderedDict[str, Session] = OrderedDict()

    # Sessions

    def session_of(self, cookies: Sequence[tuple[str, str]], link_id: str) -> Session | None:
        """The genuine session of one link, if this browser holds one."""
        name = f"{self._prefix}portal_{link_id}"
        for sent, value in cookies:
            if sent == name and (session := self._read_session(value, link_id)) is not None:
                return session
        return None

    def sessions(self, cookies: Sequence[tuple[str, str]]) -> list[Session]:
        """Every genuine session that this browser holds, the latest opened first."""
        found = []
        for name, value in cookies:
            if not name.startswith(self._prefix):
                continue
            match = _SESSION_NAME.fullmatch(name[len(self._prefix) :])
            if match and (session := self._read_session(value, match[1])) is not None:
                found.append(session)
        if len(found) > 1:
            found.sort(key=lambda session: session.opened_at, reverse=True)
        return found

    def _read_session(self, value: str, link_id: str) -> Session | None:
        session = self._genuine.get(value)
        if session is None:
            session = _session_from(_load(self._session, value))
            if session is None:
                return None
            self._genuine[value] = session
            if len(self._genuine) > _REMEMBERED:
                self._genuine.popitem(last=False)
        return session if session.link_id == link_id else None

    def keep_session(self, session: Session, link: Link) -> str:
        """The `Set-Cookie` that gives, or gives anew, a session."""
        lifetime = self._lifetimes[link.link_type]
        fields = [
            session.id,
            session.link_id,
            session.access_version,
            session.visitor,
            session.proven.password,
            session.proven.email,
            round(session.opened_at, 3),
            round(session.seen_at, 3),
        ]
        # Few are, and the others stay as short as they were.
        value = self._session.dumps([*fields, True] if session.is_unseen else fields)
        # The browser keeps it for the session's life: whether it idled is judged here, where
        # the traffic on its WebSockets is known.
        left = max(1, int(session.opened_at + lifetime.life - session.seen_at))
        return self._set(f"portal_{link.id}", value, left, link)

    def end_session(self, link: Link, cookies: Sequence[tuple[str, str]]) -> list[str]:
        """The `Set-Cookie`s that end this link's session in this browser, its gates, and the
        backend's cookies that were sealed for it."""
        return [
            *self._drop(f"portal_{link.id}"),
            *self._drop(f"portal_g_{link.id}"),
            *self._drop_sealed(cookies, lambda link_id: link_id == link.id),
        ]

    def end_oldest(self, cookies: Sequence[tuple[str, str]], opening: str) -> list[str]:
        """The `Set-Cookie`s that leave room for a session on the link `opening`.

        A browser keeps some 180 cookies of a host and the header is bounded: at most
        MAX_SESSIONS sessions, and what is no session goes first. With a session go the backend's
        cookies that were sealed for it: those of an earlier session on this link, too.
        """
        names = {
            match[1]
            for name, _ in cookies
            if (match := _SESSION_NAME.fullmatch(name.removeprefix(self._prefix)))
        } - {opening}
        kept = names
        if len(names) >= MAX_SESSIONS:
            latest = [s.link_id for s in self.sessions(cookies) if s.link_id != opening]
            kept = set(latest[: MAX_SESSIONS - 1])
        ended = [line for each in sorted(names - kept) for line in self._drop(f"portal_{each}")]
        return ended + self._drop_sealed(cookies, lambda link_id: link_id not in kept)

    # Gates

    def gate_of(
        self, cookies: Sequence[tuple[str, str]], link: Link, now: float
    ) -> GateState | None:
        """What this browser has shown at the link's gates, if that still holds."""
        name = f"{self._prefix}portal_g_{link.id}"
        for sent, value in cookies:
            if sent != name:
                continue
            state = _gate_from(_load(self._gate, value))
            if state is not None and state.is_current(link, now):
                return state
        return None

    def keep_gate(self, state: GateState, link: Link, now: float) -> str:
        """The `Set-Cookie` that keeps what is proven so far; it lives 15 minutes from its start."""
        value = self._gate.dumps(
            [
                state.link_id,
                state.access_version,
                state.browser,
                round(state.started_at, 3),
                state.proven.password,
                state.proven.email,
                state.asked,
            ]
        )
        left = max(1, int(state.started_at + GATE_LIFE - now))
        return self._set(f"portal_g_{link.id}", value, left, link)

    def end_gate(self, link: Link) -> list[str]:
        """The `Set-Cookie`s that end the gates: the session is open."""
        return self._drop(f"portal_g_{link.id}")

    # The visitor

    def visitor_of(self, cookies: Sequence[tuple[str, str]]) -> str | None:
        """The random id that this browser was given."""
        name = f"{self._prefix}portal_v"
        for sent, value in cookies:
            if sent == name:
                visitor = _load(self._visitor, value)
                if isinstance(visitor, str) and visitor:
                    return visitor
        return None

    def keep_visitor(self, visitor: str, link: Link) -> str:
        """The `Set-Cookie` that gives a browser its random id."""
        return self._set("portal_v", self._visitor.dumps(visitor), VISITOR_LIFE, link)

    def _set(self, name: str, value: str, max_age: int, link: Link) -> str:
        return set_cookie(
            self._prefix + name,
            value,
            max_age=max_age,
            secure=self._secure,
            framed=link.link_type is LinkType.PUBLIC,
        )

    def _drop(self, name: str) -> list[str]:
        return drop_cookie(self._prefix + name, secure=self._secure)

    def _drop_sealed(
        self, cookies: Sequence[tuple[str, str]], is_over: Callable[[str], bool]
    ) -> list[str]:
        """Drop the backend's cookies that were sealed for links that `is_over` holds for."""
        lines = []
        for name, _ in cookies:
            match = _SEALED_NAME.fullmatch(name.removeprefix(self._prefix))
            if match and is_over(match[1]):
                lines += drop_cookie(name, secure=self._secure)
        return lines


def _load(signer: Signer, value: str) -> Any | None:
    # Longer than anything we ever sign: not worth a hash.
    return signer.loads(value) if len(value) <= 2048 else None


def _session_from(fields: Any) -> Session | None:
    match fields:
        case [
            str(id_),
            str(link_id),
            int(version),
            str(visitor),
            bool(password),
            (str() | None) as email,
            (int() | float()) as opened,
            (int() | float()) as seen,
            *rest,
        ] if rest in ([], [True]):
            proven = Proven(password, email)
            return Session(id_, link_id, version, visitor, proven, opened, seen, bool(rest))
    return None


def _gate_from(fields: Any) -> GateState | None:
    match fields:
        case [
            str(link_id),
            int(version),
            str(browser),
            (int() | float()) as started,
            bool(password),
            (str() | None) as email,
            (str() | None) as asked,
        ]:
            return GateState(link_id, version, browser, started, Proven(password, email), asked)
    return None
