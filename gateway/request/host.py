"""The one parse of `Host` (RFC 9110 section 7.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.errors import Refusal
from gateway.links.verdict import Reason

_HOST = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
DEFAULT_PORTS = {"http": "80", "https": "443"}


def parse_host(values: Sequence[str]) -> str:
    """The one `Host` of a request, as sent.

    Raises Refusal (`bad_request`) for none, several, a list, a user part, or anything else that
    is not `name`, `name:port` or `[v6]:port`.
    """
    if len(values) != 1 or not _HOST.fullmatch(values[0]):
        raise Refusal(Reason.BAD_REQUEST, "The 'Host' header has to name one host.")
    return values[0]


def normal_host(host: str, scheme: str) -> str:
    """`host` for comparison: lower case, without the scheme's default port."""
    host = host.lower()
    suffix = f":{DEFAULT_PORTS[scheme]}"
    return host.removesuffix(suffix)
