"""Which logo is served where, from memory: a page asks nobody.

What is kept is read from the database now and then, the new alone. The bytes are read when a
browser asks for them, and the last ones stay in memory.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.store.logos import LogoStore, Picture, url_hash

# Logos that are known by their URLs: some 200 bytes each.
MAX_KNOWN = 20_000
# Bytes of pictures in memory.
MAX_BYTES = 8 * 1024 * 1024
# Seconds by which two clocks, or a slow commit, may put a logo behind one that is known already.
OVERLAP = 60.0

_NAME = re.compile(r"logo-([0-9a-f]{64})")


class LogoShelf:
    """The logos that one process knows. `now` is in seconds since the epoch."""

    def __init__(self, store: LogoStore, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._size = 0
        self._newest = 0.0

    @property
    def held_bytes(self) -> int:
        """How much memory the pictures take."""
        return self._size

    async def refresh(self) -> None:
        """Learn what has been kept since the last time. Raises StoreUnavailable."""
        # One that a clock far ahead has dated must not hide what comes after it.
        since = min(self._newest, self._now()) - OVERLAP
        kept = await self._store.kept_since(since, MAX_KNOWN)
        for logo in reversed(kept):
            self._known[logo.url_hash] = logo.content_hash
            self._newest = max(self._newest, logo.kept_at)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def name(self, url: str) -> str | None:
        """Under which name the logo with this URL is served; None if it is not here (yet)."""
        content_hash = self._known.get(url_hash(url))
        return None if content_hash is None else f"logo-{content_hash}"

    async def picture(self, name: str) -> Picture | None:
        """What `/-/assets/{name}` serves, if that is a logo's name. Raises StoreUnavailable."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        content_hash = match[1]
        if (held := self._pictures.get(content_hash)) is not None:
            self._pictures.move_to_end(content_hash)
            return held
        picture = await self._store.picture(content_hash)
        if picture is not None:
            self._hold(content_hash, picture)
        return picture

    def _hold(self, content_hash: str, picture: Picture) -> None:
        if content_hash not in self._pictures:
            self._size += len(picture.body)
        self._pictures[content_hash] = picture
        while self._size > MAX_BYTES:
            _, dropped = self._pictures.popitem(last=False)
            self._size -= len(dropped.body)
