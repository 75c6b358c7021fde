"""Signed values (itsdangerous, SHA-256) and keyed hashes, with rotation of keys.

Each purpose has its own salt, so that a cookie made for one thing is nothing when it is sent as
another. The first of the secret keys signs, all of them verify.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadData, URLSafeSerializer


class _CompactJson:
    """JSON without blanks; what is signed is short and has one spelling."""

    @staticmethod
    def dumps(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    @staticmethod
    def loads(text: str | bytes) -> Any:
        return json.loads(text)


class Signer:
    """Signs and reads values for one purpose."""

    def __init__(self, keys: Sequence[str], purpose: str) -> None:
        # itsdangerous signs with the last key of a list; ours signs with the first.
        self._serializer = URLSafeSerializer(
            list(reversed(keys)),
            salt=f"portal-gateway/{purpose}",
            serializer=_CompactJson,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def dumps(self, value: Any) -> str:
        """`value` (plain JSON) as text that is safe in a cookie."""
        signed: str = self._serializer.dumps(value)
        return signed

    def loads(self, text: str) -> Any | None:
        """The signed value, or None for anything that this purpose did not sign."""
        try:
            return self._serializer.loads(text)
        except (BadData, ValueError, RecursionError):
            return None


class Keyring:
    """The secret keys, first the one that signs. Raises ValueError if there is none."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        if not secret_keys:
            raise ValueError("at least one secret key is needed")
        self._keys = tuple(secret_keys)

    def signer(self, purpose: str) -> Signer:
        """A signer whose values are worth nothing for any other purpose."""
        return Signer(self._keys, purpose)

    def mac(self, purpose: str, *parts: str) -> bytes:
        """HMAC-SHA256 (RFC 2104) of `parts` under the first key; 32 bytes."""
        return _mac(self._keys[0], purpose, parts)

    def macs(self, purpose: str, *parts: str) -> list[bytes]:
        """The same under every key: what a value stored before a rotation may be equal to."""
        return [_mac(key, purpose, parts) for key in self._keys]


def _mac(key: str, purpose: str, parts: Sequence[str]) -> bytes:
    # Each part is preceded by its length, so that no two lists of parts make the same message.
    message = b"".join(
        len(encoded).to_bytes(4, "big") + encoded
        for encoded in (part.encode("utf-8", "surrogateescape") for part in (purpose, *parts))
    )
    return hmac.digest(key.encode(), message, "sha256")
