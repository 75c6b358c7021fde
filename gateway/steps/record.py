"""The access log and the metrics: what was decided, entered before anybody is answered."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network

from gateway.crypto.signing import Keyring
from gateway.journal.writer import JournalWriter
from gateway.links.model import IPAddress
from gateway.links.verdict import Reason, Verdict
from gateway.metrics import Metrics, Tally
from gateway.request.scope import Scope
from gateway.steps.visit import Visit
from gateway.store.entry import Entry

ASSET = "asset"
DENIED = "denied"


class Record:
    """Writes one entry for each decision on a link."""

    def __init__(
        self, journal: JournalWriter, metrics: Metrics, keyring: Keyring, *, anonymize: bool
    ) -> None:
        self._journal = journal
        self._address = lru_cache(maxsize=8192)(_anonymous if anonymize else str)
        self._keyring = keyring
        self._metrics = metrics
        self._requests = lru_cache(maxsize=None)(self._counter)
        self._durations = lru_cache(maxsize=64)(metrics.request_duration_seconds.labels)
        self._hash = lru_cache(maxsize=8192)(self._visitor_hash)

    def enter(self, visit: Visit, action: str, reason: Reason) -> None:
        """Enter a decision, once a request. Raises StoreUnavailable (`journal`).

        Assets are counted in the metrics alone: a page has dozens, and nobody asks who saw a
        style sheet. A refused one is a refusal like any other.
        """
        visit.action, visit.reason = action, reason
        link = visit.link
        if link is None or visit.entered or (action == ASSET and reason is Reason.OK):
            return
        scope = visit.scope
        address, user_agent = self._kept(scope)
        is_access = reason is Reason.OK and not scope.is_unseen
        self._journal.append(
            Entry(
                link_id=link.id,
                at=scope.now,
                address=address,
                user_agent=user_agent,
                action=action,
                reason=reason.value,
                visitor=self.visitor(visit),
                email=self.email(visit),
                bot=scope.is_unseen,
                request_id=scope.request_id,
                is_view=is_access and action == "view" and scope.method != "HEAD",
                is_access=is_access,
            )
        )
        visit.entered = True

    def address(self, visit: Visit) -> str:
        """The visitor's address, as far as it may be kept; "" if not at all."""
        return self._kept(visit.scope)[0]

    def email(self, visit: Visit) -> str | None:
        """The address that the visitor has verified, if any."""
        if visit.session is not None:
            return visit.session.proven.email
        return visit.proven.email

    def count(self, visit: Visit, seconds: float) -> None:
        """Count a request in the metrics, once it is over."""
        self._requests(visit.reason, visit.action).inc()
        self._durations(visit.action).observe(seconds)

    def _counter(self, reason: Reason, action: str) -> Tally:
        decision = Verdict(reason).decision
        requests = self._metrics.requests_total
        return self._metrics.tally(requests.labels(decision.value, reason.value, action))

    def visitor(self, visit: Visit) -> str:
        """Who this is: the verified email, or the browser's random id, or what it looks like."""
        if visit.session is not None:
            return visit.session.visitor
        if visit.proven.email is not None:
            return visit.proven.email
        if visit.visitor is None:
            visit.visitor = visit.cookies.visitor_of(visit.sent_cookies) or self._hash(
                *self._kept(visit.scope)
            )
        return visit.visitor

    def _kept(self, scope: Scope) -> tuple[str, str]:
        """The address and the user agent as they may be kept.

        All that is kept of a visitor is made of these two, the pseudonym too: a hash of a whole
        address would tell whoever holds the key more than the shortened one beside it.
        """
        return ("", "") if scope.opted_out else (self._address(scope.address), scope.user_agent)

    def _visitor_hash(self, address: str, user_agent: str) -> str:
        return self._keyring.mac("visitor", address, user_agent).hex()[:32]


def _anonymous(address: IPAddress) -> str:
    """`address` without what tells one household from another: IPv4 /24, IPv6 /48."""
    prefix = 24 if address.version == 4 else 48
    return str(ip_network(f"{address}/{prefix}", strict=False).network_address)
