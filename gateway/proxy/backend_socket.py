"""A WebSocket to the backend: the handshake, and what is left when it has succeeded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from dataclasses import dataclass
from typing import cast

from aiohttp import ClientResponse, ClientWebSocketResponse, ClientWSTimeout
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WS_KEY, RawResponseMessage, WebSocketReader, WebSocketWriter

from gateway.proxy.answer_head import BadAnswer
from gateway.proxy.answers import said_cookies
from gateway.proxy.connection import READ_BUFFER, BackendConnection
from gateway.proxy.headers import Headers

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message, from either side; a longer one ends the socket with 1009."""
CLOSE_TIMEOUT = 1.0
"""Seconds that a side has to answer a close."""


@dataclass(frozen=True, slots=True)
class BackendSocket:
    """An open WebSocket; `protocol` is the subprotocol that the backend chose.

    `set_cookies` are the values of its handshake's `Set-Cookie`.
    """

    messages: ClientWebSocketResponse[bool]
    protocol: str | None
    connection: BackendConnection
    set_cookies: tuple[str, ...] = ()

    def close(self) -> None:
        """Be done with it; what was written still leaves."""
        self.connection.close()

    def abort(self) -> None:
        """End the connection at once."""
        self.connection.abort()


class _Held:
    """All that aiohttp's socket wants of the response that it was opened by."""

    def __init__(self, connection: BackendConnection) -> None:
        self._held = connection
        self.connection = None

    def close(self) -> None:
        """Close the connection, once what was written has left."""
        self._held.close()


class Handshake:
    """One opening handshake (RFC 6455 section 4.1), offering `protocols` and no extension."""

    def __init__(self, protocols: tuple[str, ...]) -> None:
        self._protocols = protocols
        self._key = base64.b64encode(os.urandom(16))

    @property
    def headers(self) -> Headers:
        """What the handshake adds to the request."""
        added = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self._key.decode()),
        ]
        if self._protocols:
            added.append(("Sec-WebSocket-Protocol", ", ".join(self._protocols)))
        return added

    def finish(self, connection: BackendConnection, message: RawResponseMessage) -> BackendSocket:
        """The socket. Raises BadAnswer if the 101 is none to this handshake."""
        protocol = self._check(message)
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError("the backend closed the connection")
        connection.protocol.read_timeout = None
        loop = asyncio.get_running_loop()
        queue = WebSocketDataQueue(connection.protocol, READ_BUFFER, loop=loop)
        reader = WebSocketReader(queue, MAX_MESSAGE, compress=False, decode_text=False)
        messages = ClientWebSocketResponse[bool](
            queue,
            WebSocketWriter(connection.protocol, transport, use_mask=True),
            protocol,
            cast(ClientResponse, _Held(connection)),
            ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            autoclose=False,
            autoping=False,
            loop=loop,
        )
        messages._parser = reader
        connection.protocol.set_parser(reader, queue)
        return BackendSocket(messages, protocol, connection, said_cookies(message.raw_headers))

    def _check(self, message: RawResponseMessage) -> str | None:
        headers = message.headers
        accept = base64.b64encode(hashlib.sha1(self._key + WS_KEY, usedforsecurity=False).digest())
        connection = [option.strip().lower() for option in headers.get("Connection", "").split(",")]
        protocol = headers.get("Sec-WebSocket-Protocol")
        if (
            headers.get("Upgrade", "").lower() != "websocket"
            or "upgrade" not in connection
            or headers.get("Sec-WebSocket-Accept", "") != accept.decode()
            or "Sec-WebSocket-Extensions" in headers
            or (protocol is not None and protocol not in self._protocols)
        ):
            raise BadAnswer("the backend's handshake is none")
        return protocol
