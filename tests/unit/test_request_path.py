"""The one parse: what is ambiguous is refused, what is plain stays byte for byte."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.links.model import is_path_segment, quote_segment
from gateway.links.verdict import Reason
from gateway.request.path import parse_path, parse_target, portal_path

HOST = "portal.example"


@pytest.mark.parametrize(
    ("raw", "path", "query", "segments"),
    [
        pytest.param("/", "/", None, ("",), id="root"),
        pytest.param("/a", "/a", None, ("a",), id="one segment"),
        pytest.param("/a/b/", "/a/b/", None, ("a", "b", ""), id="trailing slash"),
        pytest.param("/a?", "/a", "", ("a",), id="an empty query stays"),
        pytest.param(
            "/a?x=/../%2e#".rstrip("#"), "/a", "x=/../%2e", ("a",), id="a query may hold anything"
        ),
        pytest.param("/caf%C3%A9", "/caf%C3%A9", None, ("café",), id="utf-8"),
        pytest.param("/a%20b", "/a%20b", None, ("a b",), id="a blank"),
        pytest.param("/a;v=1/b", "/a;v=1/b", None, ("a;v=1", "b"), id="a path parameter"),
        pytest.param("/100%25", "/100%25", None, ("100%",), id="an encoded percent sign"),
        pytest.param("/...", "/...", None, ("...",), id="three dots are a name"),
        pytest.param(
            "/.well-known/x", "/.well-known/x", None, (".well-known", "x"), id="a leading dot"
        ),
        pytest.param(f"http://{HOST}/a?b", "/a", "b", ("a",), id="absolute form"),
        pytest.param(f"HTTP://{HOST.upper()}", "/", None, ("",), id="absolute form without a path"),
    ],
)
def test_what_is_plain_is_kept_as_it_is(
    raw: str, path: str, query: str | None, segments: tuple[str, ...]
) -> None:
    target = parse_target(raw, HOST)
    assert (target.path, target.query, target.segments) == (path, query, segments)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("/a/../b", id="dot dot"),
        pytest.param("/a/./b", id="dot"),
        pytest.param("/..", id="dot dot at the end"),
        pytest.param("/a/..", id="dot dot last"),
        pytest.param("//a", id="empty segment first"),
        pytest.param("/a//b", id="empty segment"),
        pytest.param("/a//", id="two trailing slashes"),
        pytest.param("/..;/b", id="dot dot with a parameter"),
        pytest.param("/a/..;x=1/b", id="dot dot with a value"),
        pytest.param("/a/;x/b", id="a parameter alone"),
        pytest.param("/a/.;/b", id="dot with a parameter"),
        pytest.param("/a/%3bx", id="an encoded parameter alone"),
        pytest.param("/a/%2e%2e/b", id="encoded dots"),
        pytest.param("/a/.%2e/b", id="half encoded dots"),
        pytest.param("/a%2ejson", id="an encoded dot anywhere"),
        pytest.param("/a%2fb", id="encoded slash"),
        pytest.param("/a%2Fb", id="encoded slash, capital"),
        pytest.param("/a%5cb", id="encoded backslash"),
        pytest.param("/a\\b", id="raw backslash"),
        pytest.param("/a%00", id="NUL"),
        pytest.param("/a%0d%0ab", id="CR LF"),
        pytest.param("/a%7f", id="DEL"),
        pytest.param("/a%252fb", id="encoded twice"),
        pytest.param("/a%25c3%25a9", id="a letter encoded twice"),
        pytest.param("/a%", id="a bare percent sign"),
        pytest.param("/a%2", id="half an escape"),
        pytest.param("/a%zz", id="no hex"),
        pytest.param("/a%u002f", id="a made-up escape"),
        pytest.param("/a%ff", id="not utf-8"),
        pytest.param("/a%c0%af", id="an overlong slash"),
        pytest.param("/a%ed%a0%80", id="a surrogate"),
        pytest.param("/a#b", id="fragment"),
        pytest.param("/a?b#c", id="fragment after a query"),
        pytest.param("/é", id="a raw letter"),
        pytest.param("/a b", id="a raw blank"),
        pytest.param("/a\tb", id="a raw tab"),
        pytest.param("", id="nothing"),
        pytest.param("*", id="asterisk"),
        pytest.param("a/b", id="no slash"),
        pytest.param("other.example:443", id="authority"),
        pytest.param("http://other.example/a", id="another host"),
        pytest.param(f"http://x@{HOST}/a", id="a user in the authority"),
        pytest.param(f"ftp://{HOST}/a", id="another scheme"),
        pytest.param(f"http://{HOST}\\a", id="a backslash after the host"),
        pytest.param(f"http://{HOST}//a", id="absolute form with an empty segment"),
    ],
)
def test_what_is_ambiguous_is_refused(raw: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_target(raw, HOST)
    assert refused.value.reason is Reason.BAD_REQUEST
    assert refused.value.detail


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_decoding_once_gives_what_was_encoded_or_a_refusal(names: list[str]) -> None:
    try:
        path = "/" + "/".join(quote(name, safe="") for name in names)
    except UnicodeEncodeError:
        return
    try:
        segments = parse_path(path)
    except Refusal:
        assert not all(is_path_segment(name) for name in names)
        return
    assert segments == tuple(names)


@given(st.text(max_size=140))
def test_every_work_order_that_is_accepted_makes_one_segment(workorder: str) -> None:
    if not is_path_segment(workorder):
        return
    path = f"/workorders/{quote_segment(workorder)}"
    assert parse_target(path, HOST).segments == ("workorders", workorder)


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60))
def test_no_target_makes_the_parser_fail(raw: str) -> None:
    try:
        target = parse_target("/" + raw, HOST)
    except Refusal:
        return
    assert target.path_qs == "/" + raw
    assert "" not in target.segments[:-1]
    assert not {".", ".."} & set(target.segments)


TOKEN = "wpl_" + "A" * 43


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(f"/workorder/{TOKEN}", (TOKEN, "", None), id="the portal URL"),
        pytest.param(f"/workorder/{TOKEN}?x", (TOKEN, "", None), id="with a query"),
        pytest.param(f"/workorder/{TOKEN}/", (TOKEN, "/", None), id="with a slash"),
        pytest.param(
            f"/workorder/{TOKEN}/files/a%20b", (TOKEN, "/files/a%20b", None), id="with more"
        ),
        pytest.param(
            f"/workorder/{TOKEN}/-/password", (TOKEN, "/-/password", "password"), id="a gate"
        ),
        pytest.param(f"/workorder/{TOKEN}/-/a/b", (TOKEN, "/-/a/b", None), id="no gate"),
        pytest.param(
            f"/%77orkorder/%77pl_{'A' * 43}/x", (TOKEN, "/x", None), id="an escaped spelling"
        ),
        pytest.param("/workorder/wpl_", ("wpl_", "", None), id="an empty token is a token"),
    ],
)
def test_a_token_is_found_in_every_spelling(
    raw: str, expected: tuple[str, str, str | None]
) -> None:
    portal = portal_path(parse_target(raw, HOST))
    assert portal is not None
    assert (portal.token, portal.rest, portal.gate) == expected


@pytest.mark.parametrize(
    "raw",
    ["/", "/workorder", "/workorder/", "/workorder/42", "/workorders/wpl_x", "/WORKORDER/wpl_x"],
)
def test_other_paths_carry_no_token(raw: str) -> None:
    assert portal_path(parse_target(raw, HOST)) is None
