"""What a request makes of a link: the change itself, and the rules that span several fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from admin_api.checks import parse_network
from admin_api.errors import Detail, invalid
from admin_api.schemas import (
    AccessRestrictionsChange,
    LinkFields,
    NotificationSettings,
    Permissions,
)
from gateway.links.model import Link, LinkRecord, LinkType, Notifications, Permission

_NOTIFICATIONS = {
    "notify_on_access": "on_access",
    "notify_on_comment": "on_comment",
    "notify_on_file_upload": "on_file_upload",
    "notification_recipients": "recipients",
}


def changed(record: LinkRecord, change: LinkFields, password_hash: str | None) -> LinkRecord:
    """`record` with what `change` was sent with; the rest stays.

    `password_hash` is of the password in `change`, if there is one. Raises ApiError 422.
    """
    top = _sent(change)
    link = record.link
    fields: dict[str, Any] = _restrictions(link, change.access_restrictions, password_hash)
    if "link_type" in top:
        fields["link_type"] = LinkType(change.link_type)
    if "expiry_date" in top:
        fields["expires_at"] = change.expiry_date
    if "is_active" in top:
        fields["is_active"] = change.is_active
    if "company_namespace" in top:
        fields["namespaces"] = tuple(change.company_namespace)
    after = replace(
        link,
        permissions=_permissions(link, change.permissions),
        notifications=_notifications(link.notifications, change.notification_settings),
        branding=replace(link.branding, **_sent(change.custom_branding)),
        **fields,
    )
    _check_gates(after, "link_type" if "link_type" in top else "access_restrictions")
    notes = _sent(change.metadata)
    if "tags" in notes:
        notes["tags"] = tuple(notes["tags"])
    return replace(record, link=after, **notes)


def _sent(model: BaseModel) -> dict[str, Any]:
    """The fields that the request named, whatever it set them to."""
    return {name: getattr(model, name) for name in model.model_fields_set}


def _permissions(link: Link, change: Permissions) -> frozenset[Permission]:
    sent = _sent(change)
    return frozenset(
        permission
        for permission in Permission
        if sent.get(permission.value, permission in link.permissions)
    )


def _notifications(before: Notifications, change: NotificationSettings) -> Notifications:
    sent = {_NOTIFICATIONS[name]: value for name, value in _sent(change).items()}
    if "recipients" in sent:
        sent["recipients"] = tuple(sent["recipients"])
    return replace(before, **sent)


def _restrictions(
    link: Link, change: AccessRestrictionsChange, password_hash: str | None
) -> dict[str, Any]:
    sent = _sent(change)
    fields: dict[str, Any] = {
        name: sent[name] for name in ("max_uses", "require_email_verification") if name in sent
    }
    if "allowed_ips" in sent:
        networks = [parse_network(text) for text in change.allowed_ips]
        fields["allowed_ips"] = tuple(dict.fromkeys(networks))
    if "allowed_emails" in sent:
        fields["allowed_emails"] = tuple(dict.fromkeys(change.allowed_emails))
    return fields | _password(link, change, password_hash)


def _password(
    link: Link, change: AccessRestrictionsChange, password_hash: str | None
) -> dict[str, Any]:
    """A password sets the gate up; false takes it down, and the stored password with it."""
    wanted = change.password_protected if "password_protected" in change.model_fields_set else None
    if "password" in change.model_fields_set:
        if wanted is False:
            raise _invalid_gate("A password is given, and password_protected is false.")
        return {"password_protected": True, "password_hash": password_hash}
    if wanted is None:
        return {}
    if wanted and link.password_hash is None:
        raise _invalid_gate("This needs a password: give one in access_restrictions.password.")
    return {
        "password_protected": wanted,
        "password_hash": link.password_hash if wanted else None,
    }


def _invalid_gate(sentence: str) -> Exception:
    return invalid([Detail("access_restrictions.password_protected", sentence)])


def _check_gates(link: Link, field: str) -> None:
    if link.link_type is LinkType.SECURE and not link.has_gates:
        raise invalid(
            [Detail(field, "A secure link needs a password or the verification of the email.")]
        )
