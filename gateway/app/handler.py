"""The handler of visitors' requests, with all its steps."""

from __future__ import annotations

import time

from config.values import parse_trusted_proxies
from gateway.app.backends import backend_cookies
from gateway.app.foundation import Foundation
from gateway.branding.shelf import LogoShelf
from gateway.handler import Handler
from gateway.journal.writer import JournalWriter
from gateway.links.model import LinkType
from gateway.links.session import Lifetime
from gateway.notify.codes import CodeMail
from gateway.pages import Pages
from gateway.refusals import Refusals
from gateway.steps.backends import Backends
from gateway.steps.entrance import Entrance
from gateway.steps.events import Events
from gateway.steps.exchanges import Exchanges
from gateway.steps.gatekeeping import Gatekeeping
from gateway.steps.intake import Intake, PublicSite
from gateway.steps.own_paths import OwnPaths
from gateway.steps.passage import ToBackend
from gateway.steps.record import Record
from gateway.steps.resolve import Resolve
from gateway.store.throttle import Marks
from gateway.visitor.codes import CODE_LIFE, Codes
from gateway.visitor.gates import Gates
from gateway.visitor.session import VisitorCookies


def build_handler(
    foundation: Foundation,
    journal: JournalWriter,
    backends: Backends,
    exchanges: Exchanges,
    logos: LogoShelf,
) -> Handler:
    """Everything between the listener and the backends."""
    settings, stores, metrics = foundation.settings, foundation.stores, foundation.metrics
    keyring = foundation.keyring
    site = PublicSite(settings.scheme, settings.public_host)
    lifetimes: dict[LinkType, Lifetime] = {t: settings.session.lifetime(t) for t in LinkType}
    marks = Marks(stores.redis)
    pages = Pages(logos.name)
    refusals = Refusals(pages)
    record = Record(journal, metrics, keyring, anonymize=settings.access_log.anonymize_ip)
    events = Events(journal, record, metrics, frozenset(settings.notification_webhooks))
    entrance = Entrance(stores.uses, marks, lifetimes, metrics, events)
    timeout = settings.limits.body_timeout
    to_backend = ToBackend(
        record, events, exchanges, marks, keyring, backend_cookies(foundation), settings.limits
    )
    return Handler(
        intake=Intake(site, parse_trusted_proxies(settings.trusted_proxies), time.time),
        own_paths=OwnPaths(foundation.health.is_ready, pages.asset, logos.picture),
        cookies={s: VisitorCookies(keyring, lifetimes, s) for s in ("http", "https")},
        resolve=Resolve(site, stores.cache, backends, lifetimes, marks),
        entrance=entrance,
        gatekeeping=Gatekeeping(_gates(foundation), entrance, record, refusals, timeout),
        record=record,
        to_backend=to_backend,
        refusals=refusals,
        metrics=metrics,
    )


def _gates(foundation: Foundation) -> Gates:
    stores, mailer, keyring = foundation.stores, foundation.mailer, foundation.keyring
    return Gates(
        foundation.passwords,
        Codes(stores.redis, keyring.mac, keyring.macs),
        stores.throttle,
        CodeMail(stores.outbox, mailer.sender, life=CODE_LIFE, enabled=mailer.can_send()),
        foundation.metrics,
    )
