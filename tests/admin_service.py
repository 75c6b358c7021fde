"""The admin API with its real stores, on a database of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from admin_api.app import build_app
from admin_api.parts import Parts
from config.models import ThrottleSettings
from gateway.crypto.passwords import PasswordHasher
from gateway.crypto.sealing import Sealer
from gateway.links.model import is_path_segment
from gateway.metrics import Metrics
from gateway.store.access_log import AccessLogStore
from gateway.store.database import Database
from gateway.store.deliveries import SEALED_AS, DeliveryStore
from gateway.store.keys import KeyStore, Role
from gateway.store.links import LinkStore
from gateway.store.redis import open_redis
from gateway.store.throttle import Throttle

ADMIN_KEY = "bootstrap-key-of-the-tests"
PUBLIC_URL = "https://portal.example.com"
LINKS = "/v1/workorder-portal-link"


@dataclass
class Service:
    """A running admin API, and its parts."""

    url: str
    session: ClientSession
    database: Database
    links: LinkStore
    keys: KeyStore
    access_log: AccessLogStore
    passwords: PasswordHasher
    throttle: Throttle
    deliveries: DeliveryStore
    state: dict[str, bool | str] = field(default_factory=dict)

    async def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = ADMIN_KEY,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """One call, with `key` as its bearer."""
        sent = {} if key is None else {"Authorization": f"Bearer {key}"}
        url = self.url + path
        async with self.session.request(
            method, url, headers=sent | dict(headers or {}), **options
        ) as response:
            return Answer(response, await response.read(), await _json(response))

    async def create(self, key: str = ADMIN_KEY, **fields: Any) -> dict[str, Any]:
        """A new link, as it was answered."""
        answer = await self.call("POST", LINKS, key=key, json={"workorder": "WO-1", **fields})
        assert answer.status == 201, answer.body
        data: dict[str, Any] = answer.body["data"]
        return data

    async def key(self, role: Role, *namespaces: str, name: str = "a key") -> str:
        """The secret of a new key."""
        _, secret = await self.keys.create(name, role, namespaces)
        return secret


@dataclass
class Answer:
    """What came back; `body` is the JSON, or None where it is none."""

    response: ClientResponse
    raw: bytes
    body: Any

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

    @property
    def fields(self) -> list[str]:
        """The fields that `details` names."""
        return [detail["field"] for detail in self.body.get("details", [])]


async def _json(response: ClientResponse) -> Any:
    if response.content_type != "application/json" or not await response.read():
        return None
    return await response.json()


@asynccontextmanager
async def serve(
    database_url: str,
    is_workorder: Callable[[str], bool] = is_path_segment,
    redis_url: str = "embedded",
) -> AsyncIterator[Service]:
    """The admin API on a free port, over the database at `database_url`."""
    database = Database.open(database_url)
    await database.migrate()
    links = LinkStore(database, Sealer(["a secret key for the tests of the admin API"]))
    redis = await open_redis(redis_url)
    throttle = Throttle(redis, ThrottleSettings())
    deliveries = DeliveryStore(database, Sealer(["k" * 32], SEALED_AS))
    keys, log, passwords = KeyStore(database), AccessLogStore(database), PasswordHasher()
    state: dict[str, bool | str] = {"database": True, "redis": True}

    async def readiness() -> Mapping[str, bool | str]:
        return state

    app = build_app(
        Parts(
            links=links,
            keys=keys,
            access_log=log,
            throttle=throttle,
            deliveries=deliveries,
            passwords=passwords,
            public_url=PUBLIC_URL,
            metrics=Metrics().render,
            readiness=readiness,
            domain_exists=links.domain_exists,
            admin_key=ADMIN_KEY,
            is_workorder=is_workorder,
        )
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(skip_auto_headers=["Content-Type"]) as session:
            url = f"http://{host}:{port}"
            yield Service(
                url, session, database, links, keys, log, passwords, throttle, deliveries, state
            )
    finally:
        await runner.cleanup()
        passwords.close()
        await redis.close()
        await database.close()
