"""The operations: one row each, from which the routes, the roles and the description are made."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from pydantic import BaseModel

from admin_api.query import DeliveryListQuery, ListQuery, LogQuery
from admin_api.schemas import (
    AccessLogEntry,
    CreateKey,
    CreateLink,
    Document,
    Key,
    KeySecret,
    UpdateLink,
    WebhookDelivery,
    WorkorderPortalLink,
)
from gateway.store.keys import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One verb on one path.

    `answer` is the models whose fields together are the answer's `data` (none: no data);
    `listed` says that `data` is a list. `tagged` answers carry the ETag, `conditional` requests
    may carry `If-Match`. `extension` marks what the original service does not have.
    """

    id: str
    method: str
    path: str
    summary: str
    outcome: str
    role: Role
    status: HTTPStatus = HTTPStatus.OK
    answer: tuple[type[Document], ...] = ()
    listed: bool = False
    paged: bool = False
    query: type[Document] | None = None
    body: type[BaseModel] | None = None
    conditional: bool = False
    extension: bool = False

    @property
    def names_one(self) -> bool:
        """Whether the path holds an id."""
        return "{id}" in self.path

    @property
    def failures(self) -> tuple[HTTPStatus, ...]:
        """How the operation can fail."""
        statuses = {
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.SERVICE_UNAVAILABLE,
        }
        if self.query is not None or self.body is not None:
            statuses.add(HTTPStatus.BAD_REQUEST)
        if self.body is not None:
            statuses |= {
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
            }
        if self.names_one:
            statuses.add(HTTPStatus.NOT_FOUND)
        if self.conditional:
            statuses.add(HTTPStatus.PRECONDITION_FAILED)
        return tuple(sorted(statuses))


_LINKS = "/v1/workorder-portal-link"
_LINK = f"{_LINKS}/{{id}}"
_CHANGED = "the link after the change"


def _action(name: str, summary: str, *, extension: bool = False) -> Operation:
    return Operation(
        id=f"{name}Link",
        method="POST",
        path=f"{_LINK}/{name}",
        summary=summary,
        outcome=_CHANGED,
        role=Role.EDITOR,
        answer=(WorkorderPortalLink,),
        extension=extension,
    )


OPERATIONS = (
    Operation(
        id="listLinks",
        method="GET",
        path=_LINKS,
        summary="List links",
        outcome="a page of links",
        role=Role.VIEWER,
        answer=(WorkorderPortalLink,),
        listed=True,
        paged=True,
        query=ListQuery,
    ),
    Operation(
        id="createLink",
        method="POST",
        path=_LINKS,
        summary="Create a link",
        outcome="created",
        role=Role.EDITOR,
        status=HTTPStatus.CREATED,
        answer=(WorkorderPortalLink,),
        body=CreateLink,
    ),
    Operation(
        id="getLink",
        method="GET",
        path=_LINK,
        summary="One link",
        outcome="the link",
        role=Role.VIEWER,
        answer=(WorkorderPortalLink,),
    ),
    Operation(
        id="updateLink",
        method="PATCH",
        path=_LINK,
        summary="Change a link: what is sent is changed, nested objects field by field; null clears",
        outcome=_CHANGED,
        role=Role.EDITOR,
        answer=(WorkorderPortalLink,),
        body=UpdateLink,
        conditional=True,
    ),
    Operation(
        id="deleteLink",
        method="DELETE",
        path=_LINK,
        summary="Delete a link (its access log stays for the audit)",
        outcome="deleted",
        role=Role.EDITOR,
    ),
    _action(
        "regenerate",
        "New token and URL; the old one, and every session opened with it, end at once",
    ),
    _action("activate", "Activate"),
    _action("deactivate", "Deactivate; open sessions end at once"),
    _action("unlock", "Clear what the throttles have counted for this link", extension=True),
    Operation(
        id="accessLog",
        method="GET",
        path=f"{_LINK}/access-log",
        summary="The whole access log of a link, newest first",
        outcome="a page of entries",
        role=Role.VIEWER,
        answer=(AccessLogEntry,),
        listed=True,
        paged=True,
        query=LogQuery,
        extension=True,
    ),
    Operation(
        id="listKeys",
        method="GET",
        path="/v1/keys",
        summary="Admin API keys (role admin)",
        outcome="keys",
        role=Role.ADMIN,
        answer=(Key,),
        listed=True,
        extension=True,
    ),
    Operation(
        id="createKey",
        method="POST",
        path="/v1/keys",
        summary="A new key; its secret is in this answer alone",
        outcome="created",
        role=Role.ADMIN,
        status=HTTPStatus.CREATED,
        answer=(Key, KeySecret),
        body=CreateKey,
        extension=True,
    ),
    Operation(
        id="revokeKey",
        method="DELETE",
        path="/v1/keys/{id}",
        summary="Revoke: holds everywhere within a second",
        outcome="revoked",
        role=Role.ADMIN,
        extension=True,
    ),
    Operation(
        id="listWebhookDeliveries",
        method="GET",
        path="/v1/webhook-deliveries",
        summary="Webhooks that have not arrived, newest first",
        outcome="a page of deliveries",
        role=Role.VIEWER,
        answer=(WebhookDelivery,),
        listed=True,
        paged=True,
        query=DeliveryListQuery,
        extension=True,
    ),
    Operation(
        id="resendWebhookDelivery",
        method="POST",
        path="/v1/webhook-deliveries/{id}/resend",
        summary="Send a dead webhook again, with the same id; one that is still tried stays as it is",
        outcome="the delivery after the change",
        role=Role.EDITOR,
        answer=(WebhookDelivery,),
        extension=True,
    ),
)
