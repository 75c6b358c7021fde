"""Which link a request is about: rule 1's host and rule 2.

By the token in the path; or, on a path without one, by the sessions that the visitor holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.crypto.tokens import hash_token
from gateway.errors import Refusal
from gateway.links.model import Link, LinkType
from gateway.links.routes import Match
from gateway.links.rules import judge_link, judge_route
from gateway.links.session import NOTHING_PROVEN, Lifetime, Session, is_current, satisfies
from gateway.links.verdict import Reason
from gateway.request.path import PortalPath, Target
from gateway.request.scope import Scope
from gateway.steps.backends import Backend, Backends
from gateway.steps.intake import PublicSite
from gateway.steps.visit import Visit
from gateway.store.cache import LinkCache
from gateway.store.throttle import Marks


@dataclass(frozen=True, slots=True)
class Resolve:
    """Finds the link, its backend, and what the visitor holds for it."""

    site: PublicSite
    links: LinkCache
    backends: Backends
    lifetimes: Mapping[LinkType, Lifetime]
    marks: Marks

    async def judge_host(self, visit: Visit) -> None:
        """Rule 1, its second half. Raises Refusal (`misdirected`)."""
        host = visit.scope.host
        if host != self.site.host and not await self.links.knows_domain(host):
            raise Refusal(Reason.MISDIRECTED)

    async def by_token(self, visit: Visit, portal: PortalPath) -> None:
        """Rule 2 for a path with a token. Raises Refusal."""
        token_hash = hash_token(portal.token)
        link = self.links.peek_hash(token_hash) or await self.links.resolve(token_hash)
        if link is None:
            raise Refusal(Reason.UNKNOWN_TOKEN)
        if not self._answers_here(link, visit):
            raise Refusal(Reason.MISDIRECTED)
        self._set_link(visit, link)
        session = visit.cookies.session_of(visit.sent_cookies, link.id)
        if session is not None and satisfies(session.proven, link):
            visit.session = await self._revive(session, link, visit.scope.now)
            visit.cookie_made_at = session.seen_at
        if visit.session is None:
            await self._read_gate_state(visit, link)

    async def by_session(self, visit: Visit) -> None:
        """Rule 2 for a path without a token. Raises Refusal (`session_required`).

        Of the sessions whose links pass rules 3 to 7 the latest opened is taken; if none does,
        the latest opened, whose refusal the visitor is then told.
        """
        latest: tuple[Link, Session, float] | None = None
        candidates = visit.cookies.sessions(visit.sent_cookies)
        for candidate in candidates:
            link_id = candidate.link_id
            link = self.links.peek(link_id) or await self.links.by_id(link_id)
            if link is None or not self._answers_here(link, visit):
                continue
            session = await self._revive(candidate, link, visit.scope.now)
            if session is None:
                continue
            latest = latest or (link, session, candidate.seen_at)
            # Where there is no choice the rules are judged once, and later.
            if len(candidates) == 1 or self._passes(visit, link):
                latest = (link, session, candidate.seen_at)
                break
        if latest is None:
            raise Refusal(Reason.SESSION_REQUIRED)
        link, visit.session, visit.cookie_made_at = latest
        self._set_link(visit, link)
        visit.target = visit.scope.target
        self.find_route(visit)

    def find_route(self, visit: Visit) -> None:
        """Rule 6: the row that the request to the backend meets."""
        assert visit.target is not None
        assert visit.backend is not None
        visit.match = _match(visit.scope, visit.target, visit.backend)

    def _passes(self, visit: Visit, link: Link) -> bool:
        """Rules 3 to 7, for a link that might be the one."""
        scope = visit.scope
        if judge_link(link, scope.now, scope.address) is not None:
            return False
        match = _match(scope, scope.target, self.backends.of(link))
        return judge_route(link, match) is None

    def _answers_here(self, link: Link, visit: Visit) -> bool:
        host = visit.scope.host
        return host == self.site.host or host == link.branding.custom_domain

    def _set_link(self, visit: Visit, link: Link) -> None:
        visit.link = link
        visit.backend = self.backends.of(link)
        visit.lifetime = self.lifetimes[link.link_type]

    async def _revive(self, session: Session, link: Link, now: float) -> Session | None:
        """The session, if it is one now; traffic on a WebSocket may have kept it from idling."""
        lifetime = self.lifetimes[link.link_type]
        if is_current(session, link, lifetime, now):
            return session
        used_now = replace(session, seen_at=now)
        if is_current(used_now, link, lifetime, now) and await self.marks.marked(
            seen_mark(session.id)
        ):
            return used_now
        return None

    async def _read_gate_state(self, visit: Visit, link: Link) -> None:
        """What this browser has proven so far; nothing once a session was opened with it."""
        state = visit.cookies.gate_of(visit.sent_cookies, link, visit.scope.now)
        if state is None:
            return
        if state.proven != NOTHING_PROVEN and await self.marks.marked(ended_mark(state.browser)):
            return
        visit.gate_state = state


def _match(scope: Scope, target: Target, backend: Backend) -> Match | None:
    """The row that fits; an upgrade fits only where the row says so."""
    match = backend.routes.match(scope.method, target.segments, target.query)
    return None if match is not None and scope.is_upgrade and not match.route.websocket else match


def seen_mark(session_id: str) -> str:
    """The mark of a session whose WebSocket has had traffic within its idle time."""
    return f"seen:{session_id}"


def ended_mark(browser: str) -> str:
    """The mark of a browser's id at the gates, once a session was opened with it."""
    return f"ended:{browser}"
