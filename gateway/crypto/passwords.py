"""Hashes of passwords (Argon2id, RFC 9106), made and checked away from the event loop."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Protocol, TypeVar

from passlib.hash import argon2

from gateway.errors import Refusal
from gateway.links.verdict import Reason

# RFC 9106 section 4, the second recommended option: 64 MiB, 3 passes, 4 lanes.
_MEMORY_KIB = 64 * 1024
_PASSES = 3
_LANES = 4
_SALT_BYTES = 16
_DIGEST_BYTES = 32
# Bytes. passlib refuses longer ones, and nobody types them.
_LONGEST = 4096

T = TypeVar("T")


class _Hashes(Protocol):
    """What is used of passlib's handler; its published types leave most of it untyped."""

    def hash(self, secret: bytes) -> str: ...
    def verify(self, secret: bytes, hash: str) -> bool: ...
    def identify(self, hash: str) -> bool: ...


_argon2id: _Hashes = argon2.using(  # type: ignore[no-untyped-call] # as `_Hashes` says
    type="ID",
    memory_cost=_MEMORY_KIB,
    time_cost=_PASSES,
    parallelism=_LANES,
    salt_len=_SALT_BYTES,
    hash_len=_DIGEST_BYTES,
)


class PasswordHasher:
    """Hashes and checks passwords in threads of its own.

    `threads` bounds the work, at 64 MiB each, so that guessing cannot take the memory of the
    machine; `waiting` bounds the queue before them. More than that is refused as `overloaded`.
    """

    def __init__(self, *, threads: int = 2, waiting: int = 64) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._room = Semaphore(threads + waiting)
        self._stand_in = _stand_in()

    async def hash(self, password: str) -> str:
        """The encoded hash of `password`, with a salt of its own.

        Raises ValueError for a password of more than 4096 bytes, Refusal(overloaded).
        """
        secret = _prepared(password)
        if len(secret) > _LONGEST:
            raise ValueError(f"a password has at most {_LONGEST} bytes")
        return await self._in_thread(lambda: _argon2id.hash(secret))

    async def verify(self, password: str, hash: str | None) -> bool:
        """Whether `password` is the one that `hash` was made of.

        Without a hash, or with a broken one, the same work is done and the answer is no: the time
        tells nobody whether there is a password. Raises Refusal(overloaded).
        """
        secret = _prepared(password)
        possible = len(secret) <= _LONGEST
        if not possible:
            secret = b""
        if hash is None or not _argon2id.identify(hash):
            hash, possible = self._stand_in, False
        encoded = hash
        return await self._in_thread(lambda: _matches(secret, encoded)) and possible

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise Refusal(Reason.OVERLOADED, "too many passwords are being checked", retry_after=1)
        future = self._pool.submit(work)
        # The room is given back when the work ends, not when its visitor stops waiting.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)


def _prepared(password: str) -> bytes:
    # One password typed on two systems may come composed or decomposed (RFC 8265 section 4.2).
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _matches(secret: bytes, encoded: str) -> bool:
    try:
        return _argon2id.verify(secret, encoded)
    except ValueError:
        # The text begins like a hash and is none.
        return False


def _stand_in() -> str:
    """A well-formed hash of no password: checking against it is the same work, and never true."""

    def encode(size: int) -> str:
        return b64encode(secrets.token_bytes(size)).rstrip(b"=").decode("ascii")

    parameters = f"m={_MEMORY_KIB},t={_PASSES},p={_LANES}"
    return f"$argon2id$v=19${parameters}${encode(_SALT_BYTES)}${encode(_DIGEST_BYTES)}"
