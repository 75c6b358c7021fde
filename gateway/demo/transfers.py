"""Files on their way in and out."""

from __future__ import annotations

import mimetypes
import re
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from gateway.demo.orders import find_order, see
from gateway.demo.records import WorkOrder
from gateway.demo.uploads import MAX_UPLOAD, Uploads, UploadTooLarge, safe_name
from gateway.demo.viewer import Viewer

_CHUNK = 256 * 1024  # bytes

UPLOADS = web.AppKey("uploads", Uploads)


async def add_files(request: web.Request) -> web.Response:
    """Keep every file of the form; what is kept before one fails stays."""
    order = find_order(request)
    if not request.content_type.startswith("multipart/"):
        raise web.HTTPUnsupportedMediaType(reason="Files are sent with a multipart form.")
    received = 0
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "file" and part.filename:
                await _receive(request, order, part)
                received += 1
    except UploadTooLarge:
        raise web.HTTPRequestEntityTooLarge(
            max_size=MAX_UPLOAD, actual_size=0, reason="The file is too large."
        ) from None
    except ValueError:
        raise web.HTTPBadRequest(reason="The form cannot be read.") from None
    if not received:
        raise web.HTTPBadRequest(reason="No file was chosen.")
    return see(order, "files")


async def _receive(request: web.Request, order: WorkOrder, part: BodyPartReader) -> None:
    number, size = await request.app[UPLOADS].receive(_chunks(part))
    name = safe_name(part.filename or "")
    order.add_file(number, name, size, Viewer.of(request.headers).name, time.time())


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield chunk


async def send_file(request: web.Request) -> web.StreamResponse:
    """One file, for saving. Ranges and conditions are honoured."""
    stored = find_order(request).find_file(
        int(request.match_info["number"]), request.match_info["name"]
    )
    if stored is None:
        raise web.HTTPNotFound(reason="There is no such file.")
    kind, _ = mimetypes.guess_type(stored.name)
    return web.FileResponse(
        request.app[UPLOADS].path(stored.number),
        headers={
            "Content-Type": kind or "application/octet-stream",
            "Content-Disposition": _attachment(stored.name),
        },
    )


def _attachment(name: str) -> str:
    """The header's value, with a plain name for old clients (RFC 6266 appendix D)."""
    plain = re.sub(r"[^\x20-\x7e]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
