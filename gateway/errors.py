"""What can go wrong while a request is served.

GatewayError
├── Refusal                 the request is refused, for a reason of the closed list
├── StoreUnavailable        a part that holds state cannot be asked or written
├── UpstreamError           the backend
│   ├── UpstreamUnavailable    cannot be reached, or broke the protocol before it answered
│   └── UpstreamTimeout        did not answer in time
├── MailUnavailable         no mail server is configured, or it does not take the message now
│   └── MailRefused            it never will
└── OutboundError           a request to an address that somebody typed (a logo, a webhook)
    ├── OutboundRefused        may not be sent, or its answer not be used, now or later
    └── OutboundFailed         came to nothing this time

Exceptions of libraries are translated into these at the one boundary where the library is
called; nothing above that boundary catches a library's exception.
"""

from __future__ import annotations

from typing import Literal

from gateway.links.verdict import Reason


class GatewayError(Exception):
    """The root of every error that the gateway raises on purpose."""


class Refusal(GatewayError):
    """The request is refused.

    `reason` decides the status; `detail` is a sentence for people that names what is wrong, and
    never holds anything secret or sent by the visitor. `retry_after` is in seconds.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


Store = Literal["database", "redis", "journal"]


class StoreUnavailable(GatewayError):
    """`store` cannot be asked or written now. Nothing was decided and nothing was forwarded."""

    def __init__(self, store: Store, cause: str = "") -> None:
        super().__init__(f"{store} is unavailable{': ' + cause if cause else ''}")
        self.store: Store = store


class UpstreamError(GatewayError):
    """The backend failed before its answer began; `kind` is the metric's label."""

    def __init__(self, kind: str, cause: str = "") -> None:
        super().__init__(f"upstream {kind}{': ' + cause if cause else ''}")
        self.kind = kind


class UpstreamUnavailable(UpstreamError):
    """The backend cannot be reached, or what it sent is not HTTP."""


class UpstreamTimeout(UpstreamError):
    """The backend did not answer within `limits.upstream_read_timeout`."""


class MailUnavailable(GatewayError):
    """The mail cannot be handed to a mail server now. The text names no address."""


class MailRefused(MailUnavailable):
    """The mail server will not take this mail, however often it is asked (RFC 5321 section 4.2.1)."""


class OutboundError(GatewayError):
    """What was asked of an address that somebody typed came to nothing; never quotes the address."""


class OutboundRefused(OutboundError):
    """The address may not be asked, or what it answers cannot be used: there is no second try."""


class OutboundFailed(OutboundError):
    """The network, the server or its certificate did not do its part; another try may succeed."""
