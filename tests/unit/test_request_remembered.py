"""What is remembered of texts that strangers choose: much of short ones, nothing of long ones."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from itertools import count

import pytest

from gateway.languages.negotiation import preferred
from gateway.links.model import LinkType
from gateway.proxy.answers import AnswerPolicy, response_headers
from gateway.proxy.headers import _known as known_name
from gateway.proxy.headers import connection_names, plain
from gateway.request.reader import reader_of
from gateway.request.remembered import remembered

POLICY = AnswerPolicy(
    own_origin="https://portal.example.com",
    upstream_origin="http://backend",
    landing="/workorders/17",
    opens=lambda target: True,
    action="view",
    link_type=LinkType.PRIVATE,
    cacheable=False,
)
LENGTH = 15_000
TIMES = 200
NUMBERS = count()


def _read(user_agent: str, purpose: str) -> None:
    reader_of(user_agent, (purpose,), hides=False, is_trustworthy=True)


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda text: known_name(text.encode()), id="a visitor's header"),
        pytest.param(lambda text: plain(text.encode()), id="any header"),
        pytest.param(
            lambda text: connection_names([(b"Connection", text.encode())]), id="in Connection"
        ),
        pytest.param(
            lambda text: response_headers([(text.encode(), b"1")], POLICY, "/"),
            id="a backend's header",
        ),
        pytest.param(preferred, id="Accept-Language"),
        pytest.param(lambda text: _read(text, ""), id="User-Agent"),
        pytest.param(lambda text: _read("", text), id="Sec-Purpose"),
    ],
)
def test_long_texts_do_not_stay_in_memory(say: Callable[[str], object]) -> None:
    say(f"x{next(NUMBERS)}".ljust(LENGTH, "y"))
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(TIMES):
            say(f"x{next(NUMBERS)}".ljust(LENGTH, "y"))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All of them would be three million.
    assert held < TIMES * LENGTH / 3


def test_short_ones_are_found_out_once() -> None:
    asked = []

    @remembered(longest=3)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    assert [length(text) for text in ("abc", "abc", "abcd", "abcd", "")] == [3, 3, 4, 4, 0]
    assert asked == ["abc", "abcd", "abcd", ""]
