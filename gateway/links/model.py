"""The link, as a plain value.

`Link` is the immutable snapshot that the rules are given: everything that decides a request, and
nothing else. `LinkRecord` is the same link as its owner sees it through the admin API. `Usage` is
what happened to it. Times are seconds since the epoch (UTC).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class LinkType(StrEnum):
    """Sets the floor of a link's gates, and its session's lifetime."""

    PUBLIC = "public"
    PRIVATE = "private"
    SECURE = "secure"


class Permission(StrEnum):
    """What a link can permit; a route names one of these, or `none`."""

    VIEW_DETAILS = "can_view_details"
    ADD_COMMENTS = "can_add_comments"
    UPLOAD_FILES = "can_upload_files"
    VIEW_HISTORY = "can_view_history"
    APPROVE_REJECT = "can_approve_reject"


class Status(StrEnum):
    """What a link is at this moment, for its owner (`status` in the admin API)."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


class EventKind(StrEnum):
    """What a link's owner may want to be told of."""

    ACCESS = "access"
    COMMENT = "comment"
    FILE_UPLOAD = "file_upload"


@dataclass(frozen=True, slots=True)
class Branding:
    """How the gateway's own pages look for this link."""

    logo_url: str | None = None
    brand_color: str | None = None
    custom_domain: str | None = None
    footer_text: str | None = None


@dataclass(frozen=True, slots=True)
class Notifications:
    """Who wants to be told of what."""

    on_access: bool = False
    on_comment: bool = True
    on_file_upload: bool = True
    recipients: tuple[str, ...] = ()

    def wants(self, kind: EventKind) -> bool:
        """Whether events of this kind are to be told at all, to whomever."""
        if kind is EventKind.ACCESS:
            return self.on_access
        return self.on_comment if kind is EventKind.COMMENT else self.on_file_upload


DEFAULT_PERMISSIONS = frozenset(
    {Permission.VIEW_DETAILS, Permission.ADD_COMMENTS, Permission.VIEW_HISTORY}
)


@dataclass(frozen=True, slots=True)
class Link:
    """What the rules need of a link; immutable, so that it can be shared by every request.

    `id` is 24 lower-case hex digits. `token_hash` is the SHA-256 of the token: the token itself
    is not here. `access_version` grows whenever older sessions have to end. `expires_at` is in
    seconds since the epoch.
    """

    id: str
    token_hash: bytes
    workorder: str
    link_type: LinkType = LinkType.PRIVATE
    permissions: frozenset[Permission] = DEFAULT_PERMISSIONS
    allowed_ips: tuple[IPNetwork, ...] = ()
    max_uses: int = 0
    password_protected: bool = False
    password_hash: str | None = None
    require_email_verification: bool = False
    allowed_emails: tuple[str, ...] = ()
    expires_at: float | None = None
    is_active: bool = True
    access_version: int = 1
    namespaces: tuple[str, ...] = ()
    branding: Branding = field(default_factory=Branding)
    notifications: Notifications = field(default_factory=Notifications)

    @property
    def is_limited(self) -> bool:
        """Whether opening a session spends a use."""
        return self.max_uses > 0

    @property
    def has_gates(self) -> bool:
        """Whether the visitor has to prove anything."""
        return self.password_protected or self.require_email_verification


@dataclass(frozen=True, slots=True)
class Usage:
    """What happened to a link, as far as it has been drained from the journals."""

    total_views: int = 0
    unique_visitors: int = 0
    uses: int = 0
    last_accessed: float | None = None


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """A link as its owner sees it. `version` is `__v`, and the ETag."""

    link: Link
    token: str
    created_at: float
    modified_at: float
    version: int = 0
    created_by: str | None = None
    purpose: str | None = None
    tags: tuple[str, ...] = ()
    sv_client: int = 0
    usage: Usage = field(default_factory=Usage)

    def status(self, now: float) -> Status:
        """The first of the rules on the link itself that does not hold at `now`."""
        link = self.link
        if not link.is_active:
            return Status.INACTIVE
        if link.expires_at is not None and now >= link.expires_at:
            return Status.EXPIRED
        if link.is_limited and self.usage.uses >= link.max_uses:
            return Status.EXHAUSTED
        return Status.ACTIVE


def ends_older_sessions(before: Link, after: Link) -> bool:
    """Whether the change from `before` to `after` has to end every session opened so far.

    So do: a new token, deactivation, a new password, and a change of a gate (the confirm button
    of a limited link is one), of the namespaces or of the link type.
    """
    return (
        before.token_hash != after.token_hash
        or (before.is_active and not after.is_active)
        or before.password_hash != after.password_hash
        or before.password_protected != after.password_protected
        or before.require_email_verification != after.require_email_verification
        or before.is_limited != after.is_limited
        or set(before.namespaces) != set(after.namespaces)
        or before.link_type is not after.link_type
    )


# What may stand in a path segment as it is (RFC 3986 section 3.3: pchar), less what servers are
# known to read in more than one way: ";" opens parameters in many of them.
SEGMENT_SAFE = "!$&'()*+,=:@"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_query_value(workorder: str) -> bool:
    """Whether `workorder` can be named in a query: any text of 1 to 128 characters."""
    return 0 < len(workorder) <= 128


def is_path_segment(workorder: str) -> bool:
    """Whether `workorder` makes one safe path segment that `gateway.request.path` would accept.

    Not so: empty, over 128 characters, `.` and `..`, anything with a slash, backslash, `;`, NUL
    or another control character, a surrogate, or `%` before two hex digits (it would read as an
    escape after one more decoding).
    """
    if not 0 < len(workorder) <= 128 or workorder in {".", ".."}:
        return False
    if any(c in workorder for c in "/\\;") or _CONTROL.search(workorder):
        return False
    if re.search(r"%[0-9A-Fa-f]{2}", workorder):
        return False
    try:
        workorder.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def quote_segment(workorder: str) -> str:
    """`workorder` as it stands in a path: percent-encoded UTF-8 (RFC 3986 section 2.1)."""
    return quote(workorder, safe=SEGMENT_SAFE)
