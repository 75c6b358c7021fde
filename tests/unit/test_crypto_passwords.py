"""Passwords: checked off the loop, with the same work whether there is one or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from gateway.crypto import passwords
from gateway.crypto.passwords import PasswordHasher
from gateway.errors import Refusal
from gateway.links.verdict import Reason


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


async def test_a_password_is_checked(hasher: PasswordHasher) -> None:
    encoded = await hasher.hash("correct horse")
    assert encoded.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert "correct" not in encoded
    assert await hasher.verify("correct horse", encoded) is True
    assert await hasher.verify("correct  horse", encoded) is False
    assert await hasher.verify("", encoded) is False


async def test_two_hashes_of_one_password_differ(hasher: PasswordHasher) -> None:
    assert await hasher.hash("same") != await hasher.hash("same")


@pytest.mark.parametrize(
    ("made", "typed"),
    [
        pytest.param("caf\u00e9", "cafe\u0301", id="composed and decomposed"),
        pytest.param("a\0b", "a\0b", id="NUL"),
        pytest.param("\ud800", "\ud800", id="lone surrogate"),
        pytest.param("x" * 4096, "x" * 4096, id="the longest"),
    ],
)
async def test_odd_passwords_are_passwords(hasher: PasswordHasher, made: str, typed: str) -> None:
    encoded = await hasher.hash(made)
    assert await hasher.verify(typed, encoded) is True
    assert await hasher.verify(typed + "x" if len(typed) < 4096 else "x" * 4095, encoded) is False


async def test_a_password_that_is_too_long(hasher: PasswordHasher) -> None:
    with pytest.raises(ValueError, match="4096"):
        await hasher.hash("x" * 4097)
    encoded = await hasher.hash("")
    assert await hasher.verify("x" * 4097, encoded) is False


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("plain text", id="no hash"),
        pytest.param("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA", id="cut off"),
    ],
)
async def test_without_a_hash_the_answer_is_no(hasher: PasswordHasher, encoded: str | None) -> None:
    assert await hasher.verify("password", encoded) is False
    assert await hasher.verify("", encoded) is False


async def test_the_same_work_is_done_without_a_hash(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the clock, which other tests share: by what the hash function was asked to do."""
    encoded = await hasher.hash("password")
    asked: list[tuple[int, str]] = []
    real = passwords._argon2id.verify

    def verify(secret: bytes, hash: str) -> bool:
        asked.append((len(secret), hash.rpartition("$")[0].rpartition("$")[0]))
        return real(secret, hash)

    monkeypatch.setattr(passwords._argon2id, "verify", verify)
    await hasher.verify("guessing", encoded)
    await hasher.verify("guessing", None)
    assert asked == [(8, "$argon2id$v=19$m=65536,t=3,p=4")] * 2


async def test_the_loop_goes_on_meanwhile(hasher: PasswordHasher) -> None:
    task = asyncio.create_task(hasher.hash("password"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_a_queue_that_is_full_is_refused_and_empties() -> None:
    small = PasswordHasher(threads=1, waiting=1)
    try:
        tries = [asyncio.create_task(small.verify("password", None)) for _ in range(5)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        refused = [result for result in results if isinstance(result, Refusal)]
        assert results.count(False) == 2
        assert [refusal.reason for refusal in refused] == [Reason.OVERLOADED] * 3
        assert refused[0].retry_after == 1
        assert await small.verify("password", None) is False
    finally:
        small.close()


async def test_a_visitor_who_leaves_does_not_make_room_for_more_work() -> None:
    small = PasswordHasher(threads=1, waiting=0)
    try:
        leaving = asyncio.create_task(small.verify("password", None))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(Refusal):
            await small.verify("password", None)
        deadline = time.monotonic() + 10
        while not small._room.acquire(blocking=False):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    finally:
        small.close()
