"""From aiohttp's request to a Scope: everything that a request says, read once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.listener import peer_address
from gateway.request.agent import (
    claims_fetch_metadata,
    is_navigation,
    is_prefetch,
    is_trustworthy,
)
from gateway.request.bots import is_bot, is_driven
from gateway.request.client_ip import TrustedProxies, client_address
from gateway.request.host import normal_host, parse_host
from gateway.request.origin import SAFE_METHODS, origin_holds
from gateway.request.path import PortalPath, Target, parse_target, portal_path
from gateway.request.scope import Scope
from gateway.request.token import holds_whole_token, redact

MAX_USER_AGENT = 512
_FETCH_METADATA = ("Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-Dest")


@dataclass(frozen=True, slots=True)
class PublicSite:
    """Where visitors reach the gateway: `scheme` and normalised `host` of `public_url`."""

    scheme: str
    host: str

    def scheme_of(self, host: str) -> str:
        """The scheme that visitors use for `host`: always https on a custom domain."""
        return self.scheme if host == self.host else "https"


@dataclass(frozen=True, slots=True)
class Intake:
    """Reads requests of one listener."""

    site: PublicSite
    trusted: TrustedProxies
    now: Callable[[], float]

    def read(self, request: web.BaseRequest) -> Scope:
        """Everything that the request says. Raises Refusal (`bad_request`)."""
        headers = request.headers
        raw_host = parse_host(headers.getall("Host", ()))
        target = parse_target(request.raw_path, raw_host)
        portal = portal_path(target)
        _refuse_strayed_token(target, portal)
        host = self._own_host(raw_host)
        scheme = self.site.scheme_of(host)
        user_agent = redact(headers.get("User-Agent", ""))[:MAX_USER_AGENT]
        bot = is_bot(user_agent)
        upgrade = _is_websocket(request)
        safe = request.method in SAFE_METHODS and not upgrade
        return Scope(
            # A name and no secret: no system call for each.
            request_id=f"{random.getrandbits(64):016x}",
            now=self.now(),
            method=request.method,
            target=target,
            portal=portal,
            scheme=scheme,
            host=host,
            address=client_address(
                peer_address(request), headers.getall("X-Forwarded-For", ()), self.trusted
            ),
            user_agent=user_agent,
            accept_language=headers.get("Accept-Language", ""),
            is_navigation=is_navigation(headers.get("Sec-Fetch-Mode"), headers.get("Accept")),
            is_bot=bot,
            # What changes something is somebody's doing: a visitor must not be able to keep a
            # comment from being told of by calling it a prefetch.
            is_unseen=bot or (safe and _is_unseen(request, user_agent, scheme, host)),
            is_upgrade=upgrade,
            opted_out=headers.get("Sec-GPC") == "1",
            origin_holds=safe
            or origin_holds(
                _whole(request, "Origin"), _whole(request, "Sec-Fetch-Site"), f"{scheme}://{host}"
            ),
        )

    def _own_host(self, raw_host: str) -> str:
        """`Host` without the default port of the scheme that this host is reached by."""
        host = normal_host(raw_host, self.site.scheme)
        return host if host == self.site.host else normal_host(raw_host, "https")


def _refuse_strayed_token(target: Target, portal: PortalPath | None) -> None:
    """Raise Refusal (`bad_request`) for a token in what would be sent to the backend.

    The target is sent as it was judged, so the token cannot be taken out. A query on the portal
    URL itself goes nowhere.
    """
    if portal is None:
        sent = target.path_qs
    elif portal.rest:
        sent = f"{portal.rest}?{target.query or ''}"
    else:
        return
    if holds_whole_token(sent):
        raise Refusal(Reason.BAD_REQUEST, "The address has a link's token where none belongs.")


def _whole(request: web.BaseRequest, name: str) -> str | None:
    """The header `name`. Of two none is chosen: together they are equal to nothing."""
    values = request.headers.getall(name, ())
    return ", ".join(values) if values else None


def _is_unseen(request: web.BaseRequest, user_agent: str, scheme: str, host: str) -> bool:
    """Whether nobody is taken to look at the answer, though it is no known bot's."""
    get = request.headers.get
    return (
        is_prefetch(get("Sec-Purpose"), get("Purpose"), get("X-Moz"), get("X-Purpose"))
        or is_driven(user_agent)
        or _is_disguised(request, user_agent, scheme, host)
    )


def _is_disguised(request: web.BaseRequest, user_agent: str, scheme: str, host: str) -> bool:
    """Whether a browser's name stands on a request that no such browser sends.

    So do mail scanners ask that are not to be known as such. It is no more than a suspicion,
    and decides nothing that a person who is wrongly suspected would notice.
    """
    headers = request.headers
    return (
        # Every browser sends it, so for nearly all requests this is the only question.
        "Accept-Language" not in headers
        and not any(name in headers for name in _FETCH_METADATA)
        and claims_fetch_metadata(user_agent)
        and is_trustworthy(scheme, host)
    )


def _is_websocket(request: web.BaseRequest) -> bool:
    """A WebSocket handshake (RFC 6455 section 4.1); any other upgrade is ignored."""
    headers = request.headers
    if "Upgrade" not in headers or request.method != "GET":
        return False
    connection = ",".join(headers.getall("Connection", ())).lower()
    return headers["Upgrade"].strip().lower() == "websocket" and "upgrade" in {
        token.strip() for token in connection.split(",")
    }
