"""The sample system as an aiohttp application.

All its links are paths of its own origin, as they are in most systems that were never meant to
be seen through a proxy.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.demo import orders, transfers
from gateway.demo.render import TEMPLATES, load_templates, page
from gateway.demo.sample import sample_work_orders
from gateway.demo.uploads import MAX_UPLOAD, Uploads

_STATIC = {"system.css": "text/css", "icon.svg": "image/svg+xml", "logo.png": "image/png"}
_STATIC_MAX_AGE = 3600  # seconds

STATIC = web.AppKey("static", dict[str, tuple[str, bytes]])


def build_backend(folder: Path, max_upload: int = MAX_UPLOAD) -> web.Application:
    """The application; files are kept in `folder`, each at most `max_upload` bytes."""
    app = web.Application(middlewares=[friendly_errors])
    app[transfers.UPLOADS] = Uploads(folder, max_upload)
    app[orders.ORDERS] = sample_work_orders(app[transfers.UPLOADS], time.time())
    app[TEMPLATES] = load_templates()
    app[STATIC] = _load_static()
    order = "/workorders/{order}"
    app.router.add_get("/", orders.show_index)
    app.router.add_get("/static/{name}", send_static)
    app.router.add_get(order, orders.show_order)
    app.router.add_get(f"{order}/comments", orders.show_comments)
    app.router.add_post(f"{order}/comments", orders.add_comment)
    app.router.add_post(f"{order}/files", transfers.add_files)
    app.router.add_get(f"{order}/files/{{number:[0-9]+}}/{{name}}", transfers.send_file)
    app.router.add_get(f"{order}/history", orders.show_history)
    app.router.add_post(f"{order}/approve", orders.approve)
    app.router.add_post(f"{order}/reject", orders.reject)
    return app


async def start_backend(
    folder: Path, host: str = "127.0.0.1", port: int = 0
) -> tuple[web.AppRunner, str]:
    """Serve the application; returns what stops it (`await runner.cleanup()`) and its origin."""
    runner = web.AppRunner(build_backend(folder), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner, f"http://{host}:{runner.addresses[0][1]}"


@web.middleware
async def friendly_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals as pages; the status stays."""
    try:
        return await handler(request)
    except web.HTTPRedirection:
        raise
    except web.HTTPException as error:
        response = page(request, "error", status=error.status, message=error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response


async def send_static(request: web.Request) -> web.Response:
    """A style sheet, an icon or the logo."""
    asset = request.app[STATIC].get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound(reason="There is no such file.")
    content_type, body = asset
    return web.Response(
        body=body,
        content_type=content_type,
        headers={"Cache-Control": f"public, max-age={_STATIC_MAX_AGE}"},
    )


def _load_static() -> dict[str, tuple[str, bytes]]:
    folder = files(__package__) / "assets"
    return {name: (kind, (folder / name).read_bytes()) for name, kind in _STATIC.items()}
