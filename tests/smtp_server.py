"""A real mail server (aiosmtpd) on a free port, which keeps what it is given.

async with running_smtp_server() as server:
    ...  # smtp_url = server.url
    mail = await server.next_mail()
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class ReceivedMail:
    """One mail: its envelope, its content, and how it came in."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    content: bytes
    over_tls: bool
    user: str | None
    greeting: str

    @property
    def text(self) -> str:
        """What a reader of plain text sees."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """What most others see."""
        return self._part("html")

    def _part(self, kind: Literal["plain", "html"]) -> str:
        part = self.message.get_body((kind,))
        assert part is not None
        content: str = part.get_content()
        return content.replace("\r\n", "\n")

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
    # What a recipient is answered, where that is not "250 OK".
    answers: dict[str, str] = field(default_factory=dict)
    # What the next mails are answered once they are here; None hangs up in place of an answer.
    data_answers: list[str | None] = field(default_factory=list)
    # A mail to one of these is answered when its event is set.
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    # Called with each mail when it is here, and before it is answered.
    on_mail: Callable[[ReceivedMail], None] = lambda mail: None
    port: int = 0
    mails: list[ReceivedMail] = field(default_factory=list)
    connections: int = 0
    login_tries: int = 0
    commands: Counter[str] = field(default_factory=Counter)
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

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, name: str, answers: list[str]
    ) -> list[str]:
        self.commands["EHLO"] += 1
        session.host_name = name
        return answers

    async def handle_NOOP(self, server: SMTP, session: Session, envelope: Envelope, _: str) -> str:
        self.commands["NOOP"] += 1
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.commands["QUIT"] += 1
        return "221 bye"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        assert envelope.mail_from is not None
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        mail = ReceivedMail(
            envelope.mail_from,
            list(envelope.rcpt_tos),
            message,
            content,
            session.ssl is not None,
            session.auth_data.login.decode() if session.auth_data else None,
            session.host_name or "",
        )
        for recipient in self.held.keys() & set(mail.recipients):
            await self.held[recipient].wait()
        answer = self.data_answers.pop(0) if self.data_answers else "250 taken"
        if answer is None or answer.startswith("250"):
            self.on_mail(mail)
            async with self.arrived:
                self.mails.append(mail)
                self.arrived.notify_all()
        if answer is None:
            assert server.transport is not None
            server.transport.abort()
            return "421 gone"
        return answer

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
    is_strict: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[SmtpServer]:
    """Serve until the block ends, on `port` or a free one. `login` is the user and password that AUTH takes.

    A strict server takes no mail without STARTTLS and a login.
    """
    user, password = login or (None, None)
    server = SmtpServer(user, password)
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def session() -> SMTP:
        server.connections += 1
        sessions.append(
            SMTP(
                server,
                hostname="mail.example",
                tls_context=starttls,
                authenticator=server.authenticate if login else None,
                auth_require_tls=is_strict,
                auth_required=is_strict,
                require_starttls=is_strict,
                loop=loop,
            )
        )
        return sessions[-1]

    listener = await loop.create_server(session, host, port, ssl=implicit_tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for each in sessions:
            if each.transport is not None:
                each.transport.close()
        await listener.wait_closed()
