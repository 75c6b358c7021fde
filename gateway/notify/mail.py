"""Hands mails to the mail server. The one place where aiosmtplib is called."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage

import aiosmtplib

from gateway.errors import MailUnavailable
from gateway.links.model import Link
from gateway.notify.messages import code_message, parse_address
from gateway.notify.server import MailServer

_DEMO_SENDER = "portal@localhost"
_GOODBYE = 1.0  # seconds


class Mailer:
    """Sends mails through `smtp_url`, from `mail_from`.

    Without an `smtp_url`, mails go to `printer` (the demo's way to show them); without that,
    every mail is refused. `timeout` bounds a whole delivery, in seconds. `tls` replaces the
    system's certificate authorities. Raises ValueError for settings that cannot be used.
    """

    def __init__(
        self,
        smtp_url: str | None,
        mail_from: str | None,
        *,
        printer: Callable[[str], None] | None = None,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if smtp_url is not None and mail_from is None:
            raise ValueError("a mail server needs a sender: set mail_from")
        self._server = MailServer.parse(smtp_url) if smtp_url is not None else None
        self._sender = parse_address(mail_from or _DEMO_SENDER)
        self._printer = printer
        self._timeout = timeout
        self._tls = tls
        self._now = now

    def can_send(self) -> bool:
        """Whether there is any way for a mail to go."""
        return self._server is not None or self._printer is not None

    async def send_code(self, to: str, code: str, link: Link, minutes: int) -> None:
        """Mail `code`, valid for `minutes`, to the one address `to`.

        Returns once the server has taken the mail over. Raises MailUnavailable, whose text
        holds neither the address nor the code.
        """
        try:
            recipient = parse_address(to)
        except ValueError as error:
            raise MailUnavailable(str(error)) from None
        await self._deliver(
            code_message(self._sender, recipient, code, link, minutes, self._now()), recipient
        )

    async def check(self) -> None:
        """Connect, log in and say NOOP. Raises MailUnavailable, which says what failed."""
        if self._server is None:
            if self._printer is None:
                raise MailUnavailable("no mail server is configured (smtp_url)")
            return
        async with self._connect(self._server) as client:
            await client.noop()

    async def _deliver(self, message: EmailMessage, recipient: Address) -> None:
        if self._server is not None:
            async with self._connect(self._server) as client:
                await client.send_message(
                    message, sender=self._sender.addr_spec, recipients=[recipient.addr_spec]
                )
        elif self._printer is not None:
            self._printer(message.as_string())
        else:
            raise MailUnavailable("no mail server is configured (smtp_url)")

    @asynccontextmanager
    async def _connect(self, server: MailServer) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection that is logged in; what fails inside becomes MailUnavailable."""
        client = aiosmtplib.SMTP(
            **server.connection(self._tls),
            # Asking the system for its full name may hang for as long as its resolver.
            local_hostname=self._sender.domain,
            timeout=self._timeout,
        )
        try:
            async with asyncio.timeout(self._timeout):
                await client.connect()
                yield client
                # What was taken over is sent, whatever becomes of the goodbye.
                with suppress(aiosmtplib.SMTPException):
                    await client.quit(timeout=_GOODBYE)
        except (aiosmtplib.SMTPException, OSError) as error:
            # Without "from error": a server's own words may quote the address or the login.
            raise MailUnavailable(_cause(error)) from None
        finally:
            client.close()


def _cause(error: Exception) -> str:
    """What failed, in words that are ours, with the server's status code where there is one."""
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return f"the mail server refused the login ({error.code})"
        case aiosmtplib.SMTPRecipientsRefused():
            codes = ", ".join(str(refused.code) for refused in error.recipients)
            return f"the mail server refused the recipient ({codes})"
        case aiosmtplib.SMTPResponseException():
            return f"the mail server refused ({error.code})"
        case TimeoutError():
            return "the mail server took too long"
        case aiosmtplib.SMTPServerDisconnected():
            return "the mail server hung up"
        case _ if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
            return "the mail server's TLS cannot be trusted"
        case OSError():
            return "the mail server cannot be reached"
        case _:
            return "the mail server does not offer what is needed: STARTTLS, or a way to log in"
