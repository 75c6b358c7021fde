"""The journal of a process that serves visitors, and its way into the database."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.app.cannot_start import CannotStart
from gateway.app.foundation import Foundation
from gateway.errors import StoreUnavailable
from gateway.journal.adoption import Adoption
from gateway.journal.drain import Drain
from gateway.journal.writer import JournalWriter
from gateway.worker import Job, journal_jobs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """The process's own journal, what drains it, and what drains those of dead processes."""

    writer: JournalWriter
    drain: Drain
    adoption: Adoption

    def jobs(self) -> list[Job]:
        """What has to be done for it in the background."""
        return journal_jobs(self.writer, self.drain, self.adoption)

    def pending(self) -> int:
        """Entries that are in no database yet."""
        return self.writer.pending() + self.adoption.pending()

    async def close(self) -> None:
        """Store the last entries; if the database is down they wait on disk for the next start."""
        try:
            await self.drain.drain_all()
        except StoreUnavailable as error:
            log.warning("entries stay in the journal until the next start: %s", error)
        self.writer.close()


def open_journal(foundation: Foundation, stack: AsyncExitStack) -> OpenJournal:
    """Open a journal of its own for this process, until `stack` is left. Raises CannotStart."""
    metrics, access_log = foundation.metrics, foundation.stores.access_log
    root = foundation.settings.data_dir / "journal"
    try:
        writer = JournalWriter(root, counted=metrics.tally(metrics.journal_entries_total).inc)
    except OSError as error:
        raise CannotStart(f"data_dir: {root}: {error.strerror}") from None
    journal = OpenJournal(writer, Drain(writer, access_log), Adoption(root, access_log))
    stack.push_async_callback(journal.close)
    metrics.journal_pending_entries.set_function(journal.pending)
    return journal
