"""The backends, each with what may pass to it, and what becomes of its cookies."""

from __future__ import annotations

from contextlib import AsyncExitStack

from config.models import UpstreamSettings
from gateway.app.foundation import Foundation
from gateway.crypto.binding import BoundSealer
from gateway.proxy.cookies import CookieRules, plain_name
from gateway.proxy.upstream import AiohttpUpstream
from gateway.steps.backends import Backend, Backends
from gateway.visitor.backend_cookies import SEALED_AS as COOKIES_SEAL
from gateway.visitor.backend_cookies import BackendCookies


def open_backends(foundation: Foundation, stack: AsyncExitStack) -> Backends:
    """The clients of all backends, until `stack` is left; none of them connects yet."""
    settings = foundation.settings

    def open_one(table: str) -> Backend:
        upstream = settings.all_upstreams()[table]
        client = AiohttpUpstream(upstream, settings.limits, foundation.metrics)
        stack.push_async_callback(client.close)
        rules = _cookie_rules(table, upstream)
        return Backend(client, upstream.route_table(), upstream.path, rules)

    return Backends(
        open_one("upstream"),
        {name: open_one(f"upstreams.{name}") for name in settings.upstreams},
    )


def backend_cookies(foundation: Foundation) -> dict[str, BackendCookies]:
    """The backends' cookies in visitors' browsers, by the scheme that visitors use."""
    settings = foundation.settings
    readable = {
        plain_name(name)
        for table, upstream in settings.all_upstreams().items()
        for name in _cookie_rules(table, upstream).readable
    }
    sealer = BoundSealer(foundation.keyring.macs, COOKIES_SEAL)
    most = settings.limits.max_header_size
    return {
        scheme: BackendCookies(sealer, scheme, most, frozenset(readable))
        for scheme in ("http", "https")
    }


def _cookie_rules(table: str, upstream: UpstreamSettings) -> CookieRules:
    """What becomes of a backend's cookies. It is another backend when its table or URL is."""
    readable = upstream.readable_cookies if upstream.cookies == "seal" else ()
    return CookieRules(upstream.cookies, f"{table} {upstream.url}", frozenset(readable))
