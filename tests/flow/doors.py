"""What the tests of the visitors' side share: links, the gates' addresses, and living answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientWebSocketResponse

from tests.echo_backend import Conversation
from tests.portal import Answer, Portal, Visitor

Link = dict[str, Any]

PASSWORD = "correct horse"
ROUTES = (
    {
        "methods": ["GET"],
        "path": "/workorders/{workorder}",
        "permission": "can_view_details",
        "action": "view",
    },
    {
        "methods": ["GET"],
        "path": "/workorders/{workorder}/history",
        "permission": "can_view_history",
        "action": "history",
    },
    {
        "methods": ["GET"],
        "path": "/workorders/{workorder}/files/**",
        "permission": "can_view_details",
        "action": "download",
    },
    {
        "methods": ["GET"],
        "path": "/workorders/{workorder}/live",
        "permission": "can_view_details",
        "action": "view",
        "websocket": True,
    },
    {
        "methods": ["POST"],
        "path": "/workorders/{workorder}/comments",
        "permission": "can_add_comments",
        "action": "comment",
    },
)
"""Rows with something that lasts: a WebSocket at `live`, files and event streams below `files`."""


def path(link: Link, below: str = "") -> str:
    """The portal URL's path, or one below it."""
    return f"/workorder/{link['link_token']}{below}"


def gate(link: Link, name: str) -> str:
    """The path that a gate's form posts to."""
    return path(link, f"/-/{name}")


def session_name(link: Link, prefix: str = "") -> str:
    """The name of the session cookie."""
    return f"{prefix}portal_{link['_id']}"


def restricted(**restrictions: Any) -> dict[str, Any]:
    """The fields of a link with these access restrictions."""
    return {"access_restrictions": restrictions}


async def admitted(portal: Portal, link: Link, **headers: str) -> Visitor:
    """Somebody with a session on a link without gates."""
    visitor = portal.visitor(**headers)
    answer = await visitor.get(path(link), navigate=True)
    assert answer.status == 303, answer
    return visitor


async def ask_code(
    portal: Portal, visitor: Visitor, link: Link, address: str = "ann@example.com"
) -> str:
    """Ask for a code, and read it in the mail."""
    await portal.delivered()
    count = len(portal.mails)
    answer = await visitor.post(gate(link, "email"), {"email": address})
    assert answer.status == 401, answer
    await portal.delivered()
    assert len(portal.mails) == count + 1
    return code_in(portal.mails[-1])


def code_in(mail: str) -> str:
    """The code that a mail brings."""
    return mail.partition("Your code is ")[2][:6]


def reasons(answers: list[Answer]) -> dict[str, int]:
    """How often each reason was answered; "ok" where there was none."""
    found: dict[str, int] = {}
    for answer in answers:
        word = answer.reason or "ok"
        found[word] = found.get(word, 0) + 1
    return found


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until `condition` holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def socket(
    portal: Portal, visitor: Visitor, target: str, **headers: str
) -> AsyncIterator[ClientWebSocketResponse]:
    """A visitor's WebSocket on `target`."""
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    async with portal.http.ws_connect(
        portal.origin + target,
        headers={"Origin": portal.origin, "Cookie": cookies, **visitor.headers, **headers},
    ) as opened:
        yield opened


# How a backend answers with something that lasts.


async def repeat_frames(talk: Conversation) -> None:
    """Accept a WebSocket (RFC 6455 section 4.2.2), and send each short frame back."""
    key = talk.request.one(b"Sec-WebSocket-Key")
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    await talk.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    talk.close()
    while True:
        head = await talk.reader.readexactly(2)
        length = head[1] & 0x7F
        assert length < 126, "only short frames are told here"
        mask = await talk.reader.readexactly(4)
        data = await talk.reader.readexactly(length)
        plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        await talk.send(bytes([head[0], length]) + plain)


async def event_stream(talk: Conversation) -> None:
    """Send one event, and then nothing until the gateway hangs up."""
    await talk.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"9\r\ndata: 1\n\n\r\n"
    )
    await talk.wait_closed()
    talk.close()


async def endless_download(talk: Conversation) -> None:
    """Send a file that does not end, as fast as it is taken."""
    talk.close()
    await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await talk.send(b"1000\r\n" + bytes(0x1000) + b"\r\n")
