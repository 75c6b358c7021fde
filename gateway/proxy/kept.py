"""Connections to one backend between two requests.

aiohttp makes them, with its TLS and its name look-up, and could keep them, too; but its pool
counts and keys what is here always without a limit and for one place.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp.connector import Connection

# Seconds. Common servers end an idle connection after 2 (gunicorn) or 5 (Node, uvicorn); one that
# dies under a request costs the visitor an error, since nothing is ever sent twice.
KEPT_FOR = 1.8


class KeptConnections:
    """The connections that nobody uses; the one used last is the next one used."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: deque[tuple[Connection, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._kept)

    def take(self) -> Connection | None:
        """One that the backend has not closed, and will not in this moment; None: make one."""
        oldest = self._loop.time() - KEPT_FOR
        while self._kept:
            connection, since = self._kept.pop()
            if since >= oldest and not connection.closed:
                return connection
            connection.close()
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end, unless either side is to close it."""
        protocol = connection.protocol
        if self._is_closed or protocol is None or protocol.should_close:
            connection.close()
            return
        self._kept.append((connection, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(KEPT_FOR, self._sweep)

    def _sweep(self) -> None:
        """Close what was not used for so long, and look again when the next one's time comes."""
        self._timer = None
        oldest = self._loop.time() - KEPT_FOR
        while self._kept and self._kept[0][1] <= oldest:
            self._kept.popleft()[0].close()
        if self._kept:
            wait = self._kept[0][1] - oldest
            self._timer = self._loop.call_later(wait, self._sweep)

    def close(self) -> None:
        """Close all, and whatever is still to be kept."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._kept:
            self._kept.popleft()[0].close()
