"""The admin API as an aiohttp application."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import hdrs, web

from admin_api import page
from admin_api.auth import Principal, authenticate
from admin_api.body import MAX_BODY, expect_nothing
from admin_api.deliveries import DeliveryOperations
from admin_api.errors import Handler, answer_errors
from admin_api.keys import KeyOperations
from admin_api.links import LinkOperations
from admin_api.openapi import describe
from admin_api.operations import OPERATIONS, Operation
from admin_api.parts import Parts
from admin_api.public import PublicOperations
from gateway.links.model import is_path_segment

Call = Callable[[web.Request, Principal], Awaitable[web.Response]]

# On every answer. `no-store`: answers hold tokens. An answer that somebody opens in a browser is
# not sniffed, framed or run.
HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def build_app(parts: Parts) -> web.Application:
    """The application for the admin listener."""
    app = web.Application(middlewares=[answer_errors], client_max_size=MAX_BODY)
    app.on_response_prepare.append(_protect)
    calls = _calls(parts)
    for operation in OPERATIONS:
        handler = _keyed(operation, calls[operation.id], parts)
        _route(app, operation.method, operation.path, handler)
    public = PublicOperations(parts)
    _route(app, "GET", "/health/live", public.live)
    _route(app, "GET", "/health/ready", public.ready)
    _route(app, "GET", "/metrics", public.metrics)
    _route(app, "GET", "/domains", public.domain)
    _route(app, "GET", "/openapi.json", _description(parts))
    for path, handler in page.handlers(files(page)).items():
        _route(app, "GET", path, handler)
    return app


def _calls(parts: Parts) -> dict[str, Call]:
    """The code of each operation, by the operation's id."""
    links, keys = LinkOperations(parts), KeyOperations(parts)
    deliveries = DeliveryOperations(parts)
    return {
        "listLinks": links.list,
        "createLink": links.create,
        "getLink": links.get,
        "updateLink": links.update,
        "deleteLink": links.delete,
        "regenerateLink": links.regenerate,
        "activateLink": links.activate,
        "deactivateLink": links.deactivate,
        "unlockLink": links.unlock,
        "accessLog": links.log,
        "listKeys": keys.list,
        "createKey": keys.create,
        "revokeKey": keys.revoke,
        "listWebhookDeliveries": deliveries.list,
        "resendWebhookDelivery": deliveries.resend,
    }


def _keyed(operation: Operation, call: Call, parts: Parts) -> Handler:
    """The operation, for holders of a key of its role."""

    async def handler(request: web.Request) -> web.StreamResponse:
        principal = await authenticate(request, parts)
        principal.require(operation.role)
        return await call(request, principal)

    return handler


def _route(app: web.Application, method: str, path: str, handler: Handler) -> None:
    for verb in (method, "HEAD") if method == "GET" else (method,):
        app.router.add_route(verb, path, handler, expect_handler=expect_nothing)


def _description(parts: Parts) -> Handler:
    text = json.dumps(describe(path_segments=parts.is_workorder is is_path_segment))

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(text=text)

    return handler


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall(hdrs.SERVER, None)
