"""Whose key a request carries, and what that key may see and change."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import hdrs, web

from admin_api.errors import ApiError, forbidden
from admin_api.parts import Parts
from gateway.store.keys import Role

API_KEY = "api-key"
ADMIN_KEY_NAME = "admin_key"
# Ours have under 50 characters; whatever is longer is not hashed or looked up.
MAX_KEY = 512
# Each may do what those before it may.
_ROLES = (Role.VIEWER, Role.EDITOR, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever holds the key. Without namespaces, a key is not confined to any."""

    name: str
    role: Role
    namespaces: tuple[str, ...] = ()

    def sees(self, namespaces: Iterable[str]) -> bool:
        """Whether something in these namespaces exists for this key."""
        return not self.namespaces or not set(self.namespaces).isdisjoint(namespaces)

    def owns(self, namespaces: Iterable[str]) -> bool:
        """Whether something in these namespaces is this key's to make and to change.

        A confined key owns only what is in namespaces, and in none but its own: else an editor
        of one company could open another company's link.
        """
        named = set(namespaces)
        return not self.namespaces or (bool(named) and named <= set(self.namespaces))

    def require(self, role: Role) -> None:
        """Raises ApiError 403 if the key's role is below `role`."""
        if _ROLES.index(self.role) < _ROLES.index(role):
            raise forbidden(f"This needs a key with the role {role.value}.")


async def authenticate(request: web.Request, parts: Parts) -> Principal:
    """The holder of the request's key, asked of the database each time.

    So a revoked key holds nowhere. Raises ApiError 401, or StoreUnavailable.
    """
    secret = _sent_key(request)
    if parts.admin_key and hmac.compare_digest(secret.encode(), parts.admin_key.encode()):
        return Principal(ADMIN_KEY_NAME, Role.ADMIN)
    key = await parts.keys.authenticate(secret)
    if key is None:
        raise _unauthorized("This key is not valid.", "invalid_token")
    return Principal(key.name, key.role, key.namespaces)


def _sent_key(request: web.Request) -> str:
    sent = {_bearer(value) for value in request.headers.getall(hdrs.AUTHORIZATION, [])}
    sent |= set(request.headers.getall(API_KEY, []))
    if not sent:
        raise _unauthorized("Authentication required: send a key as 'Authorization: Bearer KEY'.")
    if len(sent) > 1:
        raise _unauthorized("The request carries two keys.", "invalid_request")
    (secret,) = sent
    if not 0 < len(secret) <= MAX_KEY or not secret.isascii():
        raise _unauthorized("This key is not valid.", "invalid_token")
    return secret


def _bearer(value: str) -> str:
    scheme, _, secret = value.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _unauthorized(sentence: str, error: str | None = None) -> ApiError:
    challenge = 'Bearer realm="portal-gateway"'  # RFC 6750 section 3
    if error is not None:
        challenge += f', error="{error}"'
    return ApiError(HTTPStatus.UNAUTHORIZED, sentence, (), {hdrs.WWW_AUTHENTICATE: challenge})
