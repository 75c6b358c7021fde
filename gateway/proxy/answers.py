"""What the visitor receives of the backend's answer: its headers. Pure.

Values are text with one character for each byte, as in `gateway.proxy.headers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from gateway.links.model import LinkType
from gateway.proxy.caching import NO_STORE, made_private
from gateway.proxy.cookies import drop_cookies
from gateway.proxy.destinations import Ways
from gateway.proxy.framing import without_frame_ancestors
from gateway.proxy.headers import (
    HOP_BY_HOP,
    MAX_KNOWN_NAME,
    Headers,
    RawHeaders,
    connection_names,
    plain,
)
from gateway.request.remembered import remembered

DOWNLOAD = "download"
# How a form is answered so that reloading repeats nothing (RFC 9110 sections 15.4.3 and 15.4.4).
_SEE_ELSEWHERE = frozenset({302, 303})

# What would speak for the whole origin (every link shares it), lead a browser around the gateway,
# or command a proxy in front of it; and what the gateway says itself.
_DROPPED = HOP_BY_HOP | {
    "altsvc",
    "clearsitedata",
    "nel",
    "publickeypins",
    "publickeypinsreportonly",
    "referrerpolicy",
    "serviceworkerallowed",
    "stricttransportsecurity",
    "surrogatecontrol",
    "xframeoptions",
    "xlighttpdsendfile",
    "xportalreason",
    "xrobotstag",
    "xsendfile",
}
_DROPPED_PREFIXES = ("xaccel",)
_DROPPED_SUFFIXES = ("cdncachecontrol",)
_REWRITTEN = frozenset(
    {
        "contentlocation",
        "contentsecuritypolicy",
        "expires",
        "link",
        "location",
        "pragma",
        "refresh",
        "xcontenttypeoptions",
    }
)
_ON_EVERY_ANSWER = (("Referrer-Policy", "same-origin"), ("X-Robots-Tag", "noindex, nofollow"))
# What `Connection` cannot take from an answer: without these it would be another answer.
_KEPT_FROM_CONNECTION = frozenset({"contentlength", "contentsecuritypolicy", "contenttype"})


@dataclass(slots=True)
class AnswerPolicy:
    """What the link and the route say of the answer.

    `upstream_origin` is `Upstream.headers.origin`; `landing` the target of the landing page;
    `opens` says whether this link may open a target; `set_cookies` are the gateway's own
    `Set-Cookie` values; `keep_cookies` makes of the backend's those that the visitor gets.
    """

    own_origin: str
    upstream_origin: str
    landing: str
    opens: Callable[[str], bool]
    action: str
    link_type: LinkType
    cacheable: bool
    set_cookies: tuple[str, ...] = ()
    keep_cookies: Callable[[Sequence[str]], Sequence[str]] = drop_cookies

    @property
    def may_be_kept(self) -> bool:
        """Whether the visitor's browser may keep the answer."""
        return self.cacheable and self.link_type is not LinkType.SECURE


def response_headers(raw: RawHeaders, policy: AnswerPolicy, target: str) -> Headers:
    """The headers of the answer to the visitor; `target` is what the backend was asked for."""
    unwanted = connection_names(raw) - _KEPT_FROM_CONNECTION
    kept: Headers = []
    cookies: list[str] = []
    for raw_name, raw_value in raw:
        name, text, fate = _known(raw_name)
        if fate is _Fate.DROP or name in unwanted:
            continue
        value: str | None = raw_value.decode("latin-1")
        if fate is _Fate.COOKIE:
            cookies.append(raw_value.decode("latin-1"))
            continue
        if fate is _Fate.REWRITE:
            value = _rewritten(name, raw_value.decode("latin-1"), policy, target)
        if value is not None:
            kept.append((text, value))
    kept += own_headers(policy, cookies)
    kept += _framing_headers(policy.link_type, policy.action)
    kept.append(("Cache-Control", _cache_control(raw, policy)))
    return kept


def says_done(status: int, raw: RawHeaders, policy: AnswerPolicy, target: str) -> bool:
    """Whether the backend says that it has done what `target` was asked for.

    With 2xx; or as a form is answered, by leading to a page that this link may open. Where a
    system sends people without a login, a link may not go.
    """
    if status not in _SEE_ELSEWHERE:
        return 200 <= status < 300
    locations = [value.decode("latin-1") for name, value in raw if plain(name) == "location"]
    ways = _ways(policy, target)
    return len(locations) == 1 and ways.content_location(locations[0]) is not None


def own_headers(policy: AnswerPolicy, set_cookies: Sequence[str] = ()) -> Headers:
    """What stands on every answer, a WebSocket's handshake too, with the cookies that it sets.

    `set_cookies` are the backend's. The gateway's own stand before what is made of them: a session
    that opens takes back the cookies of the one before it, and the backend may set them anew.
    """
    cookies = [("Set-Cookie", cookie) for cookie in policy.set_cookies]
    if set_cookies:
        cookies += [("Set-Cookie", cookie) for cookie in policy.keep_cookies(set_cookies)]
    return [*_ON_EVERY_ANSWER, *cookies]


def said_cookies(raw: RawHeaders) -> tuple[str, ...]:
    """The values of an answer's `Set-Cookie`."""
    return tuple(
        value.decode("latin-1") for name, value in raw if _known(name).fate is _Fate.COOKIE
    )


class _Fate(Enum):
    """What becomes of a header that the backend sent."""

    KEEP = 1
    DROP = 2
    REWRITE = 3
    COOKIE = 4


class _Known(NamedTuple):
    """A name as it arrives, and all that follows from it; the same few arrive all the time."""

    plain: str
    text: str
    fate: _Fate


@remembered(MAX_KNOWN_NAME)
def _known(raw_name: bytes) -> _Known:
    name = plain(raw_name)
    if (
        name in _DROPPED
        or name.startswith(_DROPPED_PREFIXES)
        or name.endswith(_DROPPED_SUFFIXES)
        or name == "cachecontrol"
    ):
        fate = _Fate.DROP
    elif name == "setcookie":
        # In another spelling it is none for any browser.
        fate = _Fate.COOKIE if raw_name.lower() == b"set-cookie" else _Fate.DROP
    else:
        fate = _Fate.REWRITE if name in _REWRITTEN else _Fate.KEEP
    return _Known(name, raw_name.decode("latin-1"), fate)


def _rewritten(name: str, value: str, policy: AnswerPolicy, target: str) -> str | None:
    """The value to send, or None to send no such header; for the names in `_REWRITTEN`."""
    ways = _ways(policy, target)
    match name:
        case "location":
            return ways.location(value)
        case "contentlocation":
            return ways.content_location(value)
        case "refresh":
            return ways.refresh(value)
        case "link":
            return ways.link(value)
        case "contentsecuritypolicy" if policy.link_type is LinkType.PUBLIC:
            return without_frame_ancestors(value)
        case "xcontenttypeoptions" if policy.action == DOWNLOAD:
            return None
        case "expires" | "pragma" if not policy.may_be_kept:
            return None
    return value


def _ways(policy: AnswerPolicy, target: str) -> Ways:
    return Ways(policy.own_origin, policy.upstream_origin, target, policy.landing, policy.opens)


@lru_cache(maxsize=64)
def _framing_headers(link_type: LinkType, action: str) -> Headers:
    """Policies of our own; browsers enforce each policy of an answer beside the others."""
    headers: Headers = []
    if link_type is not LinkType.PUBLIC:
        headers.append(("Content-Security-Policy", "frame-ancestors 'self'"))
        headers.append(("X-Frame-Options", "SAMEORIGIN"))
    if action == DOWNLOAD:
        # An uploaded page must not act in the origin that holds every link's session.
        headers.append(("Content-Security-Policy", "sandbox"))
        headers.append(("X-Content-Type-Options", "nosniff"))
    return headers


def _cache_control(raw: RawHeaders, policy: AnswerPolicy) -> str:
    if not policy.may_be_kept:
        return NO_STORE
    return made_private(
        value.decode("latin-1") for name, value in raw if plain(name) == "cachecontrol"
    )
