"""All that is known about one request, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.links.model import IPAddress
from gateway.request.path import PortalPath, Target


@dataclass(slots=True)
class Scope:
    """What the request says, parsed once.

    `host` is normalised (lower case, no default port); `scheme` is what the visitor uses;
    `now` is in seconds since the epoch and stays the same for the whole decision.
    `accept_language` is the header as it was sent: it is read only when a page is shown.
    `is_bot` is true for a program that says that it is one. `is_unseen`: nobody is taken to look at
    the answer, which is a bot's, asked for ahead, or a scanner's under a browser's name; never so
    of an unsafe method, but for a bot.
    `is_upgrade` is true for a WebSocket handshake alone (RFC 6455 section 4.1). `opted_out`: the
    browser says that its user wants no trace to be kept (Global Privacy Control).
    """

    request_id: str
    now: float
    method: str
    target: Target
    portal: PortalPath | None
    scheme: str
    host: str
    address: IPAddress
    user_agent: str
    accept_language: str
    is_navigation: bool
    is_bot: bool
    is_unseen: bool
    is_upgrade: bool
    opted_out: bool
    origin_holds: bool

    @property
    def origin(self) -> str:
        """The origin that this request went to."""
        return f"{self.scheme}://{self.host}"
