"""Links for tests, valid in everything that a test does not name."""

from __future__ import annotations

from typing import Any

from gateway.crypto.tokens import hash_token, new_id, new_token
from gateway.links.model import Link, LinkRecord

NOW = 1_750_000_000.0

_RECORD_FIELDS = {
    "created_at",
    "modified_at",
    "version",
    "created_by",
    "purpose",
    "tags",
    "sv_client",
    "usage",
}


def new_record(**fields: Any) -> LinkRecord:
    """A record with a token and an id of its own; `fields` are those of Link and LinkRecord."""
    token = fields.pop("token", None) or new_token()
    of_record = {name: fields.pop(name) for name in _RECORD_FIELDS & fields.keys()}
    of_record.setdefault("created_at", NOW)
    of_record.setdefault("modified_at", of_record["created_at"])
    of_link = {"id": new_id(), "workorder": "WO-1", **fields, "token_hash": hash_token(token)}
    return LinkRecord(link=Link(**of_link), token=token, **of_record)
