"""The link as a value: its status, and which work orders can be named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.links.model import (
    EventKind,
    Link,
    LinkRecord,
    Notifications,
    Status,
    Usage,
    is_path_segment,
    is_query_value,
    quote_segment,
)

NOW = 1_800_000_000.0
LINK = Link(id="a" * 24, token_hash=b"h", workorder="42")


@pytest.mark.parametrize(
    ("link", "uses", "status"),
    [
        pytest.param({}, 5, Status.ACTIVE, id="unlimited, whatever was spent"),
        pytest.param({"max_uses": 2}, 1, Status.ACTIVE, id="one use left"),
        pytest.param({"max_uses": 2}, 2, Status.EXHAUSTED, id="none left"),
        pytest.param({"max_uses": 2}, 3, Status.EXHAUSTED, id="the limit was lowered"),
        pytest.param({"max_uses": 1}, 0, Status.ACTIVE, id="a single use"),
        pytest.param({"expires_at": NOW}, 0, Status.EXPIRED, id="expired in this moment"),
        pytest.param({"expires_at": NOW + 0.001}, 0, Status.ACTIVE, id="not yet"),
        pytest.param(
            {"expires_at": NOW, "max_uses": 1}, 1, Status.EXPIRED, id="expired before exhausted"
        ),
        pytest.param(
            {"is_active": False, "expires_at": NOW}, 0, Status.INACTIVE, id="inactive before all"
        ),
    ],
)
def test_the_status_is_the_first_rule_that_does_not_hold(
    link: dict[str, Any], uses: int, status: Status
) -> None:
    record = LinkRecord(replace(LINK, **link), "t", NOW, NOW, usage=Usage(uses=uses))
    assert record.status(NOW) is status


@pytest.mark.parametrize(
    ("workorder", "is_segment"),
    [
        pytest.param("42", True, id="a number"),
        pytest.param("WO 7 é", True, id="blanks and letters"),
        pytest.param("x", True, id="the shortest"),
        pytest.param("X" * 128, True, id="the longest"),
        pytest.param("x" * 129, False, id="too long"),
        pytest.param("", False, id="empty"),
        pytest.param(".", False, id="a dot"),
        pytest.param("..", False, id="two dots"),
        pytest.param("...", True, id="three dots are a name"),
        pytest.param("a/b", False, id="a slash"),
        pytest.param("a\\b", False, id="a backslash"),
        pytest.param("a;b", False, id="parameters"),
        pytest.param("a\x00b", False, id="NUL"),
        pytest.param("a\x1fb", False, id="a control character"),
        pytest.param("a\x7fb", False, id="DEL"),
        pytest.param("a\x20b", True, id="the first that is none"),
        pytest.param("%41", False, id="an escape"),
        pytest.param("%aF", False, id="an escape in either case"),
        pytest.param("100%", True, id="a percent sign"),
        pytest.param("50%4", True, id="half an escape"),
        pytest.param("\ud800", False, id="a surrogate"),
    ],
)
def test_what_makes_a_safe_segment(workorder: str, is_segment: bool) -> None:
    assert is_path_segment(workorder) is is_segment


@pytest.mark.parametrize(
    ("workorder", "is_value"),
    [("a/b;c", True), ("x", True), ("", False), ("x" * 128, True), ("x" * 129, False)],
)
def test_what_can_be_named_in_a_query(workorder: str, is_value: bool) -> None:
    assert is_query_value(workorder) is is_value


def test_a_segment_is_quoted_as_it_is_compared() -> None:
    # Unreserved, sub-delims, ":" and "@" stay (RFC 3986 section 3.3); ";" and "/" never do.
    assert quote_segment("Az09-._~!$&'()*+,=:@") == "Az09-._~!$&'()*+,=:@"
    assert quote_segment("a b/é;?#%") == "a%20b%2F%C3%A9%3B%3F%23%25"


@pytest.mark.parametrize("wanted", list(EventKind))
def test_an_owner_is_told_of_what_is_wanted_and_of_nothing_else(wanted: EventKind) -> None:
    settings = {
        EventKind.ACCESS: Notifications(True, False, False),
        EventKind.COMMENT: Notifications(False, True, False),
        EventKind.FILE_UPLOAD: Notifications(False, False, True),
    }
    assert [kind for kind in EventKind if settings[wanted].wants(kind)] == [wanted]
