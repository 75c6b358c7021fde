"""How much room the cookies of one browser have.

What a browser holds comes back with each request. Too much of it, and every request is refused
for the size of its headers, those of other links too; too many, and the browser throws away the
ones that it has not used for long, which may be another link's session.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_OF_LINK = 20
# Chromium and Firefox keep 180 cookies of a host.
MAX_COOKIES = 150
# Characters of a cookie's name and value: draft-ietf-httpbis-rfc6265bis section 5.6.
MAX_PAIR = 4096
# Chromium keeps 10 KiB of partitioned cookies (CHIPS) for a site in another.
MAX_PARTITIONED = 10 * 1024
_BETWEEN = len("=; ")


class CookieRoom:
    """Counts the cookies of a browser, from those that it sent.

    One link's sealed cookies, whose names begin with `start`, may have a quarter of the header's
    size; all cookies together three quarters: the rest is for the other headers.
    """

    def __init__(
        self, headers: Sequence[str], start: str, max_header_size: int, *, is_partitioned: bool
    ) -> None:
        self._start = start
        self._of_link = max_header_size // 4
        self._of_all = max_header_size * 3 // 4
        if is_partitioned:
            self._of_all = min(self._of_all, MAX_PARTITIONED)
        pairs = [pair.strip(" \t") for header in headers for pair in header.split(";")]
        self._sizes = {pair.partition("=")[0]: len(pair) + len("; ") for pair in pairs}

    def take(self, name: str, value: str, copies: int = 0) -> bool:
        """Make room for a cookie, and `copies` characters beside it; False: there is none."""
        if len(name) + len(value) > MAX_PAIR:
            return False
        sizes = {**self._sizes, name: len(name) + len(value) + copies + _BETWEEN}
        of_link = [size for each, size in sizes.items() if each.startswith(self._start)]
        fits = (
            len(of_link) <= MAX_OF_LINK
            and len(sizes) <= MAX_COOKIES
            and sum(of_link) <= self._of_link
            and sum(sizes.values()) <= self._of_all
        )
        if fits:
            self._sizes = sizes
        return fits

    def free(self, name: str) -> None:
        """A cookie is taken back."""
        self._sizes.pop(name, None)
