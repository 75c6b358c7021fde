"""Pages and forms of one work order.

Every change is a POST that is answered with 303, so that reloading a page repeats nothing.
"""

from __future__ import annotations

import time

from aiohttp import web

from gateway.demo.records import AlreadyDecided, Stage, WorkOrder
from gateway.demo.render import MAX_TEXT, page, segment
from gateway.demo.viewer import Viewer

ORDERS = web.AppKey("orders", dict[str, WorkOrder])


def find_order(request: web.Request) -> WorkOrder:
    """The work order that the path names. Raises HTTPNotFound."""
    order = request.app[ORDERS].get(request.match_info["order"])
    if order is None:
        raise web.HTTPNotFound(reason="There is no such work order.")
    return order


def see(order: WorkOrder, part: str) -> web.Response:
    """Send the browser to a part of the details page."""
    return web.Response(status=303, headers={"Location": f"/workorders/{segment(order.id)}#{part}"})


async def show_index(request: web.Request) -> web.Response:
    """Every work order, for the people inside."""
    return page(request, "index", orders=list(request.app[ORDERS].values()))


async def show_order(request: web.Request) -> web.Response:
    """The details page."""
    return page(request, "details", order=find_order(request))


async def show_comments(request: web.Request) -> web.Response:
    """The comments alone."""
    return page(request, "comments", order=find_order(request))


async def show_history(request: web.Request) -> web.Response:
    """What was done, the latest first."""
    return page(request, "history", order=find_order(request))


async def add_comment(request: web.Request) -> web.Response:
    """Add a comment, signed with whoever is looking."""
    order = find_order(request)
    text = await _read_text(request, "text")
    if not text:
        raise web.HTTPBadRequest(reason="The comment is empty.")
    order.add_comment(Viewer.of(request.headers).name, time.time(), text)
    return see(order, "comments")


async def approve(request: web.Request) -> web.Response:
    """Approve what is proposed."""
    return await _decide(request, Stage.APPROVED)


async def reject(request: web.Request) -> web.Response:
    """Reject what is proposed."""
    return await _decide(request, Stage.REJECTED)


async def _decide(request: web.Request, stage: Stage) -> web.Response:
    order = find_order(request)
    note = await _read_text(request, "note")
    try:
        order.decide(stage, Viewer.of(request.headers).name, time.time(), note)
    except AlreadyDecided:
        raise web.HTTPConflict(
            reason=f"This work order does not wait for an approval: it is {order.stage.lower()}."
        ) from None
    return see(order, "decision")


async def _read_text(request: web.Request, name: str) -> str:
    try:
        value = (await request.post()).get(name, "")
    except (ValueError, LookupError):
        # Bytes that are not in the form's charset, or a charset that nobody knows.
        raise web.HTTPBadRequest(reason="The form cannot be read.") from None
    if not isinstance(value, str):
        raise web.HTTPBadRequest(reason="The form cannot be read.")
    text = value.replace("\r\n", "\n").strip()
    if len(text) > MAX_TEXT:
        raise web.HTTPBadRequest(reason=f"The text is longer than {MAX_TEXT} characters.")
    return text
