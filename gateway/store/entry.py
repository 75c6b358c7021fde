"""What the journal hands to the store.

Entries of the access log, events that somebody wants to be told of, and places in a journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.links.model import EventKind


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision on a link, as the access log tells it.

    `at` is in seconds since the epoch. `action` is a route's action, `open`, a gate, or `denied`;
    `reason` is of the closed list. `visitor` is the verified address, the visitor's id, or a keyed
    hash; `email` is a verified address alone. `is_view` says that the entry counts as a view and
    its visitor as a visitor; `is_access`, that the link was used: allowed, and by somebody who
    looks; `bot`, that nobody is taken to look. `is_view` and `is_access` are for counting and are
    not kept: an entry read back from the log has them false.
    """

    link_id: str
    at: float
    address: str
    user_agent: str
    action: str
    reason: str
    visitor: str
    email: str | None
    bot: bool
    request_id: str
    is_view: bool = False
    is_access: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a link, and that somebody wants to be told of.

    `at` is in seconds since the epoch. Who it was is told as the access log tells it: `email` is a
    verified address, `address` the client's, as far as the settings let it be kept.
    """

    link_id: str
    at: float
    kind: EventKind
    address: str
    email: str | None
    request_id: str


class Position(NamedTuple):
    """A place in one journal: everything before byte `offset` of segment `segment`."""

    segment: int
    offset: int


START = Position(0, 0)
