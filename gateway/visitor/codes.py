"""The codes that prove a mail address.

Redis holds a code as an HMAC over all that it is bound to (link, access version, browser, mail
address), so that a copy of Redis tells neither the code nor the address, and a right code is
right for nobody else. It is redeemed by one Lua script: looking and using up are one step, and
of fifty right codes sent at once one succeeds.

Codes are never kept in memory instead: with two processes, one that has not seen a code's tries
would allow five more. Without Redis they are refused.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from typing import Protocol

from gateway.store.redis import RedisClient, Script

CODE_LIFE = 600.0
MAX_WRONG = 5
_PURPOSE = "email code"
_CODE = re.compile(r"[0-9]{6}")

# KEYS: the code of a browser on a link. ARGV: the HMAC, when it dies, its life in milliseconds.
ISSUE = Script("""
redis.call('HSET', KEYS[1], 'mac', ARGV[1], 'dies', ARGV[2], 'wrong', 0)
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
""")

# KEYS: as above. ARGV: now, how many wrong tries kill, then each HMAC that would be right.
REDEEM = Script("""
local kept = redis.call('HMGET', KEYS[1], 'mac', 'dies')
if not kept[1] then return 0 end
local right = 0
for i = 3, #ARGV do
  if ARGV[i] == kept[1] then right = 1 end
end
if tonumber(ARGV[1]) >= tonumber(kept[2]) then right = 0 end
if right == 1 or redis.call('HINCRBY', KEYS[1], 'wrong', 1) >= tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[1])
end
return right
""")


IS_ALIVE = Script("return redis.call('EXISTS', KEYS[1])")


class Mac(Protocol):
    """A keyed hash of `parts` for `purpose`, which no other parts share."""

    def __call__(self, purpose: str, *parts: str) -> bytes: ...


class Macs(Protocol):
    """The same under each key that may have been the first when a code was issued."""

    def __call__(self, purpose: str, *parts: str) -> list[bytes]: ...


class Codes:
    """Issues and redeems codes. `now` is in seconds since the epoch."""

    def __init__(
        self, redis: RedisClient, mac: Mac, macs: Macs, now: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._mac = mac
        self._macs = macs
        self._now = now

    async def issue(self, link_id: str, access_version: int, browser: str, email: str) -> str:
        """A new code of six digits, in place of an older one of this browser on this link.

        It lives `CODE_LIFE` seconds. Raises StoreUnavailable("redis").
        """
        code = f"{secrets.randbelow(10**6):06}"
        mac = self._mac(_PURPOSE, link_id, str(access_version), browser, email, code)
        dies = repr(self._now() + CODE_LIFE)
        await self._redis.run(
            ISSUE, [_key(link_id, browser)], [mac, dies, str(round(CODE_LIFE * 1000))]
        )
        return code

    async def redeem(
        self, link_id: str, access_version: int, browser: str, email: str, code: str
    ) -> bool:
        """Whether `code` is the one that this browser asked for to `email`; it is then used up.

        What is not six digits costs no try. Raises StoreUnavailable("redis").
        """
        candidate = normal_code(code)
        if candidate is None:
            return False
        macs = self._macs(_PURPOSE, link_id, str(access_version), browser, email, candidate)
        right: int = await self._redis.run(
            REDEEM, [_key(link_id, browser)], [repr(self._now()), str(MAX_WRONG), *macs]
        )
        return right == 1

    async def is_alive(self, link_id: str, browser: str) -> bool:
        """Whether a code of this browser on this link could still be redeemed.

        Raises StoreUnavailable("redis").
        """
        alive: int = await self._redis.run(IS_ALIVE, [_key(link_id, browser)], [])
        return alive == 1


def normal_code(text: str) -> str | None:
    """The six ASCII digits that were meant, without blanks and hyphens; None for anything else."""
    digits = re.sub(r"[\s-]", "", text)
    return digits if _CODE.fullmatch(digits) else None


def _key(link_id: str, browser: str) -> str:
    return f"portal:{{{link_id}}}:code:{hashlib.sha256(browser.encode()).hexdigest()[:32]}"
