"""The checks of single values, and the reading of bodies and preconditions."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from admin_api import checks, preconditions
from admin_api.body import parse_json
from admin_api.errors import ApiError


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        pytest.param("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z", id="utc"),
        pytest.param("2030-01-31t12:00:00z", "2030-01-31T12:00:00Z", id="lower case"),
        pytest.param("2030-01-31T12:00:00+02:00", "2030-01-31T10:00:00Z", id="east"),
        pytest.param("2030-01-31T12:00:00-02:30", "2030-01-31T14:30:00Z", id="west"),
        pytest.param("2030-01-31T12:00:00.5Z", "2030-01-31T12:00:00.500Z", id="a fraction"),
        pytest.param("2030-01-31T12:00:00.123456Z", "2030-01-31T12:00:00.123456Z", id="micro"),
        pytest.param("2030-01-31T12:00:00.1234569Z", "2030-01-31T12:00:00.123456Z", id="nano"),
        pytest.param("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", id="a leap second"),
        pytest.param("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z", id="the last"),
        pytest.param("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", id="the first"),
        pytest.param("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.250Z", id="before 1970"),
    ],
)
def test_instants(text: str, answered: str) -> None:
    assert checks.format_instant(checks.parse_instant(text)) == answered


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2030-01-31T12:00:00", id="no offset"),
        pytest.param("2030-01-31", id="no time"),
        pytest.param("2030-02-30T12:00:00Z", id="no such day"),
        pytest.param("2030-01-31T24:00:00Z", id="no such hour"),
        pytest.param("2030-01-31T12:00:00+24:00", id="no such offset"),
        pytest.param("2030-01-31T12:00:00+0200", id="offset without a colon"),
        pytest.param("2030-01-31T12:00:61Z", id="second 61"),
        pytest.param("0001-01-01T00:00:00+01:00", id="before the first year"),
        pytest.param("9999-12-31T23:59:59-01:00", id="after the last year"),
        pytest.param("9999-12-31T23:59:60Z", id="leap into the year 10000"),
        pytest.param("0000-01-01T00:00:00Z", id="year 0"),
        pytest.param("２０３０-01-31T12:00:00Z", id="other digits"),
        pytest.param("2030-01-31T12:00:00Z\n", id="a line feed"),
        pytest.param("1893412800", id="seconds"),
        pytest.param(1893412800, id="a number"),
        pytest.param(None, id="null"),
    ],
)
def test_what_is_no_instant(text: object) -> None:
    with pytest.raises(ValueError):
        checks.parse_instant(text)


@given(st.integers(-62135596800_000, 253402300799_999))
def test_every_millisecond_comes_back(milliseconds: int) -> None:
    text = checks.format_instant(milliseconds / 1000)
    assert round(checks.parse_instant(text) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        pytest.param("192.0.2.7", "192.0.2.7", id="an address"),
        pytest.param("192.0.2.7/32", "192.0.2.7", id="a network of one"),
        pytest.param("10.1.2.3/8", "10.0.0.0/8", id="host bits"),
        pytest.param("2001:DB8::1", "2001:db8::1", id="v6"),
        pytest.param("2001:db8::1/32", "2001:db8::/32", id="v6 host bits"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="mapped"),
        pytest.param("::ffff:10.0.0.0/104", "10.0.0.0/8", id="a mapped network"),
        pytest.param("::/0", "::/0", id="all of v6"),
    ],
)
def test_networks(text: str, normal: str) -> None:
    assert checks.normal_network(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "10.0.0.256",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.01",
        "10.0.0.0/-1",
        "fe80::1%eth0",
        "2001:db8::/129",
        "١٠.0.0.1",
        " 10.0.0.1",
        "10.0.0.1\n",
    ],
)
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError):
        checks.normal_network(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        pytest.param("Ann@Example.COM", "ann@example.com", id="case"),
        pytest.param("ann+portal@example.com", "ann+portal@example.com", id="a tag"),
        pytest.param("ann@bücher.example", "ann@xn--bcher-kva.example", id="international"),
        pytest.param("ann@corp.local", "ann@corp.local", id="an intranet"),
        pytest.param("@Example.COM", "@example.com", id="a domain"),
        pytest.param("@corp.local", "@corp.local", id="an intranet's domain"),
    ],
)
def test_emails_and_domains(text: str, normal: str) -> None:
    assert checks.normal_email_or_domain(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@",
        "@@example.com",
        "ann@",
        "ann@exa mple.com",
        "ann@example.com, bob@example.com",
        "ann@example.com\r\nBcc: bob@example.com",
        "Ann <ann@example.com>",
        f"ann@{'a.' * 150}com",
        "@ann@example.com",
    ],
)
def test_what_is_no_email(text: str) -> None:
    with pytest.raises(ValueError):
        checks.normal_email_or_domain(text)


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "data:image/png;base64,AA==",
        "//example.com/logo.png",
        "ftp://example.com/logo.png",
        "https://",
        "https://user:secret@example.com/logo.png",
        "https://example.com/a b",
        "https://exämple.com/",
        "https://[::1",
        "https://example.com:99999/",
    ],
)
def test_what_is_no_logo(text: str) -> None:
    with pytest.raises(ValueError):
        checks.check_web_url(text)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"{", 400, id="half"),
        pytest.param(b"{} {}", 400, id="two"),
        pytest.param(b"{'a': 1}", 400, id="single quotes"),
        pytest.param(b'{"a": NaN}', 400, id="NaN"),
        pytest.param(b'{"a": -Infinity}', 400, id="infinity"),
        pytest.param(b'{"a": 1, "a": 1}', 400, id="a name twice"),
        pytest.param(b'{"o": {"a": 1, "a": 2}}', 400, id="a name twice, inside"),
        pytest.param(b'{"a": "\xff"}', 400, id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", 400, id="a byte order mark"),
        pytest.param('{"a": 1}'.encode("utf-16"), 400, id="UTF-16"),
        pytest.param(b"[" * 100_000, 400, id="too deep"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", 400, id="a number without end"),
        pytest.param(b'{"\\ud800": 1}', 422, id="half a pair in a name"),
    ],
)
def test_what_is_no_json(raw: bytes, status: int) -> None:
    with pytest.raises(ApiError) as raised:
        parse_json(raw)
    assert raised.value.status == status


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        pytest.param([], True, id="no header"),
        pytest.param(["*"], True, id="any"),
        pytest.param(['"3"'], True, id="the version"),
        pytest.param(['"1", "3"'], True, id="in a list"),
        pytest.param(['"1",,"3" ,'], True, id="in a list with gaps"),
        pytest.param(['"1"', '"3"'], True, id="in two fields"),
        pytest.param(['W/"x,y", "3"'], True, id="beside a weak one with a comma"),
        pytest.param(['"2"'], False, id="another version"),
        pytest.param(['W/"3"'], False, id="weak"),
        pytest.param(["3"], False, id="not quoted"),
        pytest.param(['"3'], False, id="half quoted"),
        pytest.param(['"3" "4"'], False, id="no comma"),
        pytest.param([""], False, id="empty"),
        pytest.param(['*, "3"'], False, id="any in a list"),
    ],
)
def test_if_match(fields: list[str], holds: bool) -> None:
    headers = CIMultiDict([("If-Match", field) for field in fields])
    request: web.Request = make_mocked_request("PATCH", "/", headers=headers)
    tags = preconditions.sent_tags(request)
    if holds:
        preconditions.check(tags, 3)
    else:
        with pytest.raises(ApiError) as raised:
            preconditions.check(tags, 3)
        assert raised.value.status == 412
