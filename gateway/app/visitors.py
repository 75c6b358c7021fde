"""The visitors' side: everything between their listener and the backends."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from gateway.app.backends import open_backends
from gateway.app.background import Background
from gateway.app.foundation import Foundation
from gateway.app.handler import build_handler
from gateway.app.journal import open_journal
from gateway.branding.shelf import LogoShelf
from gateway.listener import Listener, open_sockets
from gateway.steps.exchanges import Exchanges
from gateway.worker import LEARN_EVERY, Job


class Visitors:
    """Lets visitors in, until `stack` is left. Raises CannotStart if there can be no journal."""

    def __init__(self, foundation: Foundation, stack: AsyncExitStack) -> None:
        self._settings = foundation.settings
        self._stack = stack
        self._cache = foundation.stores.cache
        self._logos = LogoShelf(foundation.stores.logos)
        self.journal = open_journal(foundation, stack)
        backends = open_backends(foundation, stack)
        self._exchanges = Exchanges(self._cache.by_id, time.time)
        self._answer = build_handler(
            foundation, self.journal.writer, backends, self._exchanges, self._logos
        )

    def start(self, background: Background) -> list[Job]:
        """Start what runs behind the listener; the jobs that go with it."""
        self._cache.on_invalidated.append(self._exchanges.reconsider)
        self._cache.on_forgotten.append(self._exchanges.reconsider_all)
        background.run(self._cache.run())
        background.run(self._exchanges.run())
        learning = Job("The look for logos", self._logos.refresh, LEARN_EVERY)
        return [*self.journal.jobs(), learning]

    async def listen(self) -> Listener:
        """Let visitors in. Raises ListenError."""
        settings = self._settings
        listener = Listener(self._answer, self._answer.refuse_bytes, settings.limits)
        self._stack.push_async_callback(listener.close, settings.drain.timeout)
        await listener.start(await open_sockets(settings.listen))
        return listener
