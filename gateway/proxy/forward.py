"""One request to the backend, and its answer back, streamed both ways."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from config.models import LimitSettings
from gateway.errors import GatewayError
from gateway.proxy.answers import AnswerPolicy, response_headers, says_done
from gateway.proxy.body import VisitorBody, VisitorGone, visitor_body
from gateway.proxy.cookies import NONE_RETURNED, Returned
from gateway.proxy.headers import Headers, Identity, request_headers
from gateway.proxy.judged_body import JudgedBody
from gateway.proxy.response import BareResponse, reset_connection
from gateway.proxy.upstream import Upstream, UpstreamAnswer
from gateway.proxy.watch import Watch

log = logging.getLogger(__name__)

# What nginx logs when nobody was left to answer; it never reaches anybody.
NOBODY_LEFT = 499

End = Callable[[], None]
"""Ends an exchange from outside: 1008 on a WebSocket, a cut connection otherwise."""


def _no_traffic() -> None:
    """Nobody counts."""


def _no_end(_: End) -> None:
    """Nobody ends it."""


@dataclass(slots=True)
class Passage:
    """An admitted request, with all that its way to the backend needs.

    `target` is the target as it was judged, `body` a body of which something was judged, `returned` the
    backend's own cookies. `on_open` is given what ends the exchange, once,
    before the backend gets a byte; `on_done` is called once the backend says that it has done what it
    was asked, before the visitor gets a byte of the answer; `on_traffic` is called for every message
    of a WebSocket.
    """

    upstream: Upstream
    method: str
    target: str
    identity: Identity
    policy: AnswerPolicy
    limits: LimitSettings
    returned: Returned = NONE_RETURNED
    websocket: bool = False
    body: JudgedBody | None = None
    on_open: Callable[[End], None] = field(default=_no_end)
    on_done: Callable[[], None] | None = None
    on_traffic: Callable[[], None] = field(default=_no_traffic)


async def forward(request: web.BaseRequest, passage: Passage) -> web.StreamResponse:
    """Send the request to the backend and its answer to the visitor.

    Returns the answer, sent. Raises Refusal, UpstreamUnavailable or UpstreamTimeout before an
    answer began; after that, whatever goes wrong cuts the visitor's connection, as it does when
    the visitor leaves: what is returned then was not sent whole.
    """
    body = passage.body or visitor_body(request, passage.limits)
    watch = Watch(request)
    passage.on_open(watch.end)
    try:
        with watch:
            answer = await passage.upstream.send(
                passage.method, passage.target, headers_for(request, passage), body
            )
            try:
                if passage.on_done is not None and _is_done(answer, passage):
                    passage.on_done()
                return await deliver(request, passage, answer, body)
            finally:
                if body is not None:
                    # Whoever skips the rest of the body is to be its only reader.
                    await answer.end_upload()
    except VisitorGone:
        return nobody_left(request)


def _is_done(answer: UpstreamAnswer, passage: Passage) -> bool:
    return says_done(answer.status, answer.headers, passage.policy, passage.target)


def headers_for(request: web.BaseRequest, passage: Passage) -> Headers:
    """What the backend is told, less what frames the body."""
    policy = passage.policy
    return request_headers(
        request.raw_headers,
        passage.identity,
        passage.upstream.headers,
        policy.own_origin,
        policy.landing,
        passage.returned,
    )


async def deliver(
    request: web.BaseRequest,
    passage: Passage,
    answer: UpstreamAnswer,
    body: VisitorBody | JudgedBody | None = None,
) -> web.StreamResponse:
    """Send the backend's answer to the visitor, each part when it arrives."""
    try:
        ready = answer.read_ready()
        response = BareResponse(
            answer.status,
            response_headers(answer.headers, passage.policy, passage.target),
            reason=answer.reason or None,
            body_is_next=bool(ready),
        )
        if body is not None and not body.is_whole:
            # The rest of the body is no request (RFC 9112 section 9.6).
            response.force_close()
        await response.prepare(request)
        if ready:
            await response.write(ready)
        while chunk := await answer.read():
            await response.write(chunk)
        await response.write_eof()
    except GatewayError as error:  # of the backend, or of a body that it was still reading
        log.warning("request %s: half an answer: %s", passage.identity.request_id, error)
        answer.abort()
        return nobody_left(request)
    except ConnectionError as error:
        answer.abort()
        raise VisitorGone from error
    except BaseException:
        answer.abort()
        raise
    return response


def nobody_left(request: web.BaseRequest) -> web.StreamResponse:
    """What a handler returns when its visitor's connection is over; it is made sure that it is."""
    reset_connection(request)
    response = BareResponse(NOBODY_LEFT)
    response.force_close()
    return response
