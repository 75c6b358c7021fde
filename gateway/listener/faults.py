"""What is said, to a visitor and to the operator, about an exception that nobody expected."""

from __future__ import annotations

import json
import traceback

from gateway.proxy.response import BareResponse

_FAULT_BODY = json.dumps(
    {"success": False, "error": "Something went wrong in the gateway. Please try again later."}
).encode()
_FAULT_HEADERS = (
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "private, no-store"),
    ("Referrer-Policy", "same-origin"),
    ("X-Robots-Tag", "noindex, nofollow"),
)


def fault_response() -> BareResponse:
    """A 500 that tells nothing, and ends the connection."""
    response = BareResponse(500, _FAULT_HEADERS, body=_FAULT_BODY)
    response.force_close()
    return response


def without_texts(error: BaseException) -> str:
    """A traceback whose exceptions have no messages: these quote what they could not handle."""
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = "".join(traceback.format_tb(link.__traceback__))
        parts.append(f"{frames}{type(link).__module__}.{type(link).__qualname__}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nraised during:\n".join(parts)
