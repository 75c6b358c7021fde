"""How far this process knows what changed: the sequence, read again and again.

`position` is the number of the last change that was heard from the database. A read that
succeeds confirms everything in memory as of the moment at which the read *began*: numbers are
given in the order of commits, so every change that was answered before that moment was in it.

The database counts as down when a read fails, or brings nothing for as long as a confirmation is
worth. Such a read is abandoned: when a lost network comes back, the next one finds it at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from gateway.errors import StoreUnavailable

# What was confirmed longer ago than this admits nobody (semantics: "Freshness").
WORTH = 1.0
# Twice a second, whether or not anybody asks.
READ_INTERVAL = 0.5
# Links of which it is remembered when they changed.
MAX_CHANGES = 10_000

_T = TypeVar("_T")


class Change(Protocol):
    """What a number stands for: the link, and each token hash that it had before or has now."""

    @property
    def seq(self) -> int:
        """The change's number."""
        ...

    @property
    def link_id(self) -> str:
        """The link that was changed, made or deleted."""
        ...

    @property
    def token_hashes(self) -> Sequence[bytes]:
        """SHA-256 of the tokens that it had before or has now."""
        ...

    @property
    def domains(self) -> bool:
        """Whether the set of custom domains may have changed."""
        ...


class Feed(Protocol):
    """The sequence in the database. Both raise StoreUnavailable."""

    async def latest(self) -> int:
        """The number of the newest change."""
        ...

    async def since(self, seq: int) -> Sequence[Change] | None:
        """The changes after `seq`, in order; None if they are no longer all known."""
        ...


class Freshness:
    """Reads the sequence, one read at a time, and tells what changed.

    `apply` is called with what each read brought, also with nothing; `forget` when nothing known
    is worth anything any more, with the number from which on changes will be heard again. Both
    are called before the read counts as a confirmation. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        feed: Feed,
        apply: Callable[[Sequence[Change]], None],
        forget: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._apply = apply
        self._forget = forget
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self.position: int | None = None
        self.confirmed_at = float("-inf")

    @property
    def age(self) -> float:
        """Seconds since the last confirmation; infinite before the first."""
        return self._clock() - self.confirmed_at

    @property
    def is_down(self) -> bool:
        """Whether the last read failed."""
        return self._failed_at is not None

    async def confirm(self) -> bool:
        """Have the sequence read, with whoever is reading it already; False: database down.

        After a failure the next read is left to `run` for a while, so that an outage does not
        cost every request its timeout.
        """
        if self._failed_at is not None and self._clock() - self._failed_at < READ_INTERVAL:
            return False
        await self._read_with_others()
        return self._failed_at is None

    async def run(self) -> None:
        """Read the sequence twice a second, until cancelled."""
        while True:
            began = self._clock()
            await self._read_with_others()
            await asyncio.sleep(max(0.0, began + READ_INTERVAL - self._clock()))

    async def _read_with_others(self) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._read_ended)
        await asyncio.shield(self._reading)

    def _read_ended(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        began = self._clock()
        try:
            position = await within(WORTH, self._read_since(self.position))
        except StoreUnavailable:
            self._failed_at = self._clock()
            return
        self.position = position
        self.confirmed_at = began
        self._failed_at = None

    async def _read_since(self, position: int | None) -> int:
        changes = None if position is None else await self._feed.since(position)
        if changes is None:
            newest = await self._feed.latest()
            self._forget(newest)
            return newest
        self._apply(changes)
        return max([position or 0, *(change.seq for change in changes)])


class ChangeLog:
    """Which link changed last at which number, as far as this process heard: from a floor on."""

    def __init__(self, size: int = MAX_CHANGES) -> None:
        self._size = size
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._floor = 0

    def begin(self, floor: int) -> None:
        """From `floor` on every change will be heard; of older ones nothing is known."""
        self._newest.clear()
        self._floor = floor

    def note(self, change: Change) -> None:
        """A change was heard of, by the sequence or a push."""
        self._newest[change.link_id] = max(change.seq, self.newest(change.link_id))
        self._newest.move_to_end(change.link_id)
        if len(self._newest) > self._size:
            _, forgotten = self._newest.popitem(last=False)
            self._floor = max(self._floor, forgotten)

    def newest(self, link_id: str) -> int:
        """The number of the last change of this link that was heard of; 0 for none."""
        return self._newest.get(link_id, 0)

    def is_current(self, link_id: str, seq: int, position: int) -> bool:
        """Whether nothing happened to the link from `seq` to `position`.

        What comes from beyond `position` is not believed either: the sequence may have begun
        anew, with a database that was restored from a backup.
        """
        return max(self._floor, self.newest(link_id)) <= seq <= position


async def within(seconds: float, work: Awaitable[_T]) -> _T:
    """What `work` brings. Raises StoreUnavailable("database") if that takes longer.

    The work is cancelled then, but not waited for: a driver whose server has vanished may take
    its time to give up.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.add_done_callback(_read_away)
            task.cancel()
    if not done:
        raise StoreUnavailable("database", f"no answer within {seconds:g} s")
    return task.result()


def _read_away(task: asyncio.Future[Any]) -> None:
    """Nobody waits for the outcome any more, so that asyncio need not complain."""
    if not task.cancelled():
        task.exception()
