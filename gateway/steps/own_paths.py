"""What the gateway serves of its own, to anybody: up or down, and the style of its pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
        self, is_ready: Callable[[], bool], assets: Mapping[str, tuple[str, bytes]]
    ) -> None:
        self._is_ready = is_ready
        self._assets = assets

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
        found = self._assets.get(scope.target.path.removeprefix(_ASSETS))
        if found is None:
            return None
        content_type, body = found
        response = own_response(200, body, content_type)
        response.headers["Cache-Control"] = _FOR_A_YEAR
        return response
