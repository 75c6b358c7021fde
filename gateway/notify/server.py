"""The mail server, as `smtp_url` names it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit

_DEFAULT_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and how.

    `implicit_tls` is `smtps://` (RFC 8314 section 3.3); otherwise STARTTLS (RFC 3207) is used
    where it is offered.
    """

    host: str
    port: int
    implicit_tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> MailServer:
        """Read `smtp://user:password@host:port` or `smtps://...`; the user part is optional.

        User and password are percent-decoded. Raises ValueError, which says what is wrong and
        never quotes the URL: it holds a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the mail server's URL has a bad host or port") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise ValueError("the mail server's URL has to begin with smtp:// or smtps://")
        if not parts.hostname:
            raise ValueError("the mail server's URL names no host")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("the mail server's URL ends after the port; encode special characters")
        if parts.password is not None and not parts.username:
            raise ValueError("the mail server's URL has a password without a user")
        return cls(
            host=parts.hostname,
            port=port or _DEFAULT_PORTS[parts.scheme],
            implicit_tls=parts.scheme == "smtps",
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine, so that nobody listens on the way."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def requires_tls(self) -> bool:
        """Whether STARTTLS may not be left out: a login never crosses a network in the clear."""
        return self.user is not None and not self.is_loopback

    def connection(self, tls: ssl.SSLContext | None) -> dict[str, Any]:
        """The arguments of `aiosmtplib.SMTP` for a connection to this server.

        `tls` replaces the system's certificate authorities. On loopback a certificate is not
        verified: a local mail server's usually names another host, or nobody has signed it.
        """
        return {
            "hostname": self.host,
            "port": self.port,
            "use_tls": self.implicit_tls,
            "start_tls": False if self.implicit_tls else (True if self.requires_tls else None),
            "username": self.user,
            "password": self.password,
            "tls_context": tls,
            "validate_certs": not self.is_loopback,
        }
