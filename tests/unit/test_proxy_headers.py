"""What the backend is told, and what never reaches it. The flow tests send it over a wire."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Refusal
from gateway.links.model import LinkType
from gateway.links.verdict import Reason
from gateway.proxy.cookies import Returned
from gateway.proxy.headers import (
    HOP_BY_HOP,
    Identity,
    RawHeaders,
    UpstreamHeaders,
    plain,
    request_headers,
)

OWN = "https://portal.example.com"
LANDING = "/workorders/17?x=1"
TOKEN = "wpl_" + "A1b2C3d4" * 5
UPSTREAM = UpstreamHeaders("http://backend:8000", "backend:8000")
IDENTITY = Identity(
    link_id="0123456789abcdef01234567",
    workorder="17",
    link_type=LinkType.SECURE,
    permissions=("can_view_details",),
    visitor="hash",
    email="a@example.com",
    request_id="rid",
    address="2001:db8::1",
    scheme="https",
    host="portal.example.com",
)
OURS = [
    ("X-Portal-Link", "0123456789abcdef01234567"),
    ("X-Portal-Workorder", "17"),
    ("X-Portal-Link-Type", "secure"),
    ("X-Portal-Permissions", "can_view_details"),
    ("X-Portal-Visitor", "hash"),
    ("X-Request-Id", "rid"),
    ("X-Forwarded-For", "2001:db8::1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "portal.example.com"),
    ("X-Portal-Email", "a@example.com"),
]


def sent(raw: RawHeaders, upstream: UpstreamHeaders = UPSTREAM) -> list[tuple[str, str]]:
    """What is sent beside `Host` and what the gateway says."""
    headers = request_headers(raw, IDENTITY, upstream, OWN, LANDING)
    assert headers[0] == ("Host", OWN[8:] if upstream.preserve_host else "backend:8000")
    return [header for header in headers[1:] if header not in OURS]


def test_what_is_said_of_the_visitor() -> None:
    assert request_headers([], IDENTITY, UPSTREAM, OWN, LANDING)[1:] == OURS


def test_an_unverified_visitor_has_no_email() -> None:
    anonymous = replace(IDENTITY, email=None)
    names = [name for name, _ in request_headers([], anonymous, UPSTREAM, OWN, LANDING)]
    assert "X-Portal-Email" not in names


@pytest.mark.parametrize(
    "name",
    [
        "X-Portal-Email", "x-portal-email", "X_Portal_Email", "x.portal.email", "X-Portal_Email",
        "x--portal--email", "XPortalEmail", "X-Portal-Anything", "X~Portal!Email",
        "X-Request-Id", "X_Request_Id", "X-Forwarded-For", "X_Forwarded_For", "x.forwarded.host",
        "X-Forwarded", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Forwarded-Client-Cert",
        "Forwarded", "X-Real-IP", "X_Real_IP", "True-Client-IP", "X-Client-IP",
        "CF-Connecting-IP", "CF-Connecting-IPv6", "X-Original-URL", "X-Original-Forwarded-For",
        "X-Rewrite-URL", "X-HTTP-Method", "X-HTTP-Method-Override", "X_HTTP_Method_Override",
        "X-Method-Override", "Remote-User", "Remote_User", "X-Remote-User", "X-Auth-Request-Email",
        "X-Auth-Request-User", "Proxy", "Authorization", "authorization_", "api-key", "Api_Key",
        "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization",
        "Proxy-Authenticate", "TE", "Trailer", "Transfer-Encoding", "Transfer_Encoding", "Upgrade",
        "HTTP2-Settings", "Expect", "Host", "Host_", "Content-Length", "Content_Length",
        "Sec-WebSocket-Key", "Sec-WebSocket-Extensions", "Cookie_", "co-okie", "Referer.",
        "Origin_", "---",
    ],
)  # fmt: skip
def test_a_name_that_never_reaches_the_backend(name: str) -> None:
    assert sent([(name.encode(), b"forged")]) == []


@pytest.mark.parametrize(
    "name",
    [
        "Accept", "Accept-Encoding", "User-Agent", "Range", "If-None-Match", "Content-Type",
        "Content-Encoding", "X-Requested-With", "X-CSRF-Token", "X-Port", "Proxied", "Via",
        "Sec-Fetch-Site", "DNT", "Priority", "Cookie2",
    ],
)  # fmt: skip
def test_a_name_that_passes(name: str) -> None:
    assert sent([(name.encode(), b"v")]) == [(name, "v")]


def test_connection_takes_what_it_names() -> None:
    raw = [(b"Connection", b"close, X-Hop"), (b"x_hop", b"1"), (b"connection", b"Y"), (b"Y", b"2")]
    assert sent([*raw, (b"Z", b"3")]) == [("Z", "3")]


def test_connection_cannot_take_what_is_ours() -> None:
    raw = [
        (b"Connection", b"X-Portal-Email, x_portal_link, Cookie, Host, X-Forwarded-For, Account"),
        (b"Cookie", b"a=1"),
    ]
    upstream = replace_extra(Account="service")
    assert sent(raw, upstream) == [("Cookie", "a=1"), ("Account", "service")]
    headers = request_headers(raw, IDENTITY, upstream, OWN, LANDING)
    assert set(OURS) <= set(headers)


def replace_extra(**extra: str) -> UpstreamHeaders:
    return UpstreamHeaders(UPSTREAM.origin, UPSTREAM.host, extra=extra)


def test_repeated_names_keep_their_order_and_case() -> None:
    raw = [(b"X-A", b"1"), (b"x-a", b"2"), (b"B", b"3"), (b"X-A", b"1")]
    assert sent(raw) == [("X-A", "1"), ("x-a", "2"), ("B", "3"), ("X-A", "1")]


def test_bytes_that_are_no_text_pass() -> None:
    assert sent([(b"A", b"\x80\xff\t\xe9")]) == [("A", "\x80\xff\t\xe9")]


@pytest.mark.parametrize(
    ("cookie", "passed"),
    [
        pytest.param("a=1; b=2", "a=1; b=2", id="others only"),
        pytest.param('a="x y";b=  2 ;c', 'a="x y";b=  2 ;c', id="odd but not ours"),
        pytest.param("portal=1; portals_=2; myportal_x=3", "portal=1; portals_=2; myportal_x=3",
                     id="names that are near"),
        pytest.param("portal_0123=x", None, id="a session"),
        pytest.param("a=1; portal_v=x; b=2", "a=1; b=2", id="between others"),
        pytest.param("portal_v=x; a=1", "a=1", id="before another"),
        pytest.param("a=1;portal_v=x", "a=1", id="without a space"),
        pytest.param("a=1; __Host-portal_g_01=x; __Secure-portal_y=z", "a=1", id="prefixed"),
        pytest.param("a=1; PORTAL_V=x; __host-Portal_v=y", "a=1", id="another case"),
        pytest.param('a=1; "portal_v"=x', "a=1", id="quoted"),
        pytest.param("a=1;\t portal_v =x", "a=1", id="spaced"),
        pytest.param("a=1; portal_v", "a=1", id="no value"),
        pytest.param("a=1; =portal_v=x", "a=1", id="nameless"),
        pytest.param("a=1; %70ortal_v=x", "a=1", id="percent-encoded"),
        pytest.param("a=1; b=2,portal_v=x", "a=1", id="after a comma"),
        pytest.param('a="1; portal_v=x; b"; c=3', 'a="1; b"; c=3', id="inside quotes"),
        pytest.param("a=100%; b=50%25", "a=100%; b=50%25", id="percent signs of others"),
        pytest.param(f"a=1; last=/workorder/{TOKEN}", "a=1", id="a token inside"),
    ],
)  # fmt: skip
def test_the_gateway_s_cookies_stay_here(cookie: str, passed: str | None) -> None:
    expected = [] if passed is None else [("Cookie", passed)]
    assert sent([(b"Cookie", cookie.encode())]) == expected


RETURNED = Returned("sid=a b; t=\xe9", frozenset({"sid", "csrftoken"}))


@pytest.mark.parametrize(
    ("cookies", "passed"),
    [
        pytest.param([], "sid=a b; t=\xe9", id="none of the visitor's"),
        pytest.param(["a=1; b=2"], "sid=a b; t=\xe9; a=1; b=2", id="before the visitor's"),
        pytest.param(["a=1", "portal_v=1", "b=2"], "sid=a b; t=\xe9; a=1; b=2", id="one header"),
        pytest.param(["sid=evil; a=1"], "sid=a b; t=\xe9; a=1", id="its own name is the backend's"),
        pytest.param(["csrftoken=x"], "sid=a b; t=\xe9", id="a copy for scripts"),
        pytest.param(['"sid"=x; SID=x; s%69d=x; s.id=x; =sid=x; a="1,sid=x"'], "sid=a b; t=\xe9",
                     id="as another program reads it"),
        pytest.param(["sid; a=1"], "sid=a b; t=\xe9; a=1", id="without a value"),
        pytest.param(["sidx=1; xsid=2"], "sid=a b; t=\xe9; sidx=1; xsid=2", id="names that are near"),
    ],
)  # fmt: skip
def test_the_backend_s_own_cookies_go_back(cookies: list[str], passed: str) -> None:
    raw = [(b"X", b"1"), *((b"Cookie", each.encode()) for each in cookies)]
    headers = request_headers(raw, IDENTITY, UPSTREAM, OWN, LANDING, RETURNED)
    assert [h for h in headers if h[0].lower() == "cookie"] == [("Cookie", passed)]


def test_an_operator_s_cookie_stands_alone() -> None:
    upstream = replace_extra(Cookie="account=service")
    headers = request_headers([(b"Cookie", b"a=1")], IDENTITY, upstream, OWN, LANDING, RETURNED)
    assert [h for h in headers if h[0] == "Cookie"] == [("Cookie", "account=service")]


def test_several_cookie_headers() -> None:
    raw = [(b"Cookie", b"portal_v=1"), (b"cookie", b"a=1; portal_v=2"), (b"Cookie", b"b=2")]
    assert sent(raw) == [("cookie", "a=1"), ("Cookie", "b=2")]


@pytest.mark.parametrize(
    ("name", "value", "plain_host", "kept_host"),
    [
        pytest.param("Origin", OWN, "http://backend:8000", OWN, id="own origin"),
        pytest.param("Origin", OWN.upper(), "http://backend:8000", OWN.upper(), id="upper case"),
        pytest.param("Origin", "null", "null", "null", id="null"),
        pytest.param("Origin", "https://evil.example", "https://evil.example",
                     "https://evil.example", id="another origin"),
        pytest.param("Referer", f"{OWN}/a?b", "http://backend:8000/a?b", f"{OWN}/a?b",
                     id="own page"),
        pytest.param("Referer", OWN, "http://backend:8000", OWN, id="no path"),
        pytest.param("Referer", f"{OWN}/workorder/{TOKEN}", f"http://backend:8000{LANDING}",
                     f"{OWN}{LANDING}", id="portal URL"),
        pytest.param("Referer", f"{OWN}/a?next=%77pl_{TOKEN[4:]}", f"http://backend:8000{LANDING}",
                     f"{OWN}{LANDING}", id="an encoded token"),
        pytest.param("Referer", f"{OWN}.evil.example/a", f"{OWN}.evil.example/a",
                     f"{OWN}.evil.example/a", id="a longer host"),
        pytest.param("Referer", "https://other.example/a", "https://other.example/a",
                     "https://other.example/a", id="a foreign page"),
        pytest.param("Referer", f"https://other.example/workorder/{TOKEN}", None, None,
                     id="a foreign page with a token"),
        pytest.param("HX-Current-URL", f"{OWN}/workorder/{TOKEN}", None, None,
                     id="a script's own header with a token"),
    ],
)  # fmt: skip
def test_origin_and_referer(
    name: str, value: str, plain_host: str | None, kept_host: str | None
) -> None:
    raw = [(name.encode(), value.encode())]
    for upstream, expected in ((UPSTREAM, plain_host), (KEEPS_HOST, kept_host)):
        assert sent(raw, upstream) == ([] if expected is None else [(name, expected)])


KEEPS_HOST = UpstreamHeaders("http://backend:8000", "backend:8000", preserve_host=True)


def test_an_operator_s_header_stands_in_for_the_visitor_s() -> None:
    raw = [(b"X-Account", b"1"), (b"x_account", b"2"), (b"X.Account", b"3")]
    upstream = replace_extra(**{"X-Account": "{workorder}|{link}|{visitor}|{email}"})
    assert sent(raw, upstream) == [("X-Account", "17|0123456789abcdef01234567|hash|a@example.com")]


def test_what_is_filled_in_is_not_a_template() -> None:
    identity = replace(IDENTITY, workorder="{email}")
    headers = request_headers([], identity, replace_extra(A="<{workorder}>"), OWN, LANDING)
    assert ("A", "<{email}>") in headers


def test_an_unknown_placeholder() -> None:
    with pytest.raises(ValueError, match="no such placeholder: token"):
        replace_extra(Account="{workorder} {token}")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\x1b", "a\x7f"])
def test_a_template_that_cannot_stand_in_a_header(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be in a header"):
        replace_extra(Account=value)


@pytest.mark.parametrize("workorder", ["1\r\nX-Portal-Email: b@example.com", "1\n", "1\x00"])
def test_a_work_order_that_cannot_stand_in_a_header(workorder: str) -> None:
    with pytest.raises(Refusal) as refused:
        request_headers([], replace(IDENTITY, workorder=workorder), UPSTREAM, OWN, LANDING)
    assert refused.value.reason is Reason.BAD_REQUEST


def test_text_of_ours_is_utf_8() -> None:
    headers = request_headers([], replace(IDENTITY, workorder="Ä€"), UPSTREAM, OWN, LANDING)
    assert dict(headers)["X-Portal-Workorder"].encode("latin-1") == "Ä€".encode()


def test_the_hop_by_hop_list_is_rfc_9110_s() -> None:
    """Section 7.6.1: `Connection` itself, and what it says has to be removed with it."""
    named = {"Proxy-Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Upgrade", "Connection"}
    assert {plain(name.encode()) for name in named} <= HOP_BY_HOP


def test_operators_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(replace_extra(Authorization="Bearer s3cret"))
