"""The learning log: what visitors asked for and no row named, told to whoever writes the rows."""

from __future__ import annotations

import logging

from gateway.request.token import redact
from gateway.steps.visit import Visit

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""The same method and path are told of once in this time."""
MOST_AT_ONCE = 256
"""No more of them are told of in that time: whoever tries paths at random fills no disk."""
_LONGEST = 256


class Unrouted:
    """Tells of requests of links that no row named: method and path, never a query or a token."""

    def __init__(self) -> None:
        # By the time of telling, the oldest first.
        self._told: dict[tuple[str, str], float] = {}

    def tell(self, visit: Visit) -> None:
        """One line, unless it was told a moment ago."""
        scope = visit.scope
        path = (visit.target or scope.target).path
        seen = scope.method[:_LONGEST], redact(path)[:_LONGEST]
        self._forget(scope.now - QUIET_SECONDS)
        if seen in self._told or len(self._told) >= MOST_AT_ONCE:
            return
        self._told[seen] = scope.now
        row = None if visit.match is None else visit.match.route.path
        because = "no row names it" if row is None else f"it does not fit the row {row}"
        log.info("no route: %s %s: %s", *seen, because)

    def _forget(self, until: float) -> None:
        while self._told:
            seen, at = next(iter(self._told.items()))
            if at > until:
                return
            del self._told[seen]
