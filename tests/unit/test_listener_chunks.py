"""Where a chunked body ends, however its bytes arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.listener.chunks import CHUNKS_AT_ONCE, ChunkedBody


def measure(pieces: list[bytes]) -> tuple[int, bool]:
    """How many bytes of all pieces belong to the body, and whether its end is among them."""
    body = ChunkedBody()
    total = 0
    for piece in pieces:
        rest = piece
        while taken := body.measure(rest):
            total += taken
            rest = rest[taken:]
        if body.ended:
            break
    return total, body.ended


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=20),
    extension=st.sampled_from([b"", b";a", b";a=b", b';a="b c"']),
    after=st.binary(max_size=20),
    places=st.lists(st.integers(min_value=0), max_size=30),
)
def test_the_end_is_found_wherever_the_bytes_are_cut(
    chunks: list[bytes], extension: bytes, after: bytes, places: list[int]
) -> None:
    sent = b"".join(b"%X%s\r\n%s\r\n" % (len(each), extension, each) for each in chunks)
    sent += b"0\r\n\r\n"
    assert measure(cut(sent + after, places)) == (len(sent), True)


@given(data=st.binary(max_size=60), places=st.lists(st.integers(min_value=0), max_size=10))
def test_the_cuts_change_nothing_whatever_the_bytes_are(data: bytes, places: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> object:
        try:
            return measure(pieces)
        except Refusal as refusal:
            return refusal.detail

    assert outcome(cut(data, places)) == outcome([data])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"0x5\r\n", "hexadecimal", id="0x5"),
        pytest.param(b"5_\r\n", "hexadecimal", id="5_"),
        pytest.param(b" 5\r\n", "hexadecimal", id="space before"),
        pytest.param(b"5 \r\n", "hexadecimal", id="space after"),
        pytest.param(b"\r\n", "hexadecimal", id="empty"),
        pytest.param(b"5\n", "hexadecimal", id="bare LF"),
        pytest.param(b"5\r\r\n", "hexadecimal", id="two CR"),
        pytest.param(b"5;a\rb\r\n", "hexadecimal", id="CR in an extension"),
        pytest.param(b"5;\x00\r\n", "hexadecimal", id="NUL in an extension"),
        pytest.param("٥\r\n".encode(), "hexadecimal", id="a digit of another script"),
        pytest.param(b"1" * 16 + b"\r\n", "hexadecimal", id="16 digits"),
        pytest.param(b"5;" + b"a" * 300, "too long", id="endless extension"),
        pytest.param(b"0\r\nA: b\r\n\r\n", "Trailers", id="trailer section"),
        pytest.param(b"0\r\n\n", "Trailers", id="bare LF at the end"),
    ],
)
def test_bad_chunks_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refusal, match=says):
        measure([data])


def test_many_chunks_are_measured_in_portions() -> None:
    body = ChunkedBody()
    chunk = b"1\r\na\r\n"
    taken = body.measure(chunk * 10 * CHUNKS_AT_ONCE)
    assert 0 < taken <= len(chunk) * CHUNKS_AT_ONCE
