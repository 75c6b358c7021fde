"""One entry as one line of JSON (RFC 8259), and back.

Everything beyond ASCII is escaped, so whatever a visitor sends, a line feed stands at the end of
a line and nowhere else, and a file is text for every tool. A lone surrogate (a header's byte that
was not UTF-8) is kept; a pair of them is read back as the character that it stands for.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from gateway.store.entry import Entry

__all__ = ["MAX_USER_AGENT", "Entry", "from_line", "to_line"]

# Characters. A visitor chooses this text, and it is kept for every request.
MAX_USER_AGENT = 512

_TEXTS = ("address", "user_agent", "action", "reason", "visitor", "request_id")
_FLAGS = ("bot", "is_view", "is_access")
_MAX_LINK_ID = 24
# Seconds since the epoch; the year 9999, the last that a date can have in the admin API.
_MAX_AT = 253_402_300_799


def to_line(entry: Entry) -> bytes:
    """`entry` as a line, line feed included; its user agent is cut.

    Spelled out because it is on the way of every request: a third of what `json.dumps` takes.
    """
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


def from_line(line: bytes) -> Entry:
    """The entry that `line` holds.

    Members that this version does not know are skipped: another version may have written them.
    Raises ValueError for everything that no version of `to_line` wrote.
    """
    try:
        fields = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(fields, dict) or not _is_entry(fields):
        raise ValueError("not an entry")
    return Entry(
        link_id=fields["link_id"],
        at=float(fields["at"]),
        email=fields["email"],
        **{name: fields[name] for name in (*_TEXTS, *_FLAGS)},
    )


def _is_entry(fields: dict[str, Any]) -> bool:
    """Whether the database can take the fields as they are."""
    link_id, at, email = fields.get("link_id"), fields.get("at", -1), fields.get("email", False)
    return (
        isinstance(link_id, str)
        and len(link_id) <= _MAX_LINK_ID
        and type(at) in {int, float}  # a bool is an int, too, and no time
        and 0 <= at <= _MAX_AT  # NaN is not
        and (email is None or isinstance(email, str))
        and all(isinstance(fields.get(name), str) for name in _TEXTS)
        and all(isinstance(fields.get(name), bool) for name in _FLAGS)
    )
