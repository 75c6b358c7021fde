"""Accepting visitors' connections, counting them, and letting them end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import http_parser, web

from gateway.links.verdict import Reason
from gateway.listener.protocol import Refuse, VisitorProtocol
from gateway.listener.request import make_request

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

BACKLOG = 1024
# Connections over the limit that are told so at the same time; what comes on top is cut.
MAX_TURNED_AWAY = 256
# Seconds for exchanges to notice that their time is over, before their tasks are cancelled.
CUT_TIMEOUT = 1.0


class ListenerLimits(Protocol):
    """What the listener needs of `limits` in the settings; seconds, bytes, connections."""

    @property
    def header_timeout(self) -> float: ...
    @property
    def max_header_size(self) -> int: ...
    @property
    def max_connections(self) -> int: ...


class VisitorServer(web.Server):
    """What all connections share."""

    def __init__(self, handler: Handler, refuse: Refuse, limits: ListenerLimits) -> None:
        super().__init__(handler, request_factory=make_request)
        self.refuse = refuse
        self.limits = limits
        self.is_draining = False
        self.turned_away: set[VisitorProtocol] = set()

    def __call__(self) -> VisitorProtocol:
        """A protocol for a new connection."""
        return VisitorProtocol(self)

    @property
    def visitors(self) -> list[VisitorProtocol]:
        """The connections, and what still works for one that has been lost."""
        return [each for each in self.connections if isinstance(each, VisitorProtocol)]

    @property
    def is_full(self) -> bool:
        """Whether one more connection would be one too many."""
        return len(self._connections) >= self.limits.max_connections

    def turn_away(self, connection: VisitorProtocol) -> bytes | None:
        """The whole answer for a connection too many; None: not even that."""
        if len(self.turned_away) >= MAX_TURNED_AWAY:
            return None
        self.turned_away.add(connection)
        status, headers, body = self.refuse(Reason.OVERLOADED, "")
        framing = (("Content-Length", str(len(body))), ("Connection", "close"))
        lines = [f"HTTP/1.1 {status} Service Unavailable"]
        lines += [f"{name}: {value}" for name, value in (*headers, *framing)]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Listener:
    """Serves visitors with `handler` on sockets that are already bound.

    `refuse` answers what never becomes a request: bytes that are no HTTP (`bad_request`), a
    header over its bounds (`header_too_large`), a connection too many (`overloaded`).
    """

    def __init__(self, handler: Handler, refuse: Refuse, limits: ListenerLimits) -> None:
        self._handler = handler
        self._refuse = refuse
        self._limits = limits
        self._server: VisitorServer | None = None
        self._accepting: list[asyncio.AbstractServer] = []
        self._addresses: list[str] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections. Raises RuntimeError without aiohttp's compiled parser.

        The pure Python one reads differently, and nothing here was tested with it.
        """
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise RuntimeError("aiohttp is installed without its compiled HTTP parser")
        loop = asyncio.get_running_loop()
        self._server = server = VisitorServer(self._handler, self._refuse, self._limits)
        for sock in sockets:
            self._addresses.append(_address_of(sock))
            if sock.family == socket.AF_UNIX:
                accepting = await loop.create_unix_server(server, sock=sock, backlog=BACKLOG)
            else:
                accepting = await loop.create_server(server, sock=sock, backlog=BACKLOG)
            self._accepting.append(accepting)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as `host:port`, `[v6]:port` or `unix:/path`."""
        return list(self._addresses)

    @property
    def open_connections(self) -> int:
        """Connections being served; those turned away do not count."""
        return len(self._server.connections) if self._server is not None else 0

    def begin_drain(self) -> None:
        """Accept nothing more; further answers say `Connection: close`; unused connections end."""
        for accepting in self._accepting:
            accepting.close()
        self._accepting.clear()
        if self._server is not None:
            self._server.is_draining = True
            for connection in self._server.visitors:
                connection.end_if_unused()

    async def close(self, timeout: float = 0.0) -> None:
        """Drain for at most `timeout` seconds, then cut what is still in flight."""
        self.begin_drain()
        server = self._server
        if server is None:
            return
        if timeout > 0:
            await _wait_for_end(server, timeout)
        tasks = _tasks_of(server)
        await server.shutdown(CUT_TIMEOUT)
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_TIMEOUT)
        for connection in list(server.turned_away):
            connection.force_close()


def _tasks_of(server: VisitorServer) -> set[asyncio.Task[None]]:
    return {
        each.serving
        for each in server.visitors
        if each.serving is not None and not each.serving.done()
    }


async def _wait_for_end(server: VisitorServer, timeout: float) -> None:
    """Wait until no exchange is left, but no longer than `timeout` seconds."""
    if tasks := _tasks_of(server):
        await asyncio.wait(tasks, timeout=timeout)


def _address_of(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"
