"""Hands letters to the mail server, or to whoever reads them in its place."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from email import message_from_string, policy
from email.headerregistry import Address
from email.message import EmailMessage

from gateway.errors import MailUnavailable
from gateway.notify.letter import Letter, parse_address
from gateway.notify.server import MailServer
from gateway.notify.smtp import SmtpConnection

_DEMO_SENDER = "portal@localhost"
# MAIL, RCPT, DATA and the content (RFC 5321 section 3.3).
_COMMANDS = 4
_SHOWN = ("From", "To", "Subject", "Date")


class Mailer:
    """Sends letters through `smtp_url`, from `mail_from`.

    Without an `smtp_url`, letters go to `printer` (the demo's way to show them); without that,
    every letter is refused. A connection takes an answer within `timeout` seconds and a whole
    letter within `patience`: a server that checks mails while it takes them is slow, and to give
    up on it too soon means to send twice. `tls` replaces the system's certificate authorities.
    Raises ValueError for settings that cannot be used.
    """

    def __init__(
        self,
        smtp_url: str | None,
        mail_from: str | None,
        *,
        printer: Callable[[str], None] | None = None,
        timeout: float = 10.0,
        patience: float = 60.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if smtp_url is not None and mail_from is None:
            raise ValueError("a mail server needs a sender: set mail_from")
        self._server = MailServer.parse(smtp_url) if smtp_url is not None else None
        self.sender: Address = parse_address(mail_from or _DEMO_SENDER)
        self._printer = printer
        self._timeout = timeout
        self._patience = patience
        self._tls = tls
        self._idle: list[SmtpConnection] = []

    def can_send(self) -> bool:
        """Whether there is any way for a mail to go."""
        return self._server is not None or self._printer is not None

    @property
    def longest(self) -> float:
        """Seconds after which `send` has returned or raised."""
        return self._timeout + self._patience

    async def send(self, letter: Letter) -> None:
        """Hand `letter` over; return once the server has taken it.

        With a withheld one, as much is said to the server, and nothing of the letter: what is done
        for the next visitor shall not wait for a shorter time either. Raises MailRefused if the
        server will never take it, MailUnavailable if it does not now; neither text holds an
        address or what the letter says.
        """
        if self._server is None:
            self._print(letter)
            return
        connection = await self._connection(self._server)
        try:
            if letter.withheld:
                await connection.ask(self._patience, _COMMANDS)
            else:
                await connection.send(letter, self._patience)
        finally:
            if connection.is_open:
                self._idle.append(connection)

    async def rest(self) -> None:
        """Say goodbye to the server; the next letter greets it anew."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.close() for connection in idle))

    async def check(self) -> None:
        """Connect, log in and say NOOP. Raises MailUnavailable, which says what failed."""
        if self._server is None:
            if self._printer is None:
                raise MailUnavailable("no mail server is configured (smtp_url)")
            return
        connection = await self._connection(self._server)
        try:
            await connection.ask(self._timeout)
        finally:
            await connection.close()

    async def _connection(self, server: MailServer) -> SmtpConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return await SmtpConnection.open(
            server, name=self.sender.domain, timeout=self._timeout, tls=self._tls
        )

    def _print(self, letter: Letter) -> None:
        if self._printer is None:
            raise MailUnavailable("no mail server is configured (smtp_url)")
        text = readable(letter.message)
        if not letter.withheld:
            self._printer(text)


def readable(message: str) -> str:
    """A message as a person reads it: whom it is from and to, what about, and its text."""
    message = message.replace("\r\n", "\n")
    parsed = message_from_string(message, EmailMessage, policy=policy.default)
    text = parsed.get_body(("plain",))
    head = "".join(f"{name}: {parsed[name]}\n" for name in _SHOWN)
    return f"{head}\n{text.get_content() if text is not None else ''}"
