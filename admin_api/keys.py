"""The operations on the API's own keys."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from admin_api.answers import plain, succeed
from admin_api.auth import Principal
from admin_api.body import read_body
from admin_api.checks import Rules
from admin_api.documents import key_document
from admin_api.errors import forbidden, not_found
from admin_api.parts import Parts
from admin_api.schemas import CreateKey, KeySecret
from gateway.store.keys import Role


class KeyOperations:
    """Each method is one operation of `operations.OPERATIONS`.

    An admin key with namespaces manages only keys whose namespaces are all its own; a key
    without any would reach beyond them, so that is not its to make, see or revoke.
    """

    def __init__(self, parts: Parts) -> None:
        self._keys = parts.keys
        self._rules = Rules(parts.is_workorder, parts.public_hostname)

    async def list(self, request: web.Request, principal: Principal) -> web.Response:
        """The keys that this one manages."""
        managed = [key for key in await self._keys.list() if principal.owns(key.namespaces)]
        return succeed(data=[plain(key_document(key)) for key in managed])

    async def create(self, request: web.Request, principal: Principal) -> web.Response:
        """A new key; its secret is nowhere but in this answer."""
        sent = await read_body(request, CreateKey, self._rules)
        if not principal.owns(sent.namespaces):
            raise forbidden("This key may make only keys whose namespaces are all its own.")
        key, secret = await self._keys.create(sent.name, Role(sent.role), sent.namespaces)
        data = plain(key_document(key)) | plain(KeySecret(secret=secret))
        return succeed(HTTPStatus.CREATED, data=data)

    async def revoke(self, request: web.Request, principal: Principal) -> web.Response:
        """The key holds no more. A key's namespaces never change, so asking first is safe."""
        key_id = request.match_info["id"]
        managed = {key.id for key in await self._keys.list() if principal.owns(key.namespaces)}
        if key_id not in managed or not await self._keys.revoke(key_id):
            raise not_found("There is no such key.")
        return succeed()
