"""What the gateway is held against: `python -m tests.bench.bare_proxy PORT BACKEND`.

A proxy in aiohttp without any rule, written as one would write it who wants it to be fast: kept
connections without a limit, no cookie jar, no compression undone, bodies streamed both ways, no
access log, on uvloop. It takes out what belongs to one connection, and nothing else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

SESSION = web.AppKey("session", ClientSession)
BACKEND = web.AppKey("backend", str)
_HOP_BY_HOP = (
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)


async def forward(request: web.Request) -> web.StreamResponse:
    """Send a request to the backend and its answer back."""
    app = request.app
    url = URL(app[BACKEND] + request.raw_path, encoded=True)
    body = request.content if request.body_exists else None
    headers = _end_to_end(request.headers)
    async with app[SESSION].request(
        request.method, url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=5, sock_read=60),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        app[SESSION] = session
        yield


def main(port: int, backend: str) -> None:
    """Serve until the process is ended."""
    # Clients that leave before their answer, as wrk does at its end, are no news.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    app = web.Application(handler_args={"auto_decompress": False})
    app[BACKEND] = backend
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{path:.*}", forward)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
