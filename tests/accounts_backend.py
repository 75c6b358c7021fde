"""A backend that was not made for the gateway: it knows people by a cookie, and guards its forms with
another one, which scripts have to read and send in a header."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

from tests.echo_backend import Conversation, EchoBackend, simple
from tests.flow.doors import repeat_frames


@dataclass
class Accounts:
    """A backend that gives whoever has no session one, and tells them how often they came.

    `more` are `Set-Cookie` values that the next answers have beside that.
    """

    name: str
    backend: EchoBackend
    visits: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)

    async def behave(self, talk: Conversation) -> None:
        await talk.read_body()
        sent = [value.decode("latin-1") for value in talk.request.all(b"Cookie")]
        assert len(sent) < 2
        cookies = SimpleCookie(sent[0] if sent else "")
        sid = cookies["sid"].value if "sid" in cookies else ""
        line = talk.request.request_line
        said = [f"Set-Cookie: {each}" for each in self.more]
        if sid not in self.visits:
            sid = f"{self.name}-{secrets.token_hex(8)}"
            self.visits[sid], self.tokens[sid] = 0, secrets.token_hex(8)
            said.append(f"Set-Cookie: sid={sid}; Path=/; HttpOnly; Domain=internal.example")
            said.append(f"Set-Cookie: csrftoken={self.tokens[sid]}; Path=/")
        self.visits[sid] += 1
        if b"/live" in line:
            await repeat_frames(talk)
            return
        if line.startswith(b"POST"):
            told = [value.decode() for value in talk.request.all(b"X-CSRFToken")]
            submitted = cookies["csrftoken"].value if "csrftoken" in cookies else ""
            if told != [submitted] or told != [self.tokens[sid]]:
                await talk.send(simple(b"csrf", *said, status="403 Forbidden"))
                return
        said.append("Content-Type: text/html")
        await talk.send(simple(f"{sid} {self.visits[sid]}".encode(), *said))

    def cookie(self) -> str | None:
        """The `Cookie` of the last request."""
        value = self.backend.last.one(b"Cookie")
        return None if value is None else value.decode("latin-1")


async def accounts(name: str) -> Accounts:
    """One that listens."""
    backend = await EchoBackend().start()
    made = Accounts(name, backend)
    backend.behave = made.behave
    return made
