"""Try everything that the settings name, and tell all that is wrong at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.load import SettingsError, resolve_secret_keys
from config.models import Settings, UpstreamSettings, WebhookSettings
from config.secret_keys import FILE_NAME
from gateway.errors import GatewayError
from gateway.notify.mail import Mailer
from gateway.outbound.addresses import may_speak_to
from gateway.probe import ProbeFailed, probe_upstream
from gateway.steps.backends import landing_target
from gateway.store.engines import sqlite_path
from gateway.store.redis import open_redis
from gateway.upkeep import needs_rewrap, opened, schema_problem

# Seconds for one part to answer; a part that takes longer is as good as down for visitors.
TIMEOUT = 10.0
# A work order for trying a pattern: what a row lets pass depends on its form alone.
_SAMPLE = "1"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part: `problem` says what is wrong; `note` is worth knowing."""

    part: str
    problem: str | None = None
    note: str = ""


async def check_all(settings: Settings) -> list[Finding]:
    """Every part, tried at the same time."""
    upstreams = settings.all_upstreams()
    found = await asyncio.gather(
        _guarded("data_dir", _check_data_dir(settings)),
        _guarded("database", _check_database(settings)),
        _guarded("secret_keys", _check_secret_keys(settings)),
        _guarded("redis_url", _check_redis(settings)),
        _guarded("smtp_url", _check_mail(settings)),
        *(_guarded(f"{name}.url", _check_upstream(each)) for name, each in upstreams.items()),
        *(
            _guarded(f"notification_webhooks.{name}.url", _check_webhook(each))
            for name, each in settings.notification_webhooks.items()
        ),
    )
    return [*found, *(Finding(*problem.split(": ", 1)) for problem in landing_problem(settings))]


def report(findings: Sequence[Finding]) -> str:
    """The findings as aligned lines, and how many of them are faults."""
    width = max(len(finding.part) for finding in findings)
    lines = [
        f"{'ok' if f.problem is None else 'FAULT':<5}  {f.part:<{width}}  {f.problem or f.note}"
        for f in findings
    ]
    faults = sum(finding.problem is not None for finding in findings)
    return "\n".join([*lines, f"Faults: {faults}"])


def landing_problem(settings: Settings) -> list[str]:
    """Each backend whose landing page no route lets pass: its links would show nothing."""
    problems = []
    for name, upstream in settings.all_upstreams().items():
        target = landing_target(upstream.path, _SAMPLE)
        match = upstream.route_table().match("GET", target.segments, target.query)
        if match is None:
            problems.append(f"{name}.path: no route lets GET {upstream.path} pass")
        elif not match.names_only(_SAMPLE):
            problems.append(f"{name}.path: the route {match.route.path} refuses {upstream.path}")
    return problems


class _Fault(Exception):
    """What is wrong with a part."""


async def _guarded(part: str, check: Awaitable[str]) -> Finding:
    """What a check has to say; how it fails is its finding, never the end of the others."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return Finding(part, note=await check)
    except SettingsError as error:
        return Finding(part, str(error).removeprefix(f"{part}: "))
    except (_Fault, ProbeFailed, GatewayError) as error:
        return Finding(part, str(error))
    except TimeoutError:
        return Finding(part, "no answer in time")


async def _check_data_dir(settings: Settings) -> str:
    """Written by doing so: a mount's rights are more than its mode bits."""
    draft = settings.data_dir / f".check.{secrets.token_hex(8)}"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        draft.touch(exist_ok=False)
        draft.unlink()
    except OSError as error:
        raise _Fault(f"{settings.data_dir} cannot be written: {error.strerror}") from None
    return f"{settings.data_dir} can be written"


async def _check_database(settings: Settings) -> str:
    async with opened(settings) as database:
        if _is_absent(settings):
            return "serve will make the file"
        state = await database.schema_state()
        if settings.is_sqlite and state in {"empty", "older"}:
            return "serve will bring the schema up to date"
        if problem := schema_problem(state):
            raise _Fault(problem.removeprefix("database: "))
        return "it answers, and its schema is up to date"


async def _check_secret_keys(settings: Settings) -> str:
    """Whether the first key is enough, as far as the database can say."""
    if not settings.secret_keys and not (settings.data_dir / FILE_NAME).exists():
        return "serve will make one"
    secret_keys = resolve_secret_keys(settings)
    if _is_absent(settings):
        return "nothing is encrypted yet"
    async with opened(settings) as database:
        if await database.schema_state() != "current":
            return "what is encrypted under them is not known before the schema is up to date"
        if await needs_rewrap(database, secret_keys):
            return "an old key is still needed: run 'portal-gateway rewrap' before it is dropped"
    return "everything is encrypted under the first key"


def _is_absent(settings: Settings) -> bool:
    """Whether there is no database file yet: a connection would make an empty one."""
    return settings.is_sqlite and not sqlite_path(settings.database_url).exists()


async def _check_redis(settings: Settings) -> str:
    if settings.is_redis_embedded:
        return "inside the process"
    try:
        redis = await open_redis(settings.redis_url)
    except ValueError as error:
        raise _Fault(str(error)) from None
    try:
        await redis.ping()
    finally:
        await redis.close()
    return "it answers"


async def _check_mail(settings: Settings) -> str:
    if settings.smtp_url is None:
        return "not set: links that verify an email address refuse every code"
    await Mailer(settings.smtp_url.get_secret_value(), settings.mail_from).check()
    return "the mail server answers"


async def _check_upstream(upstream: UpstreamSettings) -> str:
    status = await probe_upstream(upstream, TIMEOUT)
    return f"it answers HTTP (status {status})"


async def _check_webhook(webhook: WebhookSettings) -> str:
    """Whether its host may be asked; nothing is sent, for the receiver would take it for news."""
    parts = urlsplit(webhook.url.get_secret_value())
    assert parts.hostname is not None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 0)
    except OSError:
        raise _Fault("its host cannot be resolved") from None
    allow_private = webhook.allow_private_addresses
    if not all(may_speak_to(str(each[4][0]), allow_private=allow_private) for each in found):
        hint = "" if allow_private else ": is allow_private_addresses meant?"
        raise _Fault(f"its host leads to an address that may not be asked{hint}")
    if parts.scheme == "http" and not allow_private:
        return "its host may be asked, and everybody on the way can read what is told: use https"
    return "its host may be asked; nothing was sent"
