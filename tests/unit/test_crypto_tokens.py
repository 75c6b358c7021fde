"""Tokens, ids and keys: their shape, and that none comes twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest

from gateway.crypto import tokens


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(tokens.new_token, r"wpl_[0-9A-Za-z]{43}", id="token"),
        pytest.param(tokens.new_api_key, r"pgk_[0-9A-Za-z]{43}", id="api key"),
        pytest.param(tokens.new_id, r"[0-9a-f]{24}", id="id"),
        pytest.param(tokens.new_random_id, r"[0-9A-Za-z_-]{22}", id="random id"),
    ],
)
def test_shape_and_no_repetition(make: Callable[[], str], shape: str) -> None:
    made = [make() for _ in range(500)]
    assert all(re.fullmatch(shape, text) for text in made)
    assert len(set(made)) == len(made)


def test_a_token_uses_the_whole_alphabet() -> None:
    seen = set("".join(tokens.new_token().removeprefix("wpl_") for _ in range(200)))
    assert len(seen) == 62


@pytest.mark.parametrize("make_hash", [tokens.hash_token, tokens.hash_api_key])
def test_the_hash_is_sha_256_of_the_whole_text(make_hash: Callable[[str], bytes]) -> None:
    token = tokens.new_token()
    assert make_hash(token) == hashlib.sha256(token.encode("ascii")).digest()


@pytest.mark.parametrize(
    "text", [pytest.param("", id="empty"), pytest.param("wpl_\ud800", id="lone surrogate")]
)
def test_any_text_has_a_hash(text: str) -> None:
    assert len(tokens.hash_token(text)) == 32
