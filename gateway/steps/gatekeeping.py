"""The gates' own paths: `POST /workorder/{token}/-/{open|password|email|code|leave}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.crypto.tokens import new_random_id
from gateway.errors import Refusal
from gateway.languages import negotiate
from gateway.links.model import Link
from gateway.links.rules import judge_link
from gateway.links.session import NOTHING_PROVEN
from gateway.links.verdict import Gate, Reason
from gateway.refusals import Context, OwnResponse, Refusals, json_response, redirect
from gateway.request.client_ip import throttle_subject
from gateway.steps.entrance import Entrance
from gateway.steps.form import read_fields
from gateway.steps.record import Record
from gateway.steps.visit import Visit
from gateway.visitor.backend_cookies import sealed_name
from gateway.visitor.cookie import HOST_PREFIX, drop_cookie
from gateway.visitor.gates import Gates
from gateway.visitor.session import GateState

OPEN = "open"
LEAVE = "leave"
_TRIES = (Gate.PASSWORD.value, Gate.EMAIL.value, Gate.CODE.value)
GATE_PATHS = frozenset({OPEN, LEAVE, *_TRIES})


@dataclass(frozen=True, slots=True)
class Gatekeeping:
    """Serves the gates' own paths, for a link that has been found. `body_timeout` in seconds."""

    gates: Gates
    entrance: Entrance
    record: Record
    refusals: Refusals
    body_timeout: float

    async def serve(self, request: web.BaseRequest, visit: Visit, gate: str) -> OwnResponse:
        """The answer to a request at a gate. Raises Refusal or StoreUnavailable."""
        if visit.scope.method != "POST":
            return self._not_a_post(visit)
        await self._judge_gate(visit)
        if gate == LEAVE:
            return self._leave(visit)
        fields = await read_fields(request, timeout=self.body_timeout)
        if visit.session is None:
            await self._pass_gate(visit, gate, fields)
        self.record.enter(visit, gate, Reason.OK)
        return self._opened(visit)

    def _not_a_post(self, visit: Visit) -> OwnResponse:
        """Rules 3 to 5, and then rule 6: but for a navigation no row names another method."""
        assert visit.link is not None
        assert visit.base is not None
        reason = judge_link(visit.link, visit.scope.now, visit.scope.address)
        if reason is not None:
            raise Refusal(reason)
        if not visit.scope.is_navigation:
            raise Refusal(Reason.NO_ROUTE)
        visit.action = OPEN
        return redirect(visit.base)

    async def _judge_gate(self, visit: Visit) -> None:
        """Rules 3 to 5, the origin, and whether any use is left; gates come later."""
        verdict = await self.entrance.decide(visit, visit.facts(skips_route=True, confirmed=True))
        if verdict.gate is None and verdict.reason is not Reason.OK:
            raise Refusal(verdict.reason)

    async def _pass_gate(self, visit: Visit, gate: str, fields: Mapping[str, str]) -> None:
        """Try one gate; if that was the last, open the session.

        The POST at the last gate, or at the button, is what may spend a use. A gate that the
        link does not have proves nothing and is not the last one.
        """
        visit.action = gate
        link = visit.link
        assert link is not None
        asked = gate == OPEN or _has_gate(link, gate)
        if gate != OPEN and asked:
            await self._try(visit, link, gate, fields)
        facts = visit.facts(skips_route=True, confirmed=asked)
        verdict = await self.entrance.decide(visit, facts)
        if verdict.reason is not Reason.OK:
            if visit.gate_state is not None:
                visit.set_cookies.append(
                    visit.cookies.keep_gate(visit.gate_state, link, visit.scope.now)
                )
            raise Refusal(verdict.reason)
        await self.entrance.open_session(visit)

    async def _try(self, visit: Visit, link: Link, gate: str, fields: Mapping[str, str]) -> None:
        scope, gates = visit.scope, self.gates
        state = visit.gate_state or GateState(
            link.id, link.access_version, new_random_id(), scope.now, NOTHING_PROVEN
        )
        subject = throttle_subject(scope.address)
        if gate == Gate.PASSWORD.value:
            state = await gates.try_password(link, state, subject, fields.get("password", ""))
        elif gate == Gate.EMAIL.value:
            spoken, email = negotiate(scope.accept_language), fields.get("email", "")
            state = await gates.ask_code(link, state, subject, email, spoken)
        else:
            state = await gates.redeem(link, state, subject, fields.get("code", ""))
        visit.gate_state = state

    def _leave(self, visit: Visit) -> OwnResponse:
        link = visit.link
        assert link is not None
        visit.action = OPEN
        cookies = (
            *visit.cookies.end_session(link, visit.sent_cookies),
            *_readable_copies_ended(visit, link),
        )
        return self.refusals.left(
            Context(
                visit.scope.is_navigation,
                visit.scope.accept_language,
                link,
                visit.base,
                cookies=cookies,
            )
        )

    def _opened(self, visit: Visit) -> OwnResponse:
        link, backend = visit.link, visit.backend
        assert link is not None
        assert backend is not None
        location = backend.landing(link).path_qs
        if visit.scope.is_navigation:
            return redirect(location, visit.set_cookies)
        value = {"success": True, "location": location}
        return json_response(200, value, cookies=visit.set_cookies)


def _readable_copies_ended(visit: Visit, link: Link) -> list[str]:
    """The `Set-Cookie`s that end what scripts could read of the backend's cookies."""
    backend = visit.backend
    assert backend is not None
    sealed = {name.removeprefix(HOST_PREFIX) for name, _ in visit.sent_cookies}
    secure, paths = visit.scope.scheme == "https", ("/", backend.landing(link).path)
    return [
        line
        for name in sorted(backend.cookies.readable)
        if sealed_name(link.id, name) in sealed
        for path in paths
        for line in drop_cookie(name, secure=secure, path=path)
    ]


def _has_gate(link: Link, gate: str) -> bool:
    """Whether the link asks for what is proven at `gate`."""
    if gate == Gate.PASSWORD.value:
        return link.password_protected
    return link.require_email_verification
