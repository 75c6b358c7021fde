"""`If-Match` (RFC 9110 section 13.1.1): a change made on a version that is no more."""

from __future__ import annotations

import re
from http import HTTPStatus

from aiohttp import hdrs, web

from admin_api.answers import entity_tag
from admin_api.errors import ApiError

# A weak tag is read, too, so that a comma inside one is not taken for the end of it.
_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")[ \t]*(?:,[ \t,]*|$)')


def sent_tags(request: web.Request) -> frozenset[str] | None:
    """The strong entity tags of `If-Match`; None if anything will do (no header, or `*`).

    Compared strongly, so a weak tag matches nothing; nor does what is no entity tag.
    """
    if hdrs.IF_MATCH not in request.headers:
        return None
    field = ",".join(request.headers.getall(hdrs.IF_MATCH)).strip(" \t,")
    if field == "*":
        return None
    tags: set[str] = set()
    at = 0
    while at < len(field):
        found = _ENTITY_TAG.match(field, at)
        if found is None:
            return frozenset()
        if found[1] is None:
            tags.add(found[2])
        at = found.end()
    return frozenset(tags)


def check(tags: frozenset[str] | None, version: int) -> None:
    """Raises ApiError 412 if none of the tags is that of `version`."""
    if tags is not None and entity_tag(version) not in tags:
        raise ApiError(
            HTTPStatus.PRECONDITION_FAILED, "The link was changed by someone else since."
        )
