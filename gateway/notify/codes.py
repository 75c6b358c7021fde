"""Codes, into the outbox: written down before anybody is told to look for them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from email.headerregistry import Address

from gateway.languages import Language
from gateway.links.model import Link
from gateway.notify.letter import Letter, compose, new_message_id, parse_address
from gateway.notify.texts import code_content
from gateway.store.outbox import MailKind, OutboxStore, OutgoingMail


class CodeMail:
    """Writes codes, from `sender`, into the outbox; `life` is that of a code, in seconds.

    Without a way to send, `enabled` is false.
    """

    def __init__(
        self,
        outbox: OutboxStore,
        sender: Address,
        *,
        life: float,
        enabled: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._life = life
        self._enabled = enabled
        self._now = now

    def can_send(self) -> bool:
        """Whether there is any way for a mail to go."""
        return self._enabled

    async def send(
        self, link: Link, code: str, *, to: str, browser: str, language: Language, withheld: bool
    ) -> None:
        """Write down the mail that brings `code` to `to`; return once it is on disk.

        A `withheld` one is written just the same, in the same time, and then not sent. An older
        code of the same browser, which is dead now, is not sent any more. Raises
        StoreUnavailable("database").
        """
        now, message_id = self._now(), new_message_id(self._sender)
        content = code_content(code, round(self._life / 60), link, language)
        message = compose(self._sender, parse_address(to), content, message_id=message_id, now=now)
        letter = Letter(self._sender.addr_spec, to, message, withheld)
        await self._outbox.put(
            OutgoingMail(
                kind=MailKind.CODE,
                link_id=link.id,
                message_id=message_id,
                body=letter.to_body(),
                created_at=now,
                expires_at=now + self._life,
                topic=_topic(link, browser),
            )
        )

    async def withdraw(self, link: Link, browser: str) -> None:
        """Take the code of this browser out of the outbox, if it has not left yet: it is dead.

        Raises StoreUnavailable("database").
        """
        await self._outbox.forget(_topic(link, browser))


def _topic(link: Link, browser: str) -> str:
    return f"{link.id}:{hashlib.sha256(browser.encode()).hexdigest()}"
