"""The visitor's address, the host, the origin, and what the headers say of the client."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.errors import Refusal
from gateway.request.agent import is_bot, is_navigation, is_prefetch
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
    ("user_agent", "bot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", True),
        ("WhatsApp/2.23.20.0", True),
        ("facebookexternalhit/1.1", True),
        ("TelegramBot (like TwitterBot)", True),
        ("Mozilla/5.0 (Windows NT 10.0) SkypeUriPreview Preview/0.5", True),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/129.0 Safari/537.36", False),
        ("Mozilla/5.0 (Linux; Android 9; CUBOT P30) AppleWebKit/537.36 Chrome/99 Mobile Safari/537.36", False),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 LinkedInApp/9.1", False),
        ("curl/8.5.0", False),
        ("python-requests/2.32", False),
        ("", False),
    ],
)  # fmt: skip
def test_bots_say_who_they_are(user_agent: str, bot: bool) -> None:
    assert is_bot(user_agent) is bot


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
    ("sec_purpose", "purpose", "expected"),
    [
        ("prefetch", None, True),
        ("prefetch;prerender", None, True),
        (None, "prefetch", True),
        (None, "preview", True),
        (None, None, False),
    ],
)
def test_prefetches(sec_purpose: str | None, purpose: str | None, expected: bool) -> None:
    assert is_prefetch(sec_purpose, purpose) is expected
