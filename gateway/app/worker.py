"""The part that works for nobody in particular: mails, webhooks, logos, and upkeep."""

from __future__ import annotations

from contextlib import AsyncExitStack

from gateway.app.foundation import Foundation
from gateway.branding.fetching import LogoFetcher
from gateway.languages import language
from gateway.notify.delivery import Delivery
from gateway.notify.gathering import Gathering
from gateway.notify.notifications import NotificationMail
from gateway.notify.webhook_sender import WebhookSender
from gateway.worker import Job, logo_jobs, mail_jobs, notification_jobs, upkeep_jobs

# Seconds that mails which are just being sent get at the end.
MAIL_GRACE = 5.0
# The same for webhooks; what is not over by then is sent again by the next worker.
WEBHOOK_GRACE = 5.0


def worker_jobs(foundation: Foundation, stack: AsyncExitStack) -> list[Job]:
    """What a worker does until `stack` is left."""
    stores = foundation.stores
    retention_days = foundation.settings.access_log.retention_days
    return [
        *_mail_jobs(foundation, stack),
        *upkeep_jobs(stores.changes, stores.access_log, retention_days=retention_days),
        *_logo_jobs(foundation),
        *_notification_jobs(foundation, stack),
    ]


def _mail_jobs(foundation: Foundation, stack: AsyncExitStack) -> list[Job]:
    """What sends the mails that are in the outbox."""
    delivery = Delivery(foundation.stores.outbox, foundation.mailer, foundation.metrics)
    stack.push_async_callback(delivery.finish, MAIL_GRACE)
    return mail_jobs(delivery)


def _logo_jobs(foundation: Foundation) -> list[Job]:
    """What fetches the logos that links name."""
    store = foundation.stores.logos
    allow_private = foundation.settings.logos.allow_private_addresses
    return logo_jobs(LogoFetcher(store, allow_private=allow_private), store)


def _notification_jobs(foundation: Foundation, stack: AsyncExitStack) -> list[Job]:
    """What tells owners of what happened on their links."""
    settings, stores, mailer = foundation.settings, foundation.stores, foundation.mailer
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
    sender = WebhookSender(stores.deliveries, webhooks, foundation.metrics)
    stack.push_async_callback(sender.finish, WEBHOOK_GRACE)
    return notification_jobs(gathering, sender, stores.deliveries, has_webhooks=bool(webhooks))
