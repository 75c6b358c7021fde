"""The connection to Redis: kinds of servers, failures, cancelled commands, pushes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.store import redis as redis_module
from gateway.store.redis import COMMAND_TIMEOUT, REST, RedisClient, Script, open_redis
from tests.redis_kinds import AWAY, KINDS, open_kind
from tests.redis_server import RedisServer, require_redis_server

ADD = Script("return redis.call('ZADD', KEYS[1], 3, 'three', 1, 'one', 2, 'two')")
ECHO = Script("return {KEYS[1], ARGV[1]}")
SLOW = Script("""
local until_then = tonumber(redis.call('TIME')[1]) * 1000000 + tonumber(redis.call('TIME')[2]) + 60000
while tonumber(redis.call('TIME')[1]) * 1000000 + tonumber(redis.call('TIME')[2]) < until_then do end
return ARGV[1]
""")


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return once `condition` holds; fail if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@contextmanager
def server(folder: Path, *options: str, sentinel: Path | None = None) -> Iterator[RedisServer]:
    require_redis_server()
    folder.mkdir()
    running = RedisServer(folder, *options, sentinel=sentinel)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(params=KINDS)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    client = await open_kind(request.param, request)
    yield client
    await client.close()


async def test_values_scripts_and_pushes(redis: RedisClient) -> None:
    await redis.ping()
    assert await redis.get("portal:x") is None
    await redis.set("portal:x", b"\x00value", lives=60)
    assert await redis.get("portal:x") == b"\x00value"
    for _ in range(2):
        assert await redis.run(ECHO, ["portal:x"], [b"\xff"]) == [b"portal:x", b"\xff"]
    await redis.publish("portal:nobody", b"listens")


async def test_a_value_leaves_by_itself(redis: RedisClient) -> None:
    await redis.set("portal:x", "value", lives=0.02)
    async with asyncio.timeout(5):
        while await redis.get("portal:x") is not None:
            await asyncio.sleep(0.005)


async def test_listeners_hear_what_is_pushed(redis: RedisClient) -> None:
    heard: list[bytes] = []
    listening = asyncio.create_task(redis.listen("portal:test", heard.append))
    async with asyncio.timeout(5):
        while not heard:
            await redis.publish("portal:test", b"first")
            await asyncio.sleep(0.005)
    heard.clear()
    await redis.publish("portal:test", b"last")
    await until(lambda: b"last" in heard)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_an_idle_subscription_is_kept(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "PING_INTERVAL", 0.02)
    heard: list[bytes] = []
    listening = asyncio.create_task(redis.listen("portal:test", heard.append))
    done, _ = await asyncio.wait({listening}, timeout=0.3)
    assert not done
    await redis.publish("portal:test", b"after a while")
    await until(lambda: heard == [b"after a while"])
    listening.cancel()
    await asyncio.wait({listening})


async def test_a_cancelled_command_leaves_its_answer_to_nobody(redis_server: RedisServer) -> None:
    redis = await open_redis(redis_server.url)
    for number in range(5):
        asked = [
            asyncio.create_task(redis.run(SLOW, ["portal:x"], [f"cancelled {number} {i}"]))
            for i in range(3)
        ]
        await asyncio.sleep(0.002 * number)
        for task in asked:
            task.cancel()
        answers = await asyncio.gather(
            *(redis.run(ECHO, ["portal:x"], [f"asked {number} {i}"]) for i in range(5))
        )
        assert [answer[1].decode() for answer in answers] == [
            f"asked {number} {i}" for i in range(5)
        ]
        assert all(
            isinstance(r, asyncio.CancelledError)
            for r in await asyncio.gather(*asked, return_exceptions=True)
        )
    await redis.close()


async def test_a_cancelled_command_is_still_obeyed(redis_server: RedisServer) -> None:
    redis = await open_redis(redis_server.url)
    redis_server.command("FLUSHALL")
    task = asyncio.create_task(redis.set("portal:x", "obeyed", lives=60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await redis.close()
    assert b"obeyed" in redis_server.command("GET", "portal:x")


async def test_more_commands_than_connections_all_get_their_own_answer(redis: RedisClient) -> None:
    answers = await asyncio.gather(
        *(redis.run(ECHO, ["portal:x"], [str(number)]) for number in range(300))
    )
    assert [int(answer[1]) for answer in answers] == list(range(300))


async def test_an_unreachable_redis_is_asked_once_and_then_rests(
    request: pytest.FixtureRequest,
) -> None:
    errors: list[None] = []
    clock_at = [1000.0]
    opened = await open_kind(AWAY, request)
    redis = RedisClient(
        opened._client, on_error=lambda: errors.append(None), clock=lambda: clock_at[0]
    )
    for _ in range(5):
        with pytest.raises(StoreUnavailable) as caught:
            await redis.ping()
        assert caught.value.store == "redis"
    assert len(errors) == 1
    clock_at[0] += REST
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        await redis.ping()
    assert len(errors) == 2
    await redis.close()


async def test_a_frozen_redis_costs_one_short_wait(own_redis_server: RedisServer) -> None:
    redis = await open_redis(own_redis_server.url)
    await redis.ping()
    own_redis_server.freeze()
    began = time.monotonic()
    outcomes = await asyncio.gather(*(redis.ping() for _ in range(200)), return_exceptions=True)
    outcomes.append(*await asyncio.gather(redis.ping(), return_exceptions=True))
    assert time.monotonic() - began < 2 * COMMAND_TIMEOUT
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    own_redis_server.thaw()
    await redis.close()


async def test_redis_is_found_again_after_a_restart(own_redis_server: RedisServer) -> None:
    clock_at = [0.0]
    opened = await open_redis(own_redis_server.url)
    redis = RedisClient(opened._client, clock=lambda: clock_at[0])
    assert await redis.run(ECHO, ["portal:x"], ["before"]) == [b"portal:x", b"before"]
    own_redis_server.stop()
    with pytest.raises(StoreUnavailable):
        await redis.ping()
    own_redis_server.start()
    clock_at[0] += REST
    # The restarted server does not know the script any more.
    assert await redis.run(ECHO, ["portal:x"], ["after"]) == [b"portal:x", b"after"]
    await redis.close()


async def test_a_subscription_can_be_ended_at_any_moment(redis: RedisClient) -> None:
    """On Python 3.11 `asyncio.wait_for`, in the libraries, may swallow a cancellation."""
    for steps in range(60):
        listening = asyncio.create_task(redis.listen("portal:changes", lambda message: None))
        for _ in range(steps):
            await asyncio.sleep(0)
        listening.cancel()
        done, _ = await asyncio.wait({listening}, timeout=5)
        assert done, f"cancelled after {steps} steps, and goes on"


async def test_a_broken_subscription_is_told(own_redis_server: RedisServer) -> None:
    redis = await open_redis(own_redis_server.url)
    heard: list[bytes] = []
    listening = asyncio.create_task(redis.listen("portal:test", heard.append))
    while not heard:
        await redis.publish("portal:test", b"x")
        await asyncio.sleep(0.005)
    own_redis_server.stop()
    with pytest.raises(StoreUnavailable):
        await listening
    await redis.close()


async def test_an_error_of_a_command_is_translated_and_says_nothing(redis: RedisClient) -> None:
    wrong = Script("return redis.call('HGET', KEYS[1], 'secret')")
    await redis.set("portal:x", "not a hash", lives=60)
    with pytest.raises(StoreUnavailable) as caught:
        await redis.run(wrong, ["portal:x"], [])
    assert str(caught.value) == "redis is unavailable: ResponseError"
    # It answered, so there is no reason to leave it alone.
    await redis.ping()


async def test_a_password_is_sent_and_a_wrong_one_is_not_told(tmp_path: Path) -> None:
    with server(tmp_path / "server", "--requirepass", "hunter2") as running:
        right = await open_redis(f"redis://:hunter2@127.0.0.1:{running.port}")
        await right.ping()
        await right.close()
        wrong = await open_redis(f"redis://:hunter3@127.0.0.1:{running.port}")
        with pytest.raises(StoreUnavailable) as caught:
            await wrong.ping()
        assert "hunter3" not in str(caught.value)
        await wrong.close()


async def test_a_socket_is_reached(tmp_path: Path) -> None:
    # A socket's path may be a hundred bytes long, so it is given relative to nothing deep.
    with server(tmp_path / "s", "--unixsocket", "redis.sock") as running:
        redis = await open_redis(f"unix://{running.folder}/redis.sock?db=1")
        await redis.set("portal:x", "here", lives=60)
        assert await redis.get("portal:x") == b"here"
        await redis.close()


async def test_a_cluster_is_used(tmp_path: Path) -> None:
    with server(tmp_path / "node", "--cluster-enabled", "yes") as node:
        assert node.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK\r\n"
        await until(lambda: b"cluster_state:ok" in node.command("CLUSTER", "INFO"), seconds=15)
        redis = await open_redis(f"redis+cluster://127.0.0.1:{node.port}")
        assert await redis.run(ECHO, ["portal:{a}:x"], ["1"]) == [b"portal:{a}:x", b"1"]
        await redis.set("portal:{b}:x", "value", lives=60)
        assert await redis.get("portal:{b}:x") == b"value"
        # One round trip for sets of different slots; one command for keys of one slot.
        await redis.run(ADD, ["portal:{a}:z"], [])
        sets = ["portal:{a}:z", "portal:{b}:none", "portal:{c}:none"]
        assert await redis.entries(sets, 1.0) == [[("two", 2.0), ("three", 3.0)], [], []]
        await redis.delete(["portal:{a}:z", "portal:{a}:none"])
        assert await redis.entries(sets[:1], 0.0) == [[]]
        heard: list[bytes] = []
        listening = asyncio.create_task(redis.listen("portal:test", heard.append))
        while not heard:
            await redis.publish("portal:test", b"pushed")
            await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.wait({listening})
        await redis.close()


async def test_the_sentinels_master_is_used(tmp_path: Path) -> None:
    with server(tmp_path / "master") as master:
        config = tmp_path / "sentinel.conf"
        config.write_text(f"sentinel monitor main 127.0.0.1 {master.port} 1\n")
        with server(tmp_path / "sentinel", sentinel=config) as sentinel:
            redis = await open_redis(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/2")
            await redis.set("portal:x", "here", lives=60)
            assert await redis.get("portal:x") == b"here"
            assert b"keys=1" in master.command("INFO", "keyspace")
            await redis.close()
            unknown = await open_redis(f"redis+sentinel://127.0.0.1:{sentinel.port}/nobody")
            with pytest.raises(StoreUnavailable):
                await unknown.ping()
            await unknown.close()
