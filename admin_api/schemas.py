"""The documents of the API, field by field: what may be sent and what is answered.

Names are those of the original service. Requests are strict: nothing is coerced, nothing unknown
is ignored. A request's model says with `model_fields_set` which fields were sent, so that one
model serves to create and to change: what was not sent stays as it is, or at its default. Null
is accepted for the fields whose type allows None, and clears them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from admin_api import values

_EXTENSION: dict[str, Any] = {"x-extension": True}
_ID = r"^[0-9a-f]{24}$"
_Id = Annotated[str, Field(alias="_id", pattern=_ID)]
# An instant as it is answered; `documents` has formatted it.
_DateTime = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Document(BaseModel):
    """The settings of every model here."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class Permissions(Document):
    """What the link's holder may do at the backend."""

    can_view_details: bool = True
    can_add_comments: bool = True
    can_upload_files: bool = False
    can_view_history: bool = True
    can_approve_reject: bool = False


class AccessRestrictions(Document):
    """Who may use the link, and how often."""

    allowed_ips: list[values.Network] = Field(
        default_factory=list,
        max_length=values.MAX_NETWORKS,
        description="IPv4/IPv6 addresses or CIDR networks; empty: any",
    )
    max_uses: int = Field(0, ge=0, le=values.MAX_INTEGER, description="0: unlimited")
    password_protected: bool = False
    require_email_verification: bool = False
    allowed_emails: list[values.EmailOrDomain] = Field(
        default_factory=list,
        max_length=values.MAX_EMAILS,
        description="extension: addresses, or @domain; empty: any address that can prove itself",
        json_schema_extra=_EXTENSION,
    )


class AccessRestrictionsChange(AccessRestrictions):
    """The same as it is sent, with the password that is never answered."""

    password: values.Password = Field(
        default_factory=str,  # in `model_fields_set` only when it was sent
        description="extension: sets the password and turns password_protected on; never returned",
        json_schema_extra={"x-extension": True, "writeOnly": True},
    )


class NotificationSettings(Document):
    """Who is told of what."""

    notify_on_access: bool = False
    notify_on_comment: bool = True
    notify_on_file_upload: bool = True
    notification_recipients: list[values.Email] = Field(
        default_factory=list, max_length=values.MAX_RECIPIENTS
    )


class CustomBranding(Document):
    """How the gateway's own pages look, and where the link lives."""

    logo_url: values.WebUrl | None = None
    brand_color: values.Color | None = None
    custom_domain: values.Domain | None = None
    footer_text: values.Footer | None = None


class MetadataChange(Document):
    """The owner's notes, as they are sent."""

    purpose: values.Purpose | None = None
    tags: values.Tags = Field(default_factory=list)


class Metadata(MetadataChange):
    """The owner's notes, and the name of the key that made the link."""

    created_by: str | None = Field(None, json_schema_extra={"readOnly": True})


class LinkFields(Document):
    """What an owner sets of a link."""

    link_type: values.LinkTypeName = "private"
    permissions: Permissions = Field(default_factory=Permissions)
    access_restrictions: AccessRestrictionsChange = Field(default_factory=AccessRestrictionsChange)
    expiry_date: values.Instant | None = None
    is_active: bool = True
    notification_settings: NotificationSettings = Field(default_factory=NotificationSettings)
    custom_branding: CustomBranding = Field(default_factory=CustomBranding)
    metadata: MetadataChange = Field(default_factory=MetadataChange)
    company_namespace: values.Namespaces = Field(default_factory=list)


class CreateLink(LinkFields):
    """A new link."""

    workorder: values.Workorder


class UpdateLink(LinkFields):
    """A change of a link."""


class AccessLogEntry(Document):
    """One decision on a link."""

    timestamp: _DateTime | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    action: str | None = None
    reason: str | None = Field(None, json_schema_extra=_EXTENSION)
    visitor: str | None = Field(None, json_schema_extra=_EXTENSION)
    email: str | None = Field(None, json_schema_extra=_EXTENSION)
    bot: bool | None = Field(None, json_schema_extra=_EXTENSION)
    request_id: str | None = Field(None, json_schema_extra=_EXTENSION)


class UsageStats(Document):
    """What happened to a link."""

    total_views: int = Field(default_factory=int)
    unique_visitors: int = Field(default_factory=int)
    last_accessed: _DateTime | None = None
    access_log: list[AccessLogEntry] = Field(
        default_factory=list, description="the newest entries, newest first, at most 50"
    )
    uses: int = Field(
        default_factory=int, description="uses spent of max_uses", json_schema_extra=_EXTENSION
    )


class ThrottleState(Document):
    """What the gates of a link have counted within the throttles' window."""

    failures: int = Field(description="failed tries at the gates")
    codes: int = Field(description="codes sent by mail")
    locked: bool = Field(description="whether somebody has to wait before the next try")
    retry_after: int | None = Field(
        None, description="while locked: the seconds until nobody has to wait any more"
    )


class WorkorderPortalLink(Document):
    """A link as it is answered."""

    id: _Id
    workorder: str
    link_token: str = Field(pattern=r"^wpl_[A-Za-z0-9]{32,}$")
    full_url: str = Field(
        description="the portal URL: {public url or custom domain}/workorder/{link_token}",
        json_schema_extra={"format": "uri", "readOnly": True},
    )
    link_type: values.LinkTypeName = Field(json_schema_extra={"default": "private"})
    permissions: Permissions
    access_restrictions: AccessRestrictions
    expiry_date: _DateTime | None = None
    is_active: bool = Field(json_schema_extra={"default": True})
    usage_stats: UsageStats
    notification_settings: NotificationSettings
    custom_branding: CustomBranding
    metadata: Metadata
    company_namespace: list[str]
    created_at: _DateTime = Field(alias="createdAt")
    modified_at: _DateTime = Field(alias="modifiedAt")
    sv_client: int = Field(alias="SVClient")
    version: int = Field(
        alias="__v", description="document version: grows by one with every change"
    )
    status: values.StatusName | None = Field(
        None, json_schema_extra={"readOnly": True, "x-extension": True}
    )
    throttle: ThrottleState | None = Field(
        None,
        description="left out while it cannot be known",
        json_schema_extra={"readOnly": True, "x-extension": True},
    )


class WebhookDelivery(Document):
    """A webhook that has not arrived."""

    id: _Id = Field(description="its webhook-id, the same in every try")
    webhook: str = Field(description="the name of its settings in notification_webhooks")
    link_id: str = Field(pattern=_ID)
    type: str = Field(description="what is told: portal.link.accessed, .commented, .file_uploaded")
    state: values.DeliveryStateName = Field(description="pending: it is still tried")
    attempts: int = Field(description="tries since it was made, or sent again")
    status_code: int | None = Field(None, description="what its receiver answered last")
    failure: str | None = Field(None, description="why there was no answer")
    created_at: _DateTime = Field(alias="createdAt")
    next_attempt: _DateTime | None = None


class CreateKey(Document):
    """A new key for the admin API."""

    name: values.KeyName
    role: values.RoleName
    namespaces: values.Namespaces = Field(default_factory=list)


class Key(Document):
    """A key as it is answered: without its secret."""

    id: _Id
    name: str
    role: values.RoleName
    namespaces: list[str]
    created_at: _DateTime = Field(alias="createdAt")
    last_used: _DateTime | None = None


class KeySecret(Document):
    """The secret of a new key, in the one answer that has it."""

    secret: str


class PagingInfo(Document):
    """Where a page stands in the list that it is of."""

    total: int
    page: int
    per_page: int
    pages: int


class ErrorDetail(Document):
    """One thing that is wrong."""

    field: str | None = None
    message: str | None = None


class Error(Document):
    """The envelope of every failure."""

    success: Literal[False]
    error: str
    details: list[ErrorDetail] | None = Field(None, json_schema_extra=_EXTENSION)
