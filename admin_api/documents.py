"""A link, an entry, a key or a webhook, as the document that is answered."""

from __future__ import annotations

from collections.abc import Sequence

from admin_api import schemas
from admin_api.checks import format_instant, format_network
from gateway.links.model import LinkRecord, Permission
from gateway.notify.webhooks import TYPES
from gateway.store.deliveries import Delivery
from gateway.store.entry import Entry
from gateway.store.keys import ApiKey
from gateway.store.throttle_state import ThrottleState


def link_document(
    record: LinkRecord,
    log: Sequence[Entry],
    throttle: ThrottleState | None,
    public_url: str,
    now: float,
) -> schemas.WorkorderPortalLink:
    """The link as its owner sees it at `now`; `log` is its newest entries, newest first.

    `throttle` is None while nobody can say.
    """
    link = record.link
    # Constructed without validation: what is stored was checked when it came in, and a rule
    # that has been made stricter since must not hide a link from its owner.
    return schemas.WorkorderPortalLink.model_construct(
        id=link.id,
        workorder=link.workorder,
        link_token=record.token,
        full_url=full_url(record, public_url),
        link_type=link.link_type.value,
        permissions=_permissions(record),
        access_restrictions=_restrictions(record),
        expiry_date=_instant(link.expires_at),
        is_active=link.is_active,
        usage_stats=_usage(record, log),
        notification_settings=_notifications(record),
        custom_branding=_branding(record),
        metadata=schemas.Metadata.model_construct(
            created_by=record.created_by, purpose=record.purpose, tags=list(record.tags)
        ),
        company_namespace=list(link.namespaces),
        created_at=format_instant(record.created_at),
        modified_at=format_instant(record.modified_at),
        sv_client=record.sv_client,
        version=record.version,
        status=record.status(now).value,
        throttle=None if throttle is None else _throttle(throttle),
    )


def full_url(record: LinkRecord, public_url: str) -> str:
    """The portal URL: on the link's own domain if it has one, which is always https."""
    domain = record.link.branding.custom_domain
    origin = f"https://{domain}" if domain else public_url.rstrip("/")
    return f"{origin}/workorder/{record.token}"


def entry_document(entry: Entry) -> schemas.AccessLogEntry:
    """One decision, as its owner sees it."""
    return schemas.AccessLogEntry.model_construct(
        timestamp=format_instant(entry.at),
        ip_address=entry.address,
        user_agent=entry.user_agent,
        action=entry.action,
        reason=entry.reason,
        visitor=entry.visitor,
        email=entry.email,
        bot=entry.bot,
        request_id=entry.request_id,
    )


def key_document(key: ApiKey) -> schemas.Key:
    """A key, without its secret: that is not stored."""
    return schemas.Key.model_construct(
        id=key.id,
        name=key.name,
        role=key.role.value,
        namespaces=list(key.namespaces),
        created_at=format_instant(key.created_at),
        last_used=_instant(key.last_used),
    )


def delivery_document(delivery: Delivery) -> schemas.WebhookDelivery:
    """A webhook that has not arrived, without what it says."""
    return schemas.WebhookDelivery.model_construct(
        id=delivery.id,
        webhook=delivery.webhook,
        link_id=delivery.link_id,
        type=TYPES[delivery.kind],
        state=delivery.state.value,
        attempts=delivery.attempts,
        status_code=delivery.status,
        failure=delivery.failure,
        created_at=format_instant(delivery.created_at),
        next_attempt=_instant(delivery.next_try_at),
    )


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else format_instant(seconds)


def _permissions(record: LinkRecord) -> schemas.Permissions:
    granted = {permission.value: permission in record.link.permissions for permission in Permission}
    return schemas.Permissions(**granted)


def _restrictions(record: LinkRecord) -> schemas.AccessRestrictions:
    link = record.link
    return schemas.AccessRestrictions.model_construct(
        allowed_ips=[format_network(network) for network in link.allowed_ips],
        max_uses=link.max_uses,
        password_protected=link.password_protected,
        require_email_verification=link.require_email_verification,
        allowed_emails=list(link.allowed_emails),
    )


def _usage(record: LinkRecord, log: Sequence[Entry]) -> schemas.UsageStats:
    usage = record.usage
    return schemas.UsageStats.model_construct(
        total_views=usage.total_views,
        unique_visitors=usage.unique_visitors,
        last_accessed=_instant(usage.last_accessed),
        access_log=[entry_document(entry) for entry in log],
        uses=usage.uses,
    )


def _throttle(state: ThrottleState) -> schemas.ThrottleState:
    return schemas.ThrottleState.model_construct(
        failures=state.failures,
        codes=state.codes,
        locked=state.is_locked,
        retry_after=state.retry_after if state.is_locked else None,
    )


def _notifications(record: LinkRecord) -> schemas.NotificationSettings:
    wanted = record.link.notifications
    return schemas.NotificationSettings.model_construct(
        notify_on_access=wanted.on_access,
        notify_on_comment=wanted.on_comment,
        notify_on_file_upload=wanted.on_file_upload,
        notification_recipients=list(wanted.recipients),
    )


def _branding(record: LinkRecord) -> schemas.CustomBranding:
    branding = record.link.branding
    return schemas.CustomBranding.model_construct(
        logo_url=branding.logo_url,
        brand_color=branding.brand_color,
        custom_domain=branding.custom_domain,
        footer_text=branding.footer_text,
    )
