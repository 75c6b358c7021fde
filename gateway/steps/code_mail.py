"""Codes on their way: sent in the background, so that no answer's time tells who gets one."""

from __future__ import annotations

import asyncio
import logging

from gateway.errors import MailUnavailable
from gateway.links.model import Link
from gateway.notify.mail import Mailer
from gateway.visitor.codes import CODE_LIFE

log = logging.getLogger(__name__)

# Mails that may be on their way at once. The throttles let far fewer through for one link.
MAX_ON_THE_WAY = 1000


class CodeMail:
    """Sends codes by mail without making anybody wait."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._on_the_way: set[asyncio.Task[None]] = set()

    def can_send(self) -> bool:
        """Whether there is a way to send, and room for one more."""
        return self._mailer.can_send() and len(self._on_the_way) < MAX_ON_THE_WAY

    def send(self, to: str, code: str, link: Link) -> None:
        """Send `code` to `to`, soon."""
        task = asyncio.get_running_loop().create_task(self._send(to, code, link))
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)

    async def _send(self, to: str, code: str, link: Link) -> None:
        try:
            await self._mailer.send_code(to, code, link, minutes=int(CODE_LIFE // 60))
        except MailUnavailable as error:
            log.warning("a code for link %s was not sent: %s", link.id, error)

    async def finish(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the mails on their way, then give up on the rest."""
        if self._on_the_way:
            await asyncio.wait(self._on_the_way, timeout=timeout)
        for task in self._on_the_way:
            task.cancel()
