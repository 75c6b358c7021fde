"""The types of the values a request may hold, as pydantic and the description know them.

Bounds where the specification has none are generous: they keep one link's row small enough to be
read on every lookup, and its searched columns below what PostgreSQL can index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from admin_api import checks
from gateway.request.mail_address import normal_address

MAX_INTEGER = 2**53 - 1  # the largest that every reader of JSON keeps exact (RFC 8259 section 6)
MAX_NETWORKS = 1000
MAX_EMAILS = 1000
MAX_RECIPIENTS = 100
MAX_NAMESPACES = 100
MAX_TAGS = 100
MAX_NAME = 200
MAX_PURPOSE = 5000
MAX_URL = 2000

# What gateway.links.model.is_path_segment accepts, for readers of the description.
PATH_SEGMENT = r"^(?!\.{1,2}$)(?:(?!%[0-9A-Fa-f]{2})[^\x00-\x1f\x7f/\\;])+$"


@dataclass(frozen=True, slots=True)
class Described:
    """Adds keywords to the JSON schema of the value that it annotates."""

    format: str | None = None
    pattern: str | None = None

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core)
        if self.format is not None:
            schema["format"] = self.format
        if self.pattern is not None:
            schema["pattern"] = self.pattern
        return schema


LinkTypeName = Literal["public", "private", "secure"]
StatusName = Literal["active", "inactive", "expired", "exhausted"]
DeliveryStateName = Literal["pending", "dead"]
RoleName = Literal["admin", "editor", "viewer"]

_Storable = AfterValidator(checks.check_text)
_NoNul = Described(pattern=r"^[^\x00]*$")

Text = Annotated[str, _Storable, _NoNul]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), _Storable, _NoNul]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=100), _Storable, _NoNul]
Purpose = Annotated[str, StringConstraints(max_length=MAX_PURPOSE), _Storable, _NoNul]
Footer = Annotated[str, StringConstraints(max_length=500), _Storable, _NoNul]
Password = Annotated[str, StringConstraints(min_length=8, max_length=256), _Storable, _NoNul]
Workorder = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    _Storable,
    AfterValidator(checks.check_workorder),
    Described(pattern=PATH_SEGMENT),
]
Instant = Annotated[
    float,
    BeforeValidator(checks.parse_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Network = Annotated[str, AfterValidator(checks.normal_network), Described(format="ip-network")]
Email = Annotated[str, AfterValidator(normal_address), Described(format="email")]
EmailOrDomain = Annotated[
    str, AfterValidator(checks.normal_email_or_domain), Described(format="email-or-domain")
]
Domain = Annotated[str, AfterValidator(checks.normal_domain), Described(format="hostname")]
WebUrl = Annotated[
    str,
    StringConstraints(max_length=MAX_URL),
    AfterValidator(checks.check_web_url),
    Described(format="uri", pattern="^https?://"),
]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]
Namespaces = Annotated[
    list[Name], Field(max_length=MAX_NAMESPACES), AfterValidator(checks.without_repeats)
]
Tags = Annotated[list[Name], Field(max_length=MAX_TAGS)]
