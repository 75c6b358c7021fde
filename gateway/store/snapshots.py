"""Links in Redis: the step between memory and the database, and what tells others of a change.

portal:{SHA-256 of the token}:link   `seq`, and the link as JSON without its token; or, for a
                                     while after a change, the change's `seq` and no link
portal:{link id}:hash                where to find the link by its id

A snapshot was read when the sequence stood at `seq` or later. Whoever finds it may believe it
only if no change of that link came after `seq`, which `gateway.store.cache` decides. A change
*buries* what is there, under its own number: a load that began before the change may end after
it, and must not put the old link back. Each write is one script that leaves a higher number be.

Of two loads at the same `seq` one may have seen a change, with a higher number, that the other
had not. Either may win: that change, once heard of, overrules both.

After the database was restored from a backup its numbers begin again lower: empty Redis then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from ipaddress import ip_network
from typing import Any

from gateway.errors import StoreUnavailable
from gateway.links.model import Branding, Link, LinkType, Notifications, Permission
from gateway.store.freshness import Change
from gateway.store.redis import RedisClient, Script

CHANNEL = "portal:changes"
# How long a link that nobody loads anew stays known while the database is down.
SNAPSHOT_LIFE = 7 * 86400.0
# Longer than any load can take.
BURIED = 60.0

# KEYS: the snapshot. ARGV: seq, the link or "", life in milliseconds.
PUT = Script("""
local kept = redis.call('HGET', KEYS[1], 'seq')
if kept and tonumber(kept) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'link', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

# KEYS: the snapshot.
GET = Script("return redis.call('HMGET', KEYS[1], 'seq', 'link')")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A link as it was when the sequence stood at `seq`, or later."""

    link: Link
    seq: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """A change as it is pushed. `at` is the announcer's clock, seconds since the epoch."""

    seq: int
    link_id: str
    token_hashes: tuple[bytes, ...]
    domains: bool
    at: float


class Snapshots:
    """Snapshots in Redis. Nothing here raises when Redis is away: it is as if it were empty."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def find(self, key: bytes | str) -> Snapshot | None:
        """The snapshot for a token's hash or a link's id, if there is one."""
        try:
            if isinstance(key, bytes):
                return await self._get(key)
            found = await self._redis.get(_pointer(key))
            snapshot = await self._get(found) if found is not None else None
        except StoreUnavailable:
            return None
        return snapshot if snapshot is not None and snapshot.link.id == key else None

    async def store(self, snapshot: Snapshot) -> None:
        """Keep what the database said, unless something newer is there."""
        link, life = snapshot.link, str(round(SNAPSHOT_LIFE * 1000))
        try:
            await self._redis.run(
                PUT, [_key(link.token_hash)], [str(snapshot.seq), _to_json(link), life]
            )
            await self._redis.set(_pointer(link.id), link.token_hash, lives=SNAPSHOT_LIFE)
        except StoreUnavailable:
            return

    async def bury(self, change: Change) -> None:
        """Overrule every snapshot that is older than `change`."""
        try:
            for token_hash in change.token_hashes:
                await self._redis.run(
                    PUT, [_key(token_hash)], [str(change.seq), "", str(round(BURIED * 1000))]
                )
        except StoreUnavailable:
            return

    async def announce(self, change: Change, at: float) -> None:
        """Push `change` to every process that listens now: a hint, which may be lost."""
        message = {
            "seq": change.seq,
            "link": change.link_id,
            "hashes": [token_hash.hex() for token_hash in change.token_hashes],
            "domains": change.domains,
            "at": at,
        }
        try:
            await self._redis.publish(CHANNEL, json.dumps(message).encode())
        except StoreUnavailable:
            return

    async def listen(self, heard: Callable[[Announcement], None]) -> None:
        """Call `heard` with every announcement, until StoreUnavailable("redis")."""

        def read(message: bytes) -> None:
            announcement = _read_announcement(message)
            if announcement is not None:
                heard(announcement)

        await self._redis.listen(CHANNEL, read)

    async def _get(self, token_hash: bytes) -> Snapshot | None:
        seq, text = await self._redis.run(GET, [_key(token_hash)], [])
        if not seq or not text:
            return None
        link = _from_json(text)
        return Snapshot(link, int(seq)) if link and link.token_hash == token_hash else None


def _key(token_hash: bytes) -> str:
    return f"portal:{{{token_hash.hex()}}}:link"


def _pointer(link_id: str) -> str:
    return f"portal:{{{link_id}}}:hash"


def _read_announcement(message: bytes) -> Announcement | None:
    """None for what another version of this program, or another program, may have sent."""
    try:
        parts = json.loads(message)
        return Announcement(
            seq=int(parts["seq"]),
            link_id=str(parts["link"]),
            token_hashes=tuple(map(bytes.fromhex, parts["hashes"])),
            domains=bool(parts["domains"]),
            at=float(parts["at"]),
        )
    except (ValueError, TypeError, KeyError):
        return None


def _to_json(link: Link) -> str:
    parts = asdict(link)
    parts["token_hash"] = link.token_hash.hex()
    parts["permissions"] = sorted(link.permissions)
    parts["allowed_ips"] = [str(network) for network in link.allowed_ips]
    return json.dumps(parts, separators=(",", ":"))


def _from_json(text: bytes) -> Link | None:
    """None for anything but all the fields of a link as this version knows it.

    A field that is missing would get its default, and so a gate that an older version did not
    know would stand open.
    """
    try:
        parts: dict[str, Any] = json.loads(text)
        if parts.keys() != {field.name for field in fields(Link)}:
            return None
        return Link(
            **{
                **parts,
                "token_hash": bytes.fromhex(parts["token_hash"]),
                "link_type": LinkType(parts["link_type"]),
                "permissions": frozenset(map(Permission, parts["permissions"])),
                "allowed_ips": tuple(map(ip_network, parts["allowed_ips"])),
                "allowed_emails": tuple(parts["allowed_emails"]),
                "namespaces": tuple(parts["namespaces"]),
                "branding": Branding(**parts["branding"]),
                "notifications": _notifications(parts["notifications"]),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _notifications(parts: dict[str, Any]) -> Notifications:
    return Notifications(**{**parts, "recipients": tuple(parts["recipients"])})
