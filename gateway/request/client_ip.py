"""The visitor's address.

`X-Forwarded-For` is a list that every hop appends to, so only its right end was written by
somebody we know. The walk goes from the right, past the proxies that are trusted, and stops at
the first address that is not; what stands left of it is the visitor's own claim and is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from gateway.errors import Refusal
from gateway.links.model import IPAddress, IPNetwork
from gateway.links.verdict import Reason


@dataclass(frozen=True)
class TrustedProxies:
    """The peers whose `X-Forwarded-For` is believed; `unix` means those of a unix listener."""

    networks: tuple[IPNetwork, ...] = ()
    unix: bool = False

    def trusts(self, peer: IPAddress | None) -> bool:
        """Whether `peer` (None: at the other end of a unix socket) is a proxy of ours."""
        return self.unix if peer is None else self._in_networks(peer)

    @cached_property
    def _in_networks(self) -> Callable[[IPAddress], bool]:
        # Asked of every request, mostly about the same few proxies and visitors.
        return lru_cache(maxsize=4096)(
            lambda peer: any(peer in network for network in self.networks)
        )


@lru_cache(maxsize=4096)
def parse_address(text: str) -> IPAddress:
    """An address as text; an IPv4 address mapped into IPv6 is the IPv4 address.

    Raises ValueError. A zone (`fe80::1%eth0`) is dropped: it names an interface of ours.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(
    peer: IPAddress | None, forwarded_for: Sequence[str], trusted: TrustedProxies
) -> IPAddress:
    """The address that the rules judge.

    `forwarded_for` are the values of the `X-Forwarded-For` fields in their order. The walk stops
    at what does not parse: the hop before it is the last one whose word can be believed. Raises
    Refusal (`bad_request`) if there is no address at all: a unix peer that named none.
    """
    address = peer
    if forwarded_for and trusted.trusts(peer):
        for entry in reversed(",".join(forwarded_for).split(",")):
            try:
                address = _parse_forwarded(entry.strip(" \t"))
            except ValueError:
                break
            if not trusted.trusts(address):
                break
    if address is None:
        raise Refusal(Reason.BAD_REQUEST, "The proxy in front did not say whose request this is.")
    return address


def _parse_forwarded(entry: str) -> IPAddress:
    """One entry: an address, or what some proxies write, an address with a port."""
    if entry.startswith("["):
        return parse_address(entry[1:].partition("]")[0])
    if entry.count(":") == 1:
        return parse_address(entry.partition(":")[0])
    return parse_address(entry)


def throttle_subject(address: IPAddress) -> str:
    """What one visitor is to the throttles: an IPv4 address, or an IPv6 /64 (one household)."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))
