"""The backend's own cookies, sealed in the visitor's browser.

Each is encrypted for one session on one link to one backend, and set under a name that says which
link it is of. What is presented anywhere else, or cannot be read, is no cookie. Those that scripts
have to read are set once more under their own name; these copies go to no backend.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from gateway.crypto.binding import BoundSealer, Place
from gateway.crypto.sealing import SealBroken
from gateway.links.model import Link, LinkType
from gateway.links.session import Session
from gateway.proxy.cookies import CookieRules, Returned, pass_cookies, plain_name
from gateway.proxy.set_cookie import BackendCookie, parse_set_cookie, path_matches
from gateway.visitor.cookie import HOST_PREFIX, drop_cookie, set_cookie
from gateway.visitor.cookie_room import CookieRoom

log = logging.getLogger(__name__)

SEALED_AS = "backend cookies"
_REMEMBERED = 4096
# Characters of sealed cookies that are remembered open; more are opened with each request.
_SHORT = 2048
# What may stand in a cookie's name (RFC 9110 section 5.6.2) beside letters and digits, less `%`,
# which encodes all else, and `!`, which stands before a path.
_NAME_SAFE = "#$&'*+-.^_`|~"
_PATH_MARK = "!"


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that a backend answers, as far as cookies go.

    `path` and `landing` are paths at the backend; `headers` are the `Cookie` headers that the
    browser sent; `now` and `ends_at`, the end of the session, are seconds since the epoch.
    """

    link: Link
    session: Session
    path: str
    landing: str
    headers: Sequence[str]
    now: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class _Jar:
    """The opened cookies of one session, longer paths first (RFC 6265 section 5.4)."""

    cookies: tuple[BackendCookie, ...]
    names: frozenset[str]

    def returned(self, path: str) -> Returned:
        pairs = [f"{c.name}={c.value}" for c in self.cookies if path_matches(path, c.path)]
        return Returned("; ".join(pairs), self.names)


class BackendCookies:
    """Opens and seals the cookies of one scheme (`http` or `https`).

    `max_header_size` is `limits.max_header_size`. `withheld` are the names (plain) of every
    readable cookie: in these no backend gets anything that a visitor sent.
    """

    def __init__(
        self, sealer: BoundSealer, scheme: str, max_header_size: int, withheld: frozenset[str]
    ) -> None:
        self._sealer = sealer
        self._secure = scheme == "https"
        self._prefix = HOST_PREFIX if self._secure else ""
        self._max_header_size = max_header_size
        self._none = Returned(names=withheld)
        # Opened jars by their full text, if all in it was genuine.
        self._jars: OrderedDict[tuple[Place, tuple[tuple[str, str], ...]], _Jar] = OrderedDict()
        self._tell_too_large = lru_cache(maxsize=256)(_tell_too_large)

    # What goes to the backend

    def returned(
        self,
        sent: Sequence[tuple[str, str]],
        session: Session | None,
        rules: CookieRules,
        path: str,
    ) -> Returned:
        """The cookies that go with a request for `path`; `sent` is what `read_cookies` found."""
        if session is None or rules.mode != "seal":
            return self._none
        start = self._prefix + sealed_name(session.link_id)
        sealed = tuple([pair for pair in sent if pair[0].startswith(start)])
        if not sealed:
            return self._none
        return self._jar(_place(session, rules), sealed, len(start)).returned(path)

    def _jar(self, place: Place, sealed: tuple[tuple[str, str], ...], start: int) -> _Jar:
        jar = self._jars.get((place, sealed))
        if jar is None:
            opened = [self._open(place, name[start:], value) for name, value in sealed]
            found: dict[tuple[str, str], BackendCookie] = {}
            for cookie in opened:
                if cookie is not None:
                    found.setdefault((cookie.name, cookie.path), cookie)
            cookies = sorted(found.values(), key=lambda c: -len(c.path))
            names = self._none.names | {plain_name(c.name) for c in cookies}
            jar = _Jar(tuple(cookies), names)
            if None not in opened and sum(len(value) for _, value in sealed) <= _SHORT:
                self._jars[place, sealed] = jar
                if len(self._jars) > _REMEMBERED:
                    self._jars.popitem(last=False)
        return jar

    def _open(self, place: Place, label: str, text: str) -> BackendCookie | None:
        try:
            value = self._sealer.unseal(text, place, label)
        except SealBroken:
            return None
        name, _, path = label.partition(_PATH_MARK)
        return BackendCookie(
            unquote(name, "latin-1"), value.decode("latin-1"), unquote(path, "latin-1") or "/"
        )

    # What comes from it

    def kept(self, said: Sequence[str], rules: CookieRules, asked: Asked) -> list[str]:
        """The `Set-Cookie`s for the visitor, of those that the backend `said`."""
        start = self._prefix + sealed_name(asked.link.id)
        framed = self._secure and asked.link.link_type is LinkType.PUBLIC
        room = CookieRoom(asked.headers, start, self._max_header_size, is_partitioned=framed)
        cookies = [parse_set_cookie(text, asked.path, asked.now) for text in pass_cookies(said)]
        return [
            line
            for cookie in cookies
            if cookie is not None
            for line in self._keep(cookie, rules, asked, room)
        ]

    def _keep(
        self, cookie: BackendCookie, rules: CookieRules, asked: Asked, room: CookieRoom
    ) -> list[str]:
        label = _label(cookie)
        name = self._prefix + sealed_name(asked.link.id) + label
        paths = self._readable_at(cookie, rules, asked)
        if cookie.is_deleted:
            room.free(name)
            lines = drop_cookie(name, secure=self._secure)
            for path in paths:
                lines += drop_cookie(cookie.name, secure=self._secure, path=path)
            return lines
        place = _place(asked.session, rules)
        text = self._sealer.seal(cookie.value.encode("latin-1"), place, label)
        copies = (len(cookie.name) + len(cookie.value)) * len(paths)
        if not room.take(name, text, copies):
            self._tell_too_large(rules.backend, cookie.name)
            return []
        lines = [self._set(name, text, cookie, asked)]
        lines += [self._set(cookie.name, cookie.value, cookie, asked, path) for path in paths]
        return lines

    def _readable_at(
        self, cookie: BackendCookie, rules: CookieRules, asked: Asked
    ) -> tuple[str, ...]:
        """The paths whose pages get a copy that their scripts can read; none if it is not to be.

        Everywhere, and once more below the link's own page: of two cookies scripts see the one
        with the longer path first, so that each of two links open at once finds its own.
        """
        name, landing = cookie.name.lower(), asked.landing
        is_prefixed = name.startswith(("__host-", "__secure-"))
        if cookie.name not in rules.readable or (is_prefixed and not self._secure):
            return ()
        everywhere_only = name.startswith("__host-") or landing == "/" or ";" in landing
        return ("/",) if everywhere_only else ("/", landing)

    def _set(
        self,
        name: str,
        value: str,
        cookie: BackendCookie,
        asked: Asked,
        readable_at: str | None = None,
    ) -> str:
        """It lives as long as the backend says, and no longer than the session."""
        lives = cookie.lives
        return set_cookie(
            name,
            value,
            max_age=None if lives is None else max(1, int(min(lives, asked.ends_at - asked.now))),
            secure=self._secure,
            framed=asked.link.link_type is LinkType.PUBLIC,
            http_only=readable_at is None,
            path=readable_at or "/",
        )


def sealed_name(link_id: str, label: str = "") -> str:
    """The name of a sealed cookie, without the prefix; without a label, how all of a link begin."""
    return f"portal_u_{link_id}_{label}"


def _label(cookie: BackendCookie) -> str:
    """What a sealed cookie's name says of it: its own name, and its path unless that is `/`.

    Two cookies of one name and different paths are two (RFC 6265 section 5.3).
    """
    name = quote(cookie.name, safe=_NAME_SAFE, encoding="latin-1")
    if cookie.path == "/":
        return name
    return name + _PATH_MARK + quote(cookie.path, safe=_NAME_SAFE, encoding="latin-1")


def _place(session: Session, rules: CookieRules) -> Place:
    """Where a sealed cookie is one: a later session on the same link does not inherit it."""
    return session.link_id, session.id, rules.backend


def _tell_too_large(backend: str, name: str) -> None:
    log.warning("%s: the cookie %.64r is dropped: no room is left in the browser", backend, name)
