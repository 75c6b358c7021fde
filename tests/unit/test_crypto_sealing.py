"""Sealed texts: read back by whoever has a key, changed by nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto.sealing import SealBroken, Sealer

OLD, NEW = "o" * 32, "n" * 32


@given(st.text(alphabet=st.characters(codec=None)))
def test_what_was_sealed_is_unsealed(text: str) -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(text)
    assert sealer.unseal(sealed) == text
    assert sealed.isascii()
    assert not set(sealed) & set(' ",;\\')


def test_the_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer([OLD])
    assert sealer.seal("token") != sealer.seal("token")


def _flip(sealed: str, at: int) -> str:
    return sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]


@pytest.mark.parametrize("at", [0, 12, 40, 80, -10])
def test_a_changed_seal_is_broken(at: int) -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal("a token of some length")
    with pytest.raises(SealBroken):
        sealer.unseal(_flip(sealed, at % len(sealed)))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("not sealed", id="plain"),
        pytest.param("gAAAAA", id="the beginning of one"),
        pytest.param("é\ud800", id="not ASCII"),
    ],
)
def test_what_is_no_seal_is_broken(text: str) -> None:
    sealer = Sealer([NEW, OLD])
    with pytest.raises(SealBroken):
        sealer.unseal(text)
    assert sealer.unseal_or_none(text) is None
    with pytest.raises(SealBroken):
        sealer.rewrap(text)
    assert sealer.needs_rewrap(text)


@pytest.mark.parametrize(
    ("keys", "purpose"),
    [
        pytest.param([NEW], "tokens", id="another key"),
        pytest.param([OLD], "cookies", id="another purpose"),
    ],
)
def test_nobody_else_unseals(keys: list[str], purpose: str) -> None:
    sealed = Sealer([OLD], "tokens").seal("token")
    with pytest.raises(SealBroken) as error:
        Sealer(keys, purpose).unseal(sealed)
    assert sealed not in str(error.value)


def test_rotation_of_keys() -> None:
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    sealed = before.seal("token")
    assert not before.needs_rewrap(sealed)
    assert during.unseal(sealed) == "token"
    assert during.needs_rewrap(sealed)
    rewrapped = during.rewrap(sealed)
    assert not during.needs_rewrap(rewrapped)
    assert after.unseal(rewrapped) == "token"
    assert after.unseal(during.seal("other")) == "other"


def test_without_a_key_there_is_no_sealer() -> None:
    with pytest.raises(ValueError, match="secret key"):
        Sealer([])
