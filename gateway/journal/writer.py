"""Appends entries to this process's own journal."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from gateway.errors import StoreUnavailable
from gateway.journal.entry import Entry, Event, to_line
from gateway.journal.lock import LOCK_NAME, FileLock
from gateway.journal.segments import Batch, segment_path
from gateway.store.entry import Position

# Bytes. Large enough that a rotation is rare, small enough to be read and deleted quickly.
MAX_SEGMENT = 16 * 1024 * 1024
# Entries that are kept in memory for the drain, some 500 bytes each. While the database is away
# they become more, and the drain then reads the file.
MAX_RECENT = 10_000


def _uncounted() -> None:
    """The default for `counted`: nobody counts."""


class JournalWriter:
    """One process's journal, in a new directory below `root`.

    Not safe for several threads: `append` belongs to the event loop. `counted` is called for each
    entry; `written` is set with each, for the drain. `end` is where the last whole line ends.
    Raises OSError if the directory cannot be made.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_segment: int = MAX_SEGMENT,
        counted: Callable[[], object] = _uncounted,
    ) -> None:
        self.written = asyncio.Event()
        self.end = Position(0, 0)
        self._max_segment = max_segment
        self._counted = counted
        self._unsynced = asyncio.Event()
        self._pending = 0
        # The newest entries, each with the position after it; the first begins at `_recent_from`.
        self._recent: deque[tuple[Position, Entry | Event]] = deque()
        self._recent_from = self.end
        self._fd = -1
        self._is_whole = False
        self._is_closed = False
        self._retired: list[int] = []
        self.directory, self._lock = _new_directory(root)
        self._begin_segment()
        self._flush(self._take_unsynced())
        _sync_directory(root)

    @property
    def journal_id(self) -> str:
        """The journal's name, unlike that of any other journal on any machine."""
        return self.directory.name

    def pending(self) -> int:
        """How many entries the database does not hold yet."""
        return self._pending

    def stored(self, count: int) -> None:
        """Be told that the database holds `count` more entries."""
        self._pending -= count

    def recent(self, position: Position, limit: int) -> Batch | None:
        """The first entries from `position` on, at most `limit`, from memory.

        None if they are only in the file. What stands before `position` is forgotten.
        """
        recent = self._recent
        while recent and recent[0][0] <= position:
            self._recent_from = recent.popleft()[0]
        if self._recent_from != position:
            return None
        taken = list(islice(recent, limit))
        after = taken[-1][0] if taken else position
        entries = [entry for _, entry in taken]
        return Batch(after, entries, is_last=len(taken) == len(recent))

    def append(self, entry: Entry | Event) -> None:
        """Write one entry or event; when this returns, the entry survives the death of the process.

        Raises StoreUnavailable: no part of the entry was written, and the caller must not go on
        with what the entry tells of.
        """
        line = to_line(entry)
        try:
            if not self._is_whole:
                self._mend()
            if os.write(self._fd, line) != len(line):
                raise OSError("no room for a whole line")
        except OSError as error:
            self._take_back()
            raise StoreUnavailable("journal", error.strerror or str(error)) from error
        self.end = end = Position(self.end.segment, self.end.offset + len(line))
        self._recent.append((end, entry))
        if len(self._recent) > MAX_RECENT:
            self._recent_from = self._recent.popleft()[0]
        self._pending += 1
        self._counted()
        self.written.set()
        self._unsynced.set()
        if end.offset >= self._max_segment:
            # The entry is safe. A disk without room for another file may have some for lines.
            with suppress(OSError):
                self._begin_segment()

    def _take_back(self) -> None:
        """After a failed write, remove what came of it: now, or with the next append."""
        self._is_whole = False
        with suppress(OSError):
            self._mend()

    def _mend(self) -> None:
        """Make the journal's end a whole line again; if the file refuses, by a new one."""
        if self._is_closed:
            raise OSError("the journal is closed")
        try:
            os.ftruncate(self._fd, self.end.offset)
        except OSError:
            self._begin_segment()
        self._is_whole = True

    def _begin_segment(self) -> None:
        number = self.end.segment + 1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(segment_path(self.directory, number), flags, 0o600)
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd, self._is_whole = fd, True
        self.end = Position(number, 0)
        self._unsynced.set()

    async def sync(self) -> None:
        """Wait until something was written, and get it onto the disk, off the loop.

        Raises StoreUnavailable if the disk refuses. The kernel may then have dropped what was
        written and would not say so again, so nothing more goes into that file.
        """
        await self._unsynced.wait()
        files = self._take_unsynced()
        try:
            await asyncio.to_thread(self._flush, files)
        except OSError as error:
            self._unsynced.set()
            self._give_up()
            raise StoreUnavailable("journal", error.strerror or str(error)) from error

    def _take_unsynced(self) -> list[int]:
        """The files to flush, for `_flush` to close: the live one as a duplicate."""
        self._unsynced.clear()
        files, self._retired = self._retired, []
        with suppress(OSError):  # append notices a broken descriptor by itself
            files.append(os.dup(self._fd))
        return files

    def _flush(self, files: list[int]) -> None:
        try:
            for fd in files:
                os.fdatasync(fd)
        finally:
            for fd in files:
                os.close(fd)
        _sync_directory(self.directory)

    def _give_up(self) -> None:
        """Leave the live file as it is; the next entry begins another."""
        with suppress(OSError):
            os.close(self._fd)
        self._fd, self._is_whole = -1, False

    def close(self) -> None:
        """Flush, and let go of the directory; it is there for others to adopt. Blocks shortly."""
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(OSError):
            self._flush(self._take_unsynced())
        self._give_up()
        self._lock.release()


def _new_directory(root: Path) -> tuple[Path, FileLock]:
    """A directory below `root` that was locked before it had a name that others look for."""
    root.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    lock = FileLock(hidden / LOCK_NAME)
    directory = root / secrets.token_hex(12)
    hidden.rename(directory)
    return directory, lock


def _sync_directory(directory: Path) -> None:
    """Get the names in `directory` onto the disk: a file is lost with its name."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
