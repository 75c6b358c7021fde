"""Whose cookie is whose. Pure.

The gateway and the backend share one origin, and so one jar. The gateway's own never reach the
backend, and the backend can neither set nor read one in the gateway's names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

from gateway.request.path import TOKEN_PREFIX

CookieMode = Literal["seal", "pass", "drop"]
_NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CookieRules:
    """What becomes of one backend's cookies, and `backend`: which one that is.

    `readable` are those of its cookies that scripts may read.
    """

    mode: CookieMode
    backend: str
    readable: frozenset[str] = _NO_NAMES


@dataclass(frozen=True, slots=True)
class Returned:
    """A backend's cookies on their way back to it, as a `Cookie` header has them.

    `names` (plain) are those in which nothing that the visitor sent goes to the backend.
    """

    text: str = ""
    names: frozenset[str] = _NO_NAMES


NONE_RETURNED = Returned()

# Prefixes: draft-ietf-httpbis-rfc6265bis section 4.1.3. Some parsers take quotes off a name, or
# decode it, and a nameless cookie (`=portal_x=1`) comes back from the browser as `portal_x=1`.
_OURS = re.compile(r"""[\s"'=]*(?:__(?:host|secure)-)?portal_""", re.IGNORECASE)
_NOT_PLAIN = re.compile("[^a-z0-9]")


def is_ours(pair: str) -> bool:
    """Whether a cookie pair, or a name, is in the gateway's names under any spelling."""
    return _OURS.match(unquote(pair) if "%" in pair else pair) is not None


# A browser sends the same cookies with each request. What is longer is not worth the memory
# (`gateway.request.remembered` does the same for functions of one text).
_REMEMBERED = 4096
_SHORT = 1024


def visitor_cookies(header: str, taken: frozenset[str] = _NO_NAMES) -> str | None:
    """A `Cookie` header (RFC 6265 section 5.4) less the gateway's own; None: nothing is left.

    Less those in the names `taken`, too: these the backend gets from the gateway, or not at all.
    A comma separates cookies for parsers of RFC 2109. A cookie that holds a token goes, too.
    The others stay as they are, byte for byte.
    """
    return (_known_cookies if len(header) <= _SHORT else _visitor_cookies)(header, taken)


def _visitor_cookies(header: str, taken: frozenset[str]) -> str | None:
    pairs = header.split(";")
    kept = [pair for pair in pairs if not _is_private(pair) and not _is_taken(pair, taken)]
    if len(kept) == len(pairs):
        return header
    return ";".join(kept).strip(" \t") or None


_known_cookies = lru_cache(maxsize=_REMEMBERED)(_visitor_cookies)


def _is_private(pair: str) -> bool:
    text = unquote(pair) if "%" in pair else pair
    if TOKEN_PREFIX in text or is_ours(pair):
        return True
    return "," in pair and any(is_ours(part) for part in pair.split(","))


def _is_taken(pair: str, taken: frozenset[str]) -> bool:
    return bool(taken) and any(
        plain_name(part.lstrip(" \t=").partition("=")[0]) in taken for part in pair.split(",")
    )


def plain_name(name: str) -> str:
    """A cookie's name as the least careful backend compares it: letters and digits.

    PHP reads `a.b` and `a b` as `a_b`; others decode names, or take quotes off.
    """
    return _NOT_PLAIN.sub("", unquote(name, "latin-1").lower()) or name


def pass_cookies(set_cookies: Sequence[str]) -> list[str]:
    """A backend's `Set-Cookie` values as they are, less those in the gateway's names."""
    return [each for each in set_cookies if not is_ours(each)]


def drop_cookies(_: Sequence[str]) -> list[str]:
    """None of a backend's cookies."""
    return []
