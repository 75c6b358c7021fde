"""The hot path: a request, step by step, a line for each step.

Nothing here judges or writes by itself: the rules are in `gateway.links.rules`, the steps that
need I/O in `gateway.steps`, the answers in `gateway.refusals`, the backend in `gateway.proxy`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from aiohttp import web

from gateway.errors import GatewayError, Refusal, StoreUnavailable
from gateway.links.rules import judge_route
from gateway.links.verdict import Reason
from gateway.metrics import Metrics
from gateway.refusals import Context, Refusals, redirect, refusal_of
from gateway.request.agent import is_navigation
from gateway.request.path import PortalPath
from gateway.steps.entrance import Entrance
from gateway.steps.gatekeeping import GATE_PATHS, Gatekeeping
from gateway.steps.intake import Intake
from gateway.steps.own_paths import OwnPaths
from gateway.steps.passage import ToBackend
from gateway.steps.record import DENIED, Record
from gateway.steps.resolve import Resolve
from gateway.steps.unrouted import Unrouted
from gateway.steps.visit import Visit
from gateway.visitor.session import VisitorCookies, read_cookies

log = logging.getLogger(__name__)

# Refusals of one request, not of the visitor: the work order's page may be open all the same.
_FOR_THE_PATH = {Reason.NO_ROUTE, Reason.NOT_PERMITTED, Reason.ORIGIN_REFUSED}
# What is over by itself: the visitor may ask again, for the same page or for the first one.
_OF_THE_BACKEND = {
    Reason.UPSTREAM_UNAVAILABLE,
    Reason.UPSTREAM_LOGIN_FAILED,
    Reason.UPSTREAM_TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class Handler:
    """Answers every request of the visitors' listener."""

    intake: Intake
    own_paths: OwnPaths
    cookies: Mapping[str, VisitorCookies]
    resolve: Resolve
    entrance: Entrance
    gatekeeping: Gatekeeping
    record: Record
    to_backend: ToBackend
    refusals: Refusals
    metrics: Metrics
    unrouted: Unrouted = field(default_factory=Unrouted)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever goes wrong has a reason, and an answer that says so."""
        started = perf_counter()
        in_flight = self.metrics.requests_in_flight
        in_flight.inc()
        try:
            scope = self.intake.read(request)
        except Refusal as refusal:
            in_flight.dec()
            return self._refuse_unread(request, refusal)
        visit = Visit(
            scope, self.cookies[scope.scheme], read_cookies(request.headers.getall("Cookie", ()))
        )
        try:
            return await self._serve(request, visit)
        except GatewayError as error:
            return self._refuse(visit, error)
        finally:
            in_flight.dec()
            self.record.count(visit, perf_counter() - started)

    async def _serve(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        """The rules in their order (semantics.md), then the backend."""
        scope = visit.scope
        if (health := self.own_paths.health(scope)) is not None:
            return _own(visit, health)
        await self.resolve.judge_host(visit)  # rule 1
        if self.own_paths.is_asset(scope):
            asset = await self.own_paths.asset(scope)
            if asset is not None:
                return _own(visit, asset)
        if scope.portal is None:
            await self.resolve.by_session(visit)  # rule 2
        else:
            await self.resolve.by_token(visit, scope.portal)  # rule 2
            if scope.portal.gate in GATE_PATHS:
                return await self.gatekeeping.serve(request, visit, scope.portal.gate)
            self._find_target(visit, scope.portal)
        await self._admit(visit)  # rules 3 to 8
        if visit.is_portal_url and (landing := self._to_landing_page(visit)) is not None:
            return landing
        return await self.to_backend.serve(request, visit)

    def _find_target(self, visit: Visit, portal: PortalPath) -> None:
        """What the backend would be asked for. The portal URL itself leads to the landing page."""
        link, backend = visit.link, visit.backend
        assert link is not None
        assert backend is not None
        if portal.rest == "":
            visit.target = backend.landing(link)
        else:
            visit.target = backend.below_landing(link, portal.rest, visit.scope.target.query)
        self.resolve.find_route(visit)

    async def _admit(self, visit: Visit) -> None:
        """Rules 3 to 8; who may have a session without any gate gets one here."""
        facts = visit.facts(skips_route=visit.is_portal_url)
        verdict = await self.entrance.decide(visit, facts)
        if verdict.reason is not Reason.OK:
            raise Refusal(verdict.reason)
        visit.admitted_on = facts
        if visit.session is not None:
            self.entrance.reissue(visit)
        elif not visit.scope.is_bot:
            await self.entrance.open_session(visit)

    def _to_landing_page(self, visit: Visit) -> web.StreamResponse | None:
        """The 303 that takes the token out of a browser's address bar; None: serve it at once.

        The landing page is judged by rules 6 and 7 before it is served. A visitor without a
        session (a bot) could not follow.
        """
        scope = visit.scope
        assert visit.target is not None
        assert visit.link is not None
        if scope.is_navigation and scope.method in {"GET", "HEAD"} and visit.session is not None:
            self.record.enter(visit, "open", Reason.OK)
            return redirect(visit.target.path_qs, visit.set_cookies)
        reason = judge_route(visit.link, visit.match)
        if reason is not None:
            raise Refusal(reason)
        return None

    def _refuse(self, visit: Visit, error: GatewayError) -> web.StreamResponse:
        """Enter a refusal, and answer it."""
        refusal = refusal_of(error)
        self._tell_operator(visit, error)
        try:
            self.record.enter(visit, visit.action, refusal.reason)
        except StoreUnavailable as unavailable:
            self._tell_operator(visit, unavailable)
            refusal = refusal_of(unavailable)
            visit.reason = refusal.reason
        return self.refusals.answer(refusal, _context(visit, refusal))

    def _tell_operator(self, visit: Visit, error: GatewayError) -> None:
        """What a visitor cannot mend, and what a row may be missing for, is a line in the program's log."""
        if isinstance(error, Refusal):
            if error.reason is Reason.NO_ROUTE and visit.link is not None:
                self.unrouted.tell(visit)
            return
        if isinstance(error, StoreUnavailable):
            self.metrics.store_errors_total.labels(error.store).inc()
        log.warning("request %s: %s", visit.scope.request_id, error)

    def _refuse_unread(self, request: web.BaseRequest, refusal: Refusal) -> web.StreamResponse:
        """Refuse a request that says nothing that could be relied on."""
        self.metrics.requests_total.labels("deny", refusal.reason.value, DENIED).inc()
        headers = request.headers
        as_page = is_navigation(headers.get("Sec-Fetch-Mode"), headers.get("Accept"))
        response = self.refusals.answer(
            refusal, Context(as_page, headers.get("Accept-Language", ""))
        )
        response.force_close()
        return response

    def refuse_bytes(self, reason: Reason, detail: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """The answer to what never became a request, for the listener."""
        self.metrics.requests_total.labels("deny", reason.value, DENIED).inc()
        response = self.refusals.answer(Refusal(reason, detail), Context(as_page=False))
        body = response.body
        assert isinstance(body, bytes)
        return response.status, list(response.headers.items()), body


def _own(visit: Visit, response: web.StreamResponse) -> web.StreamResponse:
    visit.action = "asset"
    return response


def _context(visit: Visit, refusal: Refusal) -> Context:
    """What the answer to a refusal can offer."""
    state = visit.gate_state
    return Context(
        as_page=visit.scope.is_navigation,
        accept_language=visit.scope.accept_language,
        link=visit.link,
        base=visit.base,
        email=state.asked if state is not None else None,
        landing=_way_back(visit, refusal),
        host_is_ours=refusal.reason is not Reason.MISDIRECTED,
        cookies=tuple(visit.set_cookies),
    )


def _way_back(visit: Visit, refusal: Refusal) -> str | None:
    """The landing page, for a visitor with a session who may well be shown that."""
    reason = refusal.reason
    if visit.session is None or visit.target is None:
        return None
    if reason not in _FOR_THE_PATH | _OF_THE_BACKEND:
        return None
    assert visit.backend is not None
    assert visit.link is not None
    landing = visit.backend.landing(visit.link).path_qs
    return None if landing == visit.target.path_qs and reason in _FOR_THE_PATH else landing
