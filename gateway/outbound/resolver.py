"""Names are resolved once, judged, and connected to as they were judged.

aiohttp connects to exactly the addresses that its resolver returns, so there is no second look-up
that could answer otherwise (DNS rebinding).
"""

from __future__ import annotations

import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.errors import OutboundRefused
from gateway.outbound.addresses import may_speak_to


class GuardedResolver(AbstractResolver):
    """The system's resolver, for names all of whose addresses may be spoken to.

    One bad address spoils the name: a name that means both is made to get past a check. Raises
    OutboundRefused for such a name, and OSError for one that cannot be resolved.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._system.resolve(host, port, family)
        for result in results:
            if not may_speak_to(result["host"], allow_private=self._allow_private):
                raise OutboundRefused("the name leads to an address that may not be asked")
        return results

    async def close(self) -> None:
        await self._system.close()
