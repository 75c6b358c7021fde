"""Encryption of what is kept (Fernet: AES-128-CBC with HMAC-SHA256), with rotation of keys.

The first secret key seals, all of them unseal. Each purpose has keys of its own, so that what was
sealed as one thing is nothing when it is presented as another.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import GatewayError


class SealBroken(GatewayError):
    """A sealed text was changed, or none of the secret keys sealed it for this purpose."""


class Sealer:
    """Seals texts for one `purpose`. Raises ValueError if there is no key."""

    def __init__(self, secret_keys: Sequence[str], purpose: str = "tokens") -> None:
        if not secret_keys:
            raise ValueError("at least one secret key is needed")
        fernets = [Fernet(_derive(key, purpose)) for key in secret_keys]
        self._first = fernets[0]
        self._all = MultiFernet(fernets)

    def seal(self, text: str) -> str:
        """`text` under the first key: URL-safe base 64, safe in a cookie."""
        return self._first.encrypt(text.encode("utf-8", "surrogatepass")).decode("ascii")

    def unseal(self, text: str) -> str:
        """What was sealed, under whichever key. Raises SealBroken."""
        try:
            return self._all.decrypt(_as_bytes(text)).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise SealBroken("a sealed text cannot be read with the secret keys") from None

    def unseal_or_none(self, text: str) -> str | None:
        """What was sealed, or None where `unseal` raises."""
        try:
            return self.unseal(text)
        except SealBroken:
            return None

    def needs_rewrap(self, text: str) -> bool:
        """Whether `text` still needs a key that is not the first one."""
        try:
            self._first.decrypt(_as_bytes(text))
        except InvalidToken:
            return True
        return False

    def rewrap(self, text: str) -> str:
        """The same secret under the first key. Raises SealBroken."""
        try:
            return self._all.rotate(_as_bytes(text)).decode("ascii")
        except InvalidToken:
            raise SealBroken("a sealed text cannot be read with the secret keys") from None


def _derive(key: str, purpose: str) -> bytes:
    """A Fernet key of 32 bytes from a secret key, by HKDF-SHA256 (RFC 5869)."""
    info = f"portal-gateway/sealing/{purpose}".encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key.encode())
    return urlsafe_b64encode(derived)


def _as_bytes(text: str) -> bytes:
    # A cookie may hold any text; what is not ASCII was not sealed here, and stays invalid.
    return text.encode("ascii", "replace")
