"""The visitor's address, the host, the origin, and what the headers say of the client."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.errors import Refusal
from gateway.request.agent import (
    claims_fetch_metadata,
    is_navigation,
    is_prefetch,
    is_trustworthy,
)
from gateway.request.client_ip import (
    TrustedProxies,
    client_address,
    parse_address,
    throttle_subject,
)
from gateway.request.host import normal_host, parse_host
from gateway.request.origin import origin_holds

PROXIES = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("192.0.2.1", [], "192.0.2.1", id="straight"),
        pytest.param("192.0.2.1", ["198.51.100.1"], "192.0.2.1", id="an untrusted peer's claim"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="behind one proxy"),
        pytest.param(
            "10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1", id="the left end is a claim"
        ),
        pytest.param(
            "10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1", id="two fields are one list"
        ),
        pytest.param(
            "10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1", id="behind two proxies"
        ),
        pytest.param("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all of them proxies"),
        pytest.param(
            "10.0.0.1",
            ["198.51.100.1, junk, 10.0.0.2"],
            "10.0.0.2",
            id="stops at what does not parse",
        ),
        pytest.param("10.0.0.1", ["junk"], "10.0.0.1", id="nothing that parses"),
        pytest.param("10.0.0.1", ["198.51.100.1,"], "10.0.0.1", id="an empty last entry"),
        pytest.param("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1", id="with a port"),
        pytest.param("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7", id="v6 with a port"),
        pytest.param("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1", id="a mapped address"),
        pytest.param("2001:db8:1::5", ["2001:db8:2::9"], "2001:db8:2::9", id="v6"),
        pytest.param("10.0.0.1", ["010.0.0.1"], "10.0.0.1", id="octal is no address"),
        pytest.param("10.0.0.1", ["1.2.3"], "10.0.0.1", id="three parts are no address"),
    ],
)
def test_the_address_is_found_from_the_right(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert client_address(parse_address(peer), forwarded, PROXIES) == ip_address(expected)


def test_a_unix_peer_is_believed_only_if_the_settings_say_so() -> None:
    assert client_address(None, ["192.0.2.9"], TrustedProxies(unix=True)) == ip_address("192.0.2.9")
    for trusted, forwarded in ((PROXIES, ["192.0.2.9"]), (TrustedProxies(unix=True), [])):
        with pytest.raises(Refusal, match="bad_request"):
            client_address(None, forwarded, trusted)


@pytest.mark.parametrize(
    ("address", "subject"),
    [("192.0.2.9", "192.0.2.9"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::1", "::/64")],
)
def test_a_throttles_subject(address: str, subject: str) -> None:
    assert throttle_subject(ip_address(address)) == subject


@pytest.mark.parametrize(
    "value", ["portal.example", "portal.example:8443", "[::1]:80", "127.0.0.1", "a_b.example"]
)
def test_one_host(value: str) -> None:
    assert parse_host([value]) == value


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["a", "b"],
        [""],
        ["a, b"],
        ["a@b"],
        ["a b"],
        ["a/b"],
        ["a:"],
        ["a:x"],
        ["a:123456"],
        [":80"],
        ["[::1"],
        ["a?b"],
        ["a#"],
        ["-a"],
    ],
)
def test_what_is_not_one_host_is_refused(values: list[str]) -> None:
    with pytest.raises(Refusal, match="bad_request"):
        parse_host(values)


def test_hosts_are_compared_without_case_and_default_port() -> None:
    assert normal_host("Portal.Example:443", "https") == "portal.example"
    assert normal_host("portal.example:80", "https") == "portal.example:80"
    assert normal_host("portal.example:80", "http") == "portal.example"


@pytest.mark.parametrize(
    ("origin", "site", "holds"),
    [
        pytest.param("https://portal.example", None, True, id="our own"),
        pytest.param("HTTPS://Portal.Example", None, True, id="case"),
        pytest.param("https://portal.example", "cross-site", True, id="the Origin decides"),
        pytest.param("http://portal.example", None, False, id="another scheme"),
        pytest.param("https://portal.example:8443", None, False, id="another port"),
        pytest.param("https://portal.example.evil", None, False, id="a longer name"),
        pytest.param("null", None, False, id="null"),
        pytest.param("null", "same-origin", False, id="null, whatever else is said"),
        pytest.param("", None, False, id="empty"),
        pytest.param(None, None, True, id="no browser"),
        pytest.param(None, "same-origin", True, id="same origin"),
        pytest.param(None, "none", True, id="typed"),
        pytest.param(None, "same-site", False, id="a sibling"),
        pytest.param(None, "cross-site", False, id="another site"),
        pytest.param(None, "odd", False, id="unknown means refuse"),
    ],
)
def test_origin(origin: str | None, site: str | None, holds: bool) -> None:
    assert origin_holds(origin, site, "https://portal.example") is holds


@pytest.mark.parametrize(
    ("mode", "accept", "expected"),
    [
        ("navigate", "*/*", True),
        ("cors", "text/html", False),
        (None, "text/html,application/xhtml+xml", True),
        (None, "*/*", False),
        (None, None, False),
    ],
)
def test_navigations(mode: str | None, accept: str | None, expected: bool) -> None:
    assert is_navigation(mode, accept) is expected


@pytest.mark.parametrize(
    ("purposes", "expected"),
    [
        pytest.param(("prefetch",), True, id="Chromium"),
        pytest.param(("prefetch;prerender",), True, id="a prerender"),
        pytest.param(("", "Prefetch"), True, id="any of them, in any case"),
        pytest.param(("", "", "preview"), True, id="Safari's preview"),
        pytest.param(("", ""), False, id="none"),
        pytest.param(("navigate",), False, id="something else"),
        pytest.param((), False, id="nothing"),
    ],
)
def test_prefetches(purposes: tuple[str, ...], expected: bool) -> None:
    assert is_prefetch(*purposes) is expected


CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}) Gecko/20100101 Firefox/{0}"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{} Safari/605.1.15"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{} Mobile/15E148 Safari/604.1"


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        pytest.param(CHROME.format("130.0.0.0"), True, id="Chrome"),
        pytest.param(CHROME.format("80.0.3987.87"), True, id="the first Chrome that does"),
        pytest.param(CHROME.format("79.0.3945.130"), False, id="the last Chrome that does not"),
        pytest.param(CHROME.format("130.0.0.0") + " Edg/130.0.0.0", True, id="Edge"),
        pytest.param(CHROME.format("64.0.3282.140") + " Edge/18.17763", False, id="the old Edge"),
        pytest.param(FIREFOX.format("132.0"), True, id="Firefox"),
        pytest.param(FIREFOX.format("90.0"), True, id="the first Firefox that does"),
        pytest.param(FIREFOX.format("89.0"), False, id="the last Firefox that does not"),
        pytest.param(SAFARI.format("18.0"), True, id="Safari"),
        pytest.param(SAFARI.format("16.4.1"), True, id="the first Safari that does"),
        pytest.param(SAFARI.format("16.3"), False, id="the last Safari that does not"),
        pytest.param(SAFARI.format("9.5"), False, id="versions are numbers"),
        pytest.param(IPHONE.format("16.4"), True, id="the first on a telephone"),
        pytest.param(IPHONE.format("15.6.1"), False, id="an older telephone"),
        pytest.param(
            "Mozilla/5.0 (Linux; U; Android 4.4) AppleWebKit/537.36 Version/40.0 Mobile Safari/537.36",
            False,
            id="Android's old browser",
        ),
        pytest.param("Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148", False, id="an app"),
        pytest.param("Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", False, id="IE"),
        pytest.param("curl/130.0", False, id="a library"),
        pytest.param("", False, id="nothing"),
    ],
)  # fmt: skip
def test_which_browsers_always_say_what_a_request_is_for(user_agent: str, expected: bool) -> None:
    assert claims_fetch_metadata(user_agent) is expected


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("https", "portal.example", True),
        ("http", "portal.example", False),
        ("http", "portal.example:8080", False),
        ("http", "127.0.0.1:8080", True),
        ("http", "127.8.9.10", True),
        ("http", "localhost", True),
        ("http", "localhost:8080", True),
        ("http", "portal.localhost:8080", True),
        ("http", "[::1]:8080", True),
        ("http", "[::1]", True),
        ("http", "[2001:db8::1]:8080", False),
        ("http", "127.0.0.1.example", False),
        ("http", "localhost.example", False),
        ("http", "10.0.0.1", False),
    ],
)
def test_where_browsers_say_it(scheme: str, host: str, expected: bool) -> None:
    assert is_trustworthy(scheme, host) is expected
