"""The way to the backend: what is told to it, what may come back, and who is watching."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from aiohttp import web

from config.models import LimitSettings
from gateway.crypto.signing import Keyring
from gateway.errors import Refusal
from gateway.links.model import Link, Permission
from gateway.links.rules import judge_route
from gateway.links.verdict import Reason
from gateway.proxy.answers import AnswerPolicy
from gateway.proxy.body import VisitorGone, visitor_body
from gateway.proxy.cookies import drop_cookies, pass_cookies
from gateway.proxy.forward import Passage, forward, nobody_left
from gateway.proxy.headers import Identity
from gateway.proxy.judged_body import JudgedBody, judged_body
from gateway.proxy.watch import Watch
from gateway.proxy.websocket import relay
from gateway.request.path import parse_target
from gateway.steps.backends import Backend
from gateway.steps.entrance import REISSUE_AFTER
from gateway.steps.events import Events
from gateway.steps.exchanges import Exchange, Exchanges
from gateway.steps.record import Record
from gateway.steps.resolve import seen_mark
from gateway.steps.visit import Visit
from gateway.store.throttle import Marks
from gateway.visitor.backend_cookies import Asked, BackendCookies


class ToBackend:
    """Sends admitted requests to the backend, and keeps them as exchanges until they end."""

    def __init__(
        self,
        record: Record,
        events: Events,
        exchanges: Exchanges,
        marks: Marks,
        keyring: Keyring,
        cookies: Mapping[str, BackendCookies],
        limits: LimitSettings,
    ) -> None:
        self._record = record
        self._events = events
        self._exchanges = exchanges
        self._marks = marks
        self._cookies = cookies
        self._limits = limits
        self._pseudonym = lru_cache(maxsize=8192)(
            lambda link_id, visitor: keyring.mac("visitor of a link", link_id, visitor).hex()[:32]
        )

    async def serve(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        """Enter the access, then forward. Raises Refusal, StoreUnavailable or UpstreamError."""
        if "Service-Worker" in request.headers:
            # A script of one link's page would then answer for every link of this origin.
            raise Refusal(Reason.NOT_PERMITTED, "Service workers cannot be installed from here.")
        match = visit.match
        assert match is not None
        assert visit.link is not None
        watched = _Watched(self._exchanges, self._marks, visit)
        try:
            # Rules 6 and 7, for what it says.
            body = await self._judge_body(request, visit, watched)
        except VisitorGone:
            self._record.enter(visit, visit.action, Reason.BAD_REQUEST)
            return nobody_left(request)
        self._record.enter(visit, match.route.action, Reason.OK)
        passage = self._passage(request, visit, watched)
        passage.body = body
        passage.on_done = self._events.on_done(visit)
        try:
            if passage.websocket:
                return await relay(request, passage)
            return await forward(request, passage)
        finally:
            watched.finish()

    async def _judge_body(
        self, request: web.BaseRequest, visit: Visit, watched: _Watched
    ) -> JudgedBody | None:
        """The body, if its row judges one and it fits. Raises Refusal and VisitorGone.

        It may be long in coming, so the other rules are looked at meanwhile, as they are later.
        """
        link, match = visit.link, visit.match
        assert link is not None
        assert match is not None
        if match.route.body is None:
            return None
        watch = Watch(request)
        watched.begin(watch.end)
        try:
            with watch:
                body = visitor_body(request, self._limits)
                limit = self._limits.max_inspected_body
                return await judged_body(request, body, match.route.body, link.workorder, limit)
        finally:
            watched.finish()

    def _passage(self, request: web.BaseRequest, visit: Visit, watched: _Watched) -> Passage:
        link, backend, match, target = visit.link, visit.backend, visit.match, visit.target
        assert link is not None
        assert backend is not None
        assert match is not None
        assert target is not None
        scope = visit.scope
        return Passage(
            upstream=backend.upstream,
            method=scope.method,
            target=target.path_qs,
            identity=Identity(
                link_id=link.id,
                workorder=link.workorder,
                link_type=link.link_type,
                permissions=permission_names(link.permissions),
                visitor=self._pseudonym(link.id, self._record.visitor(visit)),
                email=visit.session.proven.email if visit.session is not None else None,
                request_id=scope.request_id,
                address=str(scope.address),
                scheme=scope.scheme,
                host=scope.host,
            ),
            policy=AnswerPolicy(
                own_origin=scope.origin,
                upstream_origin=backend.upstream.headers.origin,
                landing=backend.landing(link).path_qs,
                opens=lambda target: may_open(link, backend, target),
                action=match.route.action,
                link_type=link.link_type,
                cacheable=match.route.cacheable,
                set_cookies=tuple(visit.set_cookies),
                keep_cookies=lambda said: self._keep_cookies(said, request, visit),
            ),
            limits=self._limits,
            returned=self._cookies[scope.scheme].returned(
                visit.sent_cookies, visit.session, backend.cookies, target.path
            ),
            websocket=scope.is_upgrade,
            on_open=watched.begin,
            on_traffic=watched.saw_traffic,
        )

    def _keep_cookies(
        self, said: Sequence[str], request: web.BaseRequest, visit: Visit
    ) -> Sequence[str]:
        """What the visitor gets of the cookies that the backend sets."""
        link, backend, session = visit.link, visit.backend, visit.session
        assert link is not None
        assert backend is not None
        assert visit.target is not None
        assert visit.lifetime is not None
        rules = backend.cookies
        if rules.mode == "pass":
            return pass_cookies(said)
        if rules.mode == "drop" or session is None:
            return drop_cookies(said)
        asked = Asked(
            link=link,
            session=session,
            path=visit.target.path,
            landing=backend.landing(link).path,
            headers=request.headers.getall("Cookie", ()),
            now=visit.scope.now,
            ends_at=session.opened_at + visit.lifetime.life,
        )
        return self._cookies[visit.scope.scheme].kept(said, rules, asked)


class _Watched:
    """One exchange while it lasts: ended from outside when a rule stops holding."""

    def __init__(self, exchanges: Exchanges, marks: Marks, visit: Visit) -> None:
        self._exchanges = exchanges
        self._marks = marks
        self._visit = visit
        self._exchange: Exchange | None = None
        self._marked_at = visit.scope.now
        self._marking: asyncio.Task[None] | None = None

    def begin(self, end: Callable[[], None]) -> None:
        """The exchange is about to begin; `end` ends it."""
        visit = self._visit
        assert visit.link is not None
        facts = visit.admitted_on
        if facts is None or facts.skips_route or facts.session is not visit.session:
            # A session was opened, or its cookie made anew, since the rules were judged.
            facts = visit.facts(skips_route=False)
        self._exchange = self._exchanges.begin(
            visit.link, facts, end, is_websocket=visit.scope.is_upgrade
        )

    def saw_traffic(self) -> None:
        """A message passed: the session is in use. Others are told now and then."""
        exchange, session = self._exchange, self._visit.session
        if exchange is None or session is None:
            return
        now = self._exchanges.now()
        exchange.saw_traffic(now)
        idle = exchange.facts.lifetime.idle
        if now - self._marked_at >= idle * REISSUE_AFTER and self._is_free():
            self._marked_at = now
            self._marking = asyncio.get_running_loop().create_task(
                self._marks.mark(seen_mark(session.id), idle)
            )

    def _is_free(self) -> bool:
        return self._marking is None or self._marking.done()

    def finish(self) -> None:
        """The exchange is over."""
        if self._exchange is not None:
            self._exchanges.finish(self._exchange)


@lru_cache(maxsize=64)
def permission_names(permissions: frozenset[Permission]) -> tuple[str, ...]:
    """The names of the permissions that are granted, in the order of the specification."""
    return tuple(each.value for each in Permission if each in permissions)


def may_open(link: Link, backend: Backend, target: str) -> bool:
    """Whether a visitor of `link` may follow a redirect to `target`, a path of the backend."""
    try:
        parsed = parse_target(target, "")
        match = backend.routes.match("GET", parsed.segments, parsed.query)
    except Refusal:
        return False
    return judge_route(link, match) is None
