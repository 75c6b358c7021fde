"""From aiohttp's request to a Scope: everything that a request says, read once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.listener import peer_address
from gateway.request.agent import is_navigation, is_trustworthy
from gateway.request.client_ip import TrustedProxies, client_address
from gateway.request.host import normal_host, parse_host
from gateway.request.origin import SAFE_METHODS, origin_holds
from gateway.request.path import PortalPath, Target, parse_target, portal_path
from gateway.request.reader import Reader, reader_of
from gateway.request.remembered import remembered
from gateway.request.scope import Scope
from gateway.request.token import holds_whole_token

_PURPOSES = ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose")
_FETCH_METADATA = ("Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-Dest")
# Longer than any host name (RFC 1035 section 2.3.4) with a port: not worth remembering.
_MAX_HOST = 262


@dataclass(frozen=True, slots=True)
class PublicSite:
    """Where visitors reach the gateway: `scheme` and normalised `host` of `public_url`."""

    scheme: str
    host: str

    def scheme_of(self, host: str) -> str:
        """The scheme that visitors use for `host`: always https on a custom domain."""
        return self.scheme if host == self.host else "https"


class Place(NamedTuple):
    """Where a request went: the scheme that visitors use there, and the host, normalised."""

    scheme: str
    host: str
    is_trustworthy: bool


class Intake:
    """Reads requests of one listener."""

    def __init__(self, site: PublicSite, trusted: TrustedProxies, now: Callable[[], float]) -> None:
        self._site = site
        self._trusted = trusted
        self._now = now
        self._place = remembered(_MAX_HOST)(self._place_of)

    def read(self, request: web.BaseRequest) -> Scope:
        """Everything that the request says. Raises Refusal (`bad_request`)."""
        headers, method, raw_target = request.headers, request.method, request.raw_path
        raw_host = parse_host(headers.getall("Host", ()))
        target = parse_target(raw_target, raw_host)
        portal = portal_path(target)
        if "wpl" in raw_target or "%" in raw_target:
            _refuse_strayed_token(target, portal)
        place = self._place(raw_host)
        upgrade = "Upgrade" in headers and _is_websocket(request)
        safe = method in SAFE_METHODS and not upgrade
        reader = _reader(request, place)
        return Scope(
            # A name and no secret: no system call for each.
            request_id=f"{random.getrandbits(64):016x}",
            now=self._now(),
            method=method,
            target=target,
            portal=portal,
            scheme=place.scheme,
            host=place.host,
            address=client_address(
                peer_address(request), headers.getall("X-Forwarded-For", ()), self._trusted
            ),
            user_agent=reader.user_agent,
            accept_language=headers.get("Accept-Language", ""),
            is_navigation=is_navigation(headers.get("Sec-Fetch-Mode"), headers.get("Accept")),
            is_bot=reader.is_bot,
            # What changes something is somebody's doing: a visitor must not be able to keep a
            # comment from being told of by calling it a prefetch.
            is_unseen=reader.is_unseen if safe else reader.is_bot,
            is_upgrade=upgrade,
            opted_out=headers.get("Sec-GPC") == "1",
            origin_holds=safe
            or origin_holds(
                _whole(request, "Origin"),
                _whole(request, "Sec-Fetch-Site"),
                f"{place.scheme}://{place.host}",
            ),
        )

    def _place_of(self, raw_host: str) -> Place:
        """Where a request with this `Host` went."""
        # Without the default port of the scheme that the host is reached by.
        host = normal_host(raw_host, self._site.scheme)
        if host != self._site.host:
            host = normal_host(raw_host, "https")
        scheme = self._site.scheme_of(host)
        return Place(scheme, host, is_trustworthy(scheme, host))


def _reader(request: web.BaseRequest, place: Place) -> Reader:
    headers = request.headers
    # Every browser says its languages, so for nearly all requests this is the only question.
    hides = "Accept-Language" not in headers and not any(n in headers for n in _FETCH_METADATA)
    asks_ahead = any(name in headers for name in _PURPOSES)
    return reader_of(
        headers.get("User-Agent", ""),
        tuple(headers.get(name, "") for name in _PURPOSES) if asks_ahead else (),
        hides=hides,
        is_trustworthy=place.is_trustworthy,
    )


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


def _is_websocket(request: web.BaseRequest) -> bool:
    """A WebSocket handshake (RFC 6455 section 4.1); any other upgrade is ignored."""
    headers = request.headers
    if request.method != "GET":
        return False
    connection = ",".join(headers.getall("Connection", ())).lower()
    return headers["Upgrade"].strip().lower() == "websocket" and "upgrade" in {
        token.strip() for token in connection.split(",")
    }
