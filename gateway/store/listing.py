"""The owner's list of links: filters, sorts, pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.links.model import Status
from gateway.store.rows import is_storable
from gateway.store.schema import link_namespaces, link_usage, links, to_microseconds

# A field that can be sorted by, and its column; the id beside it breaks ties with the same index.
# A link that never expires sorts after every date, one that nobody used before every date: the
# descending list is exactly the ascending one turned round, on both databases.
_SORTS = {
    "createdAt": (links.c.created_at, links.c.id),
    "modifiedAt": (links.c.modified_at, links.c.id),
    "expiry_date": (links.c.expires_at, links.c.id),
    "workorder": (links.c.workorder, links.c.id),
    "link_type": (links.c.link_type, links.c.id),
    "is_active": (links.c.is_active, links.c.id),
    "total_views": (link_usage.c.total_views, link_usage.c.link_id),
    "last_accessed": (link_usage.c.last_accessed, link_usage.c.link_id),
}
SORT_FIELDS = tuple(_SORTS)

# A link with its counters. The row of counters is made with the link, so nothing falls out.
WHOLE_LINK = select(
    links, *(column for column in link_usage.c if column is not link_usage.c.link_id)
).join_from(links, link_usage)


@dataclass(frozen=True, slots=True)
class LinkQuery:
    """What to list. A filter that is None does not filter; one that is empty matches nothing.

    `page` counts from 1. `sort` is one of SORT_FIELDS, or `-` and one for descending; anything
    else raises ValueError. `namespaces` and `visible_to` want a link that has any of them, the
    first because the owner asked, the second because the owner's key sees no others.
    """

    page: int = 1
    per_page: int = 25
    sort: str = "-createdAt"
    namespaces: tuple[str, ...] | None = None
    workorder: str | None = None
    is_active: bool | None = None
    link_type: str | None = None
    ids: tuple[str, ...] | None = None
    visible_to: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.sort.removeprefix("-") not in _SORTS:
            raise ValueError(f"sort is none of {', '.join(SORT_FIELDS)}, or one with '-' before it")
        if self.page < 1 or self.per_page < 1:
            raise ValueError("page and per_page are at least 1")


async def count_links(connection: AsyncConnection, query: LinkQuery) -> int:
    """How many links `query` matches, on all pages."""
    statement = select(func.count()).select_from(links).where(*_conditions(query))
    return (await connection.execute(statement)).scalar_one()


def page_statement(query: LinkQuery) -> Select[tuple[object, ...]]:
    """What reads the asked page: for each of its links one row, with the counters."""
    columns = _SORTS[query.sort.removeprefix("-")]
    order = [c.desc() for c in columns] if query.sort.startswith("-") else columns
    return (
        WHOLE_LINK.where(*_conditions(query))
        .order_by(*order)
        .limit(query.per_page)
        .offset((query.page - 1) * query.per_page)
    )


async def read_namespaces(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, list[str]]:
    """The namespaces of each of these links, in the owner's order; one statement for all."""
    found: dict[str, list[str]] = {id: [] for id in ids}
    statement = (
        select(link_namespaces.c.link_id, link_namespaces.c.namespace)
        .where(link_namespaces.c.link_id.in_(found))
        .order_by(link_namespaces.c.link_id, link_namespaces.c.position)
    )
    for link_id, namespace in await connection.execute(statement):
        found[link_id].append(namespace)
    return found


async def count_by_status(connection: AsyncConnection, now: float) -> dict[Status, int]:
    """How many links are in each status at `now`; the order of LinkRecord.status."""
    status = case(
        (links.c.is_active.is_(False), Status.INACTIVE.value),
        (links.c.expires_at <= to_microseconds(now), Status.EXPIRED.value),
        ((links.c.max_uses > 0) & (link_usage.c.uses >= links.c.max_uses), Status.EXHAUSTED.value),
        else_=Status.ACTIVE.value,
    ).label("status")
    statement = select(status, func.count()).join_from(links, link_usage).group_by("status")
    counts = dict.fromkeys(Status, 0)
    for name, number in await connection.execute(statement):
        counts[Status(name)] = number
    return counts


def _conditions(query: LinkQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.workorder is not None:
        conditions.append(links.c.workorder.in_(_storable((query.workorder,))))
    if query.is_active is not None:
        conditions.append(links.c.is_active.is_(query.is_active))
    if query.link_type is not None:
        conditions.append(links.c.link_type.in_(_storable((query.link_type,))))
    if query.ids is not None:
        conditions.append(links.c.id.in_(_storable(query.ids)))
    if query.namespaces is not None:
        conditions.append(links.c.id.in_(_having(query.namespaces)))
    if query.visible_to is not None:
        conditions.append(links.c.id.in_(_having(query.visible_to)))
    return conditions


def _having(namespaces: Iterable[str]) -> Select[tuple[str]]:
    return select(link_namespaces.c.link_id).where(
        link_namespaces.c.namespace.in_(_storable(namespaces))
    )


def _storable(texts: Iterable[str]) -> list[str]:
    # What cannot be stored was not stored: it matches nothing, and PostgreSQL is not asked.
    return [text for text in texts if is_storable(text)]
