"""The body of a request: read whole, within bounds, as strict JSON."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.web_protocol import RequestPayloadError
from pydantic import BaseModel

from admin_api.checks import Rules
from admin_api.errors import ApiError, Detail, bad_request, invalid
from admin_api.validation import validate

MAX_BODY = 1024 * 1024  # bytes
BODY_TIMEOUT = 30.0  # seconds, for the whole of it

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: web.Request, model: type[Body], rules: Rules) -> Body:
    """The body as a `model`. Raises ApiError: 400, 413, 415 or 422."""
    _check_media_type(request)
    document = parse_json(await _read(request))
    if not isinstance(document, dict):
        raise invalid([Detail("", "The body has to be a JSON object.")])
    return validate(model, document, rules)


def _check_media_type(request: web.Request) -> None:
    sent = request.headers.getall(hdrs.CONTENT_TYPE, [])
    # Clients of the original service send JSON without saying so.
    if any(value.partition(";")[0].strip().lower() != "application/json" for value in sent):
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The Content-Type has to be application/json."
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A body with a Content-Encoding is not read."
        )


async def _read(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    await _invite(request)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > MAX_BODY:
                    raise _too_large()
                chunks.append(chunk)
    except TimeoutError:
        raise bad_request(f"The body did not arrive within {BODY_TIMEOUT:.0f} seconds.") from None
    except (RequestPayloadError, ConnectionError):
        raise bad_request("The body did not arrive whole.") from None
    return b"".join(chunks)


async def _invite(request: web.Request) -> None:
    """Answer `Expect: 100-continue` (RFC 9110 section 10.1.1), now that the key is known."""
    expects = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if expects and request.version >= HttpVersion11:
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0


async def expect_nothing(request: web.Request) -> None:
    """In place of aiohttp's own answer to `Expect`, which would come before the key is judged."""


def parse_json(raw: bytes) -> Any:
    """The JSON text (RFC 8259) as a value.

    Refused with 400: what is not UTF-8, a name that stands twice in one object (readers differ
    in which one they take), NaN and infinities, numbers and nestings without end. Names with a
    lone surrogate are 422, as such values are.
    """
    try:
        return json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError:
        raise bad_request("The body is not UTF-8.") from None
    except RecursionError:
        raise bad_request("The body is nested too deeply.") from None
    except ValueError:
        raise bad_request("The body is not JSON.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise bad_request("The body has a field twice.")
    for name in unique:
        if not _is_unicode(name):
            raise invalid([Detail(ascii(name)[1:-1], "There is no such field.")])
    return unique


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and infinities are not JSON")


def _too_large() -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {MAX_BODY} bytes."
    )
