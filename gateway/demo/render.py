"""Templates, and the few formats that they need."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.demo.viewer import Viewer

MAX_TEXT = 4000  # characters of a comment or a note

TEMPLATES = web.AppKey("templates", Environment)


def page(request: web.Request, name: str, *, status: int = 200, **values: object) -> web.Response:
    """One page as this viewer may see it."""
    template = request.app[TEMPLATES].get_template(f"{name}.html.j2")
    viewer = Viewer.of(request.headers)
    return web.Response(
        status=status,
        text=template.render(viewer=viewer, **values),
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


def load_templates() -> Environment:
    """The templates, with filters for days, moments, sizes and path segments."""
    environment = Environment(
        loader=PackageLoader("gateway.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"day": _day, "moment": _moment, "size": _size, "segment": segment}
    environment.globals["max_text"] = MAX_TEXT
    return environment


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %B %Y").lstrip("0")


def _moment(at: float) -> str:
    return f"{_day(at)}, {datetime.fromtimestamp(at, UTC):%H:%M} UTC"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")
