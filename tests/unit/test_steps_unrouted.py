"""The learning log: each method and path once a minute, no query, no token, bounded."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.links.model import Permission
from gateway.links.routes import Match, Route
from gateway.request.path import parse_target
from gateway.steps.unrouted import MOST_AT_ONCE, Unrouted
from gateway.steps.visit import Visit

TOKEN = "wpl_" + "a1B2" * 10


def visit(
    target: str, *, now: float = 0.0, method: str = "GET", match: Match | None = None
) -> Visit:
    """As much of a visit as is looked at."""
    scope = SimpleNamespace(now=now, method=method, target=parse_target(target, ""))
    return cast("Visit", SimpleNamespace(scope=scope, target=None, match=match))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="gateway.steps.unrouted")
    return caplog


def test_each_is_told_of_once_a_minute(lines: pytest.LogCaptureFixture) -> None:
    unrouted = Unrouted()
    for now in (0.0, 30.0, 59.9, 60.0, 119.0):
        unrouted.tell(visit("/search?q=secret", now=now))
    unrouted.tell(visit("/search?q=other", now=119.0, method="POST"))
    assert lines.messages == [
        "no route: GET /search: no row names it",
        "no route: GET /search: no row names it",
        "no route: POST /search: no row names it",
    ]


def test_no_token_is_told(lines: pytest.LogCaptureFixture) -> None:
    Unrouted().tell(visit(f"/workorder/{TOKEN}/-/open"))
    assert lines.messages[0] == "no route: GET /workorder/wpl_[redacted]/-/open: no row names it"


def test_a_row_that_did_not_fit_is_named(lines: pytest.LogCaptureFixture) -> None:
    route = Route.parse(["POST"], "/update", Permission.ADD_COMMENTS, "comment", absent=["_method"])
    Unrouted().tell(visit("/update", method="POST", match=Match(route, ())))
    assert lines.messages[0] == "no route: POST /update: it does not fit the row /update"


def test_paths_at_random_fill_nothing(lines: pytest.LogCaptureFixture) -> None:
    unrouted = Unrouted()
    for number in range(3 * MOST_AT_ONCE):
        unrouted.tell(visit(f"/{number}/{'x' * 5000}"))
    assert len(lines.messages) == MOST_AT_ONCE
    assert max(map(len, lines.messages)) < 400
    unrouted.tell(visit("/later", now=61.0))
    assert len(unrouted._told) == 1
    assert len(lines.messages) == MOST_AT_ONCE + 1
