"""What a backend's `Set-Cookie` says (RFC 6265 section 5.2), read as a browser would. Pure.

The gateway stands where a browser stood: it decides which cookies there are, for which paths, and
for how long. `Domain` is read only where a name's prefix forbids it: a cookie goes back to the
backend that it came from, whatever it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.proxy.cookie_date import cookie_date

# Limits of browsers: draft-ietf-httpbis-rfc6265bis section 5.6.
MAX_PAIR = 4096
MAX_ATTRIBUTE = 1024

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECONDS = re.compile(r"-?[0-9]+")
_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class BackendCookie:
    """One cookie. Name and value are text with one character for each byte.

    `lives` is seconds from now; None: until the browser is closed. 0 or less deletes it.
    """

    name: str
    value: str
    path: str = "/"
    lives: float | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether the backend takes this cookie back."""
        return self.lives is not None and self.lives <= 0


def parse_set_cookie(text: str, request_path: str, now: float) -> BackendCookie | None:
    """The cookie that an answer to `request_path` sets; None if a browser would keep none.

    A cookie without a name is none: it would come back as whatever its value looks like.
    """
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(_BLANKS), value.strip(_BLANKS)
    if not equals or not name or len(name) + len(value) > MAX_PAIR or _CONTROL.search(text):
        return None
    said = _read(attributes)
    if not _prefix_holds(name.lower(), said):
        return None
    path = said.get("path", "")
    if not path.startswith("/"):
        path = default_path(request_path)
    return BackendCookie(name, value, path, _lives(said, now))


def _read(attributes: list[str]) -> dict[str, str]:
    """The attributes by their names in lower case; of two that say something, the last."""
    said: dict[str, str] = {}
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        name, value = name.strip(_BLANKS).lower(), value.strip(_BLANKS)
        if len(value) > MAX_ATTRIBUTE or (name == "max-age" and not _SECONDS.fullmatch(value)):
            continue
        if name == "expires" and cookie_date(value) is None:
            continue
        said[name] = value
    return said


def _prefix_holds(name: str, said: dict[str, str]) -> bool:
    """Whether the cookie is what its name promises (rfc6265bis section 4.1.3)."""
    if name.startswith("__secure-"):
        return "secure" in said
    if name.startswith("__host-"):
        return "secure" in said and said.get("path") == "/" and not said.get("domain")
    return True


def _lives(said: dict[str, str], now: float) -> float | None:
    if "max-age" in said:
        # So many digits that they are no number of seconds are as good as for ever.
        return float(said["max-age"][:18])
    expires = cookie_date(said["expires"]) if "expires" in said else None
    return None if expires is None else expires - now


def default_path(request_path: str) -> str:
    """The path of a cookie that names none (RFC 6265 section 5.1.4)."""
    if not request_path.startswith("/"):
        return "/"
    return request_path[: request_path.rfind("/")] or "/"


def path_matches(request_path: str, cookie_path: str) -> bool:
    """Whether a cookie for `cookie_path` goes with a request (RFC 6265 section 5.1.4)."""
    if not request_path.startswith(cookie_path):
        return False
    return cookie_path.endswith("/") or request_path[len(cookie_path) :][:1] in {"", "/"}
