"""What needs no key: health, metrics, and the domain check of front proxies."""

from __future__ import annotations

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from admin_api.answers import succeed
from admin_api.errors import Detail, bad_request, not_found, unavailable
from admin_api.parts import Parts


class PublicOperations:
    """For probes, scrapers and proxies of the operator's own network."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def live(self, request: web.Request) -> web.Response:
        """The process answers; it says nothing of what it depends on."""
        return succeed()

    async def ready(self, request: web.Request) -> web.Response:
        """Whether every part is up, and if not, each one that is down, with 503."""
        parts = await self._parts.readiness()
        down = [
            Detail(name, state if isinstance(state, str) else "down")
            for name, state in parts.items()
            if state is not True
        ]
        if down:
            raise unavailable(f"Down: {', '.join(detail.field for detail in down)}.", down)
        return succeed(parts=dict.fromkeys(parts, "up"))

    async def metrics(self, request: web.Request) -> web.Response:
        """Every metric, in Prometheus' text format."""
        headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=self._parts.metrics(), headers=headers)

    async def domain(self, request: web.Request) -> web.Response:
        """Whether a front proxy may fetch a certificate for this name: 200 or 404."""
        names = request.query.getall("domain", [])
        if len(names) != 1 or not names[0]:
            raise bad_request(
                "Bad query parameter: domain.", [Detail("domain", "Name one domain.")]
            )
        name = names[0].lower().removesuffix(".")
        if name != self._parts.public_hostname and not await self._parts.domain_exists(name):
            raise not_found("No link has this domain.")
        return succeed()
