"""Carries entries from a journal to the database, each exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from gateway.errors import StoreUnavailable
from gateway.journal.segments import Batch, read_batch, remove_segments, set_aside
from gateway.store.absorbing import PositionMoved
from gateway.store.access_log import AccessLogStore
from gateway.store.entry import Position

_P = ParamSpec("_P")
_T = TypeVar("_T")

logger = logging.getLogger(__name__)

# Entries in one transaction: some ten milliseconds of locks that others wait for.
BATCH = 1000
# Seconds. An entry waits for others of the same moment, so that a busy gateway commits twice a
# second and not once a request: what a statement costs is paid for hundreds of entries at once.
# This stays well below the promised second.
GATHER = 0.4
POLL = 0.25


class Journal(Protocol):
    """What the drain needs of a journal. `end` is None for one that nobody writes any more.

    `recent` gives what its writer still has in memory, without reading the file; else None.
    """

    @property
    def directory(self) -> Path: ...

    @property
    def end(self) -> Position | None: ...

    def recent(self, position: Position, limit: int) -> Batch | None: ...

    def stored(self, count: int) -> None: ...


class Drain:
    """Drains one journal. Only one may do so: that of the process that holds the lock."""

    def __init__(self, journal: Journal, log: AccessLogStore, *, batch: int = BATCH) -> None:
        self._journal = journal
        self._id = journal.directory.name
        self._log = log
        self._batch = batch
        # The background and a shutdown may both drain; two batches at once would be the same one.
        self._one_at_a_time = asyncio.Lock()
        # What the database says; None when it has to be asked (again).
        self._position: Position | None = None
        # The ends of the batches whose commit nobody has confirmed, and how many entries each is.
        self._unconfirmed: dict[Position, int] = {}

    async def turn(self, written: asyncio.Event) -> None:
        """Wait until something was written, or for the poll, and drain all that is there."""
        try:
            async with asyncio.timeout(POLL):
                await written.wait()
        except TimeoutError:
            pass
        else:
            await asyncio.sleep(GATHER)
        written.clear()
        await self.drain_all()

    async def drain_all(self) -> None:
        """Drain until nothing more is there. Raises StoreUnavailable."""
        while not (await self._next_batch()).is_last:
            pass

    async def drain_once(self) -> int:
        """Drain one batch, and say how many entries it was.

        Raises StoreUnavailable; what was drained then is found out by the next call.
        """
        return len((await self._next_batch()).entries)

    async def _next_batch(self) -> Batch:
        async with self._one_at_a_time:
            return await self._carry()

    async def _carry(self) -> Batch:
        """Read a batch, store it, and remove what is stored by then."""
        position = await self._where()
        # Before the files are read: what is written meanwhile belongs to the next batch.
        end = self._journal.end
        if position == end:
            return Batch(position)
        batch = self._journal.recent(position, self._batch)
        if batch is None:
            directory = self._journal.directory
            batch = await in_thread(read_batch, directory, position, end, self._batch)
        if batch.after != position and not await self._absorb(position, batch):
            return Batch(position, is_last=False)
        live = end.segment if end is not None else None
        stored_before = live if batch.is_last else batch.after.segment
        await in_thread(remove_segments, self._journal.directory, stored_before)
        return batch

    async def _where(self) -> Position:
        if self._position is None:
            self._settle(await self._log.position(self._id))
        assert self._position is not None
        return self._position

    async def _absorb(self, before: Position, batch: Batch) -> bool:
        """Store `batch`; False if another position than `before` turned out to be the present one."""
        if batch.bad:
            await self._set_aside(batch)
        # Whatever happens now, even a cancellation, the database alone knows how it ended.
        self._position = None
        self._unconfirmed[batch.after] = len(batch.entries)
        try:
            await self._log.absorb(self._id, before, batch.after, batch.entries)
        except PositionMoved:
            return False
        self._settle(batch.after)
        return True

    def _settle(self, position: Position) -> None:
        """Take `position` as confirmed, and with it the batch that ended there."""
        self._position = position
        if position in self._unconfirmed:
            self._journal.stored(self._unconfirmed[position])
            self._unconfirmed.clear()

    async def _set_aside(self, batch: Batch) -> None:
        first = batch.bad[0].position
        logger.error(
            "The journal %s has %d lines that are no entries, the first at byte %d of segment %d; "
            "they are set aside in a .bad file beside it.",
            self._id, len(batch.bad), first.offset, first.segment,
        )  # fmt: skip
        await in_thread(set_aside, self._journal.directory, batch.bad)


async def in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run what blocks in a thread; the disk's errors become StoreUnavailable."""
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:
        raise StoreUnavailable("journal", error.strerror or str(error)) from error
