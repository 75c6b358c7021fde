"""`Accept-Language` (RFC 9110 section 12.5.4), by basic filtering of primary tags. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

CODES = ("en", "ar", "de", "es", "fr")
_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


# Characters of the header that are looked at.
_LOOKED_AT = 512


def preferred(accept_language: str) -> str:
    """The one of `CODES` with the highest weight, the first of equals; "en" if none is named.

    What is no language range is skipped: a header that cannot be read is no reason to refuse.
    """
    return _preferred(accept_language[:_LOOKED_AT])


@lru_cache(maxsize=1024)
def _preferred(accept_language: str) -> str:
    best, highest = CODES[0], 0.0
    for part in accept_language.split(","):
        match = _RANGE.fullmatch(part)
        if match is None or match[1].lower() not in CODES:
            continue
        weight = 1.0 if match[2] is None else float(match[2])
        if weight > highest:
            best, highest = match[1].lower(), weight
    return best
