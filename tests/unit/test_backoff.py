"""The waits between tries."""

from __future__ import annotations

import pytest

from gateway.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "growth", "seconds"),
    [
        pytest.param(1, 2.0, 0.5, id="the first wait"),
        pytest.param(2, 2.0, 1.0, id="twice as long"),
        pytest.param(3, 4.0, 8.0, id="another growth"),
        pytest.param(7, 2.0, 30.0, id="the longest"),
        pytest.param(10**6, 4.0, 30.0, id="a weekend of failures"),
    ],
)
def test_waits_grow_up_to_a_bound(failures: int, growth: float, seconds: float) -> None:
    assert backoff(failures, 0.5, 30.0, growth=growth) == seconds
