"""What a decision is: one of three decisions, for one reason of a closed list.

The same word stands in the answer's `X-Portal-Reason`, in the access log and in the metric's
label, so that a visitor's report, an owner's log and an operator's graph can be matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """The three outcomes; the label `decision` of `portal_requests_total`."""

    ALLOW = "allow"
    CHALLENGE = "challenge"
    DENY = "deny"


class Reason(StrEnum):
    """Why: the closed list. A new word needs its row in `gateway.refusals` and in the README."""

    OK = "ok"
    # Gates: the visitor can do something about these.
    PASSWORD_REQUIRED = "password_required"  # noqa: S105 - a reason, not a secret
    PASSWORD_WRONG = "password_wrong"  # noqa: S105 - a reason, not a secret
    EMAIL_REQUIRED = "email_required"
    CODE_REQUIRED = "code_required"
    CODE_WRONG = "code_wrong"
    CONFIRM_REQUIRED = "confirm_required"
    # Refusals.
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a reason, not a secret
    SESSION_REQUIRED = "session_required"
    INACTIVE = "inactive"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    IP_NOT_ALLOWED = "ip_not_allowed"
    NO_ROUTE = "no_route"
    NOT_PERMITTED = "not_permitted"
    ORIGIN_REFUSED = "origin_refused"
    MISDIRECTED = "misdirected"
    THROTTLED = "throttled"
    BAD_REQUEST = "bad_request"
    BODY_TOO_LARGE = "body_too_large"
    HEADER_TOO_LARGE = "header_too_large"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_LOGIN_FAILED = "upstream_login_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    STORE_UNAVAILABLE = "store_unavailable"
    OVERLOADED = "overloaded"


class Gate(StrEnum):
    """What a visitor can be asked for before a session opens, in the order of asking."""

    PASSWORD = "password"  # noqa: S105 - a gate, not a secret
    EMAIL = "email"
    CODE = "code"
    CONFIRM = "confirm"


GATE_OF_REASON: dict[Reason, Gate] = {
    Reason.PASSWORD_REQUIRED: Gate.PASSWORD,
    Reason.PASSWORD_WRONG: Gate.PASSWORD,
    Reason.EMAIL_REQUIRED: Gate.EMAIL,
    Reason.CODE_REQUIRED: Gate.CODE,
    Reason.CODE_WRONG: Gate.CODE,
    Reason.CONFIRM_REQUIRED: Gate.CONFIRM,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the rules for one request."""

    reason: Reason

    @property
    def decision(self) -> Decision:
        """Allow for `ok`, challenge where a gate could open, deny otherwise."""
        if self.reason is Reason.OK:
            return Decision.ALLOW
        return Decision.CHALLENGE if self.reason in GATE_OF_REASON else Decision.DENY

    @property
    def gate(self) -> Gate | None:
        """The gate to show, for a challenge."""
        return GATE_OF_REASON.get(self.reason)


ALLOWED = Verdict(Reason.OK)
