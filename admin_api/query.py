"""The query string, read into a model: unknown, repeated or bad parameters are 400, named."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar, get_origin

from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema

from admin_api import values
from admin_api.errors import Detail, bad_request
from admin_api.schemas import Document
from admin_api.validation import details_of

SORT_FIELDS = (
    "createdAt",
    "modifiedAt",
    "expiry_date",
    "workorder",
    "link_type",
    "is_active",
    "total_views",
    "last_accessed",
)
DEFAULT_SORT = "-createdAt"
# A page after this one is empty, whichever it is: times 100 it still fits a BIGINT's OFFSET.
LAST_PAGE = 2**48
_ID = re.compile(r"[0-9a-f]{24}")


def _parse_integer(text: object) -> int:
    # Not what int() takes: "+1", "1_0", " 1" and other scripts' digits are no integers here.
    if not isinstance(text, str) or not re.fullmatch(r"-?(?:0|[1-9][0-9]*)", text):
        raise ValueError("Give a whole number.")
    try:
        return int(text)
    except ValueError:
        raise ValueError("This number has too many digits.") from None


def _parse_flag(text: object) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("Give true or false.")
    return text == "true"


def _check_sort(field: str) -> str:
    if field.removeprefix("-") not in SORT_FIELDS:
        raise ValueError(f"Sort by one of {', '.join(SORT_FIELDS)}, or '-' and one of these.")
    return field


def _split(texts: object) -> list[str]:
    parts = texts if isinstance(texts, list) else []
    return [part for text in parts for part in str(text).split(",") if part]


Integer = Annotated[int, BeforeValidator(_parse_integer)]
Flag = Annotated[bool, BeforeValidator(_parse_flag), WithJsonSchema({"type": "boolean"})]
Several = Annotated[list[values.Text], BeforeValidator(_split)]
_SORT_PATTERN = f"^-?({'|'.join(SORT_FIELDS)})$"


class Paging(Document):
    """Which page of a list, counted from 1."""

    page: Integer = Field(1, ge=1)
    per_page: Integer = Field(25, ge=1, le=100)


class ListQuery(Paging):
    """What the list of links can be asked for."""

    sort: Annotated[str, AfterValidator(_check_sort)] | None = Field(
        None,
        description=f"a field, or -field for descending: createdAt (default, descending), "
        f"{', '.join(SORT_FIELDS[1:])}; anything else: 400",
        json_schema_extra={"pattern": _SORT_PATTERN},
    )
    company_namespace: Several = Field(
        default_factory=list,
        description="links in any of these; repeated, or comma-separated; also company_namespace[]",
    )
    workorder: values.Text | None = None
    is_active: Flag | None = None
    link_type: values.LinkTypeName | None = None
    ids: Several = Field(
        default_factory=list,
        alias="_id",
        description="repeated, or comma-separated; also _id[]",
    )


class LogQuery(Paging):
    """What the access log of a link can be asked for, from `since` on and before `until`."""

    action: values.Text | None = None
    since: values.Instant | None = None
    until: values.Instant | None = None


class DeliveryListQuery(Paging):
    """What the list of webhooks that have not arrived can be asked for."""

    state: values.DeliveryStateName | None = None


Query = TypeVar("Query", bound=Document)


def named_id(request: web.Request) -> str | None:
    """The id in the path; None for what is not formed like one: it names nothing."""
    sent = request.match_info["id"]
    return sent if _ID.fullmatch(sent) else None


def read_query(request: web.Request, model: type[Query]) -> Query:
    """The request's query as a `model`. Raises ApiError 400 that names every bad parameter."""
    lists = {
        field.alias or name: get_origin(field.annotation) is list
        for name, field in model.model_fields.items()
    }
    found: dict[str, Any] = {}
    faults: list[Detail] = []
    for sent, value in request.query.items():
        name = sent.removesuffix("[]")
        if lists.get(name):
            found.setdefault(name, []).append(value)
        elif sent not in lists:
            faults.append(Detail(sent, "There is no such parameter."))
        elif sent in found:
            faults.append(Detail(sent, "This parameter stands twice."))
        else:
            found[sent] = value
    try:
        query = model.model_validate(found)
    except ValidationError as error:
        faults += details_of(error)
    if faults:
        names = ", ".join(dict.fromkeys(fault.field for fault in faults))
        raise bad_request(f"Bad query parameter: {names}.", faults)
    return query
