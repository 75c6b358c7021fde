"""The composition root: builds every part from the settings, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from admin_api.app import build_app
from admin_api.parts import Parts
from config.models import Part, Settings, UpstreamSettings
from config.secret_keys import resolve_secret_keys
from config.values import parse_trusted_proxies
from gateway.branding.fetching import LogoFetcher
from gateway.branding.shelf import LogoShelf
from gateway.crypto.binding import BoundSealer
from gateway.crypto.passwords import PasswordHasher
from gateway.crypto.sealing import Sealer
from gateway.crypto.signing import Keyring
from gateway.errors import GatewayError, StoreUnavailable
from gateway.handler import Handler
from gateway.health import PROBE_EVERY, Health, journal_probe
from gateway.journal.adoption import Adoption
from gateway.journal.drain import Drain
from gateway.journal.lock import DataDirLock
from gateway.journal.writer import JournalWriter
from gateway.languages import language
from gateway.links.model import LinkType, is_path_segment, is_query_value
from gateway.links.session import Lifetime
from gateway.listener import Listener, open_sockets
from gateway.metrics import Metrics
from gateway.notify.codes import CodeMail
from gateway.notify.delivery import Delivery
from gateway.notify.gathering import Gathering
from gateway.notify.mail import Mailer
from gateway.notify.notifications import NotificationMail
from gateway.notify.webhook_sender import WebhookSender
from gateway.pages import Pages
from gateway.proxy.cookies import CookieRules, plain_name
from gateway.proxy.upstream import AiohttpUpstream
from gateway.refusals import Refusals
from gateway.steps.backends import Backend, Backends
from gateway.steps.entrance import Entrance
from gateway.steps.events import Events
from gateway.steps.exchanges import Exchanges
from gateway.steps.gatekeeping import Gatekeeping
from gateway.steps.intake import Intake, PublicSite
from gateway.steps.own_paths import OwnPaths
from gateway.steps.passage import ToBackend
from gateway.steps.record import Record
from gateway.steps.resolve import Resolve
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
from gateway.store.throttle import Marks, Throttle
from gateway.store.uses import UseStore
from gateway.systemd import notify
from gateway.visitor.backend_cookies import SEALED_AS as COOKIES_SEAL
from gateway.visitor.backend_cookies import BackendCookies
from gateway.visitor.codes import CODE_LIFE, Codes
from gateway.visitor.gates import Gates
from gateway.visitor.session import VisitorCookies
from gateway.worker import (
    LEARN_EVERY,
    Job,
    Worker,
    journal_jobs,
    logo_jobs,
    mail_jobs,
    notification_jobs,
    upkeep_jobs,
)

log = logging.getLogger(__name__)

# Seconds between two counts of the links for the metrics: after a change, and without one.
COUNT_PAUSE = 1.0
COUNT_EVERY = 30.0
# Seconds that mails which are just being sent get at the end.
MAIL_GRACE = 5.0
# The same for webhooks; what is not over by then is sent again by the next worker.
WEBHOOK_GRACE = 5.0


class CannotStart(GatewayError):
    """The settings are good, but what they name is not as it has to be."""


@dataclass(slots=True)
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


@dataclass(slots=True)
class Running:
    """A gateway that serves. `drain` stores all that is in the journal by now."""

    settings: Settings
    stores: Stores
    health: Health
    visitors: Listener | None = None
    admin_url: str | None = None
    drain: Callable[[], Awaitable[None]] | None = None


@asynccontextmanager
async def running(
    settings: Settings, part: Part = "all", *, printer: Callable[[str], None] | None = None
) -> AsyncIterator[Running]:
    """Build and start everything; on leaving, drain and end it in order.

    `printer` gets the mails where no mail server is set (the demo). Raises CannotStart, LockHeld,
    ListenError, StoreUnavailable or SettingsError, each with a sentence for the operator.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        if settings.is_redis_embedded:
            stack.enter_context(DataDirLock(settings.data_dir))
        secret_keys = resolve_secret_keys(settings)
        stores = await _open_stores(settings, secret_keys, metrics, stack)
        health = Health(_probes(settings, stores), metrics)
        process = Running(settings, stores, health)
        jobs = [Job("The look at the parts", health.probe, PROBE_EVERY)]
        passwords = PasswordHasher()
        stack.callback(passwords.close)
        background = _Background(stack)
        mailer = _mailer(settings, printer)
        visitors: _Visitors | None = None
        if part in {"all", "gateway"}:
            visitors = _Visitors(settings, stores, metrics, Keyring(secret_keys), health, passwords)
            jobs += await visitors.prepare(stack, background, mailer)
        if part in {"all", "worker"}:
            delivery = Delivery(stores.outbox, mailer, metrics)
            stack.push_async_callback(delivery.finish, MAIL_GRACE)
            jobs += mail_jobs(delivery)
            jobs += upkeep_jobs(
                stores.changes, stores.access_log, retention_days=settings.access_log.retention_days
            )
            jobs += _logo_jobs(settings, stores)
            jobs += _notification_jobs(settings, stores, mailer, metrics, stack)
        if part in {"all", "admin"}:
            jobs.append(Job("The count of the links", _count_links(stores, metrics), COUNT_PAUSE))
        # Every part has an admin listener, for its metrics and its health; only the part that is
        # the admin API knows the database well enough to answer the rest, which needs keys.
        process.admin_url = await _start_admin(settings, stores, metrics, health, passwords, stack)
        background.run(Worker(jobs, metrics).run())
        await health.probe()
        if visitors is not None:
            # Last, and so the first to end: while visitors finish, their entries are still
            # flushed and drained, and metrics and health are still there to be asked.
            process.visitors = await visitors.listen(stack)
            process.drain = visitors.drain
        yield process
        health.is_draining = True
        if process.visitors is not None:
            await asyncio.sleep(settings.drain.delay)


def _mailer(settings: Settings, printer: Callable[[str], None] | None) -> Mailer:
    url = settings.smtp_url
    return Mailer(
        url.get_secret_value() if url is not None else None, settings.mail_from, printer=printer
    )


class _Background:
    """Tasks that run as long as the process; the last one started is the first one ended."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._stack.push_async_callback(_end, task)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _open_stores(
    settings: Settings, secret_keys: Sequence[str], metrics: Metrics, stack: AsyncExitStack
) -> Stores:
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


def _logo_jobs(settings: Settings, stores: Stores) -> list[Job]:
    """What fetches the logos that links name."""
    allow_private = settings.logos.allow_private_addresses
    return logo_jobs(LogoFetcher(stores.logos, allow_private=allow_private), stores.logos)


def _notification_jobs(
    settings: Settings, stores: Stores, mailer: Mailer, metrics: Metrics, stack: AsyncExitStack
) -> list[Job]:
    """What tells owners of what happened on their links."""
    webhooks = settings.notification_webhooks
    notifications = NotificationMail(mailer.sender, language(settings.notifications.language))
    gathering = Gathering(
        stores.database,
        stores.links,
        stores.outbox,
        stores.deliveries,
        webhooks=frozenset(webhooks),
        compose=notifications.compose if mailer.can_send() else None,
        gather=settings.notifications.gather,
    )
    sender = WebhookSender(stores.deliveries, webhooks, metrics)
    stack.push_async_callback(sender.finish, WEBHOOK_GRACE)
    return notification_jobs(gathering, sender, stores.deliveries, has_webhooks=bool(webhooks))


def _probes(settings: Settings, stores: Stores) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "database": stores.database.ping,
        "redis": stores.redis.ping,
        "journal": journal_probe(settings.data_dir),
    }


def _count_links(stores: Stores, metrics: Metrics) -> Callable[[], Awaitable[None]]:
    changed = asyncio.Event()
    changed.set()
    stores.cache.on_invalidated.append(lambda _: changed.set())

    async def count() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNT_EVERY):
                await changed.wait()
        changed.clear()
        for status, number in (await stores.links.count_by_status(time.time())).items():
            metrics.links.labels(status.value).set(number)

    return count


async def _start_admin(
    settings: Settings,
    stores: Stores,
    metrics: Metrics,
    health: Health,
    passwords: PasswordHasher,
    stack: AsyncExitStack,
) -> str:
    admin_key = settings.admin_key
    app = build_app(
        Parts(
            links=stores.links,
            keys=stores.keys,
            access_log=stores.access_log,
            deliveries=stores.deliveries,
            throttle=stores.throttle,
            passwords=passwords,
            public_url=settings.public_url,
            metrics=metrics.render,
            readiness=health.probe,
            domain_exists=stores.links.domain_exists,
            admin_key=admin_key.get_secret_value() if admin_key is not None else None,
            is_workorder=is_path_segment if names_in_paths(settings) else is_query_value,
        )
    )
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    sockets = await open_sockets(settings.admin_listen, name="admin")
    for each in sockets:
        await web.SockSite(runner, each).start()
    return _url_of(sockets[0])


def names_in_paths(settings: Settings) -> bool:
    """Whether any backend is told a work order in a path, where it has to be one segment."""
    return any(
        "{workorder}" in pattern.partition("?")[0]
        for upstream in settings.all_upstreams().values()
        for pattern in (upstream.path, *(route.path for route in upstream.route_table().routes))
    )


def _url_of(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Visitors:
    """The visitors' side: everything between their listener and the backends."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        metrics: Metrics,
        keyring: Keyring,
        health: Health,
        passwords: PasswordHasher,
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._metrics = metrics
        self._keyring = keyring
        self._health = health
        self._passwords = passwords
        self._logos = LogoShelf(stores.logos)
        self._answer: Handler | None = None
        self.drain: Callable[[], Awaitable[None]] | None = None

    async def prepare(
        self,
        stack: AsyncExitStack,
        background: _Background,
        mailer: Mailer,
    ) -> list[Job]:
        """Make everything behind the listener; the jobs that go with it.

        What is pushed last on `stack` ends first.
        """
        settings, stores, metrics = self._settings, self._stores, self._metrics
        journal = self._open_journal()
        drain = Drain(journal, stores.access_log)
        self.drain = drain.drain_all
        stack.push_async_callback(_store_the_rest, journal, drain)
        adoption = Adoption(settings.data_dir / "journal", stores.access_log)
        metrics.journal_pending_entries.set_function(lambda: journal.pending() + adoption.pending())
        mail = CodeMail(stores.outbox, mailer.sender, life=CODE_LIFE, enabled=mailer.can_send())
        backends = await self._open_backends(stack)
        exchanges = Exchanges(stores.cache.by_id, time.time)
        stores.cache.on_invalidated.append(exchanges.reconsider)
        stores.cache.on_forgotten.append(exchanges.reconsider_all)
        self._answer = self._handler(journal, mail, backends, exchanges)
        background.run(stores.cache.run())
        background.run(exchanges.run())
        learning = Job("The look for logos", self._logos.refresh, LEARN_EVERY)
        return [*journal_jobs(journal, drain, adoption), learning]

    async def listen(self, stack: AsyncExitStack) -> Listener:
        """Let visitors in, once `prepare` has been called."""
        assert self._answer is not None
        settings = self._settings
        listener = Listener(self._answer, self._answer.refuse_bytes, settings.limits)
        stack.push_async_callback(listener.close, settings.drain.timeout)
        await listener.start(await open_sockets(settings.listen))
        return listener

    def _open_journal(self) -> JournalWriter:
        root = self._settings.data_dir / "journal"
        try:
            return JournalWriter(
                root, counted=self._metrics.tally(self._metrics.journal_entries_total).inc
            )
        except OSError as error:
            raise CannotStart(f"data_dir: {root}: {error.strerror}") from None

    async def _open_backends(self, stack: AsyncExitStack) -> Backends:
        settings = self._settings

        def open_one(table: str) -> Backend:
            upstream = settings.all_upstreams()[table]
            client = AiohttpUpstream(upstream, settings.limits, self._metrics)
            stack.push_async_callback(client.close)
            rules = cookie_rules(table, upstream)
            return Backend(client, upstream.route_table(), upstream.path, rules)

        return Backends(
            open_one("upstream"),
            {name: open_one(f"upstreams.{name}") for name in settings.upstreams},
        )

    def _backend_cookies(self) -> dict[str, BackendCookies]:
        settings = self._settings
        readable = {
            plain_name(name)
            for table, upstream in settings.all_upstreams().items()
            for name in cookie_rules(table, upstream).readable
        }
        sealer = BoundSealer(self._keyring.macs, COOKIES_SEAL)
        return {
            scheme: BackendCookies(
                sealer, scheme, settings.limits.max_header_size, frozenset(readable)
            )
            for scheme in ("http", "https")
        }

    def _handler(
        self, journal: JournalWriter, mail: CodeMail, backends: Backends, exchanges: Exchanges
    ) -> Handler:
        settings, stores, metrics, keyring = (
            self._settings,
            self._stores,
            self._metrics,
            self._keyring,
        )
        site = PublicSite(settings.scheme, settings.public_host)
        lifetimes: dict[LinkType, Lifetime] = {t: settings.session.lifetime(t) for t in LinkType}
        marks = Marks(stores.redis)
        pages = Pages(self._logos.name)
        refusals = Refusals(pages)
        record = Record(journal, metrics, keyring, anonymize=settings.access_log.anonymize_ip)
        events = Events(journal, record, metrics, frozenset(settings.notification_webhooks))
        entrance = Entrance(stores.uses, marks, lifetimes, metrics, events)
        gates = Gates(
            self._passwords,
            Codes(stores.redis, keyring.mac, keyring.macs),
            stores.throttle,
            mail,
            metrics,
        )
        return Handler(
            intake=Intake(site, parse_trusted_proxies(settings.trusted_proxies), time.time),
            own_paths=OwnPaths(self._health.is_ready, pages.asset, self._logos.picture),
            cookies={s: VisitorCookies(keyring, lifetimes, s) for s in ("http", "https")},
            resolve=Resolve(site, stores.cache, backends, lifetimes, marks),
            entrance=entrance,
            gatekeeping=Gatekeeping(
                gates, entrance, record, refusals, settings.limits.body_timeout
            ),
            record=record,
            to_backend=ToBackend(
                record,
                events,
                exchanges,
                marks,
                keyring,
                self._backend_cookies(),
                settings.limits,
            ),
            refusals=refusals,
            metrics=metrics,
        )


def cookie_rules(table: str, upstream: UpstreamSettings) -> CookieRules:
    """What becomes of a backend's cookies. It is another backend when its table or URL is."""
    readable = upstream.readable_cookies if upstream.cookies == "seal" else ()
    return CookieRules(upstream.cookies, f"{table} {upstream.url}", frozenset(readable))


async def _store_the_rest(journal: JournalWriter, drain: Drain) -> None:
    """The last entries go to the database; if it is down they wait on disk for the next start."""
    try:
        await drain.drain_all()
    except StoreUnavailable as error:
        log.warning("entries stay in the journal until the next start: %s", error)
    journal.close()


async def serve(settings: Settings, part: Part = "all") -> None:
    """Serve until SIGTERM or SIGINT, then end without losing anything. Raises as `running`."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(settings, part) as process:
        if process.visitors is not None:
            log.info("visitors: %s", ", ".join(process.visitors.addresses))
        log.info("admin API, metrics and health: %s", process.admin_url)
        notify("READY=1")
        _tune_collection()
        await ended.wait()
        log.info("draining")
        notify("STOPPING=1")
    log.info("ended")


def _tune_collection() -> None:
    """Keep the cycle collector from what lives as long as the process.

    Requests leave hardly any cycles behind, but their objects set it off hundreds of times a
    second, and its full passes over everything that was imported cost 100 ms each: docs/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
