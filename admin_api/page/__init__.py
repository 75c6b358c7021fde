"""The page at /docs: reads /openapi.json in the browser, shows it, and tries calls with a key.

Nothing comes from elsewhere and nothing is inline, so the policy can be strict.
"""

from __future__ import annotations

from importlib.resources.abc import Traversable

from aiohttp import web

from admin_api.errors import Handler

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_FILES = {
    "/docs": ("index.html", "text/html"),
    "/docs/page.css": ("page.css", "text/css"),
    "/docs/page.js": ("page.js", "text/javascript"),
}


def handlers(folder: Traversable) -> dict[str, Handler]:
    """The handler of each of the page's paths; the files are read now, once."""
    return {
        path: _constant(folder.joinpath(name).read_text("utf-8"), media_type)
        for path, (name, media_type) in _FILES.items()
    }


def _constant(text: str, media_type: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(
            text=text,
            content_type=media_type,
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY},
        )

    return handler
