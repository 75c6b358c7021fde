"""Which backend a link leads to, and where on it a portal URL points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from gateway.errors import Refusal
from gateway.links.model import Link, quote_segment
from gateway.links.routes import RouteTable
from gateway.links.verdict import Reason
from gateway.proxy.cookies import CookieRules
from gateway.proxy.upstream import Upstream
from gateway.request.path import Target, parse_path

_PLACEHOLDER = "{workorder}"


@lru_cache(maxsize=16384)
def landing_target(template: str, workorder: str) -> Target:
    """The backend's page for a work order: `upstream.path` with its id filled in."""
    path, mark, query = template.partition("?")
    path = path.replace(_PLACEHOLDER, quote_segment(workorder))
    query = query.replace(_PLACEHOLDER, quote(workorder, safe=""))
    return Target(path, query if mark else None, parse_path(path))


def below_landing(landing: Target, rest: str, query: str | None) -> Target:
    """The target `rest` below a landing page.

    Raises Refusal (`no_route`) where the landing page is named by a query: nothing can stand
    below that.
    """
    if landing.query is not None:
        raise Refusal(Reason.NO_ROUTE, "Nothing stands below this address.")
    path = landing.path.rstrip("/") + rest
    return Target(path, query, parse_path(path))


@dataclass(frozen=True, slots=True)
class Backend:
    """One configured upstream: how to reach it, what may pass, where a link's page is."""

    upstream: Upstream
    routes: RouteTable
    landing_template: str
    cookies: CookieRules

    def landing(self, link: Link) -> Target:
        """The landing page of `link`."""
        return landing_target(self.landing_template, link.workorder)

    def below_landing(self, link: Link, rest: str, query: str | None) -> Target:
        """What `/workorder/{token}{rest}` is at the backend. Raises Refusal."""
        return below_landing(self.landing(link), rest, query)


@dataclass(frozen=True, slots=True)
class Backends:
    """Every configured upstream: the default one, and those of namespaces."""

    default: Backend
    by_namespace: Mapping[str, Backend] = field(default_factory=dict)

    def of(self, link: Link) -> Backend:
        """The first of the link's namespaces that has a backend of its own, else the default."""
        for namespace in link.namespaces:
            backend = self.by_namespace.get(namespace)
            if backend is not None:
                return backend
        return self.default
