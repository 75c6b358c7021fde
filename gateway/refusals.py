"""From a verdict to HTTP: the one table of statuses, and the one function that answers.

Whatever the gateway itself says goes through here, so that every answer has the same headers, a
page for a browser's navigation, and JSON for everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from gateway.errors import (
    GatewayError,
    MailUnavailable,
    Refusal,
    StoreUnavailable,
    UpstreamTimeout,
)
from gateway.languages import negotiate
from gateway.links.model import Link
from gateway.links.verdict import GATE_OF_REASON, Gate, Reason
from gateway.pages import Look, Pages, error_sentence

STATUS: dict[Reason, int] = {
    Reason.UNKNOWN_TOKEN: 404,
    Reason.SESSION_REQUIRED: 401,
    Reason.INACTIVE: 410,
    Reason.EXPIRED: 410,
    Reason.EXHAUSTED: 410,
    Reason.IP_NOT_ALLOWED: 403,
    Reason.NO_ROUTE: 404,
    Reason.NOT_PERMITTED: 403,
    Reason.ORIGIN_REFUSED: 403,
    Reason.MISDIRECTED: 421,
    Reason.PASSWORD_REQUIRED: 401,
    Reason.PASSWORD_WRONG: 401,
    Reason.EMAIL_REQUIRED: 401,
    Reason.CODE_REQUIRED: 401,
    Reason.CODE_WRONG: 401,
    Reason.CONFIRM_REQUIRED: 401,
    Reason.THROTTLED: 429,
    Reason.BAD_REQUEST: 400,
    Reason.BODY_TOO_LARGE: 413,
    Reason.HEADER_TOO_LARGE: 431,
    Reason.UPSTREAM_UNAVAILABLE: 502,
    Reason.UPSTREAM_LOGIN_FAILED: 502,
    Reason.UPSTREAM_TIMEOUT: 504,
    Reason.STORE_UNAVAILABLE: 503,
    Reason.OVERLOADED: 503,
}

# What is over by itself after a while: the page offers to try again.
_FOR_A_WHILE = {
    Reason.THROTTLED,
    Reason.UPSTREAM_UNAVAILABLE,
    Reason.UPSTREAM_LOGIN_FAILED,
    Reason.UPSTREAM_TIMEOUT,
    Reason.STORE_UNAVAILABLE,
    Reason.OVERLOADED,
}

# Seconds after which a client may try again, where nothing better is known.
RETRY_AFTER = 5

COMMON_HEADERS = (
    ("Referrer-Policy", "same-origin"),
    ("X-Robots-Tag", "noindex, nofollow"),
    ("Cache-Control", "private, no-store"),
    ("X-Content-Type-Options", "nosniff"),
)


class OwnResponse(web.Response):
    """An answer of the gateway itself: it does not say which server this is."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


def own_response(
    status: int,
    body: bytes,
    content_type: str,
    headers: Iterable[tuple[str, str]] = (),
    cookies: Iterable[str] = (),
) -> OwnResponse:
    """An answer with the headers that every answer has."""
    response = OwnResponse(status=status, body=body)
    response.headers["Content-Type"] = content_type
    for name, value in (*COMMON_HEADERS, *headers):
        response.headers[name] = value
    for cookie in cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


def json_response(
    status: int,
    value: object,
    headers: Iterable[tuple[str, str]] = (),
    cookies: Iterable[str] = (),
) -> OwnResponse:
    """A JSON answer with the headers that every answer has."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return own_response(status, body, "application/json; charset=utf-8", headers, cookies)


def redirect(location: str, cookies: Iterable[str] = ()) -> OwnResponse:
    """A 303 to a path of this host (RFC 9110 section 15.4.4)."""
    return own_response(303, b"", "text/plain; charset=utf-8", (("Location", location),), cookies)


def refusal_of(error: GatewayError) -> Refusal:
    """What an error is to the visitor: always a reason of the closed list."""
    match error:
        case Refusal():
            return error
        case StoreUnavailable():
            return Refusal(Reason.STORE_UNAVAILABLE, retry_after=RETRY_AFTER)
        case UpstreamTimeout():
            return Refusal(Reason.UPSTREAM_TIMEOUT)
        case MailUnavailable():
            return Refusal(Reason.STORE_UNAVAILABLE, retry_after=RETRY_AFTER)
    return Refusal(Reason.UPSTREAM_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer of the gateway itself depends on, besides its reason.

    `accept_language` is what the browser sent. `base` is the path of the portal URL, which a
    gate's form posts to; None on a path without a token. `email` is the address that a code was
    asked for, `landing` the way back for a visitor with a session. `host_is_ours` is false on a
    host where nothing else is answered.
    """

    as_page: bool
    accept_language: str = ""
    link: Link | None = None
    base: str | None = None
    email: str | None = None
    landing: str | None = None
    host_is_ours: bool = True
    cookies: tuple[str, ...] = ()


def _gate_of(reason: Reason, context: Context) -> Gate | None:
    gate = GATE_OF_REASON.get(reason)
    if gate is Gate.CODE and context.email is None:
        return Gate.EMAIL
    return gate


class Refusals:
    """Answers refusals and gates, as a page or as JSON."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def answer(self, refusal: Refusal, context: Context) -> OwnResponse:
        """The one way from a reason to HTTP."""
        reason = refusal.reason
        status = STATUS[reason]
        headers = [("X-Portal-Reason", reason.value)]
        if status == 401:
            gate = GATE_OF_REASON.get(reason)
            challenge = gate.value if gate is not None else "session"
            headers.append(("WWW-Authenticate", f'Portal-Link gate="{challenge}"'))
        retry_after = refusal.retry_after
        if retry_after is None and status in {429, 503}:
            retry_after = RETRY_AFTER
        if retry_after is not None:
            headers.append(("Retry-After", str(retry_after)))
        if not context.as_page:
            sentence = error_sentence(reason, refusal.detail, retry_after)
            value = {"success": False, "error": sentence, "reason": reason.value}
            return json_response(status, value, headers, context.cookies)
        return self._as_page(refusal, status, headers, context)

    def _as_page(
        self,
        refusal: Refusal,
        status: int,
        headers: list[tuple[str, str]],
        context: Context,
    ) -> OwnResponse:
        reason = refusal.reason
        look = _look(context)
        gate = _gate_of(reason, context)
        if gate is not None and context.base is not None:
            wrong = reason in {Reason.PASSWORD_WRONG, Reason.CODE_WRONG}
            problem = error_sentence(reason, refusal.detail, spoken=look.spoken)
            html = self._pages.gate(
                gate,
                look,
                base=context.base,
                problem=problem if wrong or refusal.detail else None,
                email=context.email,
            )
        else:
            html = self._pages.refusal(
                reason if gate is None else Reason.SESSION_REQUIRED,
                look,
                detail=refusal.detail,
                # Not what stands in the header for want of anything better.
                retry_after=refusal.retry_after,
                landing=context.landing,
                again=context.base if reason in _FOR_A_WHILE else None,
            )
        return self._page(status, html, headers, look, context)

    def _page(
        self,
        status: int,
        html: str,
        headers: Iterable[tuple[str, str]],
        look: Look,
        context: Context,
    ) -> OwnResponse:
        """An HTML answer under the strict policy of the gateway's own pages."""
        own_headers = (
            ("Content-Language", look.spoken.code),
            ("Vary", "Accept-Language"),
            ("Content-Security-Policy", self._pages.policy(look)),
        )
        return own_response(
            status,
            html.encode(),
            "text/html; charset=utf-8",
            (*headers, *own_headers),
            context.cookies,
        )

    def left(self, context: Context) -> OwnResponse:
        """The session was ended by its visitor."""
        if not context.as_page:
            return json_response(200, {"success": True}, cookies=context.cookies)
        look = _look(context)
        return self._page(200, self._pages.left(look), (), look, context)


def _look(context: Context) -> Look:
    return Look(negotiate(context.accept_language), context.link, context.host_is_ours)
