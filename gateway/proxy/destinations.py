"""Where an answer may lead a browser: `Location`, `Content-Location`, `Refresh`, `Link`. Pure.

A backend names itself by its own origin, or by ours if it has heard of it. Whatever it names, a
redirect leads to a page that this link may open, or to the landing page: never to another site.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from gateway.request.host import normal_host

_ABSOLUTE = re.compile(r"(?:(https?):)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Browsers drop tabs and line breaks inside a URL, and read a backslash as a slash.
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f\\]")
_UNSAFE = re.compile(r"[^\x21-\x7e]")
# HTML's rules for a refresh: a time, a separator, perhaps `url=`, perhaps a quote.
_REFRESH = re.compile(r"\s*([0-9.]*)\s*[;,]?\s*(?:url\s*=\s*)?(.*?)\s*", re.IGNORECASE)
_LINKED = re.compile(r"<([^<>]*)>")


@dataclass(frozen=True, slots=True)
class Ways:
    """What the answer to one request may lead to.

    `target` is the target that the backend was asked for; `landing` the landing page's; `opens`
    says whether this link may open a target (a path, perhaps with a query).
    """

    own_origin: str
    upstream_origin: str
    target: str
    landing: str
    opens: Callable[[str], bool]

    def location(self, value: str) -> str:
        """A redirect's destination."""
        return self._allowed(value) or self.landing

    def content_location(self, value: str) -> str | None:
        """Where the content can be had by itself; None: nowhere that this link may open."""
        return self._allowed(value)

    def refresh(self, value: str) -> str:
        """A `Refresh`, which is a redirect after a while, unless it names no address."""
        match = _REFRESH.fullmatch(value)
        if match is None:
            return f"0;url={self.landing}"
        address = match[2].strip("\"'")
        return f"{match[1] or '0'};url={self.location(address)}" if address else match[1] or "0"

    def link(self, value: str) -> str:
        """A `Link`: what names the backend names the gateway, the rest stays."""
        return _LINKED.sub(lambda match: f"<{self._relinked(match[1])}>", value)

    def _relinked(self, address: str) -> str:
        absolute = _ABSOLUTE.fullmatch(address)
        if absolute is None or not self._is_ours(absolute[1], absolute[2]):
            return address
        return self.own_origin + absolute[3]

    def _allowed(self, value: str) -> str | None:
        value = value.strip(" ")
        if _AMBIGUOUS.search(value):
            return None
        value = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", value)
        absolute = _ABSOLUTE.fullmatch(value)
        if absolute is not None:
            own = self._is_ours(absolute[1], absolute[2])
            reference = _rooted(absolute[3]) if own else None
        else:
            reference = None if _SCHEME.match(value) else self._resolved(value)
        if reference is None or not self.opens(reference.partition("#")[0]):
            return None
        return reference if absolute is None else self.own_origin + reference

    def _resolved(self, reference: str) -> str | None:
        """A relative reference, from the root on (RFC 3986 section 5.2).

        The browser must not resolve it itself: it may be looking at the portal URL.
        """
        joined = urlsplit(urljoin(f"http://backend{self.target}", reference))
        if joined.netloc != "backend":
            return None
        return joined._replace(scheme="", netloc="").geturl()

    def _is_ours(self, scheme: str | None, authority: str) -> bool:
        upstream_scheme, _, upstream_host = self.upstream_origin.partition("://")
        own_host = self.own_origin.partition("://")[2]
        host = normal_host(authority, (scheme or upstream_scheme).lower())
        return host in {upstream_host, own_host}


def _rooted(rest: str) -> str:
    return rest if rest.startswith("/") else f"/{rest}"
