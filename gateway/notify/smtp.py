"""A connection to the mail server. The one place where aiosmtplib is called."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import aiosmtplib

from gateway.errors import MailRefused, MailUnavailable
from gateway.notify.letter import Letter
from gateway.notify.server import MailServer

_GOODBYE = 1.0  # seconds


class SmtpConnection:
    """A connection that is logged in, for one mail after the other."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client

    @classmethod
    async def open(
        cls, server: MailServer, *, name: str, timeout: float, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Connect within `timeout` seconds, introduce this machine as `name`, and log in.

        `tls` replaces the system's certificate authorities. Raises MailUnavailable.
        """
        client = aiosmtplib.SMTP(
            **server.connection(tls),
            # Asking the system for its full name may hang for as long as its resolver.
            local_hostname=name,
            timeout=timeout,
        )
        connection = cls(client)
        async with connection._translated(timeout):
            await client.connect()
        return connection

    @property
    def is_open(self) -> bool:
        """Whether the server has not hung up, as far as is known."""
        return self._client.is_connected

    async def send(self, letter: Letter, timeout: float) -> None:
        """Hand one letter over; return once the server has taken it.

        Raises MailRefused, after which the connection is as good as before, or MailUnavailable,
        after which it may be gone.
        """
        async with self._translated(timeout):
            try:
                await self._client.sendmail(
                    letter.sender, [letter.recipient], letter.message, timeout=timeout
                )
            except aiosmtplib.SMTPSenderRefused:
                # Not for what it says, but for who says it, or how: 530 asks for a login.
                raise
            except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as error:
                if all(500 <= code < 600 for code in _codes(error)):
                    raise MailRefused(_cause(error)) from None
                raise
            except ValueError:
                raise MailRefused("the address cannot be written to a mail server") from None

    async def ask(self, timeout: float, times: int = 1) -> None:
        """Return once the server has answered so many times. Raises MailUnavailable."""
        async with self._translated(timeout):
            for _ in range(times):
                await self._client.noop()

    async def close(self) -> None:
        """Say goodbye, without waiting for long."""
        # What was taken over is sent, whatever becomes of the goodbye.
        with suppress(aiosmtplib.SMTPException, OSError):
            await self._client.quit(timeout=_GOODBYE)
        self._client.close()

    @asynccontextmanager
    async def _translated(self, timeout: float) -> AsyncIterator[None]:
        """Bound what is inside to `timeout` seconds; what fails there becomes MailUnavailable."""
        try:
            async with asyncio.timeout(timeout):
                yield
        except MailRefused:
            raise
        except (aiosmtplib.SMTPException, OSError) as error:
            if not isinstance(error, aiosmtplib.SMTPResponseException):
                self._client.close()
            # Without "from error": a server's own words may quote the address or the login.
            raise MailUnavailable(_cause(error)) from None
        except BaseException:
            # Cancelled in mid-sentence: nothing that is said after it would be understood.
            self._client.close()
            raise


def _codes(error: aiosmtplib.SMTPException) -> list[int]:
    match error:
        case aiosmtplib.SMTPRecipientsRefused():
            return [refused.code for refused in error.recipients]
        case aiosmtplib.SMTPResponseException():
            return [error.code]
        case _:
            return []


def _cause(error: Exception) -> str:
    """What failed, in words that are ours, with the server's status code where there is one."""
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return f"the mail server refused the login ({error.code})"
        case aiosmtplib.SMTPSenderRefused():
            return f"the mail server takes no mail from here ({error.code})"
        case aiosmtplib.SMTPRecipientsRefused():
            codes = ", ".join(map(str, _codes(error)))
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
