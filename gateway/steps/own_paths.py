"""What the gateway serves of its own, to anybody: up or down, and the style of its pages."""

from __future__ import annotations

from collections.abc import Callable

from gateway.pages import Asset
from gateway.refusals import OwnResponse, json_response, own_response
from gateway.request.scope import Scope

_HEALTH = "/-/health/"
_ASSETS = "/-/assets/"
# An asset's name holds a hash of its content, so it never changes.
_FOR_A_YEAR = "private, max-age=31536000, immutable"


class OwnPaths:
    """Answers `/-/health/...` and `/-/assets/...`.

    `is_ready` says whether new visitors should be sent here: a balancer asks. What is down, and
    why, is told on the admin listener alone.
    """

    def __init__(
        self, is_ready: Callable[[], bool], find_asset: Callable[[str], Asset | None]
    ) -> None:
        self._is_ready = is_ready
        self._find_asset = find_asset

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

    def asset(self, scope: Scope) -> OwnResponse | None:
        """A file of the gateway's own pages."""
        if not scope.target.path.startswith(_ASSETS) or scope.method not in {"GET", "HEAD"}:
            return None
        found = self._find_asset(scope.target.path.removeprefix(_ASSETS))
        if found is None:
            return None
        response = own_response(200, found.body, found.content_type)
        response.headers["Cache-Control"] = _FOR_A_YEAR
        return response
