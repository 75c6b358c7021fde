"""Sealed for one place: nothing anywhere else, under any key that is still known."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto.binding import BoundSealer, Place
from gateway.crypto.sealing import SealBroken
from gateway.crypto.signing import Keyring

OLD, NEW = "o" * 32, "n" * 32
PLACE = ("link", "session", "backend")


def sealer(*keys: str, purpose: str = "test") -> BoundSealer:
    return BoundSealer(Keyring(keys or (OLD,)).macs, purpose)


@given(st.binary(max_size=300), st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_was_sealed_is_unsealed(data: bytes, label: str) -> None:
    sealed = sealer().seal(data, PLACE, label)
    assert sealer().unseal(sealed, PLACE, label) == data
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_same_text_is_sealed_differently_each_time() -> None:
    assert sealer().seal(b"x", PLACE, "a") != sealer().seal(b"x", PLACE, "a")


@pytest.mark.parametrize(
    ("place", "label"),
    [
        pytest.param(("other", "session", "backend"), "sid", id="another link"),
        pytest.param(("link", "other", "backend"), "sid", id="another session"),
        pytest.param(("link", "session", "other"), "sid", id="another backend"),
        pytest.param(("linksession", "", "backend"), "sid", id="other parts of the same letters"),
        pytest.param(PLACE, "other", id="another name"),
        pytest.param(PLACE, "", id="no name"),
        pytest.param(PLACE, "\udcff", id="a name that is no text"),
    ],
)
def test_elsewhere_it_is_nothing(place: Place, label: str) -> None:
    sealed = sealer().seal(b"x", PLACE, "sid")
    with pytest.raises(SealBroken):
        sealer().unseal(sealed, place, label)


def test_for_another_purpose_it_is_nothing() -> None:
    with pytest.raises(SealBroken):
        sealer(purpose="other").unseal(sealer().seal(b"x", PLACE, "a"), PLACE, "a")


def test_every_bit_counts() -> None:
    sealed = urlsafe_b64decode(sealer().seal(b"xyz", PLACE, "a") + "==")
    for at in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(SealBroken):
            sealer().unseal(urlsafe_b64encode(changed).decode().rstrip("="), PLACE, "a")


@pytest.mark.parametrize(
    "text", ["", "x", "AAAA", "A" * 37, "A" * 38, "é" * 40, "\ud800" * 40, "A A" * 20]
)
def test_what_is_no_seal_is_broken(text: str) -> None:
    with pytest.raises(SealBroken):
        sealer(NEW, OLD).unseal(text, PLACE, "a")


def test_keys_are_rotated() -> None:
    before = sealer(OLD).seal(b"x", PLACE, "a")
    assert sealer(NEW, OLD).unseal(before, PLACE, "a") == b"x"
    after = sealer(NEW, OLD).seal(b"x", PLACE, "a")
    assert sealer(OLD, NEW).unseal(after, PLACE, "a") == b"x"
    with pytest.raises(SealBroken):
        sealer(OLD).unseal(after, PLACE, "a")
    with pytest.raises(SealBroken):
        sealer(NEW).unseal(before, PLACE, "a")
