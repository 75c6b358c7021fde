"""The rules, and what follows from them when there is no session yet: the opening of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.crypto.tokens import new_random_id
from gateway.errors import Refusal, StoreUnavailable
from gateway.links.model import Link, LinkType
from gateway.links.rules import Facts, decide, needs_uses
from gateway.links.session import Lifetime, Session
from gateway.links.verdict import Reason, Verdict
from gateway.metrics import Metrics
from gateway.steps.events import Events
from gateway.steps.resolve import ended_mark
from gateway.steps.visit import Visit
from gateway.store.throttle import Marks
from gateway.store.uses import SpendResult, UseStore
from gateway.visitor.session import GATE_LIFE

# A session cookie is made anew once this part of its idle time has passed.
REISSUE_AFTER = 0.1


@dataclass(frozen=True, slots=True)
class Entrance:
    """Decides, and opens sessions."""

    uses: UseStore
    marks: Marks
    lifetimes: Mapping[LinkType, Lifetime]
    metrics: Metrics
    events: Events

    async def decide(self, visit: Visit, facts: Facts) -> Verdict:
        """The verdict of rules 3 to 8. The uses are counted only where the verdict hangs on them.

        Raises StoreUnavailable if they cannot be counted.
        """
        link = visit.link
        assert link is not None
        if needs_uses(link, facts):
            facts = replace(facts, uses_spent=await self.uses.spent(link.id))
        return decide(link, facts)

    async def open_session(self, visit: Visit) -> None:
        """Open a session for a visitor whom the rules let in; on a limited link, spend a use.

        Raises Refusal (`exhausted`, or what has become of the link) or StoreUnavailable.
        """
        link, scope = visit.link, visit.scope
        assert link is not None
        session = Session(
            id=new_random_id(),
            link_id=link.id,
            access_version=link.access_version,
            visitor=self._visitor(visit, link),
            proven=visit.proven,
            opened_at=scope.now,
            seen_at=scope.now,
            is_unseen=scope.is_unseen,
        )
        if link.is_limited:
            await self._spend_use(link, session)
        visit.session = session
        visit.set_cookies += visit.cookies.end_oldest(visit.sent_cookies, link.id)
        visit.set_cookies.append(visit.cookies.keep_session(session, link))
        if visit.gate_state is not None:
            visit.set_cookies += visit.cookies.end_gate(link)
            await self.marks.mark(ended_mark(visit.gate_state.browser), GATE_LIFE)
        self.metrics.sessions_opened_total.labels(link.link_type.value).inc()
        self.events.opened(visit)

    def _visitor(self, visit: Visit, link: Link) -> str:
        if visit.proven.email is not None:
            return visit.proven.email
        visitor = visit.cookies.visitor_of(visit.sent_cookies)
        if visitor is None:
            visitor = new_random_id()
            visit.set_cookies.append(visit.cookies.keep_visitor(visitor, link))
        return visitor

    async def _spend_use(self, link: Link, session: Session) -> None:
        result = await self.uses.spend(link.id, link.access_version, session.id, session.opened_at)
        if result is SpendResult.EXHAUSTED:
            raise Refusal(Reason.EXHAUSTED)
        if result is not SpendResult.SPENT:
            # The link changed between the rules and the use. The change is known here within a
            # moment; until then nothing can be said but: ask again.
            raise StoreUnavailable("database", "the link changed while a session was opened")

    def reissue(self, visit: Visit) -> None:
        """Give the session's cookie anew, if a tenth of its idle time has passed.

        Or at once, if it was opened where nobody looked (a prefetch) and now somebody does: that
        is the access that the owner is told of.
        """
        session, link, scope = visit.session, visit.link, visit.scope
        assert session is not None
        assert link is not None
        is_first_look = session.is_unseen and not scope.is_unseen
        idle = self.lifetimes[link.link_type].idle
        if not is_first_look and scope.now - visit.cookie_made_at < idle * REISSUE_AFTER:
            return
        is_unseen = session.is_unseen and scope.is_unseen
        visit.session = replace(session, seen_at=scope.now, is_unseen=is_unseen)
        visit.set_cookies.append(visit.cookies.keep_session(visit.session, link))
        if is_first_look:
            self.events.opened(visit)
