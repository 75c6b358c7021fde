"""To whom a custom domain belongs: to the company namespaces of its first link."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import GatewayError
from gateway.links.model import Link
from gateway.store.schema import link_namespaces, links


class DomainTaken(GatewayError):
    """The custom domain belongs to other company namespaces. `field` is its name in the API."""

    field = "custom_domain"

    def __init__(self) -> None:
        super().__init__("this domain belongs to another company namespace")


async def check_domain(connection: AsyncConnection, link: Link) -> None:
    """Raise DomainTaken if `link` may not answer on its custom domain.

    Links without a namespace are one tenant, too: they share a domain among themselves, and with
    nobody else. To be called with the change counter's lock held: then nobody else is asking.
    """
    domain = link.branding.custom_domain
    if domain is None:
        return
    first = (
        select(links.c.id)
        .where(links.c.custom_domain == domain, links.c.id != link.id)
        .order_by(links.c.created_at, links.c.id)
        .limit(1)
        .subquery()
    )
    statement = select(link_namespaces.c.namespace).select_from(
        first.outerjoin(link_namespaces, link_namespaces.c.link_id == first.c.id)
    )
    owners = (await connection.execute(statement)).scalars().all()
    # No row: nobody has the domain. A row of NULL: somebody without namespaces has it.
    wanted: set[str | None] = set(link.namespaces) or {None}
    if owners and wanted.isdisjoint(owners):
        raise DomainTaken


async def is_domain(connection: AsyncConnection, domain: str) -> bool:
    """Whether some link has this custom domain."""
    statement = select(links.c.id).where(links.c.custom_domain == domain).limit(1)
    return (await connection.execute(statement)).first() is not None
