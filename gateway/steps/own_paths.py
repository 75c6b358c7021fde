"""What the gateway serves of its own, to anybody: up or down, and what its pages refer to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.pages import ASSETS_PATH, Asset
from gateway.refusals import OwnResponse, json_response, own_response
from gateway.request.scope import Scope
from gateway.store.logos import Picture

_HEALTH = "/-/health/"
# An asset's name holds a hash of its content, so it never changes.
_FOR_A_YEAR = "private, max-age=31536000, immutable"
# A logo's bytes are somebody else's: opened by itself it may do nothing, whatever it is.
_SANDBOX = "default-src 'none'; sandbox"


class OwnPaths:
    """Answers `/-/health/...` and `/-/assets/...`.

    `is_ready` says whether new visitors should be sent here: a balancer asks. What is down, and
    why, is told on the admin listener alone.
    """

    def __init__(
        self,
        is_ready: Callable[[], bool],
        find_asset: Callable[[str], Asset | None],
        find_logo: Callable[[str], Awaitable[Picture | None]],
    ) -> None:
        self._is_ready = is_ready
        self._find_asset = find_asset
        self._find_logo = find_logo

    def health(self, scope: Scope) -> OwnResponse | None:
        """The answer to a health check, for any `Host`."""
        if not scope.target.path.startswith(_HEALTH) or scope.method not in {"GET", "HEAD"}:
            return None
        match scope.target.path.removeprefix(_HEALTH):
            case "live":
                return json_response(200, {"status": "up"})
            case "ready" if self._is_ready():
                return json_response(200, {"status": "up"})
            case "ready":
                return json_response(503, {"status": "down"}, (("Retry-After", "1"),))
        return None

    def is_asset(self, scope: Scope) -> bool:
        """Whether this may be a request for something that the gateway's own pages refer to."""
        return scope.target.path.startswith(ASSETS_PATH) and scope.method in {"GET", "HEAD"}

    async def asset(self, scope: Scope) -> OwnResponse | None:
        """What is served under this name; None if nothing is. Raises StoreUnavailable."""
        name = scope.target.path.removeprefix(ASSETS_PATH)
        if (file := self._find_asset(name)) is not None:
            response = own_response(200, file.body, file.content_type)
        elif (logo := await self._find_logo(name)) is not None:
            response = own_response(200, logo.body, logo.content_type)
            response.headers["Content-Security-Policy"] = _SANDBOX
        else:
            return None
        response.headers["Cache-Control"] = _FOR_A_YEAR
        return response
