"""Every metric of the program, by its name. No label ever holds a token, an id or an address."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

# A second series for each counter, which says when it began: nothing here is asked that.
disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations

# Seconds. A request in an open session takes around a millisecond; a visitor waits for seconds.
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def program_version() -> str:
    """The installed version of this program."""
    try:
        return version("portal-gateway")
    except PackageNotFoundError:
        return "0"


class Tally:
    """A counter of the hot path: the event loop's alone, so that it needs no lock.

    What was counted goes into `child` when the metrics are collected. Six of these in each
    request, and the library's own cost six locks.
    """

    __slots__ = ("_child", "_counted")

    def __init__(self, child: Counter | Gauge) -> None:
        self._child = child
        self._counted = 0

    def inc(self) -> None:
        """One more."""
        self._counted += 1

    def dec(self) -> None:
        """One less, of a gauge."""
        self._counted -= 1

    def pass_on(self) -> None:
        """Move what was counted into the library's metric."""
        counted, self._counted = self._counted, 0
        if counted:
            self._child.inc(counted)


class _Tallies(Collector):
    """Stands first in the registry, so that what it passes on is collected after it."""

    def __init__(self) -> None:
        self._tallies: list[Tally] = []

    def of(self, child: Counter | Gauge) -> Tally:
        tally = Tally(child)
        self._tallies.append(tally)
        return tally

    def collect(self) -> Iterable[Metric]:
        for tally in self._tallies:
            tally.pass_on()
        return ()

    def describe(self) -> Iterable[Metric]:
        return ()


class Metrics:
    """The metrics of one process, in a registry of their own.

    `tally` binds a counter, or a gauge that is counted up and down, for the hot path.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        tallies = _Tallies()
        registry.register(tallies)
        self.tally = tallies.of
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests_total = Counter(
            "portal_requests_total",
            "Decisions, by what was decided, why, and what the request wanted to do.",
            ["decision", "reason", "action"],
            registry=registry,
        )
        self.request_duration_seconds = Histogram(
            "portal_request_duration_seconds",
            "From the request's header to the last byte of the answer.",
            ["action"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self.requests_in_flight = self.tally(
            Gauge("portal_requests_in_flight", "Requests that are being served.", registry=registry)
        )
        self.upstream_duration_seconds = Histogram(
            "portal_upstream_duration_seconds",
            "From sending a request to the header of the backend's answer.",
            buckets=_DURATIONS,
            registry=registry,
        )
        self.upstream_responses_total = Counter(
            "portal_upstream_responses_total",
            "Answers of the backend, by the class of their status.",
            ["code_class"],
            registry=registry,
        )
        self.upstream_errors_total = Counter(
            "portal_upstream_errors_total",
            "Requests that the backend did not answer.",
            ["kind"],
            registry=registry,
        )
        self.websockets_open = Gauge(
            "portal_websockets_open", "Open WebSockets.", registry=registry
        )
        self.sessions_opened_total = Counter(
            "portal_sessions_opened_total", "Sessions opened.", ["link_type"], registry=registry
        )
        self.gate_attempts_total = Counter(
            "portal_gate_attempts_total",
            "Tries at the gates: passed, failed, throttled or unavailable.",
            ["gate", "result"],
            registry=registry,
        )
        self.link_lookups_total = Counter(
            "portal_link_lookups_total",
            "Where links were found: memory, redis, database, absent.",
            ["source"],
            registry=registry,
        )
        self.links = Gauge("portal_links", "Links, by status.", ["status"], registry=registry)
        self.journal_pending_entries = Gauge(
            "portal_journal_pending_entries",
            "Entries in the journal that the database does not hold yet.",
            registry=registry,
        )
        self.journal_entries_total = Counter(
            "portal_journal_entries_total", "Entries written to the journal.", registry=registry
        )
        self.invalidation_lag_seconds = Histogram(
            "portal_invalidation_lag_seconds",
            "From a change's commit to the moment when this process knew of it.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
            registry=registry,
        )
        self.outbox_pending_messages = Gauge(
            "portal_outbox_pending_messages",
            "Mails in the outbox that have not left yet.",
            registry=registry,
        )
        self.outbox_oldest_age_seconds = Gauge(
            "portal_outbox_oldest_age_seconds",
            "How long the oldest of them has waited; 0 without any.",
            registry=registry,
        )
        self.outbox_messages_total = Counter(
            "portal_outbox_messages_total",
            "Tries to send a mail: sent, deferred, refused, expired, withheld or unreadable.",
            ["kind", "result"],
            registry=registry,
        )
        self.store_errors_total = Counter(
            "portal_store_errors_total",
            "Times that a store could not be asked or written.",
            ["store"],
            registry=registry,
        )
        self.webhook_deliveries_total = Counter(
            "portal_webhook_deliveries_total",
            "Tries to deliver a webhook: delivered, failed (and tried again), dead.",
            ["result"],
            registry=registry,
        )
        for result in ("delivered", "failed", "dead"):
            # From the start: an alert on an increase misses a first one out of nothing.
            self.webhook_deliveries_total.labels(result)
        self.webhook_pending_deliveries = Gauge(
            "portal_webhook_pending_deliveries",
            "Webhooks that have not arrived and are still tried.",
            registry=registry,
        )
        self.dependency_up = Gauge(
            "portal_dependency_up",
            "Whether a part answered when it was last asked (1) or not (0).",
            ["dependency"],
            registry=registry,
        )
        self.config_last_reload_successful = Gauge(
            "portal_config_last_reload_successful",
            "Whether the settings that were last read are in force.",
            registry=registry,
        )
        self.config_last_reload_successful.set(1)
        build_info = Gauge(
            "portal_build_info", "The program's version.", ["version"], registry=registry
        )
        build_info.labels(version=program_version()).set(1)

    def render(self) -> bytes:
        """The Prometheus text format of everything measured."""
        return generate_latest(self.registry)
