"""Encryption of what a browser carries, bound to one place (AES-256-GCM, NIST SP 800-38D).

Every place has keys of its own, made of the secret keys and of what names the place, so that
what was sealed for one is nothing in another; and a key seals so few texts that random nonces do
not meet (NIST SP 800-38D section 8.3 allows 2^32). The `label` is authenticated beside the text:
what was sealed under one is nothing under another.
"""

from __future__ import annotations

import os
from base64 import b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.crypto.sealing import SealBroken

Place = tuple[str, ...]

_NONCE = 12
_TAG = 16
_REMEMBERED = 4096


class BoundSealer:
    """Seals for places of one purpose; `macs` is `Keyring.macs`, whose first key seals."""

    def __init__(self, macs: Callable[..., list[bytes]], purpose: str) -> None:
        self._ciphers = lru_cache(maxsize=_REMEMBERED)(
            lambda place: tuple(AESGCM(key) for key in macs(purpose, *place))
        )

    def seal(self, data: bytes, place: Place, label: str) -> str:
        """`data` under the first key: URL-safe base 64 without padding, safe in a cookie."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers(place)[0].encrypt(
            nonce, data, label.encode("utf-8", "surrogatepass")
        )
        return urlsafe_b64encode(nonce + sealed).decode("ascii").rstrip("=")

    def unseal(self, text: str, place: Place, label: str) -> bytes:
        """What was sealed for this place and label, under whichever key. Raises SealBroken."""
        sealed = _decoded(text)
        if len(sealed) >= _NONCE + _TAG:
            for cipher in self._ciphers(place):
                try:
                    return cipher.decrypt(
                        sealed[:_NONCE], sealed[_NONCE:], label.encode("utf-8", "surrogatepass")
                    )
                except InvalidTag:
                    continue
        raise SealBroken("a sealed text cannot be read here with the secret keys")


def _decoded(text: str) -> bytes:
    """The bytes of base 64; none if it is not."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, Error):
        return b""
