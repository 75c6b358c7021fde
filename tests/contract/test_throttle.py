"""Throttles and marks: one suite for embedded Redis, real Redis, and memory while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from config.models import ThrottleSettings
from gateway.errors import StoreUnavailable
from gateway.store.redis import RedisClient, open_redis
from gateway.store.throttle import Marks, Taken, Throttle
from gateway.store.throttle_state import ThrottleState
from gateway.store.windows import MemoryWindows, Window
from tests.redis_kinds import AWAY, KINDS, Clock, open_kind
from tests.redis_server import RedisServer

LINK = "0123456789abcdef01234567"
OTHER_LINK = "f" * 24
SETTINGS = ThrottleSettings(
    window=100.0,
    failures_per_address=3,
    failures_per_link=7,
    codes_per_email=2,
    codes_per_address=4,
)


@pytest.fixture(params=[*KINDS, AWAY])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    client = await open_kind(request.param, request)
    yield client
    await client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(redis: RedisClient, clock: Clock) -> Throttle:
    return Throttle(redis, SETTINGS, clock)


async def fail(throttle: Throttle, times: int, subject: str, gate: str = "password") -> list[bool]:
    return [(await throttle.take_failure(gate, LINK, subject)).allowed for _ in range(times)]


async def test_an_address_has_so_many_failures_and_then_waits(
    throttle: Throttle, clock: Clock
) -> None:
    assert await fail(throttle, 2, "192.0.2.1") == [True, True]
    clock.forward(30.5)
    assert await fail(throttle, 1, "192.0.2.1") == [True]
    assert await throttle.take_failure("password", LINK, "192.0.2.1") == Taken(False, 70)


async def test_a_part_of_a_second_is_told_as_a_second(throttle: Throttle, clock: Clock) -> None:
    await fail(throttle, 3, "192.0.2.1")
    clock.forward(99.5)
    assert await throttle.take_failure("password", LINK, "192.0.2.1") == Taken(False, 1)
    clock.forward(0.5)
    assert await throttle.take_failure("password", LINK, "192.0.2.1") == Taken(True, 0)


async def test_a_limit_that_was_lowered_holds_for_what_is_counted_already(
    redis: RedisClient, clock: Clock
) -> None:
    """Of three tries two have to leave before the next one of at most two."""
    throttle = Throttle(redis, SETTINGS, clock)
    for _ in range(3):
        assert await fail(throttle, 1, "192.0.2.1") == [True]
        clock.forward(10)
    lowered = Throttle(redis, SETTINGS.model_copy(update={"failures_per_address": 2}), clock)
    lowered._memory = throttle._memory
    assert await lowered.take_failure("password", LINK, "192.0.2.1") == Taken(False, 80)
    clock.forward(80)
    assert await lowered.take_failure("password", LINK, "192.0.2.1") == Taken(True)


async def test_a_success_without_a_try_changes_nothing(throttle: Throttle) -> None:
    """Another process may have taken it, and the memory of this one know nothing."""
    await throttle.give_back("password", LINK, "192.0.2.1")
    assert await fail(throttle, 4, "192.0.2.1") == [True, True, True, False]


async def test_the_window_slides(throttle: Throttle, clock: Clock) -> None:
    await fail(throttle, 1, "192.0.2.1")
    clock.forward(60)
    assert await fail(throttle, 3, "192.0.2.1") == [True, True, False]
    clock.forward(40)
    # The first has left; the two of a minute later have not.
    assert await fail(throttle, 2, "192.0.2.1") == [True, False]
    clock.forward(60)
    assert await fail(throttle, 3, "192.0.2.1") == [True, True, False]


async def test_a_refused_try_does_not_prolong_the_wait(throttle: Throttle, clock: Clock) -> None:
    await fail(throttle, 3, "192.0.2.1")
    for _ in range(9):
        clock.forward(10)
        assert await fail(throttle, 1, "192.0.2.1") == [False]
    clock.forward(10)
    assert await fail(throttle, 1, "192.0.2.1") == [True]


async def test_many_tries_at_once_are_no_more_than_many_in_turn(throttle: Throttle) -> None:
    tries = [throttle.take_failure("password", LINK, "192.0.2.1") for _ in range(50)]
    assert sum(taken.allowed for taken in await asyncio.gather(*tries)) == 3


async def test_addresses_and_gates_have_windows_of_their_own(throttle: Throttle) -> None:
    assert await fail(throttle, 4, "192.0.2.1") == [True, True, True, False]
    assert await fail(throttle, 1, "192.0.2.2") == [True]
    assert await fail(throttle, 1, "192.0.2.1", gate="code") == [True]


async def test_a_link_has_so_many_failures_however_many_addresses(
    throttle: Throttle, clock: Clock
) -> None:
    for number in range(7):
        assert await fail(
            throttle, 1, f"192.0.2.{number}", gate="code" if number % 2 else "password"
        )
    clock.forward(25)
    assert await throttle.take_failure("password", LINK, "192.0.2.99") == Taken(False, 75)
    assert (await throttle.take_failure("password", OTHER_LINK, "192.0.2.99")).allowed


async def test_the_longer_wait_is_told(throttle: Throttle, clock: Clock) -> None:
    await fail(throttle, 2, "192.0.2.1")
    clock.forward(10)
    for number in range(2, 6):
        await fail(throttle, 1, f"192.0.2.{number}")
    clock.forward(10)
    await fail(throttle, 1, "192.0.2.1")
    # Both windows are full; the address's and the link's oldest are the same try.
    assert await throttle.take_failure("password", LINK, "192.0.2.1") == Taken(False, 80)
    clock.forward(80)
    assert await fail(throttle, 3, "192.0.2.1") == [True, True, False]


async def test_a_success_clears_the_visitors_own_failures_at_that_gate(throttle: Throttle) -> None:
    await fail(throttle, 3, "192.0.2.1", gate="code")
    await fail(throttle, 2, "192.0.2.1")
    await throttle.give_back("password", LINK, "192.0.2.1")
    assert await fail(throttle, 3, "192.0.2.1") == [True, True, True]
    assert await fail(throttle, 1, "192.0.2.1", gate="code") == [False]


async def test_a_success_takes_only_its_own_try_from_the_link(throttle: Throttle) -> None:
    await fail(throttle, 3, "192.0.2.1")
    await fail(throttle, 3, "192.0.2.2")
    await throttle.give_back("password", LINK, "192.0.2.2")
    # Five stand: three of the first, two of the second, who may fail again.
    assert await fail(throttle, 3, "192.0.2.2") == [True, True, False]


async def test_successes_at_once_leave_nothing_in_the_links_window(throttle: Throttle) -> None:
    async def succeed() -> bool:
        taken = await throttle.take_failure("password", LINK, "192.0.2.1")
        await asyncio.sleep(0)
        await throttle.give_back("password", LINK, "192.0.2.1")
        return taken.allowed

    for _ in range(10):
        assert any(await asyncio.gather(*(succeed() for _ in range(3))))
    for number in range(2, 9):
        assert await fail(throttle, 1, f"192.0.2.{number}") == [True]


async def test_codes_are_limited_by_mail_address_and_by_address(throttle: Throttle) -> None:
    async def ask(email: str, subject: str) -> bool:
        return (await throttle.take_code(LINK, email, subject)).allowed

    assert await ask("a@example.org", "192.0.2.1")
    assert await ask("a@example.org", "192.0.2.2")
    assert not await ask("a@example.org", "192.0.2.3")
    assert await ask("b@example.org", "192.0.2.1")
    assert await ask("c@example.org", "192.0.2.1")
    assert await ask("d@example.org", "192.0.2.1")
    assert not await ask("e@example.org", "192.0.2.1")
    assert (await throttle.take_code(OTHER_LINK, "a@example.org", "192.0.2.1")).allowed


async def test_a_mark_is_known_until_its_time_is_over(redis: RedisClient, clock: Clock) -> None:
    marks = Marks(redis, clock)
    assert not await marks.marked("ended:abc")
    await marks.mark("ended:abc", 900)
    clock.forward(899)
    assert await marks.marked("ended:abc")
    assert not await marks.marked("ended:abd")
    clock.forward(1)
    assert not await marks.marked("ended:abc")


async def test_marks_in_memory_are_bounded(redis: RedisClient, clock: Clock) -> None:
    marks = Marks(redis, clock, max_marks=3)
    for number in range(10):
        await marks.mark(f"name {number}", 900)
    assert len(marks._memory) == 3
    assert await marks.marked("name 9")


@pytest.mark.parametrize("kind", KINDS)
async def test_processes_share_windows_and_marks(
    kind: str, request: pytest.FixtureRequest, clock: Clock
) -> None:
    redis = await open_kind(kind, request)
    one, other = Throttle(redis, SETTINGS, clock), Throttle(redis, SETTINGS, clock)
    assert await fail(one, 2, "192.0.2.1") == [True, True]
    assert await fail(other, 2, "192.0.2.1") == [True, False]
    await Marks(redis, clock).mark("seen:abc", 60)
    assert await Marks(redis, clock).marked("seen:abc")
    clock.forward(60)
    assert not await Marks(redis, clock).marked("seen:abc")
    await redis.close()


async def test_redis_holds_no_address_in_clear(redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    redis = await open_redis(redis_server.url)
    throttle = Throttle(redis, SETTINGS)
    await throttle.take_failure("password", LINK, "192.0.2.77")
    await throttle.take_code(LINK, "ann@example.org", "192.0.2.77")
    await Marks(redis).mark("ended:browser-id", 60)
    keys = redis_server.command("KEYS", "*")
    everything = keys + b"".join(
        redis_server.command("ZRANGE", key.decode(), "0", "-1")
        for key in keys.split(b"\r\n")
        if key.startswith(b"portal:")
    )
    assert f"portal:{{{LINK}}}:failures".encode() in everything
    for secret in (b"192.0.2.77", b"ann", b"example.org", b"browser-id"):
        assert secret not in everything
    await redis.close()


async def test_windows_leave_redis_by_themselves(redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    redis = await open_redis(redis_server.url)
    await Throttle(redis, SETTINGS).take_failure("password", LINK, "192.0.2.1")
    life = redis_server.command("PTTL", f"portal:{{{LINK}}}:failures")
    assert 0 < int(life[1:]) <= 100_000
    await redis.close()


async def test_an_outage_of_redis_does_not_start_the_counts_anew(
    own_redis_server: RedisServer, clock: Clock
) -> None:
    errors: list[None] = []
    redis = await open_redis(own_redis_server.url, on_error=lambda: errors.append(None))
    throttle = Throttle(redis, SETTINGS, clock)
    assert await fail(throttle, 2, "192.0.2.1") == [True, True]
    assert await fail(throttle, 3, "192.0.2.2") == [True, True, True]
    own_redis_server.stop()
    await throttle.give_back("password", LINK, "192.0.2.2")
    assert await fail(throttle, 2, "192.0.2.1") == [True, False]
    assert await fail(throttle, 1, "192.0.2.2") == [True]
    assert len(errors) == 1
    await redis.close()


def test_windows_in_memory_are_bounded_and_keep_what_is_used() -> None:
    memory = MemoryWindows(100.0, max_windows=10)
    whole = Window("link", 1000)
    for number in range(100):
        assert memory.take([Window(f"own {number}", 3), whole], str(number), now=number / 10) == 0
    assert len(memory) == 10
    # The link's own window was touched by each of them, so it holds all hundred tries.
    assert memory.take([Window("link", 100)], "one more", now=50.0) == 50.0


# ---- as the link's owner sees it


@pytest.fixture(params=KINDS)
async def counting(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Throttle]:
    """A throttle whose Redis answers."""
    redis = await open_kind(request.param, request)
    yield Throttle(redis, SETTINGS, clock)
    await redis.close()


async def state(throttle: Throttle, link: str = LINK) -> ThrottleState:
    return (await throttle.states([link]))[link]


async def test_the_state_of_a_link_that_nobody_tried(counting: Throttle) -> None:
    assert await counting.states([]) == {}
    assert await counting.states([LINK, OTHER_LINK]) == {
        LINK: ThrottleState(),
        OTHER_LINK: ThrottleState(),
    }
    assert not (await state(counting)).is_locked


async def test_the_state_tells_what_was_counted_and_who_waits(
    counting: Throttle, clock: Clock
) -> None:
    await fail(counting, 2, "192.0.2.1")
    await counting.take_code(LINK, "ann@example.org", "192.0.2.1")
    assert await state(counting) == ThrottleState(failures=2, codes=1)
    clock.forward(30)
    await fail(counting, 2, "192.0.2.1")
    # One visitor has to wait for the first of three tries; the refused fourth is not counted.
    assert await state(counting) == ThrottleState(failures=3, codes=1, retry_after=70)
    assert (await state(counting)).is_locked
    assert await state(counting, OTHER_LINK) == ThrottleState()
    clock.forward(70)
    assert await state(counting) == ThrottleState(failures=1)


async def test_a_success_unlocks_in_the_state_too(counting: Throttle) -> None:
    """The visitor's own window is empty then, though the link's still knows the failures."""
    await fail(counting, 3, "192.0.2.1")
    await counting.give_back("password", LINK, "192.0.2.1")
    assert await state(counting) == ThrottleState(failures=2)
    await fail(counting, 2, "192.0.2.1")
    assert await state(counting) == ThrottleState(failures=4)


async def test_the_whole_link_is_locked(counting: Throttle, clock: Clock) -> None:
    for number in range(7):
        await fail(counting, 1, f"192.0.2.{number}")
        clock.forward(1)
    assert await state(counting) == ThrottleState(failures=7, retry_after=93)


@pytest.mark.parametrize(
    ("codes", "wait"),
    [
        pytest.param([("a", 1), ("a", 2)], 80, id="as many as one mail address gets"),
        pytest.param([("a", 1), ("b", 1), ("c", 1)], 0, id="three for three"),
        pytest.param([("a", 1), ("b", 1), ("c", 1), ("d", 1)], 60, id="as many as one may ask for"),
    ],
)
async def test_codes_in_the_state(
    counting: Throttle, clock: Clock, codes: list[tuple[str, int]], wait: int
) -> None:
    for name, number in codes:
        taken = await counting.take_code(LINK, f"{name}@example.org", f"192.0.2.{number}")
        assert taken.allowed
        clock.forward(10)
    assert await state(counting) == ThrottleState(codes=len(codes), retry_after=wait)


async def test_clearing_empties_all_of_a_links_windows(
    redis_server: RedisServer, clock: Clock
) -> None:
    redis_server.command("FLUSHALL")
    redis = await open_redis(redis_server.url)
    throttle = Throttle(redis, SETTINGS, clock)
    for subject in ("192.0.2.1", "192.0.2.2"):
        await fail(throttle, 3, subject)
        await fail(throttle, 1, subject, gate="code")
        await throttle.take_code(LINK, "ann@example.org", subject)
    await throttle.give_back("code", LINK, "192.0.2.2")
    await fail(throttle, 1, "192.0.2.3", gate="code")
    await throttle.take_failure("password", OTHER_LINK, "192.0.2.1")
    assert not (await throttle.take_failure("password", LINK, "192.0.2.1")).allowed
    await throttle.clear(LINK)
    assert await state(throttle) == ThrottleState()
    keys = redis_server.command("KEYS", "*")
    assert LINK.encode() not in keys
    assert OTHER_LINK.encode() in keys
    assert await fail(throttle, 3, "192.0.2.1") == [True, True, True]
    await redis.close()


async def test_clearing_empties_this_processs_memory(
    own_redis_server: RedisServer, clock: Clock
) -> None:
    redis = await open_redis(own_redis_server.url)
    throttle = Throttle(redis, SETTINGS, clock)
    await fail(throttle, 3, "192.0.2.1")
    await throttle.take_failure("password", OTHER_LINK, "192.0.2.1")
    await throttle.clear(LINK)
    own_redis_server.stop()
    assert await fail(throttle, 4, "192.0.2.1") == [True, True, True, False]
    assert await throttle.states([LINK]) == {}
    # Whoever asked is told that Redis still counts; what this process counts is empty at least.
    with pytest.raises(StoreUnavailable):
        await throttle.clear(LINK)
    assert await fail(throttle, 4, "192.0.2.1") == [True, True, True, False]
    await redis.close()


async def test_a_hundred_links_are_two_round_trips(counting: Throttle, clock: Clock) -> None:
    links = [f"{number:024x}" for number in range(100)]
    for link in links[:3]:
        for _ in range(3):
            await counting.take_failure("password", link, "192.0.2.1")
    asked: list[int] = []
    entries = counting._redis.entries

    async def counted(keys: Sequence[str], since: float) -> list[list[tuple[str, float]]]:
        asked.append(len(keys))
        return await entries(keys, since)

    counting._redis.entries = counted  # type: ignore[method-assign]
    states = await counting.states(links)
    assert asked == [200, 3]
    assert [link for link in links if states[link].is_locked] == links[:3]
