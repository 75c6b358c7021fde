"""Which addresses a typed URL may lead to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbound.addresses import may_speak_to

PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "2a00::1"]
OWN_NETWORK = [
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("127.255.255.254", id="loopback's other end"),
    pytest.param("10.0.0.1", id="RFC 1918, A"),
    pytest.param("172.16.0.1", id="RFC 1918, B"),
    pytest.param("172.31.255.255", id="RFC 1918, B, the last"),
    pytest.param("192.168.1.1", id="RFC 1918, C"),
    pytest.param("100.64.0.1", id="carrier-grade NAT"),
    pytest.param("::1", id="loopback 6"),
    pytest.param("fd00::1", id="unique local"),
]
NEVER = [
    pytest.param("0.0.0.0", id="unspecified"),
    pytest.param("0.1.2.3", id="this network"),
    pytest.param("169.254.169.254", id="link-local: a cloud's metadata"),
    pytest.param("192.0.0.8", id="protocol assignments"),
    pytest.param("192.0.2.1", id="documentation"),
    pytest.param("192.88.99.1", id="6to4 relays"),
    pytest.param("198.18.0.1", id="benchmarks"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("240.0.0.1", id="class E"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("::", id="unspecified 6"),
    pytest.param("fe80::1", id="link-local 6"),
    pytest.param("fe80::1%eth0", id="link-local 6 with a zone"),
    pytest.param("fec0::1", id="site-local"),
    pytest.param("ff02::1", id="multicast 6"),
    pytest.param("::ffff:8.8.8.8", id="IPv4-mapped"),
    pytest.param("::ffff:127.0.0.1", id="IPv4-mapped loopback"),
    pytest.param("::8.8.8.8", id="IPv4-compatible"),
    pytest.param("64:ff9b::808:808", id="NAT64"),
    pytest.param("64:ff9b:1::808:808", id="NAT64, local"),
    pytest.param("2002:808:808::1", id="6to4"),
    pytest.param("2001:0:808:808::1", id="Teredo"),
    pytest.param("2001:db8::1", id="documentation 6"),
    pytest.param("100::1", id="discard"),
    pytest.param("2606:4700::1%1", id="a zone where none belongs"),
    pytest.param("4000::1", id="not handed out yet"),
    pytest.param("", id="nothing"),
    pytest.param("example.com", id="a name"),
    pytest.param("0177.0.0.1", id="octal"),
    pytest.param("127.1", id="short"),
    pytest.param("2130706433", id="a number"),
]


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_asked(address: str, allow_private: bool) -> None:
    assert may_speak_to(address, allow_private=allow_private)


@pytest.mark.parametrize("address", OWN_NETWORK)
def test_the_own_network_may_be_asked_only_if_the_settings_say_so(address: str) -> None:
    assert not may_speak_to(address, allow_private=False)
    assert may_speak_to(address, allow_private=True)


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("address", NEVER)
def test_what_may_never_be_asked(address: str, allow_private: bool) -> None:
    assert not may_speak_to(address, allow_private=allow_private)


@given(st.ip_addresses())
def test_nothing_is_admitted_that_the_standard_library_knows_not_to_be_global(
    address: object,
) -> None:
    parsed = ip_address(str(address))
    if may_speak_to(str(address), allow_private=False):
        assert parsed.is_global
        assert not parsed.is_multicast
