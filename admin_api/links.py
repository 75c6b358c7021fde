"""The operations on links."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web

from admin_api import preconditions
from admin_api.answers import one_link, page_of, succeed
from admin_api.auth import Principal
from admin_api.body import read_body
from admin_api.changes import changed
from admin_api.checks import Rules
from admin_api.documents import entry_document, link_document
from admin_api.errors import ApiError, Detail, forbidden, invalid, not_found
from admin_api.parts import Parts
from admin_api.query import DEFAULT_SORT, LAST_PAGE, ListQuery, LogQuery, named_id, read_query
from admin_api.schemas import CreateLink, LinkFields, UpdateLink, WorkorderPortalLink
from gateway.crypto.tokens import hash_token, new_id, new_token
from gateway.links.model import Link, LinkRecord, LinkType
from gateway.store.entry import Entry
from gateway.store.links import DomainTaken, LinkQuery
from gateway.store.throttle_state import ThrottleState

Result = TypeVar("Result")
Edit = Callable[[LinkRecord], LinkRecord]

NEWEST = 50  # entries in usage_stats.access_log


class _Unchanged(Exception):
    """Leaves the store's transaction without a write: the change would change nothing."""

    def __init__(self, record: LinkRecord) -> None:
        super().__init__()
        self.record = record


class LinkOperations:
    """Each method is one operation of `operations.OPERATIONS`: a request in, its answer out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._links = parts.links
        self._rules = Rules(parts.is_workorder, parts.public_hostname)

    async def list(self, request: web.Request, principal: Principal) -> web.Response:
        """A page of the links that the key sees."""
        query = read_query(request, ListQuery)
        records, total = await self._links.list(_store_query(query, principal))
        logs = await self._parts.access_log.newest([r.link.id for r in records], NEWEST)
        states = await self._parts.throttle.states([r.link.id for r in records])
        documents = [
            self._document(record, logs.get(record.link.id, []), states.get(record.link.id))
            for record in records
        ]
        return page_of(documents, total, query.page, query.per_page)

    async def create(self, request: web.Request, principal: Principal) -> web.Response:
        """A new link, in the key's own namespaces unless it names others."""
        sent = await read_body(request, CreateLink, self._rules)
        token, now = new_token(), self._parts.now()
        link = Link(new_id(), hash_token(token), sent.workorder, namespaces=principal.namespaces)
        blank = LinkRecord(link, token, now, now, created_by=principal.name)
        _require_own(principal, tuple(sent.company_namespace) or principal.namespaces)
        record = changed(blank, sent, await self._hashed(sent))
        if not record.link.namespaces:
            record = replace(record, link=replace(record.link, namespaces=principal.namespaces))
        created = await _told(self._links.create(record))
        return one_link(self._document(created, [], ThrottleState()), HTTPStatus.CREATED)

    async def get(self, request: web.Request, principal: Principal) -> web.Response:
        """One link."""
        return await self._answer(await self._seen(request, principal))

    async def update(self, request: web.Request, principal: Principal) -> web.Response:
        """The fields that are sent, changed; the others as they were."""
        sent = await read_body(request, UpdateLink, self._rules)
        tags = preconditions.sent_tags(request)
        if "password" in sent.access_restrictions.model_fields_set:
            # Hashing costs a lot, and is done outside the transaction: so not for just anybody.
            _require_change(principal, await self._seen(request, principal))
        password_hash = await self._hashed(sent)

        def edit(record: LinkRecord) -> LinkRecord:
            preconditions.check(tags, record.version)
            return changed(record, sent, password_hash)

        return await self._change(request, principal, edit)

    async def delete(self, request: web.Request, principal: Principal) -> web.Response:
        """The link and its token gone; its access log stays."""

        def check(record: LinkRecord) -> None:
            _require_change(principal, record)

        if not await self._links.delete(_id_of(request), check):
            raise _no_such_link()
        return succeed()

    async def regenerate(self, request: web.Request, principal: Principal) -> web.Response:
        """A new token in place of the old one."""
        token = new_token()

        def edit(record: LinkRecord) -> LinkRecord:
            link = replace(record.link, token_hash=hash_token(token))
            return replace(record, token=token, link=link)

        return await self._change(request, principal, edit)

    async def activate(self, request: web.Request, principal: Principal) -> web.Response:
        """The link opens again, as far as its other rules let it."""
        return await self._change(request, principal, _activity(True))

    async def deactivate(self, request: web.Request, principal: Principal) -> web.Response:
        """The link opens no more, and its sessions end."""
        return await self._change(request, principal, _activity(False))

    async def unlock(self, request: web.Request, principal: Principal) -> web.Response:
        """Every counter of the throttles at zero: who had to wait may try again."""
        record = await self._seen(request, principal)
        _require_change(principal, record)
        await self._parts.throttle.clear(record.link.id)
        return await self._answer(record)

    async def log(self, request: web.Request, principal: Principal) -> web.Response:
        """A page of the link's access log."""
        query = read_query(request, LogQuery)
        record = await self._seen(request, principal)
        page = min(query.page, LAST_PAGE)
        entries, total = await self._parts.access_log.page(
            record.link.id, page, query.per_page, query.action, query.since, query.until
        )
        return page_of([entry_document(e) for e in entries], total, query.page, query.per_page)

    async def _seen(self, request: web.Request, principal: Principal) -> LinkRecord:
        record = await self._links.get(_id_of(request))
        if record is None or not principal.sees(record.link.namespaces):
            raise _no_such_link()
        return record

    async def _change(self, request: web.Request, principal: Principal, edit: Edit) -> web.Response:
        """Apply `edit` to the link as it is in the database, if it is the key's to change."""

        def guarded(before: LinkRecord) -> LinkRecord:
            _require_change(principal, before)
            after = edit(before)
            _require_own(principal, after.link.namespaces)
            if after == before:
                raise _Unchanged(before)
            return after

        try:
            record = await _told(self._links.update(_id_of(request), guarded))
        except _Unchanged as unchanged:
            record = unchanged.record
        if record is None:
            raise _no_such_link()
        return await self._answer(record)

    async def _answer(self, record: LinkRecord) -> web.Response:
        link_id = record.link.id
        logs = await self._parts.access_log.newest([link_id], NEWEST)
        states = await self._parts.throttle.states([link_id])
        document = self._document(record, logs.get(link_id, []), states.get(link_id))
        return one_link(document)

    def _document(
        self, record: LinkRecord, log: Sequence[Entry], throttle: ThrottleState | None
    ) -> WorkorderPortalLink:
        return link_document(record, log, throttle, self._parts.public_url, self._parts.now())

    async def _hashed(self, sent: LinkFields) -> str | None:
        password = sent.access_restrictions.password
        return await self._parts.passwords.hash(password) if password else None


def _id_of(request: web.Request) -> str:
    """The id in the path. Raises ApiError 404 for what is not formed like one."""
    link_id = named_id(request)
    if link_id is None:
        raise _no_such_link()
    return link_id


def _no_such_link() -> ApiError:
    return not_found("There is no such link.")


def _activity(is_active: bool) -> Edit:
    def edit(record: LinkRecord) -> LinkRecord:
        return replace(record, link=replace(record.link, is_active=is_active))

    return edit


def _require_change(principal: Principal, record: LinkRecord) -> None:
    """Raises ApiError: 404 for a link the key does not see, 403 for one not all its own."""
    if not principal.sees(record.link.namespaces):
        raise _no_such_link()
    _require_own(principal, record.link.namespaces)


def _require_own(principal: Principal, namespaces: tuple[str, ...]) -> None:
    if not principal.owns(namespaces):
        raise forbidden("This key may change only links whose namespaces are all its own.")


async def _told(write: Awaitable[Result]) -> Result:
    """A write whose refusal by the store is told as the field's fault."""
    try:
        return await write
    except DomainTaken:
        field = "custom_branding.custom_domain"
        raise invalid([Detail(field, "This domain belongs to other namespaces.")]) from None


def _store_query(query: ListQuery, principal: Principal) -> LinkQuery:
    return LinkQuery(
        page=min(query.page, LAST_PAGE),
        per_page=query.per_page,
        sort=query.sort or DEFAULT_SORT,
        namespaces=tuple(query.company_namespace) or None,
        workorder=query.workorder,
        is_active=query.is_active,
        link_type=None if query.link_type is None else LinkType(query.link_type),
        ids=tuple(query.ids) or None,
        visible_to=principal.namespaces or None,
    )
