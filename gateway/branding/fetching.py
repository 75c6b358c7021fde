"""Fetches the logos that links name: once, from the worker, with a bound on the tries."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

from gateway.backoff import backoff
from gateway.branding.pictures import MAX_BYTES, NotALogo, content_type_of
from gateway.errors import OutboundFailed, OutboundRefused
from gateway.outbound import GuardedClient, Limits
from gateway.store.logos import ClaimedLogo, LogoStore, Picture

log = logging.getLogger(__name__)

LIMITS = Limits(max_bytes=MAX_BYTES, timeout=10.0)
# Seconds that a claim holds: longer than a fetch can take.
LEASE = 60.0
# Seconds before the second try, and each time four times as long: the seventh and last is made
# eleven hours after the first.
FIRST_RETRY = 30.0
MOST_TRIES = 7
# Answers that mean "not now" (RFC 9110, RFC 6585, RFC 8470); all other 4xx mean "not so".
_NOT_NOW = {408, 425, 429}


class LogoFetcher:
    """The worker's job. `allow_private` admits addresses of the own network."""

    def __init__(
        self, store: LogoStore, *, allow_private: bool, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._allow_private = allow_private
        self._now = now

    async def step(self) -> None:
        """Fetch all that is due, one after the other. Raises StoreUnavailable."""
        while (logo := await self._store.claim(self._now(), LEASE)) is not None:
            await self._settle(logo)

    async def _settle(self, logo: ClaimedLogo) -> None:
        try:
            picture = await self._fetch(logo.url)
        except (OutboundRefused, NotALogo) as error:
            await self._give_up(logo, str(error))
        except OutboundFailed as error:
            if logo.attempt >= MOST_TRIES:
                await self._give_up(logo, str(error))
            else:
                pause = backoff(logo.attempt, FIRST_RETRY, math.inf, growth=4.0)
                await self._store.retry(logo, self._now() + pause, str(error))
        else:
            await self._store.keep(logo, picture, self._now())

    async def _fetch(self, url: str) -> Picture:
        async with GuardedClient(allow_private=self._allow_private) as client:
            reply = await client.fetch(url, LIMITS)
        if reply.status != 200:
            answered = f"its server answered {reply.status}"
            if 400 <= reply.status < 500 and reply.status not in _NOT_NOW:
                raise OutboundRefused(answered)
            raise OutboundFailed(answered)
        return Picture(await asyncio.to_thread(content_type_of, reply.body), reply.body)

    async def _give_up(self, logo: ClaimedLogo, problem: str) -> None:
        # Without the URL, which may hold a secret: it is in the link.
        log.warning("a logo is not shown: %s", problem)
        await self._store.give_up(logo, problem)
