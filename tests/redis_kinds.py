"""Redis as the suites meet it: embedded, real, and away."""

from __future__ import annotations

import pytest

from gateway.store.redis import RedisClient, open_redis
from tests.redis_server import RedisServer, free_port

KINDS = ("embedded", "real")
AWAY = "away"


async def open_kind(kind: str, request: pytest.FixtureRequest) -> RedisClient:
    """An empty Redis of this kind; `away` is an address where nothing listens."""
    if kind == AWAY:
        return await open_redis(f"redis://127.0.0.1:{free_port()}")
    if kind == "embedded":
        return await open_redis("embedded")
    server: RedisServer = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    return await open_redis(server.url)


class Clock:
    """A clock that tests move; seconds since the epoch, or monotonic."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds
