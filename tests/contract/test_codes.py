"""Email codes: one suite for embedded and real Redis."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from gateway.crypto.signing import Keyring
from gateway.errors import StoreUnavailable
from gateway.store.redis import RedisClient, open_redis
from gateway.visitor.codes import CODE_LIFE, MAX_WRONG, Codes, normal_code
from tests.redis_kinds import AWAY, KINDS, Clock, open_kind
from tests.redis_server import RedisServer

LINK = "0123456789abcdef01234567"
EMAIL = "ann@example.org"
OLD_KEY, NEW_KEY = (
    "an old secret key of thirty-two characters",
    "a new secret key of thirty-two characters",
)


def codes_of(redis: RedisClient, clock: Clock, *keys: str) -> Codes:
    keyring = Keyring(keys or (OLD_KEY,))
    return Codes(redis, keyring.mac, keyring.macs, clock)


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


@pytest.fixture(params=KINDS)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[RedisClient]:
    client = await open_kind(request.param, request)
    yield client
    await client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def codes(redis: RedisClient, clock: Clock) -> Codes:
    return codes_of(redis, clock)


async def test_a_code_is_six_digits_and_right_once(codes: Codes) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    assert re.fullmatch(r"[0-9]{6}", code)
    assert await codes.redeem(LINK, 1, "browser", EMAIL, code)
    assert not await codes.redeem(LINK, 1, "browser", EMAIL, code)


async def test_codes_come_from_all_numbers_of_six_digits(codes: Codes) -> None:
    drawn = {int(await codes.issue(LINK, 1, "browser", EMAIL)) for _ in range(50)}
    # By chance alone one of these fails once in 10^15 runs.
    assert max(drawn) > 500_000 > min(drawn)
    assert len(drawn) > 40


async def test_of_fifty_right_codes_at_once_one_succeeds(codes: Codes) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    tries = [codes.redeem(LINK, 1, "browser", EMAIL, code) for _ in range(50)]
    assert sum(await asyncio.gather(*tries)) == 1


async def test_of_fifty_wrong_codes_at_once_five_are_looked_at(codes: Codes) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    wrong = [codes.redeem(LINK, 1, "browser", EMAIL, other_than(code)) for _ in range(50)]
    assert not any(await asyncio.gather(*wrong))
    assert not await codes.redeem(LINK, 1, "browser", EMAIL, code)


@pytest.mark.parametrize(
    ("wrong_tries", "right"),
    [
        pytest.param(MAX_WRONG - 1, True, id="four wrong tries leave one"),
        pytest.param(MAX_WRONG, False, id="five wrong tries end it"),
    ],
)
async def test_wrong_tries(codes: Codes, wrong_tries: int, right: bool) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    for _ in range(wrong_tries):
        assert not await codes.redeem(LINK, 1, "browser", EMAIL, other_than(code))
    assert await codes.is_alive(LINK, "browser") is right
    assert await codes.redeem(LINK, 1, "browser", EMAIL, code) is right
    assert not await codes.is_alive(LINK, "browser")


@pytest.mark.parametrize(
    ("seconds", "right"),
    [
        pytest.param(CODE_LIFE - 1, True, id="within ten minutes"),
        pytest.param(CODE_LIFE, False, id="after ten minutes"),
    ],
)
async def test_a_code_lives_ten_minutes(
    codes: Codes, clock: Clock, seconds: float, right: bool
) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    clock.forward(seconds)
    assert await codes.redeem(LINK, 1, "browser", EMAIL, code) is right


@pytest.mark.parametrize(
    "bound",
    [
        pytest.param(("f" * 24, 1, "browser", EMAIL), id="another link"),
        pytest.param((LINK, 2, "browser", EMAIL), id="a later access version"),
        pytest.param((LINK, 1, "another", EMAIL), id="another browser"),
        pytest.param((LINK, 1, "browser", "bob@example.org"), id="another address"),
    ],
)
async def test_a_code_is_right_only_for_what_it_was_issued_for(
    codes: Codes, bound: tuple[str, int, str, str]
) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    assert not await codes.redeem(*bound, code)
    assert await codes.redeem(LINK, 1, "browser", EMAIL, code)


async def test_a_newer_code_replaces_the_older_with_tries_of_its_own(codes: Codes) -> None:
    older = await codes.issue(LINK, 1, "browser", EMAIL)
    for _ in range(MAX_WRONG - 1):
        await codes.redeem(LINK, 1, "browser", EMAIL, other_than(older))
    newer = await codes.issue(LINK, 1, "browser", EMAIL)
    while newer == older:
        newer = await codes.issue(LINK, 1, "browser", EMAIL)
    assert not await codes.redeem(LINK, 1, "browser", EMAIL, older)
    assert await codes.redeem(LINK, 1, "browser", EMAIL, newer)


async def test_browsers_and_links_do_not_disturb_each_other(codes: Codes) -> None:
    first = await codes.issue(LINK, 1, "first", EMAIL)
    second = await codes.issue(LINK, 1, "second", EMAIL)
    elsewhere = await codes.issue("f" * 24, 1, "first", EMAIL)
    assert await codes.redeem(LINK, 1, "second", EMAIL, second)
    assert await codes.redeem("f" * 24, 1, "first", EMAIL, elsewhere)
    assert await codes.redeem(LINK, 1, "first", EMAIL, first)


async def test_a_code_survives_a_rotation_of_keys(redis: RedisClient, clock: Clock) -> None:
    code = await codes_of(redis, clock, OLD_KEY, NEW_KEY).issue(LINK, 1, "browser", EMAIL)
    assert await codes_of(redis, clock, NEW_KEY, OLD_KEY).redeem(LINK, 1, "browser", EMAIL, code)


async def test_a_code_does_not_survive_its_key(redis: RedisClient, clock: Clock) -> None:
    code = await codes_of(redis, clock, OLD_KEY).issue(LINK, 1, "browser", EMAIL)
    assert not await codes_of(redis, clock, NEW_KEY).redeem(LINK, 1, "browser", EMAIL, code)


async def test_what_cannot_be_a_code_costs_no_try(codes: Codes) -> None:
    code = await codes.issue(LINK, 1, "browser", EMAIL)
    for _ in range(MAX_WRONG * 2):
        assert not await codes.redeem(LINK, 1, "browser", EMAIL, "12345")
    assert await codes.redeem(LINK, 1, "browser", EMAIL, f" {code[:3]}-{code[3:]} ")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("012345", "012345", id="six digits"),
        pytest.param(" 012 345\n", "012345", id="blanks"),
        pytest.param("012-345", "012345", id="a hyphen"),
        pytest.param("01234", None, id="five digits"),
        pytest.param("0123456", None, id="seven digits"),
        pytest.param("٠١٢٣٤٥", None, id="digits of another script"),
        pytest.param("０１２３４５", None, id="full-width digits"),
        pytest.param("01234a", None, id="a letter"),
        pytest.param("+12345", None, id="a sign"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_normal_code(text: str, code: str | None) -> None:
    assert normal_code(text) == code


async def test_without_redis_codes_are_refused(request: pytest.FixtureRequest) -> None:
    redis = await open_kind(AWAY, request)
    codes = codes_of(redis, Clock())
    with pytest.raises(StoreUnavailable, match=r"^redis is unavailable"):
        await codes.issue(LINK, 1, "browser", EMAIL)
    with pytest.raises(StoreUnavailable, match=r"^redis is unavailable"):
        await codes.redeem(LINK, 1, "browser", EMAIL, "012345")
    await redis.close()


async def test_a_copy_of_redis_tells_nothing(redis_server: RedisServer) -> None:
    redis_server.command("FLUSHALL")
    redis = await open_redis(redis_server.url)
    code = await codes_of(redis, Clock()).issue(LINK, 1, "browser-id", EMAIL)
    key = redis_server.command("KEYS", "*").split(b"\r\n")[2]
    everything = key + redis_server.command("HGETALL", key.decode())
    assert key.startswith(f"portal:{{{LINK}}}:code:".encode())
    for secret in (code.encode(), b"ann", b"example.org", b"browser-id"):
        assert secret not in everything
    assert 0 < int(redis_server.command("PTTL", key.decode())[1:]) <= 600_000
    await redis.close()
