"""The body of a gate's request: a form or a JSON object with a few short strings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.errors import Refusal
from gateway.links.verdict import Reason

MAX_BODY = 16 * 1024
_MAX_FIELDS = 16


async def read_fields(request: web.BaseRequest, *, timeout: float) -> Mapping[str, str]:
    """The fields of the body; empty if there is none.

    `timeout` is in seconds, for the whole of it. Raises Refusal: `body_too_large`, or
    `bad_request` for what is neither a form nor a JSON object of strings, for a field that is
    there twice (two addresses in one form), and for a body that does not arrive.
    """
    try:
        async with asyncio.timeout(timeout):
            body = await _read(request)
    except TimeoutError:
        raise Refusal(Reason.BAD_REQUEST, "The body did not arrive in time.") from None
    if not body:
        return {}
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8")
        if content_type == "application/json":
            return _from_json(text)
        if content_type in {"", "application/x-www-form-urlencoded"}:
            return _unique(
                parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
            )
    except (ValueError, RecursionError):
        raise Refusal(Reason.BAD_REQUEST, "The body cannot be read.") from None
    raise Refusal(Reason.BAD_REQUEST, "The body has to be a form or JSON.")


async def _read(request: web.BaseRequest) -> bytes:
    length = request.headers.get("Content-Length")
    if length is not None and int(length) > MAX_BODY:
        raise Refusal(Reason.BODY_TOO_LARGE)
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refusal(Reason.BODY_TOO_LARGE)
    return bytes(body)


def _from_json(text: str) -> Mapping[str, str]:
    pairs = json.loads(text, object_pairs_hook=_Pairs)
    if not isinstance(pairs, _Pairs):
        raise ValueError("not an object")  # noqa: TRY004 - the body is at fault, not the program
    return _unique(pairs)


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, doubled ones included."""


def _unique(pairs: list[tuple[str, str]] | _Pairs) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields or not isinstance(value, str):
            raise ValueError("a field is there twice, or is no string")
        fields[name] = value
    return fields
