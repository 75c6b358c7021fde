"""One entry or event as one line of JSON (RFC 8259), and back.

An event is a line of its own, and not a member of an entry, because it happens later: the entry is
written before the backend is asked, the event once the backend has answered. A line with the member
`event` is one.

Everything beyond ASCII is escaped, so whatever a visitor sends, a line feed stands at the end of
a line and nowhere else, and a file is text for every tool. A lone surrogate (a header's byte that
was not UTF-8) is kept; a pair of them is read back as the character that it stands for.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from gateway.links.model import EventKind
from gateway.store.entry import Entry, Event

__all__ = ["MAX_USER_AGENT", "Entry", "Event", "from_line", "to_line"]

# Characters. A visitor chooses this text, and it is kept for every request.
MAX_USER_AGENT = 512

_TEXTS = ("address", "user_agent", "action", "reason", "visitor", "request_id")
_FLAGS = ("bot", "is_view", "is_access")
_EVENT_TEXTS = ("address", "request_id")
_EVENT_KINDS = frozenset(kind.value for kind in EventKind)
_MAX_LINK_ID = 24
# Seconds since the epoch; the year 9999, the last that a date can have in the admin API.
_MAX_AT = 253_402_300_799


def to_line(line: Entry | Event) -> bytes:
    """An entry or event as a line, line feed included; an entry's user agent is cut."""
    return _entry_line(line) if isinstance(line, Entry) else _event_line(line)


def _entry_line(entry: Entry) -> bytes:
    """Spelled out because it is on the way of every request: a third of what `json.dumps` takes."""
    email = "null" if entry.email is None else _quoted(entry.email)
    return (
        f'{{"link_id":{_quoted(entry.link_id)},"at":{entry.at!r},'
        f'"address":{_quoted(entry.address)},'
        f'"user_agent":{_quoted(entry.user_agent[:MAX_USER_AGENT])},'
        f'"action":{_quoted(entry.action)},"reason":{_quoted(entry.reason)},'
        f'"visitor":{_quoted(entry.visitor)},"email":{email},'
        f'"bot":{"true" if entry.bot else "false"},"request_id":{_quoted(entry.request_id)},'
        f'"is_view":{"true" if entry.is_view else "false"},'
        f'"is_access":{"true" if entry.is_access else "false"}}}\n'
    ).encode("ascii")


def _event_line(event: Event) -> bytes:
    fields = {
        "event": event.kind.value,
        "link_id": event.link_id,
        "at": event.at,
        "address": event.address,
        "email": event.email,
        "request_id": event.request_id,
    }
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def from_line(line: bytes) -> Entry | Event:
    """The entry or event that `line` holds.

    Members that this version does not know are skipped: another version may have written them.
    Raises ValueError for everything that no version of `to_line` wrote.
    """
    try:
        fields = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(fields, dict):
        return _event(fields) if "event" in fields else _entry(fields)
    raise ValueError("not an object")


def _entry(fields: dict[str, Any]) -> Entry:
    if not _is_on_a_link(fields, _TEXTS) or not all(_is_flag(fields.get(name)) for name in _FLAGS):
        raise ValueError("not an entry")
    return Entry(
        link_id=fields["link_id"],
        at=float(fields["at"]),
        email=fields["email"],
        **{name: fields[name] for name in (*_TEXTS, *_FLAGS)},
    )


def _event(fields: dict[str, Any]) -> Event:
    kind = fields["event"]
    if not _is_on_a_link(fields, _EVENT_TEXTS) or not _is_kind(kind):
        raise ValueError("not an event")
    return Event(
        link_id=fields["link_id"],
        at=float(fields["at"]),
        kind=EventKind(kind),
        address=fields["address"],
        email=fields["email"],
        request_id=fields["request_id"],
    )


def _is_on_a_link(fields: dict[str, Any], texts: tuple[str, ...]) -> bool:
    """Whether the database can take these fields as they are."""
    link_id, at, email = fields.get("link_id"), fields.get("at", -1), fields.get("email", False)
    return (
        isinstance(link_id, str)
        and len(link_id) <= _MAX_LINK_ID
        and type(at) in {int, float}  # a bool is an int, too, and no time
        and 0 <= at <= _MAX_AT  # NaN is not
        and (email is None or isinstance(email, str))
        and all(isinstance(fields.get(name), str) for name in texts)
    )


def _is_kind(value: object) -> bool:
    return isinstance(value, str) and value in _EVENT_KINDS


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)
