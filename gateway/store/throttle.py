"""How often something may be tried: sliding windows, in Redis, or in memory while Redis is away.

A try is *taken* from two windows at once, before the secret is looked at: with a check first and
a count afterwards, a thousand tries sent together would all pass the check. A window that is full
refuses, and a refused try is in neither window, so knocking on does not prolong the wait.

failures   one window for each gate, link and address; one for each link, over all gates
codes      one window for each link and mail address; one for each link and address; and one for
           each link that refuses nothing and only knows the others

Windows are sorted sets of random members by time, with the link's id as the hash tag. Addresses
and browsers stand in keys and members as hashes only. A member of a link's own window begins with
whose it is, so that from there all the link's windows are found: to show them, and to clear them.

Without Redis the same is done in memory. What this process took while Redis answered is noted
there, too, so that an outage of Redis does not start the counts anew. Each process then counts
alone: with N processes a guesser has up to N times the tries, for as long as Redis is away. What
is cleared is cleared in Redis and in the process that was asked; another process that counts alone
within the next hour may still know of it, which costs a visitor a wait and lets nobody in.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from config.models import ThrottleSettings
from gateway.errors import StoreUnavailable
from gateway.store.redis import RedisClient, Script
from gateway.store.throttle_state import Entry, ThrottleState, state_of
from gateway.store.windows import MemoryWindows, Window

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
    wait = math.max(wait, tonumber(first[2]) + length - now)
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


# What an index has room for: more than it will ever hold.
_ANY_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a try may be made; if not, `retry_after` is in whole seconds, at least one."""

    allowed: bool
    retry_after: int = 0


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
        tag, settings = _codes(link_id), self._settings
        windows = (
            Window(f"{tag}:email:{_hashed(email)}", settings.codes_per_email),
            Window(f"{tag}:address:{_hashed(subject)}", settings.codes_per_address),
        )
        return await self._take(windows, f"{_hashed(email)}:{_hashed(subject)}:", index=tag)

    async def states(self, link_ids: Sequence[str]) -> dict[str, ThrottleState]:
        """How it stands with each link; nothing is said of any while Redis is away.

        Two round trips at most, however many links: the second only if some visitor's own window
        may be full, for a success empties that one and not the link's.
        """
        now = self._now()
        since = now - self._settings.window
        try:
            failures, codes = await self._links_own(link_ids, since)
            full = {
                (link_id, whose): _window_of(link_id, whose)
                for link_id, entries in failures.items()
                for whose in _often(entries, self._settings.failures_per_address)
            }
            found = await self._redis.entries(list(full.values()), since)
        except StoreUnavailable:
            return {}
        own: dict[str, list[Sequence[Entry]]] = {link_id: [] for link_id in link_ids}
        for (link_id, _), entries in zip(full, found, strict=True):
            own[link_id].append(entries)
        return {
            link_id: state_of(failures[link_id], own[link_id], codes[link_id], self._settings, now)
            for link_id in link_ids
        }

    async def clear(self, link_id: str) -> None:
        """Empty all of a link's windows. Raises StoreUnavailable if Redis could not be asked."""
        self._memory.forget(f"portal:{{{link_id}}}:")
        failures, codes = await self._links_own([link_id], -math.inf)
        windows = {_failures(link_id), _codes(link_id)}
        windows |= {_window_of(link_id, whose) for whose in _often(failures[link_id], 1)}
        for member, _ in codes[link_id]:
            email, subject, _ = member.split(":")
            windows |= {
                f"{_codes(link_id)}:email:{email}",
                f"{_codes(link_id)}:address:{subject}",
            }
        await self._redis.delete(sorted(windows))

    async def _links_own(
        self, link_ids: Sequence[str], since: float
    ) -> tuple[dict[str, list[Entry]], dict[str, list[Entry]]]:
        keys = [*map(_failures, link_ids), *map(_codes, link_ids)]
        found = await self._redis.entries(keys, since)
        count = len(link_ids)
        return (
            dict(zip(link_ids, found[:count], strict=True)),
            dict(zip(link_ids, found[count:], strict=True)),
        )

    def _failures(self, gate: str, link_id: str, subject: str) -> tuple[Window, Window]:
        tag, settings = _failures(link_id), self._settings
        return (
            Window(f"{tag}:{gate}:{_hashed(subject)}", settings.failures_per_address),
            Window(tag, settings.failures_per_link),
        )

    async def _take(
        self, windows: Sequence[Window], prefix: str, index: str | None = None
    ) -> Taken:
        """Take a try from all of `windows`, and enter it in the `index`, which has no bound."""
        now, member = self._now(), prefix + secrets.token_hex(8)
        keys, limits = [w.key for w in windows], [str(w.limit) for w in windows]
        if index is not None:
            keys.append(index)
            limits.append(str(_ANY_NUMBER))
        arguments = [repr(now), repr(self._settings.window), member, *limits]
        try:
            answer: bytes = await self._redis.run(TAKE, keys, arguments)
        except StoreUnavailable:
            return _taken(self._memory.take(windows, member, now))
        if not answer:
            self._memory.note(windows, member, now)
        return _taken(float(answer or 0))


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
    return Taken(False, math.ceil(wait)) if wait > 0 else Taken(True)


def _failures(link_id: str) -> str:
    return f"portal:{{{link_id}}}:failures"


def _codes(link_id: str) -> str:
    return f"portal:{{{link_id}}}:codes"


def _window_of(link_id: str, whose: str) -> str:
    """The own window of whoever a link's failures name as `whose`."""
    return f"{_failures(link_id)}:{whose}"


def _often(entries: Iterable[Entry], times: int) -> list[str]:
    """Who stands in a link's failures at least so many `times`: gate and hashed address."""
    counts = Counter(member.rpartition(":")[0] for member, _ in entries)
    return [whose for whose, count in counts.items() if count >= times]


def _prefix(gate: str, subject: str) -> str:
    return f"{gate}:{_hashed(subject)}:"


def _mark_key(name: str) -> str:
    return f"portal:mark:{_hashed(name)}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
