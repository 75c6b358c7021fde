"""Documents as responses: the envelope `{"success": true, "data": ..., "paging": ...}`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from admin_api.schemas import Document, PagingInfo, WorkorderPortalLink


def plain(document: Document) -> dict[str, Any]:
    """The document as JSON values. An unset field is left out, never null."""
    return document.model_dump(mode="json", by_alias=True, exclude_none=True)


def succeed(
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> web.Response:
    """The envelope of a success, with `members` besides `success`."""
    return web.Response(
        status=status,
        text=json.dumps({"success": True, **members}),
        content_type="application/json",
        headers=headers,
    )


def one_link(document: WorkorderPortalLink, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """One link, with its version as the ETag (RFC 9110 section 8.8.3)."""
    return succeed(status, {hdrs.ETAG: entity_tag(document.version)}, data=plain(document))


def page_of(documents: Sequence[Document], total: int, page: int, per_page: int) -> web.Response:
    """A page of a list of `total` documents."""
    paging = PagingInfo(total=total, page=page, per_page=per_page, pages=-(-total // per_page))
    return succeed(data=[plain(document) for document in documents], paging=plain(paging))


def entity_tag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"{version}"'
