"""What the backend receives. Pure.

A backend reads `X_Portal_Email` (CGI, WSGI, PHP, Rails) or `x.portal.email` (PHP) as
`X-Portal-Email`, so names are compared by their letters and digits alone. What the visitor sent
under any spelling of a name that means something to the gateway is dropped, and ours are set last.

Values are text with one character for each byte (ISO-8859-1, RFC 9110 section 5.5): what arrives
is sent on byte for byte, whatever its encoding was. Text of our own goes out as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from gateway.errors import Refusal
from gateway.links.model import LinkType
from gateway.links.verdict import Reason
from gateway.proxy.cookies import NONE_RETURNED, Returned, visitor_cookies
from gateway.request.path import TOKEN_PREFIX
from gateway.request.remembered import remembered

RawHeaders = Sequence[tuple[bytes, bytes]]
Headers = list[tuple[str, str]]

# RFC 9110 section 7.6.1 (Connection, and what it says of Keep-Alive, Proxy-Connection, TE,
# Transfer-Encoding, Upgrade), 11.7 (a proxy's own authentication) and 6.6.2 (Trailer: trailers
# are not passed on); HTTP2-Settings is RFC 7540's, always named in Connection.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "http2settings",
        "keepalive",
        "proxyauthenticate",
        "proxyauthenticationinfo",
        "proxyauthorization",
        "proxyconnection",
        "te",
        "trailer",
        "transferencoding",
        "upgrade",
    }
)

# What frameworks and proxies are known to believe about the client, the method or the path, the
# credentials that are the gateway's own business, and what is rebuilt rather than copied.
_DROPPED = HOP_BY_HOP | {
    "apikey",
    "authorization",
    "contentlength",
    "expect",
    "forwarded",
    "host",
    "proxy",
    "remoteuser",
    "trueclientip",
    "xclientip",
    "xmethodoverride",
    "xrealip",
    "xremoteuser",
    "xrequestid",
    "xrewriteurl",
}
_DROPPED_PREFIXES = (
    "cfconnectingip",
    "secwebsocket",
    "xauthrequest",
    "xforwarded",
    "xhttpmethod",
    "xoriginal",
    "xportal",
)
# What a visitor's `Connection` cannot take away: we rewrite these, and a cookie unsealed for the
# backend is ours to send.
_KEPT_FROM_CONNECTION = frozenset({"cookie", "origin", "referer"})

MAX_KNOWN_NAME = 64
"""Bytes of a header's name that is worth remembering: all registered ones are shorter."""

_NO_NAMES: frozenset[str] = frozenset()
_CONNECTION = b"connection"
_NOT_PLAIN = re.compile("[^a-z0-9]")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
PLACEHOLDERS = ("workorder", "link", "visitor", "email")


@dataclass(slots=True)
class Identity:
    """Who asks, as the backend is told. `host` and `scheme` are what the visitor uses.

    `visitor` is the keyed hash of the visitor for this link; `email` a verified one, or None.
    """

    link_id: str
    workorder: str
    link_type: LinkType
    permissions: tuple[str, ...]
    visitor: str
    email: str | None
    request_id: str
    address: str
    scheme: str
    host: str

    @property
    def origin(self) -> str:
        """The origin that the visitor's request went to."""
        return f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True)
class UpstreamHeaders:
    """What one backend wants to be told. `origin` and `host` are its own names.

    `extra` are the operator's headers, values with placeholders; they stand in for what a visitor
    sent in these names, `replaced` (plain). Raises ValueError for a value
    that cannot stand in a header, and for a placeholder that is unknown.
    """

    origin: str
    host: str
    preserve_host: bool = False
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    replaced: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        for name, template in self.extra.items():
            if not plain(name.encode("utf-8")) or _FORBIDDEN.search(name + template):
                raise ValueError(f"{name!r}: CR, LF, NUL and controls cannot be in a header")
            if unknown := set(_PLACEHOLDER.findall(template)) - set(PLACEHOLDERS):
                raise ValueError(f"{name!r}: no such placeholder: {', '.join(sorted(unknown))}")
        names = frozenset(plain(name.encode("utf-8")) for name in self.extra)
        object.__setattr__(self, "replaced", names)


class _Fate(Enum):
    """What becomes of a header that the visitor sent."""

    KEEP = 1
    DROP = 2
    COOKIE = 3
    ORIGIN = 4
    REFERER = 5


_REWRITTEN = {"cookie": _Fate.COOKIE, "origin": _Fate.ORIGIN, "referer": _Fate.REFERER}


@remembered(MAX_KNOWN_NAME)
def plain(name: bytes) -> str:
    """A header's name as the least careful backend compares it: letters and digits."""
    return _NOT_PLAIN.sub("", name.decode("latin-1").lower())


class _Known(NamedTuple):
    """A name as it arrives, and all that follows from it; the same few arrive all the time."""

    text: str
    plain: str
    fate: _Fate


@remembered(MAX_KNOWN_NAME)
def _known(name: bytes) -> _Known:
    return _Known(name.decode("latin-1"), plain(name), _fate(name, plain(name)))


def _fate(name: bytes, known: str) -> _Fate:
    if not known or known in _DROPPED or known.startswith(_DROPPED_PREFIXES):
        return _Fate.DROP
    if known in _REWRITTEN:
        # Another spelling would reach the backend beside the one that is rewritten.
        return _REWRITTEN[known] if name.lower() == known.encode() else _Fate.DROP
    return _Fate.KEEP


def connection_names(raw: RawHeaders) -> frozenset[str]:
    """The names that `Connection` lists (RFC 9110 section 7.6.1), plain."""
    # The length first: hardly any answer and half of the requests have one.
    listed = [
        value
        for header, value in raw
        if len(header) == len(_CONNECTION) and header.lower() == _CONNECTION
    ]
    if not listed:
        return _NO_NAMES
    return frozenset(plain(name.strip()) for value in listed for name in value.split(b","))


def holds_token(value: str) -> bool:
    """Whether `value` holds something that could be a link's token, percent-encoded or not."""
    return TOKEN_PREFIX in value or ("%" in value and TOKEN_PREFIX in unquote(value))


def request_headers(
    raw: RawHeaders,
    identity: Identity,
    upstream: UpstreamHeaders,
    own_origin: str,
    landing: str,
    returned: Returned = NONE_RETURNED,
) -> Headers:
    """The headers to send to the backend, less those that frame the body.

    `own_origin` is the origin that the visitor's request went to, `landing` the target of the
    link's landing page, `returned` the backend's own cookies. Raises Refusal
    (`bad_request`) if something that we have to say cannot stand in a header.
    """
    unwanted = (connection_names(raw) - _KEPT_FROM_CONNECTION) | upstream.replaced
    sent: Headers = [("Host", identity.host if upstream.preserve_host else upstream.host)]
    for raw_name, raw_value in raw:
        name = _known(raw_name)
        if name.fate is _Fate.DROP or name.plain in unwanted:
            continue
        text = raw_value.decode("latin-1")
        if name.fate is _Fate.COOKIE:
            value = visitor_cookies(text, returned.names)
        else:
            value = _rewritten(name.fate, text, upstream, own_origin, landing)
        if value is not None:
            sent.append((name.text, value))
    if returned.text and "cookie" not in unwanted:
        sent = _with_cookies(sent, returned.text)
    sent += _identity_headers(identity)
    sent += [(name, _fill(text, identity)) for name, text in upstream.extra.items()]
    return sent


def _with_cookies(sent: Headers, returned: str) -> Headers:
    """`sent` with one `Cookie` (RFC 6265 section 5.4): many programs read only one of several."""
    others = [(name, value) for name, value in sent if name.lower() != "cookie"]
    visitors = [value for name, value in sent if name.lower() == "cookie"]
    return [*others, ("Cookie", "; ".join([returned, *visitors]))]


def _rewritten(
    fate: _Fate, value: str, upstream: UpstreamHeaders, own_origin: str, landing: str
) -> str | None:
    """The value to send, or None to send no such header."""
    if fate is _Fate.REFERER:
        return _referer(value, upstream, own_origin, landing)
    if fate is _Fate.ORIGIN and value.lower() == own_origin and not upstream.preserve_host:
        return upstream.origin
    # Scripts of pages send their address in headers of their own (`HX-Current-URL`).
    return None if holds_token(value) else value


def _referer(value: str, upstream: UpstreamHeaders, own_origin: str, landing: str) -> str | None:
    rest = value[len(own_origin) :]
    if value[: len(own_origin)].lower() != own_origin or rest[:1] not in {"", "/", "?", "#"}:
        return None if holds_token(value) else value
    origin = own_origin if upstream.preserve_host else upstream.origin
    return origin + (landing if holds_token(rest) else rest)


def _identity_headers(identity: Identity) -> Headers:
    said = [
        *_link_headers(
            identity.link_id, identity.workorder, identity.link_type, identity.permissions
        ),
        ("X-Portal-Visitor", identity.visitor),
        ("X-Request-Id", identity.request_id),
        ("X-Forwarded-For", identity.address),
        ("X-Forwarded-Proto", identity.scheme),
        ("X-Forwarded-Host", identity.host),
    ]
    if identity.email is not None:
        said.append(("X-Portal-Email", _sendable(identity.email)))
    return said


@lru_cache(maxsize=4096)
def _link_headers(
    link_id: str, workorder: str, link_type: LinkType, permissions: tuple[str, ...]
) -> Headers:
    """What is the same on every request with this link."""
    return [
        ("X-Portal-Link", link_id),
        ("X-Portal-Workorder", _sendable(workorder)),
        ("X-Portal-Link-Type", link_type.value),
        ("X-Portal-Permissions", ",".join(sorted(permissions))),
    ]


def _fill(template: str, identity: Identity) -> str:
    """An operator's header for one request. One pass: what is filled in is not looked at again."""
    known = {
        "workorder": identity.workorder,
        "link": identity.link_id,
        "visitor": identity.visitor,
        "email": identity.email or "",
    }
    return _sendable(_PLACEHOLDER.sub(lambda match: known[match[1]], template))


def _sendable(text: str) -> str:
    """Our own text as UTF-8, one character a byte."""
    if _FORBIDDEN.search(text):
        raise Refusal(Reason.BAD_REQUEST, "The work order's name cannot be sent in a header.")
    return text if text.isascii() else text.encode("utf-8").decode("latin-1")
