"""What is random and has to stay unguessable, all of it from `secrets`."""

from __future__ import annotations

import hashlib
import secrets
import string

TOKEN_PREFIX = "wpl_"  # noqa: S105 - a prefix, not a secret
API_KEY_PREFIX = "pgk_"

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
# 62**43 is just over 2**256: nothing is lost when the token is hashed to 256 bits.
_LENGTH = 43


def new_token() -> str:
    """A portal token: `wpl_` and 43 base-62 characters, 256 bits."""
    return TOKEN_PREFIX + _base62()


def hash_token(token: str) -> bytes:
    """SHA-256 (FIPS 180-4) of a portal token, 32 bytes: what the database finds it by.

    A plain hash is enough, since a token cannot be guessed; a password could.
    """
    return _sha256(token)


def new_api_key() -> str:
    """A key of the admin API: `pgk_` and 43 base-62 characters, 256 bits."""
    return API_KEY_PREFIX + _base62()


def hash_api_key(key: str) -> bytes:
    """SHA-256 of a key of the admin API, 32 bytes. Any text may be asked about."""
    return _sha256(key)


def new_id() -> str:
    """The id of a link or a key: 24 lower-case hex digits, 96 bits. Not a secret."""
    return secrets.token_hex(12)


def new_random_id() -> str:
    """An id that a stranger must not guess (sessions, visitors, browsers): 128 bits, URL-safe."""
    return secrets.token_urlsafe(16)


def _base62() -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(_LENGTH))


def _sha256(text: str) -> bytes:
    # A text from outside may hold surrogates, which plain UTF-8 cannot encode.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
