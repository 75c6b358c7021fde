"""Exchanges in flight, and how they end when a rule stops holding.

A rule that held when an answer began has to hold until it ends. Each exchange is kept with the
facts that it was admitted on. A change of its link makes the rules be judged anew at once; a
clock's end (the link's expiry, the session's times) is looked for twice a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.errors import StoreUnavailable
from gateway.links.model import Link
from gateway.links.rules import Facts, decide

SWEEP_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class Exchange:
    """One answer that has begun. `end` ends it abnormally; it is called at most once."""

    link: Link
    facts: Facts
    end: Callable[[], None]
    is_websocket: bool = False

    @property
    def ends_at(self) -> float:
        """When time alone ends it: asked twice a second of what is open, not of every request."""
        ends = [float("inf") if self.link.expires_at is None else self.link.expires_at]
        if self.facts.session is not None:
            ends.append(self.facts.session.ends_at(self.facts.lifetime))
        return min(ends)

    def saw_traffic(self, now: float) -> None:
        """Traffic on a WebSocket is use of the session."""
        if self.facts.session is not None:
            session = replace(self.facts.session, seen_at=now)
            self.facts = replace(self.facts, session=session)


class Exchanges:
    """Every exchange of this process that has not ended."""

    def __init__(
        self, find_link: Callable[[str], Awaitable[Link | None]], now: Callable[[], float]
    ) -> None:
        self._find_link = find_link
        self.now = now
        self._by_link: dict[str, set[Exchange]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return sum(map(len, self._by_link.values()))

    def begin(
        self, link: Link, facts: Facts, end: Callable[[], None], *, is_websocket: bool = False
    ) -> Exchange:
        """Keep an exchange that was admitted on `facts`, until `finish`."""
        exchange = Exchange(link, facts, end, is_websocket)
        self._by_link.setdefault(link.id, set()).add(exchange)
        return exchange

    def finish(self, exchange: Exchange) -> None:
        """The exchange is over."""
        exchanges = self._by_link.get(exchange.link.id)
        if exchanges is not None:
            exchanges.discard(exchange)
            if not exchanges:
                del self._by_link[exchange.link.id]

    def reconsider(self, link_id: str) -> None:
        """The link changed: judge its exchanges anew, soon."""
        if link_id in self._by_link:
            task = asyncio.get_running_loop().create_task(self._judge_anew(link_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def reconsider_all(self) -> None:
        """Anything may have changed: judge every exchange anew, soon."""
        for link_id in tuple(self._by_link):
            self.reconsider(link_id)

    async def _judge_anew(self, link_id: str) -> None:
        try:
            link = await self._find_link(link_id)
        except StoreUnavailable:
            link = None  # What cannot be decided is refused.
        for exchange in tuple(self._by_link.get(link_id, ())):
            if link is None or not _still_holds(link, exchange, self.now()):
                self._end(exchange)
            else:
                exchange.link = link

    async def run(self) -> None:
        """Look for exchanges whose time is over, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """End the exchanges whose time is over."""
        now = self.now()
        over = [e for exchanges in self._by_link.values() for e in exchanges if now >= e.ends_at]
        for exchange in over:
            self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        self.finish(exchange)
        exchange.end()


def _still_holds(link: Link, exchange: Exchange, now: float) -> bool:
    return decide(link, replace(exchange.facts, now=now)).reason.value == "ok"
