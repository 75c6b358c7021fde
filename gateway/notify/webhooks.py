"""Webhooks as the Standard Webhooks specification (1.0.0) has them: for whom, what, and signed. Pure.

The body is written once, when the event is taken, and is the same in every try; the time in the
header and the signature over it are made anew each time.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from gateway.links.model import EventKind, Link
from gateway.store.deliveries import ANY
from gateway.store.entry import Event

TYPES = {
    EventKind.ACCESS: "portal.link.accessed",
    EventKind.COMMENT: "portal.link.commented",
    EventKind.FILE_UPLOAD: "portal.link.file_uploaded",
}


def webhooks_of(namespaces: Sequence[str], configured: Collection[str]) -> list[str]:
    """The names of the configured webhooks that a link in these namespaces has.

    Each of its namespaces that has a webhook is told: the link is shared, and so is the news.
    """
    own = [name for name in namespaces if name in configured and name != ANY]
    return own or ([ANY] if ANY in configured else [])


def webhook_body(event: Event, link: Link) -> str:
    """What is told of `event`: who, what and when, and nothing that opens the link."""
    visitor = {"ip_address": event.address, "email": event.email}
    document = {
        "type": TYPES[event.kind],
        "timestamp": _instant(event.at),
        "data": {
            "link_id": link.id,
            "workorder": link.workorder,
            "link_type": link.link_type.value,
            "company_namespace": list(link.namespaces),
            "visitor": {name: value for name, value in visitor.items() if value},
            "request_id": event.request_id,
        },
    }
    return json.dumps(document, separators=(",", ":"))


def webhook_headers(id: str, body: str, keys: Iterable[bytes], now: float) -> dict[str, str]:
    """The headers of one try at `now`, signed with each of `keys`."""
    timestamp = str(int(now))
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, f"{id}.{timestamp}.{body}") for key in keys),
    }


def _signature(key: bytes, content: str) -> str:
    """Version 1: HMAC-SHA256 (RFC 2104), in base64."""
    return f"v1,{b64encode(hmac.digest(key, content.encode(), 'sha256')).decode()}"


def _instant(seconds: float) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
