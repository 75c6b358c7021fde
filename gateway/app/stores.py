"""What holds state: the database and Redis, opened, and every store on top of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from config.models import Settings
from gateway.app.cannot_start import CannotStart
from gateway.crypto.sealing import Sealer
from gateway.metrics import Metrics
from gateway.store.access_log import AccessLogStore
from gateway.store.cache import LinkCache
from gateway.store.changes import ChangeFeed
from gateway.store.database import Database
from gateway.store.deliveries import SEALED_AS as DELIVERIES_SEAL
from gateway.store.deliveries import DeliveryStore
from gateway.store.keys import KeyStore
from gateway.store.links import LinkStore
from gateway.store.logos import LogoStore
from gateway.store.outbox import SEALED_AS as OUTBOX_SEAL
from gateway.store.outbox import OutboxStore
from gateway.store.redis import RedisClient, open_redis
from gateway.store.throttle import Throttle
from gateway.store.uses import UseStore


@dataclass(frozen=True, slots=True)
class Stores:
    """What holds state, opened once a process."""

    database: Database
    redis: RedisClient
    changes: ChangeFeed
    cache: LinkCache
    links: LinkStore
    logos: LogoStore
    keys: KeyStore
    uses: UseStore
    access_log: AccessLogStore
    throttle: Throttle
    outbox: OutboxStore
    deliveries: DeliveryStore


async def open_stores(
    settings: Settings, secret_keys: Sequence[str], metrics: Metrics, stack: AsyncExitStack
) -> Stores:
    """Open everything that holds state, until `stack` is left. Raises CannotStart, StoreUnavailable."""
    database, redis = await _connect(settings, metrics, stack)
    changes = ChangeFeed(database)
    sealer = Sealer(secret_keys)
    # Reading goes past the cache, so the store that the cache reads from announces nothing.
    cache = LinkCache(
        LinkStore(database, sealer), changes, redis, metrics, settings.cache.max_links
    )
    stack.push_async_callback(cache.settle)
    return Stores(
        database=database,
        redis=redis,
        changes=changes,
        cache=cache,
        links=LinkStore(database, sealer, on_change=cache.announce),
        logos=LogoStore(database),
        keys=KeyStore(database),
        uses=UseStore(database),
        access_log=AccessLogStore(database),
        throttle=Throttle(redis, settings.throttle),
        outbox=OutboxStore(database, Sealer(secret_keys, OUTBOX_SEAL)),
        deliveries=DeliveryStore(database, Sealer(secret_keys, DELIVERIES_SEAL)),
    )


async def _connect(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> tuple[Database, RedisClient]:
    try:
        database = Database.open(
            settings.database_url,
            pool_size=settings.database.pool_size,
            statement_timeout=settings.database.statement_timeout,
        )
        stack.push_async_callback(database.close)
        await _bring_up_to_date(settings, database)
        redis = await open_redis(
            settings.redis_url, on_error=metrics.store_errors_total.labels("redis").inc
        )
    except ValueError as error:
        # A URL that looks right and names what is not there.
        raise CannotStart(str(error)) from None
    stack.push_async_callback(redis.close)
    return database, redis


async def _bring_up_to_date(settings: Settings, database: Database) -> None:
    """SQLite is migrated at once; elsewhere that is the operator's decision."""
    state = await database.schema_state()
    if state == "current":
        return
    if state == "newer":
        raise CannotStart("database_url: the schema was made by a newer version of this program")
    if not settings.is_sqlite:
        raise CannotStart("database_url: the schema is not up to date; run: portal-gateway migrate")
    await database.migrate()
