"""Whether an unsafe request was made by a page of the host that it goes to.

Each link's pages share this origin with every other link's, and a session is a cookie that a
browser sends by itself: without this, any page on the web could approve a work order.
"""

from __future__ import annotations

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def origin_holds(origin: str | None, sec_fetch_site: str | None, own_origin: str) -> bool:
    """Whether a request that needs an `Origin` (RFC 6454 section 7) has the right one.

    Without the header the request is no browser's, or an old one's: it passes unless
    `Sec-Fetch-Site` says that another site made it. `null` equals no origin of ours.
    """
    if origin is not None:
        return origin.lower() == own_origin
    return sec_fetch_site in {None, "same-origin", "none"}
