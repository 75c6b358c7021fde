"""Somebody's web server with logos on it, and with what is none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

from aiohttp import web
from PIL import Image

from gateway.branding.pictures import MAX_BYTES
from tests.flow.doors import Link, path, restricted
from tests.portal import Portal

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def picture(kind: str, size: tuple[int, int] = (24, 12), frames: int = 1) -> bytes:
    """A picture of this kind (`PNG`), of plain colour; of several frames if it is to move."""
    made = BytesIO()
    images = [Image.new("RGB", size, (shade * 40, 90, 60)) for shade in range(frames)]
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(made, kind, **more)
    return made.getvalue()


PNG, JPEG = picture("PNG"), picture("JPEG")


@dataclass
class LogoSite:
    """The running server; `asked` counts the requests for each path, `status` is the error that it
    answers with instead."""

    origin: str = ""
    status: int | None = None
    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked[request.path] += 1
        if self.status is not None:
            return web.Response(status=self.status)
        match request.path:
            case "/logo.png":
                # What a server says of the type is not asked.
                return web.Response(body=PNG, content_type="text/html")
            case "/moved":
                return web.Response(status=302, headers={"Location": "/logo.jpg"})
            case "/logo.jpg":
                return web.Response(body=JPEG)
            case "/logo.svg":
                return web.Response(body=SVG, content_type="image/svg+xml")
            case "/huge":
                return web.Response(body=PNG + bytes(MAX_BYTES))
            case "/inside":
                inside = "http://169.254.169.254/latest/meta-data/"
                return web.Response(status=302, headers={"Location": inside})
        return web.Response(status=404)


@asynccontextmanager
async def running_logo_site() -> AsyncIterator[LogoSite]:
    """The server on a free port of the loopback interface."""
    site = LogoSite()
    runner = web.ServerRunner(web.Server(site.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield site
    finally:
        await runner.cleanup()


async def locked_with_logo(portal: Portal, logo_url: str) -> Link:
    """A link with a logo, and with a gate whose page shows it."""
    return await portal.link(
        custom_branding={"logo_url": logo_url}, **restricted(password="correct horse")
    )


async def shown(portal: Portal, link: Link) -> str | None:
    """The address of the logo on the link's page."""
    page = await portal.visitor().get(path(link), navigate=True)
    _, _, after = page.body.decode().partition('<img class="logo" src="')
    return after.partition('"')[0] or None


async def shown_soon(portal: Portal, link: Link) -> str:
    """The same, once the logo has been fetched."""
    async with asyncio.timeout(10):
        while (address := await shown(portal, link)) is None:
            await asyncio.sleep(0.05)
    return address
