"""What the visitor receives of the backend's headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.links.model import LinkType
from gateway.proxy.answers import AnswerPolicy, response_headers
from gateway.proxy.cookies import drop_cookies, pass_cookies

OWN = "https://portal.example.com"
BACKEND = "http://backend:8000"
LANDING = "/workorders/17"
TARGET = "/workorders/17/comments?page=2"


def opens(target: str) -> bool:
    """Whether a link to work order 17 may open it."""
    return target.startswith(("/workorders/17", "/static/")) and "//" not in target


POLICY = AnswerPolicy(
    own_origin=OWN,
    upstream_origin=BACKEND,
    landing=LANDING,
    opens=opens,
    action="view",
    link_type=LinkType.PRIVATE,
    cacheable=False,
)
PUBLIC = replace(POLICY, link_type=LinkType.PUBLIC)
SAID_OF_EVERY_ANSWER = [
    ("Referrer-Policy", "same-origin"),
    ("X-Robots-Tag", "noindex, nofollow"),
]
NOT_FRAMED = [
    ("Content-Security-Policy", "frame-ancestors 'self'"),
    ("X-Frame-Options", "SAMEORIGIN"),
]
NOT_KEPT = [("Cache-Control", "private, no-store")]


def received(*fields: tuple[str, str], policy: AnswerPolicy = PUBLIC) -> list[tuple[str, str]]:
    """What is received beside what is said of every answer."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    headers = response_headers(raw, policy, TARGET)
    assert [h for h in headers if h in SAID_OF_EVERY_ANSWER] == SAID_OF_EVERY_ANSWER
    return [h for h in headers if h not in SAID_OF_EVERY_ANSWER]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        pytest.param(PUBLIC, NOT_KEPT, id="public"),
        pytest.param(POLICY, NOT_FRAMED + NOT_KEPT, id="private"),
        pytest.param(
            replace(POLICY, link_type=LinkType.SECURE), NOT_FRAMED + NOT_KEPT, id="secure"
        ),
        pytest.param(
            replace(PUBLIC, action="download"),
            [
                ("Content-Security-Policy", "sandbox"),
                ("X-Content-Type-Options", "nosniff"),
                *NOT_KEPT,
            ],
            id="a download",
        ),
        pytest.param(
            replace(PUBLIC, set_cookies=("portal_v=1; Path=/", "portal_g_1=; Max-Age=0")),
            [
                ("Set-Cookie", "portal_v=1; Path=/"),
                ("Set-Cookie", "portal_g_1=; Max-Age=0"),
                *NOT_KEPT,
            ],
            id="the gateway's cookies",
        ),
    ],
)
def test_what_the_gateway_says(policy: AnswerPolicy, said: list[tuple[str, str]]) -> None:
    assert received(policy=policy) == said


@pytest.mark.parametrize(
    "name",
    [
        "Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "Alt-Svc",
        "Public-Key-Pins", "Public-Key-Pins-Report-Only", "NEL", "X-Portal-Reason",
        "X-Accel-Redirect", "X-Accel-Expires", "X-Sendfile", "Surrogate-Control",
        "CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Connection", "Keep-Alive", "Trailer",
        "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "TE", "Referrer-Policy",
        "X-Robots-Tag", "Expires", "Pragma", "Cache-Control", "Set-Cookie", "X-Frame-Options",
    ],
)  # fmt: skip
def test_a_name_that_never_reaches_the_visitor(name: str) -> None:
    assert received((name, "x")) == NOT_KEPT


@pytest.mark.parametrize(
    "name",
    [
        "Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "ETag",
        "Last-Modified", "Vary", "Server", "X-Powered-By", "WWW-Authenticate", "Retry-After",
        "Access-Control-Allow-Origin", "Content-Security-Policy-Report-Only", "Allow", "Age",
        "X-Content-Type-Options", "Content-Disposition", "Date",
    ],
)  # fmt: skip
def test_a_name_that_passes(name: str) -> None:
    assert received((name, "caf\xe9")) == [(name, "caf\xe9"), *NOT_KEPT]


def test_connection_takes_what_it_names_but_not_what_makes_the_answer() -> None:
    fields = [("Connection", "X-Hop, Content-Length"), ("X-Hop", "1"), ("Content-Length", "2")]
    assert received(*fields) == [("Content-Length", "2"), *NOT_KEPT]


@pytest.mark.parametrize(
    ("sent", "received_"),
    [
        pytest.param("/workorders/17/files/a", "/workorders/17/files/a", id="a path"),
        pytest.param("/workorders/17?a=b#c", "/workorders/17?a=b#c", id="with query and fragment"),
        pytest.param("files/a", "/workorders/17/files/a", id="relative"),
        pytest.param("?page=3", "/workorders/17/comments?page=3", id="a query"),
        pytest.param("../17/./files", "/workorders/17/files", id="dot segments"),
        pytest.param(f"{BACKEND}/workorders/17/x", f"{OWN}/workorders/17/x", id="the backend"),
        pytest.param("HTTP://BACKEND:8000/workorders/17", f"{OWN}/workorders/17", id="upper case"),
        pytest.param("//backend:8000/workorders/17", f"{OWN}/workorders/17", id="no scheme"),
        pytest.param("https://backend:8000/workorders/17", f"{OWN}/workorders/17",
                     id="the backend by https"),
        pytest.param(f"{OWN}/workorders/17", f"{OWN}/workorders/17", id="the gateway"),
        pytest.param("http://portal.example.com/workorders/17", f"{OWN}/workorders/17",
                     id="the gateway by http"),
        pytest.param("https://portal.example.com:443/workorders/17", f"{OWN}/workorders/17",
                     id="the default port"),
        pytest.param("/workorders/17/a b\xe9", "/workorders/17/a%20b%E9", id="raw bytes"),
        pytest.param("/workorders/18", LANDING, id="another record"),
        pytest.param(f"{BACKEND}/admin", LANDING, id="a page that is not open"),
        pytest.param(BACKEND, LANDING, id="the backend's root"),
        pytest.param("https://evil.example/workorders/17", LANDING, id="another site"),
        pytest.param("//evil.example/workorders/17", LANDING, id="another site, no scheme"),
        pytest.param("///evil.example/workorders/17", LANDING, id="three slashes"),
        pytest.param("/\\evil.example", LANDING, id="a backslash"),
        pytest.param("/\t/evil.example", LANDING, id="a tab"),
        pytest.param("/..//evil.example", LANDING, id="dots before slashes"),
        pytest.param("https:evil.example", LANDING, id="a scheme without slashes"),
        pytest.param("https://backend:8000@evil.example/", LANDING, id="a user part"),
        pytest.param("https://portal.example.com.evil.example/workorders/17", LANDING,
                     id="a longer host"),
        pytest.param("javascript:alert(1)", LANDING, id="javascript"),
        pytest.param("", "/workorders/17/comments?page=2", id="empty"),
    ],
)  # fmt: skip
def test_a_redirect(sent: str, received_: str) -> None:
    assert received(("Location", sent)) == [("Location", received_), *NOT_KEPT]


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        pytest.param("Refresh", "5", "5", id="no address"),
        pytest.param("Refresh", "5; url=/workorders/17/a", "5;url=/workorders/17/a", id="own page"),
        pytest.param("Refresh", "0;URL='https://evil.example/'", f"0;url={LANDING}", id="evil"),
        pytest.param("Refresh", "3, https://evil.example/", f"3;url={LANDING}", id="comma"),
        pytest.param("Content-Location", f"{BACKEND}/workorders/17.json",
                     f"{OWN}/workorders/17.json", id="content of the backend"),
        pytest.param("Content-Location", "https://evil.example/", None, id="content elsewhere"),
        pytest.param("Link", f"<{BACKEND}/a>; rel=next, <https://cdn.example/b>; rel=preload, </c>",
                     f"<{OWN}/a>; rel=next, <https://cdn.example/b>; rel=preload, </c>",
                     id="links"),
    ],
)  # fmt: skip
def test_other_destinations(name: str, sent: str, expected: str | None) -> None:
    assert received((name, sent)) == [*([] if expected is None else [(name, expected)]), *NOT_KEPT]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(["default-src 'self'"], ["default-src 'self'"], id="nothing about frames"),
        pytest.param(["frame-ancestors 'none'"], [], id="nothing else"),
        pytest.param(
            ["default-src 'self';  frame-ancestors 'self' x; img-src *"],
            ["default-src 'self'; img-src *"], id="in the middle",
        ),
        pytest.param(
            ["Frame-Ancestors x, img-src *; FRAME-ANCESTORS y , script-src z"],
            ["img-src *, script-src z"], id="a list of policies",
        ),
        pytest.param(
            ["frame-ancestors x", "img-src *", "sandbox; frame-ancestors"],
            ["img-src *", "sandbox"], id="several headers",
        ),
        pytest.param(["frame-src x; frame-ancestors-x y"], ["frame-src x; frame-ancestors-x y"],
                     id="names that are near"),
    ],
)  # fmt: skip
def test_a_public_link_may_be_framed(sent: list[str], expected: list[str]) -> None:
    fields = [("Content-Security-Policy", value) for value in sent]
    assert received(*fields) == [
        *[("Content-Security-Policy", value) for value in expected],
        *NOT_KEPT,
    ]


def test_a_private_link_keeps_the_backend_s_policy_beside_ours() -> None:
    fields = [("X-Frame-Options", "ALLOWALL"), ("Content-Security-Policy", "frame-ancestors *; a")]
    assert received(*fields, policy=POLICY) == [fields[1], *NOT_FRAMED, *NOT_KEPT]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param([], "private", id="nothing said"),
        pytest.param(["max-age=60"], "private, max-age=60", id="a time"),
        pytest.param(["public, max-age=60, immutable"], "private, max-age=60, immutable",
                     id="public"),
        pytest.param(["S-MaxAge = 9, Public , max-age=60, new"], "private, max-age=60, new",
                     id="case, spaces, an unknown word"),
        pytest.param(["max-age=60, s-maxage=600, proxy-revalidate"], "private, max-age=60",
                     id="shared caches"),
        pytest.param(['private="a, b", no-cache="x, y"'], 'private, no-cache="x, y"', id="quoted"),
        pytest.param(["no-store", "max-age=1"], "private, no-store, max-age=1", id="two headers"),
        pytest.param(['max-age="1'], "private, no-store", id="unreadable"),
        pytest.param(["max-age=1,,", ""], "private, max-age=1", id="empty members"),
    ],
)  # fmt: skip
def test_a_cacheable_route(sent: list[str], expected: str) -> None:
    fields = [("Cache-Control", value) for value in sent]
    cacheable = replace(PUBLIC, cacheable=True)
    kept = [("Expires", "0"), ("Pragma", "no-cache")]
    assert received(*fields, *kept, policy=cacheable) == [*kept, ("Cache-Control", expected)]


def test_a_secure_link_is_never_kept() -> None:
    policy = replace(POLICY, link_type=LinkType.SECURE, cacheable=True)
    fields = [("Cache-Control", "max-age=60"), ("Expires", "Tue, 01 Jan 2030 00:00:00 GMT")]
    assert received(*fields, policy=policy) == NOT_FRAMED + NOT_KEPT


@pytest.mark.parametrize(
    "cookie",
    [
        "portal_v=1", "__Host-portal_x=1", "__Secure-portal_x=1", "PORTAL_V=1", ' "portal_v"=1',
        "=portal_v=1", "%70ortal_v=1", "\tportal_v=1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("keep", [pass_cookies, drop_cookies])
def test_the_backend_sets_no_cookie_of_the_gateway(
    cookie: str, keep: Callable[[Sequence[str]], list[str]]
) -> None:
    policy = replace(PUBLIC, keep_cookies=keep)
    assert received(("Set-Cookie", cookie), policy=policy) == NOT_KEPT


COOKIES = [("Set-Cookie", "sid=1; Path=/a; HttpOnly"), ("Set-Cookie", "b=portal_v")]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [pytest.param(pass_cookies, COOKIES, id="pass"), pytest.param(drop_cookies, [], id="drop")],
)
def test_the_backend_s_own_cookies(
    keep: Callable[[Sequence[str]], list[str]], kept: list[tuple[str, str]]
) -> None:
    assert received(*COOKIES, policy=replace(PUBLIC, keep_cookies=keep)) == [*kept, *NOT_KEPT]


def test_the_backend_s_cookies_stand_after_the_gateway_s() -> None:
    policy = replace(PUBLIC, keep_cookies=pass_cookies, set_cookies=("sid=; Max-Age=0",))
    assert received(*COOKIES, policy=policy) == [
        ("Set-Cookie", "sid=; Max-Age=0"),
        *COOKIES,
        *NOT_KEPT,
    ]


def test_a_cookie_under_another_spelling_of_the_header_is_none() -> None:
    policy = replace(PUBLIC, keep_cookies=pass_cookies)
    assert received(("Set_Cookie", "a=1"), ("Set-Cookie.", "a=1"), policy=policy) == NOT_KEPT


def test_a_download_is_never_sniffed() -> None:
    policy = replace(PUBLIC, action="download")
    headers = received(("X-Content-Type-Options", "other"), policy=policy)
    assert [h for h in headers if h[0] == "X-Content-Type-Options"] == [
        ("X-Content-Type-Options", "nosniff")
    ]
