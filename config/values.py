"""The small parsers behind single settings. Pure; each raises ValueError with a sentence.

No message repeats a value that could hold a password.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.errors import Refusal
from gateway.request.client_ip import TrustedProxies
from gateway.request.host import normal_host, parse_host
from gateway.request.mail_address import normal_address
from gateway.request.path import parse_path

UNIX_SCHEME = "http+unix"
WORKORDER = "{workorder}"
WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
# Bytes, as the specification of Standard Webhooks (1.0.0) has them: 192 to 512 bits.
MIN_WEBHOOK_KEY = 24
MAX_WEBHOOK_KEY = 64

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
HEADER_PLACEHOLDERS = ("workorder", "link", "visitor", "email")

# What the gateway sets, or what frames a message, on every request. Compared by letters and digits
# alone: backends read `X_Portal_Email` as `X-Portal-Email`.
_OWN_HEADERS = frozenset(
    {
        "connection",
        "contentlength",
        "expect",
        "forwarded",
        "host",
        "http2settings",
        "keepalive",
        "proxy",
        "proxyauthenticate",
        "proxyauthorization",
        "proxyconnection",
        "te",
        "trailer",
        "transferencoding",
        "upgrade",
        "xrealip",
        "xrequestid",
    }
)
_OWN_PREFIXES = ("xportal", "xforwarded", "secwebsocket")


def split_url(url: str) -> SplitResult:
    """The parts of a URL. The library's own messages repeat the URL: these must not."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    # urlsplit drops tabs and line ends silently; here they are a fault.
    if parts is None or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError("this is no URL")
    return parts


def _check_port(parts: SplitResult) -> None:
    try:
        good = parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("the port is not between 1 and 65535")


def parse_origin(url: str) -> str:
    """An http or https origin, as browsers write it: lower case, without the default port."""
    parts = split_url(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("an origin is wanted, http:// or https:// and a host")
    _refuse_more_than_an_origin(parts)
    try:
        host = parse_host([parts.netloc])
    except Refusal:
        raise ValueError("the host is missing or is no host name") from None
    _check_port(parts)
    return f"{parts.scheme}://{normal_host(host, parts.scheme)}"


def parse_upstream_url(url: str) -> str:
    """The origin of a backend: http, https, or `http+unix://` and a percent-encoded socket path."""
    parts = split_url(url)
    if parts.scheme in {"http", "https"}:
        return parse_origin(url)
    if parts.scheme != UNIX_SCHEME:
        raise ValueError("an origin is wanted: http://, https:// or http+unix://")
    if not unquote(parts.netloc).startswith("/"):
        raise ValueError("the socket's path is written with %2F: http+unix://%2Frun%2Fapp.sock")
    _refuse_more_than_an_origin(parts)
    return f"{UNIX_SCHEME}://{parts.netloc}"


def socket_path(url: str) -> str | None:
    """The path of the socket that an `http+unix://` origin names; None for another origin."""
    scheme, _, authority = url.partition("://")
    return unquote(authority) if scheme == UNIX_SCHEME else None


def _refuse_more_than_an_origin(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise ValueError("a user or a password cannot stand in it")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("an origin has no path, query or fragment")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a listener is: `host` and `port` for tcp (port 0: any free one), `path` for unix."""

    kind: Literal["tcp", "unix", "systemd"]
    host: str = ""
    port: int = 0
    path: str = ""


def parse_listen(text: str) -> Listen:
    """`host:port`, `[v6]:port`, `unix:/path`, or `systemd` for an activated socket."""
    if text == "systemd":
        return Listen("systemd")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError("a unix listener is 'unix:' and an absolute path")
        return Listen("unix", path=path)
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or any(c in bare for c in "[]/@ "):
        raise ValueError("a listener is host:port, [v6]:port, unix:/path or systemd")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("the port is not between 0 and 65535")
    return Listen("tcp", bare, int(port))


def parse_trusted_proxies(entries: Iterable[str]) -> TrustedProxies:
    """CIDRs, and the word `unix` for the peers of a unix listener."""
    networks = []
    unix = False
    for entry in entries:
        if entry == "unix":
            unix = True
            continue
        try:
            networks.append(ip_network(entry))
        except ValueError:
            raise ValueError(
                f"{entry!r} is neither a CIDR (without host bits) nor 'unix'"
            ) from None
    return TrustedProxies(tuple(networks), unix)


def check_landing_path(path: str) -> str:
    """An absolute path, a query too if need be, with `{workorder}` in one of them."""
    plain = path.replace(WORKORDER, "w")
    if not path.startswith("/") or WORKORDER not in path:
        raise ValueError("an absolute path with {workorder} somewhere is wanted")
    if any(c in plain for c in "{}#\\") or not re.fullmatch(r"[\x21-\x7e]+", plain):
        raise ValueError("only {workorder}, and what may stand in a request line, can be in it")
    try:
        parse_path(plain.partition("?")[0])
    except Refusal as refusal:
        raise ValueError(f"the gateway would refuse such a path: {refusal.detail}") from None
    return path


def check_header_name(name: str) -> str:
    """A header that operators may set on requests to a backend."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if not _TOKEN.fullmatch(name) or not plain:
        raise ValueError("this is no name of a header")
    if plain in _OWN_HEADERS or plain.startswith(_OWN_PREFIXES):
        raise ValueError("the gateway sets or removes this header by itself")
    return name


def check_header_value(value: str) -> str:
    """A header's value: no control character, no placeholder but the known ones."""
    if _CONTROL.search(value):
        raise ValueError("CR, LF, NUL and other control characters cannot be in a header")
    unknown = set(_PLACEHOLDER.findall(value)) - set(HEADER_PLACEHOLDERS)
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in HEADER_PLACEHOLDERS)
        raise ValueError(f"a placeholder is none of {known}")
    return value


def check_cookie_name(name: str) -> str:
    """A cookie's name (RFC 6265 section 4.1.1: a token)."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("this is no name of a cookie")
    return name


def check_smtp_url(url: str) -> str:
    """`smtp://` or `smtps://`, perhaps a user and a password, and a host."""
    parts = split_url(url)
    extra = parts.path not in {"", "/"} or parts.query or parts.fragment
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or extra:
        raise ValueError("smtp://user:password@host:587 or smtps://host is wanted")
    if parts.password is not None and not parts.username:
        raise ValueError("a password needs a user before it")
    _check_port(parts)
    return url


def check_webhook_url(url: str) -> str:
    """Where webhooks are posted: http or https, a host, and whatever path the receiver wants.

    A path or a query may be a secret of the receiver's; a user's name cannot stand in it.
    """
    parts = split_url(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("https:// (or http://), a host and a path are wanted")
    if "@" in parts.netloc:
        raise ValueError("a user or a password cannot stand in it: the signature is the proof")
    if parts.fragment or url.endswith("#"):
        raise ValueError("a fragment is never sent")
    _check_port(parts)
    return url


def parse_webhook_secrets(text: str) -> tuple[bytes, ...]:
    """The keys in one or more `whsec_` secrets, commas between them (Standard Webhooks 1.0.0)."""
    return tuple(_webhook_key(secret.strip()) for secret in text.split(","))


def _webhook_key(secret: str) -> bytes:
    encoded = secret.removeprefix(WEBHOOK_SECRET_PREFIX)
    try:
        # Some write it without the padding.
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if encoded == secret or not key:
        raise ValueError("whsec_ and the base64 of a random key is wanted")
    if not MIN_WEBHOOK_KEY <= len(key) <= MAX_WEBHOOK_KEY:
        raise ValueError(f"the key has to have {MIN_WEBHOOK_KEY} to {MAX_WEBHOOK_KEY} bytes")
    return key


def check_mail_from(text: str) -> str:
    """One plain address (RFC 5322 `addr-spec`), without a name; its user in ASCII."""
    try:
        return normal_address(text)
    except ValueError:
        raise ValueError("one plain mail address is wanted, without a name") from None
