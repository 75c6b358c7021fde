"""Secrets that walk through a gateway, and everybody who might have picked one up on the way."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.portal import ADMIN_KEY, Answer, Portal, Visitor
from tests.redis_server import RedisServer

PASSWORD = "a-password-that-nobody-else-has"
WRONG_PASSWORD = "another-password-that-is-wrong"
SECRET_KEY = "the-secret-key-of-this-gateway-0123456789"


@dataclass
class Canaries:
    """What must not be found. `codes` are six digits, so they count only where they stand alone."""

    tokens: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    cookies: set[str] = field(default_factory=set)
    others: set[str] = field(
        default_factory=lambda: {PASSWORD, WRONG_PASSWORD, SECRET_KEY, ADMIN_KEY}
    )

    def found_in(self, data: bytes | str) -> list[str]:
        """Each canary in `data`, by its kind."""
        text = data if isinstance(data, str) else data.decode("latin-1")
        return [*self.tokens_in(text), *self._secrets_in(text)]

    def tokens_in(self, text: str) -> list[str]:
        """Each token in `text`: whole, without its prefix, and as hex digits."""
        bare = [token.removeprefix("wpl_") for token in self.tokens]
        return [f"token {t}" for t in bare if t in text or t.encode().hex() in text.lower()]

    def _secrets_in(self, text: str) -> Iterator[str]:
        yield from (f"secret {each}" for each in self.others | self.cookies if each in text)
        for code in self.codes:
            if re.search(rf"(?<![0-9A-Za-z._+/-]){code}(?![0-9A-Za-z._+/-])", text):
                yield f"code {code}"


@dataclass
class Watched(Visitor):
    """A visitor who keeps every answer."""

    seen: list[Answer] = field(default_factory=list)

    async def ask(self, method: str, url: str, *, navigate: bool = False, **more: Any) -> Answer:
        answer = await super().ask(method, url, navigate=navigate, **more)
        self.seen.append(answer)
        return answer


@dataclass
class Walk:
    """One gateway, its canaries, and all answers to all visitors."""

    portal: Portal
    canaries: Canaries = field(default_factory=Canaries)
    seen: list[Answer] = field(default_factory=list)

    def visitor(self, **headers: str) -> Watched:
        """Somebody new."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Watched(self.portal.http, self.portal.origin, names, seen=self.seen)

    async def link(self, **fields: Any) -> dict[str, Any]:
        """A new link, whose token is a canary."""
        link = await self.portal.link(**fields)
        self.canaries.tokens.add(link["link_token"])
        return link

    def keep_cookies(self, *visitors: Visitor) -> None:
        """What these visitors hold of the gateway's cookies is secret, too."""
        for visitor in visitors:
            self.canaries.cookies |= {
                value for name, value in visitor.cookies.items() if name.startswith("portal_")
            }

    def found_in_answers(self) -> list[str]:
        """Canaries in what visitors were answered, but for where they belong.

        A gate's form goes to the address that its visitor asked for, and a cookie is told to
        the browser that is to keep it.
        """
        found: list[str] = []
        for answer in self.seen:
            body = re.sub(rb'action="/workorder/wpl_\w+/-/[a-z]+"', b"", answer.body)
            found += self.canaries.found_in(body)
            for name, value in answer.headers.items():
                is_cookie = name.lower() == "set-cookie"
                canaries = self.canaries
                found += canaries.tokens_in(value) if is_cookie else canaries.found_in(value)
        return found

    def found_at_the_backend(self) -> list[str]:
        """Canaries in the bytes that the backend was sent."""
        return [
            found
            for request in self.portal.backend.requests
            for found in self.canaries.found_in(request.head + request.body)
        ]

    def found_on_disk(self, folder: Path) -> list[str]:
        """Canaries in every file below `folder`, its name included."""
        return [
            f"{path.name}: {found}"
            for path in folder.rglob("*")
            for found in self.canaries.found_in(
                str(path).encode() + (path.read_bytes() if path.is_file() else b"")
            )
        ]


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Every record of every logger, at DEBUG, with its traceback, and not redacted.

    But for the mail server's, which is the test's own.
    """
    lines: list[str] = []
    formatter = logging.Formatter()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != "mail.log":
                lines.append(f"{record.name}: {formatter.format(record)}")

    root, handler = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@asynccontextmanager
async def monitored(server: RedisServer) -> AsyncIterator[bytearray]:
    """Every command that Redis is sent meanwhile, as MONITOR tells it."""
    told = bytearray()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"

    async def listen() -> None:
        while data := await reader.read(65536):
            told.extend(data)

    listening = asyncio.create_task(listen())
    try:
        yield told
    finally:
        listening.cancel()
        writer.close()


def kept_in_redis(server: RedisServer) -> Iterator[bytes]:
    """Every key of a Redis, with its value as it is stored and as it is read."""
    reading = {"string": ("GET",), "hash": ("HGETALL",), "set": ("SMEMBERS",)}
    ranges = {"list": ("LRANGE", "0", "-1"), "zset": ("ZRANGE", "0", "-1", "WITHSCORES")}
    for line in server.command("KEYS", "*").split(b"\r\n")[2::2]:
        key = line.decode()
        kind = server.command("TYPE", key).decode().strip().removeprefix("+")
        command, *rest = (reading | ranges)[kind]
        yield line
        yield server.command("DUMP", key)
        yield server.command(command, key, *rest)
