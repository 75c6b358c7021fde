"""Links as rows, and rows as links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from ipaddress import ip_network
from typing import Any

from sqlalchemy import RowMapping

from gateway.errors import GatewayError
from gateway.links.model import (
    Branding,
    Link,
    LinkRecord,
    LinkType,
    Notifications,
    Permission,
    Usage,
)
from gateway.store.schema import NEVER_ENDS, NOT_YET, to_microseconds, to_seconds

_LARGEST = 2**63 - 1
# Characters; what the columns take on PostgreSQL, and so what they take on SQLite.
_LONGEST = {"workorder": 128, "custom_domain": 255, "company_namespace": 255}


class NotStorable(GatewayError):
    """A value that no row can hold. `field` is its name in the admin API."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def is_storable(text: str) -> bool:
    """Whether a column can hold `text`: PostgreSQL takes neither NUL nor lone surrogates."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def check_storable(record: LinkRecord) -> None:
    """Raise NotStorable for the first value that not every database can hold."""
    link = record.link
    texts = [
        ("workorder", link.workorder),
        ("custom_domain", link.branding.custom_domain),
        ("created_by", record.created_by),
        ("purpose", record.purpose),
        *(("company_namespace", namespace) for namespace in link.namespaces),
    ]
    for field, text in texts:
        if text is None:
            continue
        if not is_storable(text):
            raise NotStorable(field, "holds a character that cannot be stored")
        if len(text) > _LONGEST.get(field, len(text)):
            raise NotStorable(field, f"has more than {_LONGEST[field]} characters")
    for field, number in (("max_uses", link.max_uses), ("SVClient", record.sv_client)):
        if not 0 <= number <= _LARGEST:
            raise NotStorable(field, "is out of range")


def to_row(record: LinkRecord, token_sealed: str) -> dict[str, Any]:
    """The columns of `links` for `record`; namespaces and usage are rows of their own."""
    link = record.link
    branding = asdict(link.branding)
    return {
        "id": link.id,
        "token_hash": link.token_hash,
        "token_sealed": token_sealed,
        "workorder": link.workorder,
        "link_type": link.link_type.value,
        "permissions": sorted(permission.value for permission in link.permissions),
        "allowed_ips": [str(network) for network in link.allowed_ips],
        "max_uses": link.max_uses,
        "password_protected": link.password_protected,
        "password_hash": link.password_hash,
        "require_email_verification": link.require_email_verification,
        "allowed_emails": list(link.allowed_emails),
        "expires_at": NEVER_ENDS if link.expires_at is None else to_microseconds(link.expires_at),
        "is_active": link.is_active,
        "access_version": link.access_version,
        "custom_domain": branding.pop("custom_domain"),
        "branding": branding,
        "notifications": asdict(link.notifications),
        "created_by": record.created_by,
        "purpose": record.purpose,
        "tags": list(record.tags),
        "sv_client": record.sv_client,
        "created_at": to_microseconds(record.created_at),
        "modified_at": to_microseconds(record.modified_at),
        "version": record.version,
    }


def to_link(row: RowMapping, namespaces: Sequence[str]) -> Link:
    """The snapshot that the rules are given."""
    ends = row["expires_at"]
    notifications = dict(row["notifications"])
    recipients = tuple(notifications.pop("recipients"))
    return Link(
        id=row["id"],
        token_hash=bytes(row["token_hash"]),
        workorder=row["workorder"],
        link_type=LinkType(row["link_type"]),
        permissions=frozenset(Permission(name) for name in row["permissions"]),
        allowed_ips=tuple(ip_network(text) for text in row["allowed_ips"]),
        max_uses=row["max_uses"],
        password_protected=row["password_protected"],
        password_hash=row["password_hash"],
        require_email_verification=row["require_email_verification"],
        allowed_emails=tuple(row["allowed_emails"]),
        expires_at=None if ends == NEVER_ENDS else to_seconds(ends),
        is_active=row["is_active"],
        access_version=row["access_version"],
        namespaces=tuple(namespaces),
        branding=Branding(custom_domain=row["custom_domain"], **row["branding"]),
        notifications=Notifications(recipients=recipients, **notifications),
    )


def to_record(row: RowMapping, namespaces: Sequence[str], token: str) -> LinkRecord:
    """The link as its owner sees it; `row` holds the columns of `links` and of `link_usage`."""
    last_accessed = row["last_accessed"]
    return LinkRecord(
        link=to_link(row, namespaces),
        token=token,
        created_at=to_seconds(row["created_at"]),
        modified_at=to_seconds(row["modified_at"]),
        version=row["version"],
        created_by=row["created_by"],
        purpose=row["purpose"],
        tags=tuple(row["tags"]),
        sv_client=row["sv_client"],
        usage=Usage(
            total_views=row["total_views"],
            unique_visitors=row["unique_visitors"],
            uses=row["uses"],
            last_accessed=None if last_accessed == NOT_YET else to_seconds(last_accessed),
        ),
    )
