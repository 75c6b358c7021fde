"""Every failure as the one envelope: `{"success": false, "error": ..., "details": [...]}`.

Handlers raise `ApiError`; what the framework and the stores raise is translated here, once.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import hdrs, web

from gateway.errors import GatewayError, Refusal, StoreUnavailable

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Seconds. A database that restarts is back in about this time; asking more often helps nobody.
RETRY_AFTER = 5


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that is wrong: the dotted name of a field or parameter, and a sentence."""

    field: str
    message: str


class ApiError(GatewayError):
    """A request that fails, with the status and the sentence that its sender is told."""

    def __init__(
        self,
        status: HTTPStatus,
        sentence: str,
        details: Sequence[Detail] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status.value}: {sentence}")
        self.status = status
        self.sentence = sentence
        self.details = tuple(details)
        self.headers = dict(headers or {})

    def to_response(self) -> web.Response:
        """The envelope."""
        envelope: dict[str, object] = {"success": False, "error": self.sentence}
        if self.details:
            envelope["details"] = [
                {"field": detail.field, "message": detail.message} for detail in self.details
            ]
        return web.Response(
            status=self.status,
            text=json.dumps(envelope),
            content_type="application/json",
            headers=self.headers,
        )


def bad_request(sentence: str, details: Sequence[Detail] = ()) -> ApiError:
    """400: not JSON, or a bad query parameter."""
    return ApiError(HTTPStatus.BAD_REQUEST, sentence, details)


def forbidden(sentence: str) -> ApiError:
    """403: the role or the namespaces of the key do not allow it."""
    return ApiError(HTTPStatus.FORBIDDEN, sentence)


def not_found(sentence: str) -> ApiError:
    """404: no such thing, or one outside the key's namespaces; which of the two is not told."""
    return ApiError(HTTPStatus.NOT_FOUND, sentence)


def invalid(details: Sequence[Detail]) -> ApiError:
    """422: every field that is unknown, read-only or invalid."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed.", details)


def unavailable(sentence: str, details: Sequence[Detail] = ()) -> ApiError:
    """503: a part is down; `Retry-After` says when to try again."""
    status, wait = HTTPStatus.SERVICE_UNAVAILABLE, str(RETRY_AFTER)
    return ApiError(status, sentence, details, {hdrs.RETRY_AFTER: wait})


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The boundary: whatever is raised inside leaves as the envelope."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.to_response()
    except StoreUnavailable as error:
        return unavailable(f"The {error.store} is down. Try again later.").to_response()
    except Refusal as error:  # more passwords to hash at once than the machine has memory for
        return unavailable(f"{error.detail or error.reason.value}.".capitalize()).to_response()
    except web.HTTPException as error:
        return _translate(error).to_response()
    except Exception as error:  # the boundary: a fault of ours is told as one, and no more
        _log_fault(request, error)
        return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error.").to_response()


def _translate(error: web.HTTPException) -> ApiError:
    status = HTTPStatus(error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted(error.allowed_methods))
        return ApiError(status, f"This address answers {allow} only.", (), {hdrs.ALLOW: allow})
    if status is HTTPStatus.NOT_FOUND:
        return not_found("There is nothing at this address.")
    return ApiError(status, f"{status.phrase}.")


def _log_fault(request: web.Request, error: Exception) -> None:
    # Where it happened, and the error's kind, but never its message: a database's error quotes
    # the row that it was given, with all that is secret in it.
    resource = request.match_info.route.resource
    where = "".join(traceback.format_tb(error.__traceback__))
    name = resource.canonical if resource is not None else "an unknown address"
    log.error("%s in %s %s\n%s", type(error).__name__, request.method, name, where)
