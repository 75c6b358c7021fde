"""A real mail server (aiosmtpd) on a free port, which keeps what it is given.

async with running_smtp_server() as server:
    ...  # smtp_url = server.url
    mail = await server.next_mail()
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class ReceivedMail:
    """One mail: its envelope, its content, and how it came in."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    over_tls: bool
    user: str | None
    greeting: str

    @property
    def code(self) -> str:
        """The code that the subject ends with."""
        found = re.search(r"(\d{6})$", self.message["Subject"])
        assert found is not None
        return found[1]


@dataclass
class SmtpServer:
    """The running server, and aiosmtpd's handler of its events."""

    user: str | None = None
    password: str | None = None
    refused_recipient: str | None = None
    port: int = 0
    mails: list[ReceivedMail] = field(default_factory=list)
    login_tries: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """The `smtp_url` for a client without a login."""
        return f"smtp://127.0.0.1:{self.port}"

    async def next_mail(self, deadline: float = 5.0) -> ReceivedMail:
        """The oldest mail not taken yet; waits for one, at most `deadline` seconds."""
        async with asyncio.timeout(deadline), self.arrived:
            await self.arrived.wait_for(lambda: bool(self.mails))
            return self.mails.pop(0)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self.refused_recipient:
            return f"550 5.1.1 <{address}> does not live here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        assert envelope.mail_from is not None
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        async with self.arrived:
            self.mails.append(
                ReceivedMail(
                    envelope.mail_from,
                    list(envelope.rcpt_tos),
                    message,
                    session.ssl is not None,
                    session.auth_data.login.decode() if session.auth_data else None,
                    session.host_name or "",
                )
            )
            self.arrived.notify_all()
        return "250 taken"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any
    ) -> AuthResult:
        self.login_tries += 1
        assert isinstance(login, LoginPassword)
        right = login.login.decode() == self.user and login.password.decode() == self.password
        return AuthResult(success=right, handled=False, auth_data=login if right else None)


@asynccontextmanager
async def running_smtp_server(
    *,
    login: tuple[str, str] | None = None,
    starttls: ssl.SSLContext | None = None,
    implicit_tls: ssl.SSLContext | None = None,
    refused_recipient: str | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[SmtpServer]:
    """Serve until the block ends. `login` is the user and password that AUTH takes."""
    user, password = login or (None, None)
    server = SmtpServer(user, password, refused_recipient)
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def session() -> SMTP:
        sessions.append(
            SMTP(
                server,
                hostname="mail.example",
                tls_context=starttls,
                authenticator=server.authenticate if login else None,
                auth_require_tls=False,
                loop=loop,
            )
        )
        return sessions[-1]

    listener = await loop.create_server(session, host, 0, ssl=implicit_tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for each in sessions:
            if each.transport is not None:
                each.transport.close()
        await listener.wait_closed()
