"""What is a logo is decided by its content alone."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.branding.pictures import MAX_SIDE, NotALogo, content_type_of
from tests.logo_site import SVG, picture


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it is `side` pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
    ],
)
def test_a_logo(kind: str, content_type: str) -> None:
    assert content_type_of(picture(kind)) == content_type


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"", "no PNG", id="nothing"),
        pytest.param(SVG, "no PNG", id="SVG"),
        pytest.param(b'<?xml version="1.0"?>' + SVG, "no PNG", id="SVG as XML"),
        pytest.param(b"<!doctype html><h1>Hello", "no PNG", id="HTML"),
        pytest.param(picture("BMP"), "no PNG", id="another kind of picture"),
        pytest.param(picture("TIFF"), "no PNG", id="TIFF"),
        pytest.param(picture("PDF"), "no PNG", id="PDF"),
        pytest.param(b"GIF89a" + SVG, "it ", id="SVG that begins like a GIF"),
        pytest.param(picture("PNG")[:-40], "decoded", id="cut off"),
        pytest.param(picture("JPEG")[:200], "decoded", id="a JPEG's head"),
        pytest.param(picture("GIF", frames=3), "moves", id="a GIF that moves"),
        pytest.param(picture("WEBP", frames=3), "moves", id="a WebP that moves"),
        pytest.param(picture("PNG", frames=3), "moves", id="a PNG that moves"),
        pytest.param(picture("PNG", (MAX_SIDE + 1, 1)), "larger", id="too wide"),
        pytest.param(picture("PNG", (1, MAX_SIDE + 1)), "larger", id="too high"),
        pytest.param(bomb(60_000), "Bomb", id="a bomb"),
        pytest.param(bomb(2000), "decoded", id="less than it says"),
    ],
)
def test_no_logo(body: bytes, why: str) -> None:
    with pytest.raises(NotALogo, match=why):
        content_type_of(body)


def test_the_largest_logo() -> None:
    assert content_type_of(picture("PNG", (MAX_SIDE, 1))) == "image/png"


@given(st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.integers(0, 60))
def test_whatever_comes_is_a_logo_or_none(noise: bytes, kind: str, kept: int) -> None:
    """A good head with anything behind it raises nothing but NotALogo."""
    with suppress(NotALogo):
        assert content_type_of(picture(kind)[:kept] + noise).startswith("image/")
