"""The checks of single values: each refuses with a sentence, or returns the one spelling.

They raise ValueError, whose text the sender of the request is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Network, ip_network
from urllib.parse import urlsplit

from pydantic import ValidationInfo

from gateway.links.model import IPNetwork
from gateway.request.mail_address import normal_address

MAX_HOSTNAME = 253  # RFC 1035 section 2.3.4, as text

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# As far from the epoch as a float of seconds keeps microseconds apart: until the year 2255.
# Beyond, milliseconds are kept: a fraction that rounds up must not make a year 10000.
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Rules:
    """What the checks of a request need to know of this gateway."""

    is_workorder: Callable[[str], bool]
    public_hostname: str


def check_text(text: str) -> str:
    """Refuse what PostgreSQL cannot store. (Lone surrogates are refused before this.)"""
    if "\x00" in text:
        raise ValueError("This text has a NUL character.")
    return text


def check_workorder(text: str, info: ValidationInfo) -> str:
    """Refuse an id that could not stand in the backend's paths."""
    rules = _rules(info)
    if rules is not None and not rules.is_workorder(text):
        raise ValueError("A work order's id has to make one safe path segment.")
    return text


def parse_instant(text: object) -> float:
    """Seconds since the epoch of a date-time as in RFC 3339 section 5.6.

    Without an offset it is no instant, and refused. A leap second is the second after it.
    """
    found = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("Give a date-time with its offset, like 2030-01-31T12:00:00Z.")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    off_hours, off_minutes = int(found[10] or 0), int(found[11] or 0)
    if off_hours > 23 or off_minutes > 59:
        raise ValueError("This offset does not exist.")
    offset = timedelta(hours=off_hours, minutes=off_minutes)
    leap = second == 60
    try:
        local = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
        utc = (local + offset if found[9] == "-" else local - offset) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        raise ValueError("This date does not exist.") from None
    microseconds = (utc - _EPOCH) // _MICROSECOND + int((found[7] or "")[:6].ljust(6, "0"))
    if abs(microseconds) > _EXACT:
        microseconds -= microseconds % 1000
    return microseconds / 1_000_000


def format_instant(seconds: float) -> str:
    """An instant as RFC 3339 in UTC, with no more of a fraction than it has."""
    microseconds = round(seconds * 1_000_000)
    if abs(microseconds) > _EXACT:
        microseconds = round(seconds * 1000) * 1000
    at = _EPOCH + timedelta(microseconds=microseconds)
    part = "milliseconds" if at.microsecond % 1000 == 0 else "microseconds"
    text = at.isoformat(timespec=part if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def parse_network(text: str) -> IPNetwork:
    """The network of an address or of CIDR notation; host bits are cut off.

    IPv4 in its IPv6 mapping is IPv4, because that is how visitors' addresses are judged.
    """
    if not re.fullmatch(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?", text):
        raise ValueError("Give an address or a network, like 192.0.2.7 or 2001:db8::/32.")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("This is no address and no network.") from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ip_network((int(mapped), network.prefixlen - 96))
    return network


def format_network(network: IPNetwork) -> str:
    """A network as an owner writes it: one address without its prefix length."""
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def normal_network(text: str) -> str:
    """One spelling for each network."""
    return format_network(parse_network(text))


def normal_email_or_domain(text: str) -> str:
    """A mail address, or `@domain` for every address of a domain."""
    if not text.startswith("@"):
        return normal_address(text)
    try:
        return normal_address(f"any{text}").removeprefix("any")
    except ValueError:
        raise ValueError("This is not '@' and a domain.") from None


def normal_domain(text: str, info: ValidationInfo) -> str:
    """A custom domain: a host's name in lower case, without a port, and not the public host's."""
    name = text.lower()
    if len(name) > MAX_HOSTNAME or not _HOSTNAME.fullmatch(name):
        raise ValueError("Give the name of a host, like portal.example.com, without a port.")
    if name.rpartition(".")[2].isdigit():
        raise ValueError("An address is not the name of a host.")
    rules = _rules(info)
    if rules is not None and name == rules.public_hostname:
        raise ValueError("This is the public host of the gateway itself.")
    return name


def check_web_url(text: str) -> str:
    """Refuse what a browser would not fetch as a picture of the web: `javascript:`, `data:`."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("This URL has a character that has to be percent-encoded.")
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("Give an http:// or https:// URL.")
    if "@" in parts.netloc:
        raise ValueError("This URL has a user part; it would be shown to every visitor.")
    return text


def without_repeats(names: list[str]) -> list[str]:
    """The names in their order, each once: the order picks the upstream."""
    return list(dict.fromkeys(names))


def _rules(info: ValidationInfo) -> Rules | None:
    return info.context if isinstance(info.context, Rules) else None
