"""What the headers say of whoever reads the answer: a browser's page, a prefetch, or nobody."""

from __future__ import annotations

import re
from functools import lru_cache

_AHEAD = ("prefetch", "preview", "prerender")

# The first versions that send Fetch Metadata with every request to an origin that is potentially
# trustworthy (https://www.w3.org/TR/fetch-metadata/): Chromium, Firefox, Safari.
_ENGINES = (
    (re.compile(r"\bChrome/(\d+)\.(\d+)"), (80, 0)),
    (re.compile(r"\bGecko/\S+ Firefox/(\d+)\.(\d+)"), (90, 0)),
    (re.compile(r"\bVersion/(\d+)\.(\d+)\S* (?:Mobile/\S+ )?Safari/"), (16, 4)),
)


def is_navigation(sec_fetch_mode: str | None, accept: str | None) -> bool:
    """Whether a browser asks for a page to show, by Fetch Metadata or else by `Accept`."""
    if sec_fetch_mode is not None:
        return sec_fetch_mode == "navigate"
    return accept is not None and "text/html" in accept.lower()


def is_prefetch(*purposes: str) -> bool:
    """Whether a browser asks ahead, for a page that may never be shown.

    `purposes` are what the headers say that browsers have used for it: `Sec-Purpose`, and before
    it `Purpose`, `X-Purpose` and `X-Moz`.
    """
    return any(word in value.lower() for value in purposes for word in _AHEAD)


@lru_cache(maxsize=4096)
def claims_fetch_metadata(user_agent: str) -> bool:
    """Whether `user_agent` is of a browser that says with each request what it is for.

    Only browsers of whom that is certain; of the rest nothing follows.
    """
    return any(
        (found := engine.search(user_agent)) is not None and (int(found[1]), int(found[2])) >= since
        for engine, since in _ENGINES
    )


@lru_cache(maxsize=4096)
def is_trustworthy(scheme: str, host: str) -> bool:
    """Whether browsers send Fetch Metadata to this origin (W3C Secure Contexts section 3.1).

    `host` is normalised, with its port.
    """
    if scheme == "https":
        return True
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name in {"localhost", "[::1]"} or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    return re.fullmatch(r"127(?:\.\d{1,3}){3}", name) is not None
