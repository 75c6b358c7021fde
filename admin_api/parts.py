"""The parts that the admin API is built from; the composition root gives them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.crypto.passwords import PasswordHasher
from gateway.links.model import is_path_segment
from gateway.store.access_log import AccessLogStore
from gateway.store.deliveries import DeliveryStore
from gateway.store.keys import KeyStore
from gateway.store.links import LinkStore
from gateway.store.throttle import Throttle


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that the admin API asks.

    `public_url` is the visitors' origin. `metrics` renders Prometheus' text format. `readiness`
    names each part: True when it is up, else False or why not. `domain_exists` says whether a
    link has that custom domain. `admin_key` is the bootstrap key, of the role admin.
    `is_workorder` judges a work order's id: one safe path segment, unless the configured routes
    name it in queries alone. `now` is in seconds since the epoch.
    """

    links: LinkStore
    keys: KeyStore
    access_log: AccessLogStore
    throttle: Throttle
    deliveries: DeliveryStore
    passwords: PasswordHasher
    public_url: str
    metrics: Callable[[], bytes]
    readiness: Callable[[], Awaitable[Mapping[str, bool | str]]]
    domain_exists: Callable[[str], Awaitable[bool]]
    admin_key: str | None = None
    is_workorder: Callable[[str], bool] = is_path_segment
    now: Callable[[], float] = time.time

    @property
    def public_hostname(self) -> str:
        """The name of the visitors' host, without its port."""
        return urlsplit(self.public_url).hostname or ""
