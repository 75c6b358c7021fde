"""Which addresses may be spoken to. Pure.

An allowlist for IPv6: one /3 is handed out to the public so far (RFC 4291 section 2.4), and what
is not in it, the forms that carry an IPv4 address included, is refused without asking which it is.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# The registries of special-purpose addresses (RFC 6890), as IANA keeps them, with what stands
# elsewhere: multicast (RFC 5771) and class E (RFC 1112). Here and not from `is_global`, whose
# answer depends on the release of Python.
_LOCAL4 = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    )
)
_SPECIAL4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",  # link-local: clouds answer here with a machine's credentials
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_PUBLIC6 = IPv6Network("2000::/3")
_LOCAL6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_SPECIAL6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address inside
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)


def may_speak_to(address: str, *, allow_private: bool) -> bool:
    """Whether a connection to `address` (a literal, perhaps with a zone) is allowed.

    `allow_private` admits loopback, private networks (RFC 1918, RFC 4193) and shared ones
    (RFC 6598). Link-local, multicast, reserved and unspecified addresses, and IPv4 addresses
    dressed up as IPv6 (mapped, 6to4, NAT64, Teredo), are refused always; so is what is no address.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _is_allowed4(parsed, allow_private)
    return _is_allowed6(parsed, allow_private)


def _is_allowed4(address: IPv4Address, allow_private: bool) -> bool:
    if any(address in network for network in _LOCAL4):
        return allow_private
    return not any(address in network for network in _SPECIAL4)


def _is_allowed6(address: IPv6Address, allow_private: bool) -> bool:
    if any(address in network for network in _LOCAL6):
        return allow_private
    if address.scope_id is not None:
        return False
    return address in _PUBLIC6 and not any(address in network for network in _SPECIAL6)
