"""Whose cookie is whose. Pure.

The gateway and the backend share one origin, and so one jar. The gateway's own never reach the
backend, and the backend can neither set nor read one in the gateway's names.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote

from gateway.request.path import TOKEN_PREFIX
from gateway.request.remembered import remembered

CookieMode = Literal["seal", "pass", "drop"]

# Prefixes: draft-ietf-httpbis-rfc6265bis section 4.1.3. Some parsers take quotes off a name, or
# decode it, and a nameless cookie (`=portal_x=1`) comes back from the browser as `portal_x=1`.
_OURS = re.compile(r"""[\s"'=]*(?:__(?:host|secure)-)?portal_""", re.IGNORECASE)


def is_ours(pair: str) -> bool:
    """Whether a cookie pair, or a name, is in the gateway's names under any spelling."""
    return _OURS.match(unquote(pair) if "%" in pair else pair) is not None


# A browser sends the same cookies with each request. What is longer is not worth the memory.
_REMEMBERED = 1024


@remembered(_REMEMBERED)
def visitor_cookies(header: str) -> str | None:
    """A `Cookie` header (RFC 6265 section 5.4) less the gateway's own; None: nothing is left.

    A comma separates cookies for parsers of RFC 2109. A cookie that holds a token goes, too.
    The others stay as they are, byte for byte.
    """
    pairs = header.split(";")
    kept = [pair for pair in pairs if not _is_private(pair)]
    if len(kept) == len(pairs):
        return header
    return ";".join(kept).strip(" \t") or None


def _is_private(pair: str) -> bool:
    text = unquote(pair) if "%" in pair else pair
    if TOKEN_PREFIX in text or is_ours(pair):
        return True
    return "," in pair and any(is_ours(part) for part in pair.split(","))


def answer_cookie(set_cookie: str, mode: CookieMode) -> str | None:
    """What becomes of a backend's `Set-Cookie` value: the value to send, or None to drop it.

    Cookies that would have to be sealed are dropped: a cookie of the backend that is sent as it
    is would be one for every link of the origin.
    """
    return set_cookie if mode == "pass" and not is_ours(set_cookie) else None
