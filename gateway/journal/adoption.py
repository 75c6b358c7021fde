"""Drains what dead processes left behind: after a crash, a restart, or the end of a worker."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from gateway.errors import StoreUnavailable
from gateway.journal.drain import Drain, in_thread
from gateway.journal.lock import LOCK_NAME, FileLock, LockHeld
from gateway.journal.segments import Batch, count_lines
from gateway.store.access_log import AccessLogStore
from gateway.store.entry import Position

logger = logging.getLogger(__name__)

# As the writer names them; what else stands there (a new journal, `lost+found`) is not for us.
_JOURNAL_ID = re.compile(r"[0-9a-f]{24}")


class Leftover:
    """A journal whose writer is dead: the whole of it is there to be drained."""

    end: Position | None = None

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pending = count_lines(directory)

    def recent(self, position: Position, limit: int) -> Batch | None:
        """Nothing: who wrote it took its memory along."""

    def stored(self, count: int) -> None:
        """Be told that the database holds `count` more entries."""
        self.pending -= count


class Adoption:
    """Looks below `root` for journals whose lock is free, and ends them.

    Any process may do so, and several at once: each journal is ended by the one that locks it.
    """

    def __init__(self, root: Path, log: AccessLogStore) -> None:
        self._root = root
        self._log = log
        self._current: Leftover | None = None

    def pending(self) -> int:
        """How many lines the journal that is being drained has left; no less than are to store."""
        return self._current.pending if self._current is not None else 0

    async def sweep(self) -> None:
        """Drain and remove each journal that nobody holds.

        Raises StoreUnavailable: at once for the database, and at the end for a journal that
        cannot be read or removed, for the others do not have to wait for it.
        """
        fault: StoreUnavailable | None = None
        for directory in await in_thread(_journals, self._root):
            try:
                await self._adopt(directory)
            except OSError as error:
                fault = StoreUnavailable("journal", error.strerror or str(error))
            except StoreUnavailable as error:
                if error.store != "journal":
                    raise
                fault = error
        if fault is not None:
            raise fault

    async def _adopt(self, directory: Path) -> None:
        try:
            lock = FileLock(directory / LOCK_NAME)
        except (LockHeld, FileNotFoundError, NotADirectoryError):
            return  # alive, or ended by somebody else since we looked
        with lock:
            self._current = await in_thread(Leftover, directory)
            if self._current.pending:
                logger.info(
                    "The journal %s was left with up to %d entries to store.",
                    directory.name, self._current.pending,
                )  # fmt: skip
            await Drain(self._current, self._log).drain_all()
            # In this order: as long as the directory is there, this can be done again.
            await self._log.forget(directory.name)
            await in_thread(_remove, directory)
            self._current = None


def _journals(root: Path) -> list[Path]:
    return sorted(root / name for name in os.listdir(root) if _JOURNAL_ID.fullmatch(name))


def _remove(directory: Path) -> None:
    """Remove an empty journal. Raises OSError if somebody put something else there."""
    (directory / LOCK_NAME).unlink()
    directory.rmdir()
