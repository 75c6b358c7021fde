"""Sends webhooks: each until its receiver has it, or for a day.

Receivers see a webhook at least once, and know a repeated one by its id: a worker that dies between
the answer and the deletion of the row leaves a claim that runs out, and the same webhook is due
again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from config.models import WebhookSettings
from gateway.errors import OutboundFailed, OutboundRefused, StoreUnavailable
from gateway.metrics import Metrics
from gateway.notify.webhooks import webhook_headers
from gateway.outbound import GuardedClient, Reply
from gateway.store.deliveries import ClaimedDelivery, DeliveryStore

log = logging.getLogger(__name__)

# Seconds between one try and the next: those that the specification suggests, to the end of a day.
DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 23_000.0)
# The part of a delay that chance may take away, so that what failed together does not come back
# together.
JITTER = 0.1
# Seconds. What a busy receiver asks for (`Retry-After`) is granted up to this.
MOST_PATIENCE = 3600.0
_BUSY = frozenset({429, 502, 503, 504})
_GONE = 410

# Seconds for one try; the specification suggests 15 to 30.
TIMEOUT = 15.0
# Seconds that a claim holds: longer than any try takes.
LEASE = 60.0
# Tries at a time for one webhook, so that one that hangs does not hold up the others; and for all,
# from which on each may have one.
MOST_PER_WEBHOOK = 4
MOST = 64


class WebhookSender:
    """Sends what is due. `delays` are between tries, `timeout` is for one, both in seconds.

    `tls` replaces the system's certificate authorities.
    """

    def __init__(
        self,
        store: DeliveryStore,
        webhooks: Mapping[str, WebhookSettings],
        metrics: Metrics,
        *,
        delays: Sequence[float] = DELAYS,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._metrics = metrics
        self._delays = delays
        self._timeout = timeout
        self._tls = tls
        self._now = now
        self._under_way: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()

    async def step(self) -> None:
        """Begin to send what is due, as far as there is room, and wait for none of it.

        Raises StoreUnavailable("database").
        """
        now = self._now()
        for name in await self._store.due_webhooks(now):
            most = MOST_PER_WEBHOOK if len(self._under_way) < MOST else 1
            room = most - self._busy[name]
            if room > 0:
                for claimed in await self._store.claim(name, now, room, LEASE):
                    self._begin(claimed)
        self._metrics.webhook_pending_deliveries.set(await self._store.count_pending())

    async def finish(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for what is under way, and leave the rest for the next start."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _begin(self, claimed: ClaimedDelivery) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(claimed))
        self._busy[claimed.webhook] += 1
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        try:
            await self._try(claimed)
        except StoreUnavailable as error:
            # The claim runs out by itself, and then the webhook is due again.
            self._metrics.store_errors_total.labels(error.store).inc()
        except Exception:
            # The boundary of this webhook: a fault here must not end the others.
            log.exception("webhook %s was not sent", claimed.id)
        finally:
            self._busy[claimed.webhook] -= 1

    async def _try(self, claimed: ClaimedDelivery) -> None:
        webhook = self._webhooks.get(claimed.webhook)
        if webhook is None:
            await self._bury(claimed, None, "no webhook of this name is configured any more")
        elif claimed.body is None:
            await self._bury(claimed, None, "none of the secret keys can read it")
        else:
            try:
                reply = await self._post(webhook, claimed.id, claimed.body)
            except OutboundRefused as error:
                await self._bury(claimed, None, str(error))
            except OutboundFailed as error:
                await self._fail(claimed, None, str(error))
            else:
                await self._settle(claimed, reply)

    async def _post(self, webhook: WebhookSettings, id: str, body: str) -> Reply:
        headers = webhook_headers(id, body, webhook.keys(), self._now())
        url = webhook.url.get_secret_value()
        async with GuardedClient(
            allow_private=webhook.allow_private_addresses, tls=self._tls
        ) as client:
            return await client.post(url, headers, body.encode(), timeout=self._timeout)

    async def _settle(self, claimed: ClaimedDelivery, reply: Reply) -> None:
        """What the answer means: taken, gone for good, or (a redirect, too) not taken this time."""
        if 200 <= reply.status < 300:
            await self._store.remove(claimed)
            self._count("delivered")
        elif reply.status == _GONE:
            await self._bury(claimed, reply.status, None)
        else:
            await self._fail(claimed, reply.status, None, _patience(reply))

    async def _fail(
        self,
        claimed: ClaimedDelivery,
        status: int | None,
        failure: str | None,
        patience: float = 0.0,
    ) -> None:
        if claimed.attempt > len(self._delays):
            await self._bury(claimed, status, failure)
            return
        delay = self._delays[claimed.attempt - 1] * random.uniform(1 - JITTER, 1)  # noqa: S311 - no secret
        await self._store.retry(claimed, self._now() + max(delay, patience), status, failure)
        self._count("failed")
        log.info("%s: %s; it is tried again", self._title(claimed), failure or f"status {status}")

    async def _bury(
        self, claimed: ClaimedDelivery, status: int | None, failure: str | None
    ) -> None:
        await self._store.bury(claimed, status, failure)
        self._count("dead")
        log.warning(
            "%s: %s; it is not tried again", self._title(claimed), failure or f"status {status}"
        )

    def _title(self, claimed: ClaimedDelivery) -> str:
        """The webhook for the log. Of its URL the host alone: the path may be a secret."""
        webhook = self._webhooks.get(claimed.webhook)
        host = urlsplit(webhook.url.get_secret_value()).hostname if webhook is not None else "?"
        return f"webhook {claimed.id} for {claimed.webhook} at {host}"

    def _count(self, result: str) -> None:
        self._metrics.webhook_deliveries_total.labels(result).inc()


def _patience(reply: Reply) -> float:
    """How many seconds a busy receiver asks for (RFC 9110 section 10.2.3); dates are not read."""
    asked = reply.headers.get("Retry-After", "")
    if reply.status in _BUSY and asked.isascii() and asked.isdigit() and len(asked) < 10:
        return min(float(asked), MOST_PATIENCE)
    return 0.0
