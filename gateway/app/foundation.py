"""What every part of the gateway stands on, whichever of them a process serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from config.models import Settings
from config.secret_keys import resolve_secret_keys
from gateway.app.stores import Stores, open_stores
from gateway.crypto.passwords import PasswordHasher
from gateway.crypto.signing import Keyring
from gateway.health import Health, journal_probe
from gateway.journal.lock import DataDirLock
from gateway.metrics import Metrics
from gateway.notify.mail import Mailer


@dataclass(frozen=True, slots=True)
class Foundation:
    """The settings, and what there is one of in a process."""

    settings: Settings
    metrics: Metrics
    keyring: Keyring
    stores: Stores
    health: Health
    passwords: PasswordHasher
    mailer: Mailer


async def lay_foundation(
    settings: Settings, stack: AsyncExitStack, printer: Callable[[str], None] | None
) -> Foundation:
    """Open what every part needs, until `stack` is left.

    `printer` gets the mails where no mail server is set. Raises CannotStart, LockHeld,
    StoreUnavailable or SettingsError.
    """
    metrics = Metrics()
    if settings.is_redis_embedded:
        stack.enter_context(DataDirLock(settings.data_dir))
    secret_keys = resolve_secret_keys(settings)
    stores = await open_stores(settings, secret_keys, metrics, stack)
    passwords = PasswordHasher()
    stack.callback(passwords.close)
    return Foundation(
        settings=settings,
        metrics=metrics,
        keyring=Keyring(secret_keys),
        stores=stores,
        health=Health(_probes(settings, stores), metrics),
        passwords=passwords,
        mailer=_mailer(settings, printer),
    )


def _probes(settings: Settings, stores: Stores) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "database": stores.database.ping,
        "redis": stores.redis.ping,
        "journal": journal_probe(settings.data_dir),
    }


def _mailer(settings: Settings, printer: Callable[[str], None] | None) -> Mailer:
    url = settings.smtp_url
    return Mailer(
        url.get_secret_value() if url is not None else None, settings.mail_from, printer=printer
    )
