"""A link's token where none belongs."""

from __future__ import annotations

import pytest

from gateway.request.token import holds_whole_token, redact

TOKEN = "wpl_" + "Ab3" * 14


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(
            f"GET /workorder/{TOKEN}/x", "GET /workorder/wpl_[redacted]/x", id="in a path"
        ),
        pytest.param(f"{TOKEN},{TOKEN}", "wpl_[redacted],wpl_[redacted]", id="twice"),
        pytest.param("wpl%5F" + "a" * 40, "wpl_[redacted]", id="encoded"),
        pytest.param("wpl_abcdefgh", "wpl_[redacted]", id="cut off"),
        pytest.param("wpl_short", "wpl_short", id="not one"),
        pytest.param("nothing", "nothing", id="nothing"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        pytest.param(f"/workorders/42?from={TOKEN}", True, id="in a query"),
        pytest.param(f"/static/{TOKEN}.css", True, id="in a path"),
        pytest.param("wpl%5F" + "a" * 40, True, id="encoded"),
        pytest.param("%77pl_" + "a" * 40, True, id="encoded elsewhere"),
        pytest.param("wpl_" + "a" * 31, False, id="too short to be one"),
        pytest.param("/files/wpl_plan.pdf", False, id="a name that begins like one"),
        pytest.param("/workorders/42", False, id="nothing"),
    ],
)
def test_holds_whole_token(text: str, holds: bool) -> None:
    assert holds_whole_token(text) is holds
