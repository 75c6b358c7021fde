"""One request on its way: what is known so far, filled in step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.links.model import Link
from gateway.links.routes import Match
from gateway.links.rules import Facts
from gateway.links.session import NOTHING_PROVEN, Lifetime, Proven, Session
from gateway.links.verdict import Reason
from gateway.request.path import Target
from gateway.request.scope import Scope
from gateway.steps.backends import Backend
from gateway.visitor.session import GateState, VisitorCookies


@dataclass(slots=True)
class Visit:
    """A request, the link that it is about, and what has been decided.

    `target` is what the backend would be asked for; None on the gates' own paths.
    `cookie_made_at` is when the session's cookie was made; the session itself may have been seen
    later, on a WebSocket. `admitted_on` are the facts that the rules let this request in on.
    `action` and `reason` are what the access log and the metrics say in the end.
    """

    scope: Scope
    cookies: VisitorCookies
    sent_cookies: tuple[tuple[str, str], ...]
    link: Link | None = None
    backend: Backend | None = None
    lifetime: Lifetime | None = None
    session: Session | None = None
    cookie_made_at: float = 0.0
    gate_state: GateState | None = None
    target: Target | None = None
    match: Match | None = None
    admitted_on: Facts | None = None
    visitor: str | None = None
    action: str = "denied"
    reason: Reason = Reason.OK
    entered: bool = False
    set_cookies: list[str] = field(default_factory=list)

    @property
    def is_portal_url(self) -> bool:
        """Whether this is the link's own address, with nothing after the token."""
        portal = self.scope.portal
        return portal is not None and portal.rest == ""

    @property
    def proven(self) -> Proven:
        """What this visitor has shown at the gates so far."""
        return self.gate_state.proven if self.gate_state is not None else NOTHING_PROVEN

    @property
    def base(self) -> str | None:
        """The path of the portal URL, if this request carries the token."""
        portal = self.scope.portal
        return None if portal is None else f"/workorder/{portal.token}"

    def facts(self, *, skips_route: bool, confirmed: bool = False) -> Facts:
        """The facts that the rules decide on."""
        assert self.lifetime is not None
        return Facts(
            now=self.scope.now,
            address=self.scope.address,
            lifetime=self.lifetime,
            match=self.match,
            skips_route=skips_route,
            origin_holds=self.scope.origin_holds,
            session=self.session,
            proven=self.proven,
            confirmed=confirmed,
            code_asked=self.gate_state is not None and self.gate_state.asked is not None,
        )
