"""The connection to Redis, real or embedded, and the one place where its errors are translated.

Redis makes things fast here, and never decides: whoever asks it is ready for StoreUnavailable.
So it is asked once, for a short time, and after a failure not at all for a while (`REST`): an
outage costs a visitor one short wait, not one for every command.

A command runs in a task of its own, which the caller's cancellation does not reach. redis-py
drops a connection whose answer was not read to its end (measured on 8.1), which would make
every visitor who hangs up cost a reconnection; and on Python 3.11 `asyncio.wait_for`, which it
calls, can swallow a cancellation that arrives together with the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from gateway.errors import StoreUnavailable
from gateway.store.redis_url import RedisTarget, parse_redis_url

CONNECT_TIMEOUT = 0.25
SOCKET_TIMEOUT = 0.5
# A command with all that it may need: a Sentinel's answer, a connection, a script sent anew.
COMMAND_TIMEOUT = 1.0
# How long Redis is left alone after it could not be reached.
REST = 1.0
# Commands on their way at once, each on a connection of its own. Redis runs one at a time, so
# more would only wait there, where waiting looks like an outage.
MAX_COMMANDS = 16
# An idle subscription is asked for a sign of life this often: a peer that vanished says nothing.
PING_INTERVAL = 5.0
# A task whose cancellation was swallowed is cancelled again after this.
CANCEL_AGAIN = 0.1

_T = TypeVar("_T")

_UNREACHABLE = (exceptions.ConnectionError, exceptions.TimeoutError, OSError, TimeoutError)
_FOREIGN = (exceptions.RedisError, exceptions.RedisClusterException, OSError, TimeoutError)


@dataclass(frozen=True)
class Script:
    """Lua that Redis runs as one step. All its keys share a hash tag, as a cluster wants."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis names scripts by SHA-1; it guards nothing.
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


class RedisClient:
    """Redis, as far as this program uses it. Every method raises StoreUnavailable("redis").

    `on_error` is called for each command that failed, not for those that were not sent because
    Redis is resting. `client` is any of redis-py's asyncio clients.
    """

    def __init__(
        self,
        client: Any,
        *,
        on_error: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        also_close: Sequence[Any] = (),
    ) -> None:
        self._client = client
        self._on_error = on_error
        self._clock = clock
        self._also_close = also_close
        self._slots = asyncio.Semaphore(MAX_COMMANDS)
        self._running: set[asyncio.Task[Any]] = set()
        self._rests_until = float("-inf")

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes]) -> Any:
        """What `script` returns; bytes, ints and lists of them."""
        return await self._ask(lambda: self._evaluate(script, [*keys, *args], len(keys)))

    async def get(self, key: str) -> bytes | None:
        """The value of `key`."""
        value: bytes | None = await self._ask(lambda: self._client.get(key))
        return value

    async def set(self, key: str, value: str | bytes, *, lives: float) -> None:
        """Keep `value` for `lives` seconds."""
        await self._ask(lambda: self._client.set(key, value, px=max(1, round(lives * 1000))))

    async def entries(self, keys: Sequence[str], since: float) -> list[list[tuple[str, float]]]:
        """For each sorted set the members scored above `since`, lowest first; one round trip."""
        if not keys:
            return []
        return await self._ask(lambda: self._entries(keys, since))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete keys that share a hash tag."""
        await self._ask(lambda: self._client.delete(*keys))

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell whoever listens now."""
        await self._ask(lambda: self._client.publish(channel, message))

    async def ping(self) -> None:
        """Return if Redis answers."""
        await self._ask(lambda: self._client.ping())

    async def listen(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with each message, until the subscription breaks (StoreUnavailable).

        In a task of its own, too: a cancellation that the library swallows would let this go on
        for ever, and with it the end of the process.
        """
        listening = asyncio.ensure_future(self._listen(channel, heard))
        try:
            await asyncio.wait({listening})
        finally:
            while not listening.done():
                listening.cancel()
                await asyncio.wait({listening}, timeout=CANCEL_AGAIN)
            if not listening.cancelled():
                listening.exception()  # Whoever waited may be cancelled, and not look.
        listening.result()

    async def _listen(self, channel: str, heard: Callable[[bytes], None]) -> None:
        pubsub = self._client.pubsub()
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                await pubsub.subscribe(channel)
            await self._relay(pubsub, heard)
        except _FOREIGN as error:
            raise self._translated(error) from None
        finally:
            await pubsub.aclose()

    async def close(self) -> None:
        """Let the commands on their way end, and close every connection."""
        if self._running:
            await asyncio.wait(self._running)
        for client in (self._client, *self._also_close):
            await client.aclose()

    async def _relay(self, pubsub: Any, heard: Callable[[bytes], None]) -> None:
        pinged = False
        while True:
            message = await pubsub.get_message(timeout=PING_INTERVAL)
            if message is None and pinged:
                raise exceptions.ConnectionError
            if message is None:
                await pubsub.ping()
            elif message["type"] == "message":
                heard(message["data"])
            pinged = message is None

    async def _entries(self, keys: Sequence[str], since: float) -> list[list[tuple[str, float]]]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.zrangebyscore(key, f"({since!r}", "+inf", withscores=True)
        return [
            [(member.decode(), float(score)) for member, score in found]
            for found in await pipeline.execute()
        ]

    async def _evaluate(self, script: Script, values: list[str | bytes], key_count: int) -> Any:
        try:
            return await self._client.evalsha(script.sha, key_count, *values)
        except exceptions.NoScriptError:
            return await self._client.eval(script.text, key_count, *values)

    async def _ask(self, command: Callable[[], Awaitable[_T]]) -> _T:
        self._check_rest()
        task = asyncio.ensure_future(self._answer(command))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _answer(self, command: Callable[[], Awaitable[_T]]) -> _T:
        async with self._slots:
            self._check_rest()
            try:
                async with asyncio.timeout(COMMAND_TIMEOUT):
                    return await command()
            except _FOREIGN as error:
                raise self._translated(error) from None

    def _check_rest(self) -> None:
        if self._clock() < self._rests_until:
            raise StoreUnavailable("redis", "resting after a failure")

    def _translated(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, _UNREACHABLE):
            self._rests_until = self._clock() + REST
        self._on_error()
        # The library's words may hold keys and arguments: its class has to be enough.
        return StoreUnavailable("redis", type(error).__name__)


async def open_redis(url: str, *, on_error: Callable[[], None] = lambda: None) -> RedisClient:
    """The Redis that `url` names; nothing is connected before the first command.

    Raises ValueError, without the password, if `url` names none.
    """
    target = parse_redis_url(url)
    if target.kind == "embedded":
        return RedisClient(_embedded(), on_error=on_error)
    if target.kind == "cluster":
        return RedisClient(_cluster(target), on_error=on_error)
    if target.kind == "sentinel":
        client, sentinels = _sentinel(target)
        return RedisClient(client, on_error=on_error, also_close=sentinels)
    return RedisClient(_server(target), on_error=on_error)


def _embedded() -> Any:
    # Not imported with the module: a gateway with a real Redis does without it.
    from fakeredis import FakeAsyncRedis, FakeServer

    return FakeAsyncRedis(server=FakeServer())


def _server(target: RedisTarget) -> Any:
    place: dict[str, Any] = {"unix_socket_path": target.unix_path}
    if target.unix_path is None:
        host, port = target.nodes[0]
        place = {"host": host, "port": port, "ssl": target.tls, **dict(target.tls_options)}
    return Redis(**place, **_login(target), **_patience(), db=target.db, retry=_never())


def _sentinel(target: RedisTarget) -> tuple[Any, list[Any]]:
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call] # redis-py gives no types here
        list(target.nodes), sentinel_kwargs={**_patience(), "retry": _never()}
    )
    client = sentinel.master_for(
        target.service or "", **_login(target), **_patience(), db=target.db, retry=_never()
    )
    return client, list(sentinel.sentinels)


def _cluster(target: RedisTarget) -> Any:
    # One more try, for the first may meet a node that has just handed its slots over. It is safe:
    # every script here does the same when it runs twice.
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in target.nodes],
        retry=Retry(NoBackoff(), 1),
        **_login(target),
        **_patience(),
    )


def _login(target: RedisTarget) -> dict[str, Any]:
    return {"username": target.username, "password": target.password}


def _patience() -> dict[str, Any]:
    return {"socket_connect_timeout": CONNECT_TIMEOUT, "socket_timeout": SOCKET_TIMEOUT}


def _never() -> Retry:
    # A command whose answer was lost may have been obeyed: who asked has to know.
    return Retry(NoBackoff(), 0)
