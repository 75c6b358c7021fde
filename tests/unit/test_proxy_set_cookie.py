"""A backend's `Set-Cookie` as a browser reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.cookie_date import cookie_date
from gateway.proxy.set_cookie import (
    BackendCookie,
    default_path,
    parse_set_cookie,
    path_matches,
)

NOW = 1_800_000_000.0
ASKED = "/workorders/42/comments"
HERE = "/workorders/42"


def read(text: str) -> BackendCookie | None:
    return parse_set_cookie(text, ASKED, NOW)


@pytest.mark.parametrize(
    ("text", "cookie"),
    [
        pytest.param("a=1; Path=/", BackendCookie("a", "1"), id="plain"),
        pytest.param("a=1", BackendCookie("a", "1", HERE), id="without a path"),
        pytest.param("a=1; Path=", BackendCookie("a", "1", HERE), id="an empty path"),
        pytest.param("a=1; Path=b/c", BackendCookie("a", "1", HERE), id="a path that is none"),
        pytest.param("a=1; path = /b ", BackendCookie("a", "1", "/b"), id="blanks and case"),
        pytest.param("a=1; Path=/b; Path=/c", BackendCookie("a", "1", "/c"), id="two paths"),
        pytest.param(f"a=1; Path=/{'x' * 1024}", BackendCookie("a", "1", HERE), id="a long path"),
        pytest.param("\ta =  1 ;Path=/", BackendCookie("a", "1"), id="blanks around the pair"),
        pytest.param('a="1 2, 3"; Path=/', BackendCookie("a", '"1 2, 3"'), id="quotes stay"),
        pytest.param("a=b=c==; Path=/", BackendCookie("a", "b=c=="), id="equals signs"),
        pytest.param("a=; Path=/", BackendCookie("a", ""), id="an empty value"),
        pytest.param("a=\xe9\xff; Path=/", BackendCookie("a", "\xe9\xff"), id="bytes that are no ASCII"),
        pytest.param("a b[c]=1; Path=/", BackendCookie("a b[c]", "1"), id="an odd name"),
        pytest.param("a=1; Path=/; Domain=elsewhere.example", BackendCookie("a", "1"), id="a domain"),
        pytest.param("a=1; Path=/; Secure; HttpOnly; SameSite=Strict; Partitioned; Priority=High",
                     BackendCookie("a", "1"), id="what is said for the browser"),
        pytest.param("a=1; Path=/; Max-Age=60", BackendCookie("a", "1", "/", 60.0), id="an age"),
        pytest.param("a=1; Path=/; Max-Age=0", BackendCookie("a", "1", "/", 0.0), id="no age"),
        pytest.param("a=1; Path=/; Max-Age=-1", BackendCookie("a", "1", "/", -1.0), id="below zero"),
        pytest.param("a=1; Path=/; Max-Age=+60", BackendCookie("a", "1"), id="a sign"),
        pytest.param("a=1; Path=/; Max-Age=1e3", BackendCookie("a", "1"), id="no number"),
        pytest.param("a=1; Path=/; Max-Age=5; Max-Age=x", BackendCookie("a", "1", "/", 5.0),
                     id="a number before none"),
        pytest.param(f"a=1; Path=/; Max-Age={'9' * 400}", BackendCookie("a", "1", "/", 1e18),
                     id="as good as for ever"),
        pytest.param("a=1; Path=/; Expires=Fri, 15 Jan 2027 08:01:00 GMT",
                     BackendCookie("a", "1", "/", 60.0), id="a date"),
        pytest.param("a=1; Path=/; Expires=Thu, 01-Jan-1970 00:00:00 GMT",
                     BackendCookie("a", "1", "/", -NOW), id="a date that is over"),
        pytest.param("a=1; Path=/; Expires=soon", BackendCookie("a", "1"), id="no date"),
        pytest.param("a=1; Path=/; Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                     BackendCookie("a", "1", "/", 5.0), id="an age outdoes a date"),
        pytest.param("__Secure-a=1; Path=/b; Secure", BackendCookie("__Secure-a", "1", "/b"),
                     id="__Secure-"),
        pytest.param("__Host-a=1; Path=/; Secure; Domain=", BackendCookie("__Host-a", "1"), id="__Host-"),
        pytest.param("__Secure-a=1; Path=/", None, id="__Secure- that is not"),
        pytest.param("__host-a=1; Path=/; Secure; Domain=b.example", None, id="__Host- with a domain"),
        pytest.param("__Host-a=1; Secure", None, id="__Host- without a path"),
        pytest.param("__Host-a=1; Path=/", None, id="__Host- that is not secure"),
        pytest.param("a; Path=/", None, id="no value"),
        pytest.param("=a=1; Path=/", None, id="no name"),
        pytest.param("", None, id="nothing"),
        pytest.param("a=1\x00; Path=/", None, id="a control character"),
        pytest.param("a=1; Path=/\r\nX: y", None, id="a line"),
        pytest.param(f"a={'x' * 4096}; Path=/", None, id="longer than any browser keeps"),
    ],
)  # fmt: skip
def test_reading(text: str, cookie: BackendCookie | None) -> None:
    assert read(text) == cookie


@pytest.mark.parametrize(
    ("lives", "deleted"), [(None, False), (0.5, False), (0.0, True), (-1.0, True)]
)
def test_what_takes_a_cookie_back(lives: float | None, deleted: bool) -> None:
    assert BackendCookie("a", "", "/", lives).is_deleted is deleted


@given(st.text(st.characters(codec="latin-1")))
def test_any_text_is_a_cookie_that_can_be_sent_or_none(text: str) -> None:
    cookie = read(text)
    if cookie is not None:
        again = read(f"{cookie.name}={cookie.value}; Path={cookie.path}")
        assert again == BackendCookie(cookie.name, cookie.value, cookie.path)
        assert not set(cookie.name + cookie.value + cookie.path) & set(";\r\n\0")


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("/a/b/c", "/a/b"), ("", "/"),
        ("a/b", "/"),
    ],
)  # fmt: skip
def test_the_default_path(asked: str, path: str) -> None:
    assert default_path(asked) == path


@pytest.mark.parametrize(
    ("asked", "path", "matches"),
    [
        ("/", "/", True), ("/a", "/", True), ("/a", "/a", True), ("/a/b", "/a", True),
        ("/a/b", "/a/", True), ("/a", "/a/", False), ("/ab", "/a", False), ("/b/a", "/a", False),
        ("/A", "/a", False), ("/workorders/420", "/workorders/42", False),
    ],
)  # fmt: skip
def test_which_paths_a_cookie_goes_with(asked: str, path: str, matches: bool) -> None:
    assert path_matches(asked, path) is matches


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", 784111777, id="HTTP"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", 784111777, id="RFC 850"),
        pytest.param("Sun Nov  6 08:49:37 1994", 784111777, id="asctime"),
        pytest.param("06-NOVEMBER-1994 8:49:37", 784111777, id="by hand"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0, id="the epoch"),
        pytest.param("1 Jan 70 00:00:01", 1, id="70 is 1970"),
        pytest.param("1 Jan 69 00:00:00", 3124224000, id="69 is 2069"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799, id="the last"),
        pytest.param("Sun, 06 Nov 1994 GMT", None, id="no time"),
        pytest.param("Sun, Nov 1994 08:49:37 GMT", None, id="no year that is left"),
        pytest.param("06 1994 08:49:37", None, id="no month"),
        pytest.param("Sun, 32 Nov 1994 08:49:37 GMT", None, id="no such day"),
        pytest.param("Sun, 31 Feb 1994 08:49:37 GMT", None, id="no such day in February"),
        pytest.param("Sun, 06 Nov 1994 24:00:00 GMT", None, id="no such hour"),
        pytest.param("Sun, 06 Nov 1600 08:49:37 GMT", None, id="before there were browsers"),
        pytest.param("tomorrow", None, id="no date"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    assert cookie_date(text) == seconds


@given(st.text())
def test_no_text_breaks_the_reading_of_dates(text: str) -> None:
    found = cookie_date(text)
    assert found is None or -12_000_000_000 < found < 253402300800
