"""The operations on webhooks that have not arrived."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from admin_api.answers import page_of, plain, succeed
from admin_api.auth import Principal
from admin_api.documents import delivery_document
from admin_api.errors import ApiError, forbidden, not_found
from admin_api.parts import Parts
from admin_api.query import LAST_PAGE, DeliveryListQuery, named_id, read_query
from gateway.store.deliveries import Delivery, DeliveryQuery, DeliveryState


class DeliveryOperations:
    """Each method is one operation of `operations.OPERATIONS`.

    A delivery belongs to the namespaces of its link: who sees the link sees it, and who may change
    the link may have it sent again.
    """

    def __init__(self, parts: Parts) -> None:
        self._deliveries = parts.deliveries
        self._now = parts.now

    async def list(self, request: web.Request, principal: Principal) -> web.Response:
        """A page of the deliveries that the key sees."""
        query = read_query(request, DeliveryListQuery)
        found, total = await self._deliveries.page(
            DeliveryQuery(
                page=min(query.page, LAST_PAGE),
                per_page=query.per_page,
                state=None if query.state is None else DeliveryState(query.state),
                visible_to=principal.namespaces or None,
            )
        )
        documents = [delivery_document(delivery) for delivery in found]
        return page_of(documents, total, query.page, query.per_page)

    async def resend(self, request: web.Request, principal: Principal) -> web.Response:
        """A new day of tries for a dead one."""
        delivery, namespaces = await self._find(named_id(request))
        if not principal.sees(namespaces):
            raise _no_such_delivery()
        if not principal.owns(namespaces):
            raise forbidden("This key may send only webhooks of links that are all its own.")
        now = self._now()
        if await self._deliveries.resend(delivery.id, now):
            # Told from what was asked: it may have arrived before it could be read again.
            pending = DeliveryState.PENDING
            delivery = replace(delivery, state=pending, attempts=0, next_try_at=now)
        return succeed(data=plain(delivery_document(delivery)))

    async def _find(self, delivery_id: str | None) -> tuple[Delivery, tuple[str, ...]]:
        found = None if delivery_id is None else await self._deliveries.get(delivery_id)
        if found is None:
            raise _no_such_delivery()
        return found


def _no_such_delivery() -> ApiError:
    return not_found("There is no such webhook, or it has arrived.")
