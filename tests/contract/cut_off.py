"""A relay before PostgreSQL that cuts the connection at a COMMIT: was it done, or not?"""

from __future__ import annotations

import asyncio
from typing import Self

# The message that asyncpg sends: a simple query (PostgreSQL's protocol, section 55.7).
_COMMIT = b"COMMIT;\x00"


class CommitCutOff:
    """Relays to `port`; the next `cut_offs` commits lose their connection.

    `commit_arrives` says whether the server still gets them. Nobody sees its answer either way.
    """

    def __init__(self, port: int, *, commit_arrives: bool) -> None:
        self.cut_offs = 0
        self.port = 0
        self._upstream_port = port
        self._commit_arrives = commit_arrives
        self._relays: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        answers = asyncio.create_task(_copy(upstream[0], writer))
        try:
            while data := await reader.read(65536):
                if self.cut_offs and data.endswith(_COMMIT):
                    self.cut_offs -= 1
                    answers.cancel()
                    if self._commit_arrives:
                        upstream[1].write(data)
                        await upstream[0].read(1)
                    return
                upstream[1].write(data)
                await upstream[1].drain()
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for end in (writer, upstream[1]):
                end.transport.abort()
            self._relays.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
