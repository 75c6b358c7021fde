"""What a link's owner may want to be told of: written beside the access log, where it is safe."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection

from gateway.errors import StoreUnavailable
from gateway.journal.writer import JournalWriter
from gateway.links.model import EventKind, Link
from gateway.metrics import Metrics
from gateway.notify.webhooks import webhooks_of
from gateway.steps.record import Record
from gateway.steps.visit import Visit
from gateway.store.entry import Event

log = logging.getLogger(__name__)

# The actions of routes that are told of, and as what.
_KINDS = {"comment": EventKind.COMMENT, "upload": EventKind.FILE_UPLOAD}
_REMEMBERED = 4096


class Events:
    """Writes an event where somebody wants to be told of it, and costs nothing anywhere else.

    `webhooks` are the names of the configured ones. What nobody is taken to look at is told to
    nobody, either.
    """

    def __init__(
        self,
        journal: JournalWriter,
        record: Record,
        metrics: Metrics,
        webhooks: Collection[str] = (),
    ) -> None:
        self._journal = journal
        self._record = record
        self._metrics = metrics
        self._webhooks = webhooks
        # The newest sessions that were told of: a page that was asked for ahead and is shown asks
        # for its parts all at once, each with a session that nobody was taken to have looked at.
        self._opened: OrderedDict[str, None] = OrderedDict()

    def on_done(self, visit: Visit) -> Callable[[], None] | None:
        """What to call when the backend has done what it was asked; None if nobody wants to know."""
        match = visit.match
        assert match is not None
        kind = _KINDS.get(match.route.action)
        if kind is None or not self._is_wanted(visit, kind):
            return None
        return lambda: self._write(visit, kind)

    def opened(self, visit: Visit) -> None:
        """A session was opened, or is looked at for the first time; several requests may say so."""
        session = visit.session
        assert session is not None
        if session.id in self._opened or not self._is_wanted(visit, EventKind.ACCESS):
            return
        self._opened[session.id] = None
        if len(self._opened) > _REMEMBERED:
            self._opened.popitem(last=False)
        self._write(visit, EventKind.ACCESS)

    def _is_wanted(self, visit: Visit, kind: EventKind) -> bool:
        link, scope = visit.link, visit.scope
        assert link is not None
        return link.notifications.wants(kind) and self._has_recipient(link) and not scope.is_unseen

    def _has_recipient(self, link: Link) -> bool:
        return bool(link.notifications.recipients or webhooks_of(link.namespaces, self._webhooks))

    def _write(self, visit: Visit, kind: EventKind) -> None:
        """Write it. A journal that refuses is no reason to deny what the backend has done."""
        link, scope = visit.link, visit.scope
        assert link is not None
        event = Event(
            link_id=link.id,
            at=scope.now,
            kind=kind,
            address=self._record.address(visit),
            email=self._record.email(visit),
            request_id=scope.request_id,
        )
        try:
            self._journal.append(event)
        except StoreUnavailable as error:
            self._metrics.store_errors_total.labels(error.store).inc()
            log.warning("request %s: nobody will be told: %s", scope.request_id, error)
