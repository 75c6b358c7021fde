"""Which request heads are refused whatever they ask for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import Refusal
from gateway.links.verdict import Reason
from gateway.listener import check_message


@dataclass
class Head:
    method: str = "GET"
    version: HttpVersion = HttpVersion11
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return CIMultiDictProxy(CIMultiDict([("Host", "h"), *self.fields]))


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(Head(), id="plain"),
        pytest.param(Head(version=HttpVersion10), id="1.0"),
        pytest.param(Head("POST", fields=[("Transfer-Encoding", "chunked")]), id="chunked"),
        pytest.param(Head("POST", fields=[("transfer-encoding", "Chunked")]), id="any case"),
        pytest.param(Head("POST", fields=[("Expect", "100-Continue")]), id="100-continue"),
        pytest.param(
            Head("POST", HttpVersion10, [("Expect", "anything")]), id="Expect means nothing in 1.0"
        ),
        pytest.param(Head("POST", fields=[("Content-Length", "5")]), id="length"),
        pytest.param(Head("FOO"), id="a method nobody knows"),
    ],
)
def test_plain_heads_pass(head: Head) -> None:
    assert check_message(head) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("head", "says"),
    [
        pytest.param(Head(version=HttpVersion(0, 9)), "version", id="0.9"),
        pytest.param(Head(version=HttpVersion(1, 2)), "version", id="1.2"),
        pytest.param(Head(version=HttpVersion(2, 0)), "version", id="2.0"),
        pytest.param(Head("CONNECT"), "CONNECT", id="CONNECT"),
        pytest.param(
            Head("POST", HttpVersion10, [("Transfer-Encoding", "chunked")]),
            "HTTP/1.0 has no",
            id="TE in 1.0",
        ),
        pytest.param(Head(fields=[("Transfer-Encoding", "gzip")]), "chunked", id="gzip"),
        pytest.param(
            Head(fields=[("Transfer-Encoding", "gzip, chunked")]), "chunked", id="gzip, chunked"
        ),
        pytest.param(
            Head(fields=[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]),
            "chunked",
            id="chunked twice",
        ),
        pytest.param(Head(fields=[("Transfer-Encoding", "")]), "chunked", id="empty TE"),
        pytest.param(Head(fields=[("Trailer", "X-Sum")]), "Trailers", id="Trailer"),
        pytest.param(Head(fields=[("Expect", "")]), "expectation", id="empty expectation"),
        pytest.param(Head(fields=[("Expect", "200-ok")]), "expectation", id="other expectation"),
        pytest.param(
            Head(fields=[("Expect", "100-continue"), ("Expect", "100-continue")]),
            "expectation",
            id="two expectations",
        ),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(head: Head, says: str) -> None:
    with pytest.raises(Refusal, match=says) as refused:
        check_message(head)
    assert refused.value.reason is Reason.BAD_REQUEST
