"""What one entry in the access journal costs: from the entry to the kernel's having it."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from gateway.journal.writer import JournalWriter
from gateway.store.entry import Entry
from tests.bench.processes import pinned

ENTRIES = 50_000
BATCHES = 5

_ENTRY = Entry(
    link_id="65f1c0a2b3d4e5f60718293a",
    at=1_767_225_600.123456,
    address="203.0.113.7",
    user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    action="view",
    reason="ok",
    visitor="pL3n0vZ1m8q0aWcYkQ5x7g",
    email=None,
    bot=False,
    request_id="0123456789abcdef",
    is_view=True,
    is_access=True,
)


def microseconds_per_append(folder: Path, *, core: int, entries: int = ENTRIES) -> float:
    """The median of some batches. The flush to the disk happens off the loop, and is not in it."""
    journal = JournalWriter(folder / "journal")
    costs = []
    with pinned(core):
        for _ in range(BATCHES):
            started = time.perf_counter()
            for _ in range(entries):
                journal.append(_ENTRY)
            costs.append((time.perf_counter() - started) / entries * 1e6)
    journal.close()
    return median(costs)
