"""How often something may be tried: sliding windows, in Redis, or in memory while Redis is away.

A try is *taken* from two windows at once, before the secret is looked at: with a check first and
a count afterwards, a thousand tries sent together would all pass the check. A window that is full
refuses, and a refused try is in neither window, so knocking on does not prolong the wait.

failures   one window for each gate, link and address; one for each link, over all gates
codes      one window for each link and mail address; one for each link and address

Windows are sorted sets of random members by time, with the link's id as the hash tag. Addresses
and browsers stand in keys as hashes only.

Without Redis the same is done in memory. What this process took while Redis answered is noted
there, too, so that an outage of Redis does not start the counts anew. Each process then counts
alone: with N processes a guesser has up to N times the tries, for as long as Redis is away.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.models import ThrottleSettings
from gateway.errors import StoreUnavailable
from gateway.store.redis import RedisClient, Script

# Windows kept in memory at most, some hundred bytes each; the longest untouched go first.
MAX_WINDOWS = 20_000
MAX_MARKS = 20_000

# KEYS: the windows. ARGV: now, the window's length, the member, then each window's limit.
# Returns "" if the try was taken, or else the seconds until there is room, as text: a number
# would be cut to an integer.
TAKE = Script("""
local now, length, wait = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - length)
  local over = redis.call('ZCARD', key) - tonumber(ARGV[3 + i])
  if over >= 0 then
    local first = redis.call('ZRANGE', key, over, over, 'WITHSCORES')
    wait = math.max(wait, first[2] and tonumber(first[2]) + length - now or length)
  end
end
if wait > 0 then return tostring(wait) end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[3])
  redis.call('PEXPIRE', key, math.ceil(length * 1000))
end
return ''
""")

# KEYS: the visitor's own window, the link's. ARGV: how the visitor's members begin.
GIVE_BACK = Script("""
redis.call('DEL', KEYS[1])
local members = redis.call('ZREVRANGE', KEYS[2], 0, -1)
for _, member in ipairs(members) do
  if string.sub(member, 1, #ARGV[1]) == ARGV[1] then
    return redis.call('ZREM', KEYS[2], member)
  end
end
return 0
""")


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a try may be made; if not, `retry_after` is in whole seconds, at least one."""

    allowed: bool
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """A place to take a try from: at most `limit` within the throttle's window."""

    key: str
    limit: int


class Throttle:
    """The throttles of the gates. Nothing here raises when Redis is away.

    `subject` is the visitor's address as it is counted: IPv4 whole, IPv6 by its /64. Mail
    addresses come normalised. `now` is in seconds since the epoch: machines share the windows.
    """

    def __init__(
        self,
        redis: RedisClient,
        settings: ThrottleSettings,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._now = now
        self._memory = MemoryWindows(settings.window)

    async def take_failure(self, gate: str, link_id: str, subject: str) -> Taken:
        """Take a try at `gate`, which counts as a failure until it is given back."""
        own, whole = self._failures(gate, link_id, subject)
        return await self._take((own, whole), _prefix(gate, subject))

    async def give_back(self, gate: str, link_id: str, subject: str) -> None:
        """The try was a success: forget this visitor's failures at this gate.

        Of the link's window only the one try goes: others' failures, and the visitor's own
        earlier ones, stay counted there.
        """
        own, whole = self._failures(gate, link_id, subject)
        prefix = _prefix(gate, subject)
        self._memory.give_back(own.key, whole.key, prefix)
        try:
            await self._redis.run(GIVE_BACK, [own.key, whole.key], [prefix])
        except StoreUnavailable:
            # The try stays counted in Redis until the window has passed: the safe side.
            return

    async def take_code(self, link_id: str, email: str, subject: str) -> Taken:
        """Take the sending of one code; it is never given back."""
        tag, settings = f"portal:{{{link_id}}}:codes", self._settings
        windows = (
            Window(f"{tag}:email:{_hashed(email)}", settings.codes_per_email),
            Window(f"{tag}:address:{_hashed(subject)}", settings.codes_per_address),
        )
        return await self._take(windows, "")

    def _failures(self, gate: str, link_id: str, subject: str) -> tuple[Window, Window]:
        tag, settings = f"portal:{{{link_id}}}:failures", self._settings
        return (
            Window(f"{tag}:{gate}:{_hashed(subject)}", settings.failures_per_address),
            Window(tag, settings.failures_per_link),
        )

    async def _take(self, windows: Sequence[Window], prefix: str) -> Taken:
        now, member = self._now(), prefix + secrets.token_hex(8)
        arguments = [repr(now), repr(self._settings.window), member]
        try:
            answer: bytes = await self._redis.run(
                TAKE, [w.key for w in windows], arguments + [str(w.limit) for w in windows]
            )
        except StoreUnavailable:
            return _taken(self._memory.take(windows, member, now))
        if not answer:
            self._memory.note(windows, member, now)
        return _taken(float(answer or 0))


class MemoryWindows:
    """The same windows in this process: bounded, the longest untouched forgotten first.

    A guesser can push windows out only by opening as many others, each of which touches the
    window of its link; that one stays.
    """

    def __init__(self, length: float, max_windows: int = MAX_WINDOWS) -> None:
        self._length = length
        self._max_windows = max_windows
        self._windows: OrderedDict[str, list[tuple[float, str]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, windows: Sequence[Window], member: str, now: float) -> float:
        """0 if the try was taken, or else the seconds until there is room."""
        wait = max(self._wait(window, now) for window in windows)
        if not wait:
            self.note(windows, member, now)
        return wait

    def note(self, windows: Sequence[Window], member: str, now: float) -> None:
        """Enter a try without asking whether there is room; the oldest makes room."""
        for window in windows:
            entries = self._current(window.key, now)
            entries.append((now, member))
            del entries[: max(0, len(entries) - window.limit)]
            self._windows[window.key] = entries
            self._windows.move_to_end(window.key)
        while len(self._windows) > self._max_windows:
            self._windows.popitem(last=False)

    def give_back(self, own_key: str, whole_key: str, prefix: str) -> None:
        """Empty the visitor's own window, and take the newest of their tries from the other."""
        self._windows.pop(own_key, None)
        entries = self._windows.get(whole_key, [])
        for index in reversed(range(len(entries))):
            if entries[index][1].startswith(prefix):
                del entries[index]
                return

    def _wait(self, window: Window, now: float) -> float:
        entries = self._current(window.key, now)
        over = len(entries) - window.limit
        if over < 0:
            return 0.0
        return entries[over][0] + self._length - now if entries[over:] else self._length

    def _current(self, key: str, now: float) -> list[tuple[float, str]]:
        return [e for e in self._windows.get(key, ()) if e[0] > now - self._length]


class Marks:
    """Names that something has happened to, kept for a while.

    A mark is known in this process at once and for certain, and in the others through Redis.
    Without Redis another process's marks are not known: a mark takes something away from one
    who already had it, or spares a visitor a detour, and is never the only guard.
    """

    def __init__(
        self,
        redis: RedisClient,
        now: Callable[[], float] = time.time,
        max_marks: int = MAX_MARKS,
    ) -> None:
        self._redis = redis
        self._now = now
        self._max_marks = max_marks
        self._memory: OrderedDict[str, float] = OrderedDict()

    async def mark(self, name: str, ttl: float) -> None:
        """Mark `name` for `ttl` seconds. Never raises when Redis is away."""
        key, ends = _mark_key(name), self._now() + ttl
        self._memory[key] = ends
        self._memory.move_to_end(key)
        if len(self._memory) > self._max_marks:
            self._memory.popitem(last=False)
        try:
            await self._redis.set(key, repr(ends), lives=ttl)
        except StoreUnavailable:
            return

    async def marked(self, name: str) -> bool:
        """Whether `name` was marked and its time is not over."""
        key, now = _mark_key(name), self._now()
        if self._memory.get(key, now) > now:
            return True
        try:
            ends = await self._redis.get(key)
        except StoreUnavailable:
            return False
        return ends is not None and float(ends) > now


def _taken(wait: float) -> Taken:
    return Taken(wait <= 0, max(1, math.ceil(wait)) if wait > 0 else 0)


def _prefix(gate: str, subject: str) -> str:
    return f"{gate}:{_hashed(subject)}:"


def _mark_key(name: str) -> str:
    return f"portal:mark:{_hashed(name)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
